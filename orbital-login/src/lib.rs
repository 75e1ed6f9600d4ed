//! The screen that signs you in.
//!
//! What always holds here: what is on the screen ([`state`]), where it stands ([`layout`]) and how it looks
//! ([`draw`]) are plain functions over plain data; only [`worker`] and what is below it talk to the daemon and
//! start programs, and only `window` knows that there is a window.
//!
//! ```text
//! window ── events ──▶ state ── effects ──▶ worker ──▶ safed, launcher
//!   ▲                    │ view                │
//!   │                    ▼                     │
//!   └── paint ◀ draw ◀ layout                  └── events ──▶ state
//! ```

pub mod again;
pub mod canvas;
pub mod clock;
pub mod computer;
pub mod draw;
pub mod geometry;
pub mod icon;
pub mod job;
pub mod keyboard;
pub mod language;
pub mod layout;
pub mod message;
pub mod paint;
pub mod picture;
pub mod session;
pub mod settings;
pub mod state;
pub mod strength;
pub mod text;
pub mod theme;
pub mod typed;
pub mod user_error;
pub mod view;
#[cfg(any(target_os = "redox", feature = "sdl"))]
pub mod window;
pub mod worker;
