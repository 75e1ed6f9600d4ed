use std::time::Duration;

/// How much memory and disk a session may take, in bytes, and how much a power loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Written data that is only in memory; writers wait above it.
    pub dirty_bytes_max: usize,
    /// Read nodes and blocks kept in memory.
    pub memory_cache_bytes_max: usize,
    /// Encrypted packs kept on disk (stores that are not local).
    pub disk_cache_bytes_max: u64,
    /// Written data is durable on this computer after this time, if its disk takes it.
    pub log_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            dirty_bytes_max: 96 << 20,
            memory_cache_bytes_max: 64 << 20,
            disk_cache_bytes_max: 4 << 30,
            log_after: Duration::from_secs(5),
        }
    }
}
