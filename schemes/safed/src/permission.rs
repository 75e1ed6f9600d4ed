//! Permissions by owner, group and mode bits.
//!
//! What always holds here: it is decided as POSIX has it, by the first class a caller is in; root may
//! everything but execute a file without an execute bit.

use safeos_session::{Attr, FileKind};

/// A caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Who {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// To read, write, or execute and search; to be added.
pub const READ: u16 = 4;
/// See [`READ`].
pub const WRITE: u16 = 2;
/// See [`READ`].
pub const EXECUTE: u16 = 1;

const SET_USER_ID: u16 = 0o4000;
const SET_GROUP_ID: u16 = 0o2000;
const GROUP_EXECUTE: u16 = 0o0010;
const STICKY: u16 = 0o1000;

impl Who {
    /// Whether it is root.
    pub const fn is_root(self) -> bool {
        self.uid == 0
    }

    /// Whether the node belongs to this caller, or to root all the same.
    pub const fn owns(self, attr: &Attr) -> bool {
        self.is_root() || attr.uid == self.uid
    }

    /// Whether the caller may do all of `wanted`.
    pub fn may(self, attr: &Attr, wanted: u16) -> bool {
        if self.is_root() {
            let runs = attr.kind == FileKind::Directory || attr.perm & 0o111 != 0;
            return wanted & EXECUTE == 0 || runs;
        }
        let shift = if attr.uid == self.uid {
            6
        } else if attr.gid == self.gid {
            3
        } else {
            0
        };
        (attr.perm >> shift) & wanted == wanted
    }

    /// Whether the caller may take `node`'s name out of `dir`, whose writing is checked elsewhere.
    pub fn may_remove(self, dir: &Attr, node: &Attr) -> bool {
        dir.perm & STICKY == 0 || self.owns(dir) || self.owns(node)
    }

    /// The bits that a `chmod` by this caller gives: a caller outside the group cannot hand out its id.
    pub fn allowed_perm(self, attr: &Attr, perm: u16) -> u16 {
        if self.is_root() || self.gid == attr.gid || attr.kind == FileKind::Directory {
            perm
        } else {
            perm & !SET_GROUP_ID
        }
    }

    /// Whether the caller speaks for a group: its own, or any as root.
    pub const fn is_of_group(self, gid: u32) -> bool {
        self.is_root() || self.gid == gid
    }

    /// The bits that a file made in `dir` gets: where it takes the directory's group, a caller outside that group
    /// cannot make programs that run with its id.
    pub fn perm_of_new_file(self, dir: &Attr, perm: u16) -> u16 {
        let runs_as_group = SET_GROUP_ID | GROUP_EXECUTE;
        if perm & runs_as_group == runs_as_group
            && dir.perm & SET_GROUP_ID != 0
            && !self.is_of_group(dir.gid)
        {
            perm & !SET_GROUP_ID
        } else {
            perm
        }
    }
}

/// The permission bits without set-user-id, and without set-group-id where the group may execute or where
/// the one who makes the change is not `of_group`. `None`: nothing to take away.
pub fn without_set_id(attr: &Attr, of_group: impl FnOnce(u32) -> bool) -> Option<u16> {
    if attr.kind == FileKind::Directory {
        return None;
    }
    let mut perm = attr.perm & !SET_USER_ID;
    if perm & SET_GROUP_ID != 0 && (perm & GROUP_EXECUTE != 0 || !of_group(attr.gid)) {
        perm &= !SET_GROUP_ID;
    }
    (perm != attr.perm).then_some(perm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: FileKind, perm: u16) -> Attr {
        Attr {
            ino: 1,
            kind,
            perm,
            nlink: 1,
            uid: 1000,
            gid: 100,
            rdev: 0,
            size: 0,
            blocks: 0,
            atime: 0,
            mtime: 0,
            ctime: 0,
            btime: 0,
        }
    }

    const OWNER: Who = Who { uid: 1000, gid: 1 };
    const GROUP: Who = Who {
        uid: 1001,
        gid: 100,
    };
    const OTHER: Who = Who { uid: 1002, gid: 1 };
    const ROOT: Who = Who { uid: 0, gid: 0 };

    #[test]
    fn the_first_class_decides() {
        let file = node(FileKind::File, 0o047);
        assert!(!OWNER.may(&file, READ));
        assert!(GROUP.may(&file, READ) && !GROUP.may(&file, WRITE));
        assert!(OTHER.may(&file, READ | WRITE | EXECUTE));
    }

    #[test]
    fn root_executes_only_what_somebody_may() {
        assert!(ROOT.may(&node(FileKind::File, 0), READ | WRITE));
        assert!(!ROOT.may(&node(FileKind::File, 0o666), EXECUTE));
        assert!(ROOT.may(&node(FileKind::File, 0o001), EXECUTE));
        assert!(ROOT.may(&node(FileKind::Directory, 0), EXECUTE));
    }

    #[test]
    fn in_a_sticky_directory_names_belong_to_their_owners() {
        let mut dir = node(FileKind::Directory, 0o1777);
        let file = node(FileKind::File, 0o666);
        assert!(OWNER.may_remove(&dir, &file));
        assert!(!OTHER.may_remove(&dir, &file));
        dir.uid = OTHER.uid;
        assert!(OTHER.may_remove(&dir, &file));
        dir.perm = 0o777;
        assert!(GROUP.may_remove(&dir, &file));
    }

    #[test]
    fn set_id_bits_go_where_they_mean_something() {
        let without = |who: Who, perm| {
            without_set_id(&node(FileKind::File, perm), |gid| who.is_of_group(gid))
        };
        assert_eq!(without(OTHER, 0o6755), Some(0o0755));
        assert_eq!(without(GROUP, 0o6755), Some(0o0755));
        // Without execution by the group, only a caller outside it takes the bit away.
        assert_eq!(without(OTHER, 0o2644), Some(0o0644));
        for who in [GROUP, ROOT] {
            assert_eq!(without(who, 0o2644), None);
            assert_eq!(without(who, 0o6644), Some(0o2644));
        }
        let folder = node(FileKind::Directory, 0o2755);
        assert_eq!(without_set_id(&folder, |_| false), None);
    }

    #[test]
    fn nobody_makes_programs_that_run_as_a_group_of_others() {
        let mut dir = node(FileKind::Directory, 0o2777);
        assert_eq!(OTHER.perm_of_new_file(&dir, 0o2755), 0o0755);
        assert_eq!(OTHER.perm_of_new_file(&dir, 0o2745), 0o2745);
        for who in [GROUP, ROOT] {
            assert_eq!(who.perm_of_new_file(&dir, 0o2755), 0o2755);
        }
        // Elsewhere the new file has the maker's own group.
        dir.perm = 0o777;
        assert_eq!(OTHER.perm_of_new_file(&dir, 0o2755), 0o2755);
    }
}
