//! The owner of a folder: files in a folder that another user can change belong to that user.
//!
//! What always holds here: a path passes only if only root and the user of this process can put something else at its
//! end: every folder on the way belongs to one of the two, others may not write into it (or may not take away what is
//! not theirs, as in `/tmp`), and every link on the way was made by one of the two. A missing path passes by its
//! parents.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// Links that are followed at most, as in the kernel.
const LINKS_MAX: usize = 40;
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
const FOLDER: u32 = 0o040_000;
const STICKY: u32 = 0o1000;
/// The owner of files whose owner has no number in this user namespace.
const UNMAPPED: u32 = 65534;

/// Why a path is not trusted. The message says whose it is and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {why}", .path.display())]
pub struct Stranger {
    /// The folder or link.
    pub path: PathBuf,
    /// The problem, and what to do.
    pub why: String,
}

/// The user that asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct User {
    uid: u32,
    /// Files of this group may be written by it: many systems give each user a group of its own.
    gid: u32,
    /// In a user namespace of its own, where the owner of the system's folders is not seen.
    enclosed: bool,
}

/// The attributes of a path on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct About {
    uid: u32,
    gid: u32,
    mode: u32,
}

/// Refuses an absolute path whose end another user could replace. A path that cannot be examined passes: its use
/// will fail with the reason.
pub fn check(path: &Path) -> Result<(), Stranger> {
    look(path, us(), true)
}

/// Refuses only a path through a link that another user has made: for files that every user may see.
pub fn check_links(path: &Path) -> Result<(), Stranger> {
    look(path, us(), false)
}

fn look(path: &Path, us: User, folders: bool) -> Result<(), Stranger> {
    let about = |path: &Path| {
        fs::symlink_metadata(near(path)).map(|meta| About {
            uid: meta.uid(),
            gid: meta.gid(),
            mode: meta.mode(),
        })
    };
    let judge: Judge = if folders {
        check_one
    } else {
        |_, _, _, _| Ok(())
    };
    walk(path, us, judge, &about, &|path| fs::read_link(near(path)))
}

/// How a daemon asks for it: see [`crate::from_here`]. The root itself has no name from there.
fn near(path: &Path) -> PathBuf {
    match crate::from_here(path.to_owned()) {
        root if root.as_os_str().is_empty() => PathBuf::from("."),
        path => path,
    }
}

/// Says of a folder on the way whether it may be there; the last is the one that is meant.
type Judge = fn(&Path, About, User, bool) -> Result<(), Stranger>;

/// Makes a folder (and those above it) that only this user can enter, or sees that the one there is this user's.
pub fn private_dir(path: &Path) -> io::Result<()> {
    let ours = || {
        check(path).map_err(|stranger| io::Error::new(io::ErrorKind::PermissionDenied, stranger))
    };
    ours()?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    // Another process may have been quicker.
    ours()
}

fn us() -> User {
    // SAFETY: both have no arguments and cannot fail.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    let whole = |map: Vec<u8>| {
        let map = String::from_utf8_lossy(&map).into_owned();
        map.split_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"]
    };
    User {
        uid,
        gid,
        enclosed: fs::read("/proc/self/uid_map").is_ok_and(|map| !whole(map)),
    }
}

fn walk(
    path: &Path,
    us: User,
    judge: Judge,
    about: &dyn Fn(&Path) -> io::Result<About>,
    read_link: &dyn Fn(&Path) -> io::Result<PathBuf>,
) -> Result<(), Stranger> {
    let mut here = PathBuf::from("/");
    let mut ahead = Vec::new();
    put_before(&mut ahead, path);
    let mut links = 0;
    match about(&here) {
        Ok(root) => judge(&here, root, us, ahead.is_empty())?,
        Err(_) => return Ok(()),
    }
    while let Some(name) = ahead.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        let Ok(found) = about(&next) else {
            return Ok(());
        };
        if found.mode & KIND != LINK {
            judge(&next, found, us, ahead.is_empty())?;
            here = next;
            continue;
        }
        if !us.trusts(found.uid, false) {
            return Err(Stranger {
                why: format!(
                    "is a link that {} has made and could lead elsewhere: remove it, or name a folder of your own",
                    owner(found.uid)
                ),
                path: next,
            });
        }
        links += 1;
        let Ok(target) = read_link(&next) else {
            return Ok(());
        };
        if links > LINKS_MAX {
            return Ok(());
        }
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        put_before(&mut ahead, &target);
    }
    Ok(())
}

