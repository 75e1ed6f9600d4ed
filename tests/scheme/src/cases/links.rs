//! Links: hard ones and symbolic ones.

use syscall::error::{EEXIST, ELOOP, ENOENT};

use super::{file, holds};
use crate::files::{Files, How, Kind};

/// Two names of one file.
pub fn ln_makes_a_second_name(files: &dyn Files, dir: &str) {
    let (one, two) = (format!("{dir}/one"), format!("{dir}/two"));
    file(files, &one, b"x");
    files.link(&one, &two).unwrap();
    let (first, second) = (files.stat(&one).unwrap(), files.stat(&two).unwrap());
    assert_eq!((first.dev, first.ino, first.nlink), (second.dev, second.ino, 2));
    file(files, &two, b"changed");
    holds(files, &one, b"changed");
    assert_eq!(files.link(&one, &two), Err(EEXIST));
    files.unlink(&one).unwrap();
    assert_eq!(files.stat(&two).unwrap().nlink, 1);
    assert!(files.link(dir, &format!("{dir}/folder")).is_err());
}

/// A symbolic link is followed at the end and in the middle, or looked at itself.
pub fn ln_s_is_followed(files: &dyn Files, dir: &str) {
    let path = |name: &str| format!("{dir}/{name}");
    files.mkdir(&path("d"), 0o755).unwrap();
    file(files, &path("d/f"), b"found");
    files.symlink("d", &path("to-d")).unwrap();
    files.symlink("to-d/f", &path("to-f")).unwrap();
    files.symlink(&path("d/f"), &path("absolute")).unwrap();
    files.symlink("../../ln_s_is_followed/d/./f", &path("d/round")).unwrap();
    for name in ["to-d/f", "to-f", "absolute", "d/round", "to-d/round"] {
        holds(files, &path(name), b"found");
    }
    assert_eq!(files.read_link(&path("to-f")).as_deref(), Ok("to-d/f"));
    let (link, target) = (files.lstat(&path("to-d")).unwrap(), files.stat(&path("to-d")).unwrap());
    assert_eq!((link.kind, link.size), (Kind::Link, 1));
    assert_eq!(target.kind, Kind::Directory);
    assert_eq!(files.symlink("x", &path("to-d")), Err(EEXIST));
    // Removing and renaming are about the link.
    files.rename(&path("to-f"), &path("moved")).unwrap();
    files.unlink(&path("moved")).unwrap();
    holds(files, &path("d/f"), b"found");
    let how = How { no_follow: true, ..How::READ };
    assert_eq!(files.open(&path("to-d"), how), Err(ELOOP));
}

/// Links that lead nowhere, or round in circles.
pub fn links_that_lead_nowhere(files: &dyn Files, dir: &str) {
    let path = |name: &str| format!("{dir}/{name}");
    files.symlink("missing", &path("dangling")).unwrap();
    assert_eq!(files.stat(&path("dangling")), Err(ENOENT));
    files.symlink("b", &path("a")).unwrap();
    files.symlink("a", &path("b")).unwrap();
    assert_eq!(files.open(&path("a"), How::READ), Err(ELOOP));
    assert_eq!(files.open(&path("a/x"), How::READ), Err(ELOOP));
    // Writing through a dangling link makes what it names.
    file(files, &path("dangling"), b"made");
    holds(files, &path("missing"), b"made");
}
