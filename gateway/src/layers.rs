//! A second store behind the gateway.

mod cached;
mod mirrored;

pub use cached::Cached;
pub use mirrored::Mirrored;
