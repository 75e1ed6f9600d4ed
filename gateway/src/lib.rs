//! The gateway: a server that holds or forwards records for others, over HTTP. `docs/gateway.md` is its
//! reference.
//!
//! What always holds here: nothing is stored that was not verified first; no client is trusted with how long,
//! how much or how fast; memory for records is bounded by one number. A gateway has no secret of its users: it is
//! trusted with availability only.
//!
//! Imports go down: `server` → `service` → `api` → `chunks`, `batches`, `pointers`, `about`, `guard` →
//! `parts`, `pieces` → `app_state`, `bodies` → `metrics` → `halves` → `answer`, `assembly`, `memory_limiter`,
//! `clients`, `connections`, `rate`, `buffer_pool`, `tokens`, `visit`, `watched`; `layers` stand between the
//! application and a store.

#![forbid(unsafe_code)]

mod about;
mod answer;
mod api;
mod app_state;
mod assembly;
mod batches;
mod bodies;
mod buffer_pool;
mod chunks;
mod clients;
mod connections;
mod guard;
mod halves;
mod lately;
mod layers;
mod memory_limiter;
mod metrics;
mod options;
mod parts;
mod pieces;
mod pointers;
mod rate;
mod repeats;
mod server;
mod service;
mod tls;
mod tokens;
mod visit;
mod watched;
mod watchers;
mod write_timeout;

pub use layers::{Cached, Mirrored};
pub use options::{Limits, Options};
pub use server::{Error, Server};
pub use service::Service;
