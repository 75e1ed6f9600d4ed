//! The kernel's table of mounts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A mount as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub point: PathBuf,
    /// The kind of file system, `fuse` or `fuse.safe` for instance.
    pub kind: OsString,
    /// The mounted source.
    pub source: OsString,
}

impl Entry {
    /// Whether it is a home.
    pub fn is_home(&self) -> bool {
        self.source == crate::SOURCE && self.kind.as_encoded_bytes().starts_with(b"fuse")
    }
}

/// The mount of that number, if this process can see it.
pub fn entry(mount: u64) -> Option<Entry> {
    find(&std::fs::read("/proc/self/mountinfo").ok()?, mount)
}

fn find(table: &[u8], mount: u64) -> Option<Entry> {
    table.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let number = std::str::from_utf8(fields.next()?).ok()?;
        if number.parse() != Ok(mount) {
            return None;
        }
        let point = OsString::from_vec(unescape(fields.nth(3)?));
        let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
        let kind = OsString::from_vec(unescape(rest.next()?));
        let source = OsString::from_vec(unescape(rest.next()?));
        Some(Entry {
            point: point.into(),
            kind,
            source,
        })
    })
}

/// Spaces and their like stand as three octal digits in the table.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if *first == b'\\'
            && let Some(digits) = tail.get(..3)
            && let Some(code) = std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            out.push(code);
            rest = &tail[3..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_number() {
        let table = b"25 1 0:23 / /proc rw - proc proc rw\n\
            612 25 0:99 / /mnt/a\\040b rw,nosuid,nodev shared:7 - fuse.safe safe rw,user_id=0\n";
        let found = find(table, 612).unwrap();
        assert_eq!(found.point, PathBuf::from("/mnt/a b"));
        assert!(found.is_home());
        assert!(!find(table, 25).unwrap().is_home());
        assert_eq!(find(table, 61), None);
    }

    #[test]
    fn names_are_unescaped() {
        assert_eq!(unescape(b"/mnt/a\\040b\\134"), b"/mnt/a b\\");
        assert_eq!(unescape(b"/x\\9"), b"/x\\9");
    }
}
