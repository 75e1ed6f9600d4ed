//! Names: directories, links, renames.

use syscall::error::{EEXIST, ENOENT, ENOTDIR, ENOTEMPTY, EISDIR};

use super::{file, holds, names_in};
use crate::files::{Files, Kind};

/// A listing has every name once, with its kind.
pub fn ls_shows_names_and_kinds(files: &dyn Files, dir: &str) {
    file(files, &format!("{dir}/b"), b"x");
    files.mkdir(&format!("{dir}/a"), 0o755).unwrap();
    files.symlink("b", &format!("{dir}/c")).unwrap();
    let names = names_in(files, dir);
    let wanted = [("a", Kind::Directory), ("b", Kind::File), ("c", Kind::Link)];
    let wanted: Vec<_> = wanted.map(|(name, kind)| (name.to_owned(), kind)).into();
    assert_eq!(names, wanted);
    let meta = files.stat(&format!("{dir}/b")).unwrap();
    assert_eq!((meta.kind, meta.perm, meta.size, meta.nlink), (Kind::File, 0o644, 1, 1));
}

/// Directories come, go, and refuse what is no directory.
pub fn mkdir_and_rmdir(files: &dyn Files, dir: &str) {
    let inner = format!("{dir}/a/b");
    assert_eq!(files.mkdir(&inner, 0o755), Err(ENOENT));
    files.mkdir(&format!("{dir}/a"), 0o750).unwrap();
    files.mkdir(&inner, 0o755).unwrap();
    assert_eq!(files.mkdir(&inner, 0o755), Err(EEXIST));
    assert_eq!(files.stat(&format!("{dir}/a")).unwrap().nlink, 3);
    // Redox's C library of June 2026 asks for all permissions, whatever the caller says.
    assert_eq!(files.stat(&format!("{dir}/a")).unwrap().perm & !0o005, 0o750);
    assert_eq!(files.rmdir(&format!("{dir}/a")), Err(ENOTEMPTY));
    assert_eq!(files.unlink(&inner), Err(EISDIR));
    file(files, &format!("{inner}/f"), b"");
    assert_eq!(files.rmdir(&format!("{inner}/f")), Err(ENOTDIR));
    assert_eq!(files.mkdir(&format!("{inner}/f/g"), 0o755), Err(ENOTDIR));
    files.unlink(&format!("{inner}/f")).unwrap();
    files.rmdir(&inner).unwrap();
    files.rmdir(&format!("{dir}/a")).unwrap();
    assert!(names_in(files, dir).is_empty());
}

/// A name moves, over another one and between directories; a removed one is gone.
pub fn mv_and_rm(files: &dyn Files, dir: &str) {
    let path = |name: &str| format!("{dir}/{name}");
    file(files, &path("a"), b"one");
    file(files, &path("b"), b"two");
    files.rename(&path("a"), &path("c")).unwrap();
    assert_eq!(files.stat(&path("a")), Err(ENOENT));
    files.rename(&path("c"), &path("b")).unwrap();
    holds(files, &path("b"), b"one");
    files.mkdir(&path("d"), 0o755).unwrap();
    files.mkdir(&path("d/e"), 0o755).unwrap();
    files.rename(&path("b"), &path("d/e/f")).unwrap();
    files.rename(&path("d/e"), &path("g")).unwrap();
    holds(files, &path("g/f"), b"one");
    assert_eq!(files.rename(&path("missing"), &path("x")), Err(ENOENT));
    files.unlink(&path("g/f")).unwrap();
    assert_eq!(files.unlink(&path("g/f")), Err(ENOENT));
    files.rmdir(&path("g")).unwrap();
    files.rmdir(&path("d")).unwrap();
    assert!(names_in(files, dir).is_empty());
}