/// Puts the parts of a path before those that are to come.
fn put_before(ahead: &mut Vec<OsString>, path: &Path) {
    for part in path.components().rev() {
        match part {
            Component::Normal(name) => ahead.push(name.to_owned()),
            Component::ParentDir => ahead.push("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

impl User {
    fn trusts(self, uid: u32, last: bool) -> bool {
        uid == self.uid || uid == 0 || (!last && self.enclosed && uid == UNMAPPED)
    }
}

fn check_one(path: &Path, found: About, us: User, last: bool) -> Result<(), Stranger> {
    let refused = |why: String| {
        Err(Stranger {
            path: path.to_owned(),
            why,
        })
    };
    if !us.trusts(found.uid, last) {
        return refused(format!(
            "belongs to {}, who can read and replace what is kept there, and you are {}: name a folder of your own",
            owner(found.uid),
            owner(us.uid)
        ));
    }
    if found.mode & KIND != FOLDER {
        return Ok(());
    }
    let group = found.mode & 0o020 != 0 && found.gid != 0 && found.gid != us.gid;
    let everybody = found.mode & 0o002 != 0;
    // Other users cannot take away existing files; but a missing one they could make first.
    let kept = found.mode & STICKY != 0 && !last;
    if (group || everybody) && !kept {
        return refused(format!(
            "can be written by {}, who could replace what is kept there: `chmod go-w {}`, or name a folder of your own",
            if everybody {
                "everybody".to_owned()
            } else {
                format!("the group {}", found.gid)
            },
            path.display()
        ));
    }
    Ok(())
}

fn owner(uid: u32) -> String {
    match uid {
        0 => "root".to_owned(),
        uid => format!("user {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const ANA: User = User {
        uid: 1500,
        gid: 1500,
        enclosed: false,
    };
    const ROOT: User = User {
        uid: 0,
        gid: 0,
        enclosed: false,
    };

    /// A file system of folders (path, owner, group, mode) and links (path, owner, target).
    fn asked(
        us: User,
        folders: &[(&str, u32, u32, u32)],
        links: &[(&str, u32, &str)],
        path: &str,
    ) -> Result<(), String> {
        let mut known = HashMap::from([(PathBuf::from("/"), (0, 0, FOLDER | 0o755))]);
        let mut targets = HashMap::new();
        for (path, uid, gid, mode) in folders {
            known.insert((*path).into(), (*uid, *gid, FOLDER | mode));
        }
        for (path, uid, target) in links {
            known.insert((*path).into(), (*uid, *uid, LINK | 0o777));
            targets.insert(PathBuf::from(path), PathBuf::from(target));
        }
        let none = || io::Error::from(io::ErrorKind::NotFound);
        let about = |path: &Path| {
            let (uid, gid, mode) = *known.get(path).ok_or_else(none)?;
            Ok(About { uid, gid, mode })
        };
        let target = |path: &Path| targets.get(path).cloned().ok_or_else(none);
        walk(Path::new(path), us, check_one, &about, &target)
            .map_err(|stranger| stranger.to_string())
    }

    const TMP: (&str, u32, u32, u32) = ("/tmp", 0, 0, 0o1777);

    #[test]
    fn ones_own_folders_pass() {
        let own = [
            TMP,
            ("/home", 0, 0, 0o755),
            ("/home/ana", 1500, 1500, 0o775),
            ("/home/ana/state", 1500, 1500, 0o755),
            ("/tmp/mine", 1500, 1500, 0o700),
        ];
        for path in [
            "/home/ana/state",
            "/home/ana/state/not/there/yet",
            "/tmp/mine",
            "/tmp/new",
            "/",
        ] {
            asked(ANA, &own, &[], path).unwrap();
        }
        let links = [
            ("/home/ana/link", 1500, "../ana/./state/new"),
            ("/var", 0, "/home"),
        ];
        for path in ["/home/ana/link", "/var/ana/state"] {
            asked(ANA, &own, &links, path).unwrap();
        }
    }

    #[test]
    fn what_somebody_else_can_change_is_refused_and_says_whose_it_is() {
        let folders = [
            TMP,
            ("/open", 0, 0, 0o777),
            ("/team", 0, 50, 0o775),
            ("/tmp/theirs", 1600, 1600, 0o755),
            ("/tmp/theirs/mine", 1500, 1500, 0o700),
            ("/home", 0, 0, 0o755),
            ("/home/ana", 1500, 1500, 0o755),
        ];
        let links = [
            ("/tmp/link", 1600, "/home/ana"),
            ("/home/ana/out", 1500, "/tmp/theirs"),
            ("/home/ana/round", 1500, "round"),
        ];
        for (us, path, says) in [
            (ANA, "/tmp/theirs", "/tmp/theirs belongs to user 1600"),
            (ANA, "/tmp/theirs/mine", "/tmp/theirs belongs to user 1600"),
            (ANA, "/tmp/theirs/none", "/tmp/theirs belongs to user 1600"),
            (ROOT, "/home/ana/state", "/home/ana belongs to user 1500"),
            (ANA, "/open/new", "can be written by everybody"),
            (ANA, "/team/new", "can be written by the group 50"),
            (ANA, "/tmp", "can be written by everybody"),
            (ANA, "/tmp/link", "/tmp/link is a link that user 1600"),
            (ANA, "/tmp/link/new", "/tmp/link is a link that user 1600"),
            (ANA, "/home/ana/out/x", "/tmp/theirs belongs to user 1600"),
        ] {
            let why = asked(us, &folders, &links, path).unwrap_err();
            assert!(why.contains(says), "{path}: {why}");
            assert!(why.contains("name a folder of your own"), "{why}");
        }
        // It ends, and opening reports the problem.
        asked(ANA, &folders, &links, "/home/ana/round/x").unwrap();
    }

    #[test]
    fn in_a_user_namespace_the_systems_folders_belong_to_nobody() {
        let enclosed = User {
            enclosed: true,
            ..ROOT
        };
        let folders = [
            ("/home", UNMAPPED, UNMAPPED, 0o755),
            ("/home/ana", 0, 0, 0o755),
            ("/home/other", UNMAPPED, UNMAPPED, 0o755),
        ];
        asked(enclosed, &folders, &[], "/home/ana/state").unwrap();
        assert!(asked(enclosed, &folders, &[], "/home/other").is_err());
        assert!(asked(ROOT, &folders, &[], "/home/ana").is_err());
    }

    #[test]
    fn a_private_folder_is_made_and_is_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("a/b");
        private_dir(&path).unwrap();
        private_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let loose = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&path, loose).unwrap();
        let error = private_dir(&path).unwrap_err();
        assert!(error.to_string().contains("chmod go-w"), "{error}");
    }
}
