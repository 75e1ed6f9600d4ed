//! Settings of the system's allocator for programs that hold many records in memory.

/// Has the allocator keep what it was given back for the next records, up to a limit: giving it to the system and
/// taking it again costs more than filling it. To be called before there are other threads.
///
/// Each arena keeps that much, and there may be eight for each processor: a daemon of 19 threads and its gateway took
/// twice the memory for the same work, and went on growing for as long as new arenas came into use.
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const KEPT_BYTES: libc::c_int = 32 << 20;
        const ARENAS: libc::c_int = 2;
        // SAFETY: called before there are other threads; these take two numbers. A refused value changes nothing.
        unsafe {
            // Also for allocations as long as a pack, which would be mapped and unmapped each time.
            libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BYTES);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
            libc::mallopt(libc::M_TOP_PAD, 1 << 20);
            libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        }
    }
}

/// Bytes that the program has from the allocator and has not given back; what the allocator keeps for the next ones is
/// not in it. `None` where the allocator does not say.
pub fn allocated_bytes() -> Option<u64> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: it takes nothing and returns a struct of numbers.
        let info = unsafe { libc::mallinfo2() };
        Some((info.uordblks + info.hblkhd) as u64)
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    None
}
