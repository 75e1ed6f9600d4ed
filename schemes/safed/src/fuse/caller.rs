//! The caller of a request, and its groups.
//!
//! What always holds here: a caller whose groups cannot be found out is in none of them.

use std::io::Read;

use fuser::Request;

/// The bytes of `/proc/PID/status` before the line looked for, and that line with the 65,536 groups that a process
/// can be of.
const STATUS_MAX: u64 = 1 << 20;

/// A process that makes a request, and waits for the answer.
pub struct Caller {
    uid: u32,
    gid: u32,
    pid: u32,
}

impl Caller {
    pub fn of(request: &Request) -> Self {
        Self {
            uid: request.uid(),
            gid: request.gid(),
            pid: request.pid(),
        }
    }

    pub const fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether it is of a group, be it a supplementary one. Requests only say the first, so the others are
    /// looked up: for the few that depend on it.
    pub fn is_of_group(&self, gid: u32) -> bool {
        self.gid == gid || groups(self.pid).is_some_and(|groups| groups.contains(&gid))
    }
}

/// The supplementary groups of a process; `None` if they cannot be known, as from another pid namespace.
fn groups(pid: u32) -> Option<Vec<u32>> {
    let file = std::fs::File::open(format!("/proc/{pid}/status")).ok()?;
    let mut text = Vec::new();
    file.take(STATUS_MAX).read_to_end(&mut text).ok()?;
    // The name of a process, which comes first, can be any bytes but no line of its own.
    let line = text
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"Groups:"))?;
    let numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    numbers.map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_a_process_are_those_it_has() {
        let mut own = vec![0; 65_536];
        // SAFETY: a buffer of that many numbers.
        let count = unsafe { libc::getgroups(65_536, own.as_mut_ptr()) };
        own.truncate(usize::try_from(count).unwrap());
        let found = groups(std::process::id()).unwrap();
        assert_eq!(found, own);
        assert_eq!(groups(0), None);
    }

    #[test]
    fn of_no_known_process_only_the_group_it_names_counts() {
        let caller = Caller {
            uid: 1000,
            gid: 100,
            pid: 0,
        };
        assert!(caller.is_of_group(100) && !caller.is_of_group(0) && !caller.is_root());
    }
}
