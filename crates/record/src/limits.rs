//! Limits of the network.

/// The largest chunk the network takes, in bytes (`ant_protocol::MAX_CHUNK_SIZE`).
pub const MAX_CHUNK_SIZE: usize = 4 * 1024 * 1024;
