//! Paths as people type them, and as the daemon wants them: from the root of the home.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use safeos_control::PathText;

use crate::failure::{Failure, Result};

/// A path in the home: absolute through the mount point; or relative to the current folder, if that is
/// in the home; or else from the root of the home.
pub fn in_home(mount: &Path, path: &Path) -> Result<PathText> {
    let mount = mount.canonicalize().unwrap_or_else(|_| mount.to_owned());
    resolve(&mount.join("home"), std::env::current_dir().ok(), path)
}

/// Refuses a relative path that means one thing in the home and another in the current folder, which is not in the home:
/// for what cannot be undone.
pub fn means_one(mount: &Path, path: &Path) -> Result<()> {
    let home = mount
        .canonicalize()
        .unwrap_or_else(|_| mount.to_owned())
        .join("home");
    let is_elsewhere = std::env::current_dir().is_ok_and(|dir| !dir.starts_with(&home));
    if path.is_absolute() || !is_elsewhere || path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} is in this folder too, which is not in the home: say {} for the one in the home, or copy this one there first",
        path.display(),
        home.join(path).display()
    )))
}

/// A path from the root of a home that is not mounted.
pub fn from_root(path: &Path) -> Result<PathText> {
    let inside = path.strip_prefix("/").unwrap_or(path);
    resolve(Path::new("/"), None, inside)
}

fn resolve(home: &Path, current: Option<PathBuf>, path: &Path) -> Result<PathText> {
    let outside = || {
        Failure::usage(format!(
            "{} is not in the home {}: name a path in it",
            path.display(),
            home.display()
        ))
    };
    let inside: PathBuf = if path.is_absolute() {
        // Through another way to the same place, a symbolic link for instance.
        let whole = match path.strip_prefix(home) {
            Ok(rest) => Ok(rest.to_owned()),
            Err(_) => canonical_parent(path)
                .as_deref()
                .unwrap_or(path)
                .strip_prefix(home)
                .map(Path::to_owned),
        };
        whole.map_err(|_| outside())?
    } else {
        match current
            .as_deref()
            .and_then(|dir| dir.strip_prefix(home).ok())
        {
            Some(dir) => dir.join(path),
            None => path.to_owned(),
        }
    };
    let mut parts: Vec<&OsStr> = Vec::new();
    for part in inside.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop().ok_or_else(outside)?;
            }
            Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(PathText::new(parts.join(OsStr::new("/")).as_bytes()))
}

/// The path with its folder's symbolic links followed; the last part may be a link that is meant itself.
fn canonical_parent(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?;
    Some(path.parent()?.canonicalize().ok()?.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(current: Option<&str>, path: &str) -> Result<String> {
        resolve(
            Path::new("/m/home"),
            current.map(PathBuf::from),
            Path::new(path),
        )
        .map(|path| String::from_utf8(path.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn paths_from_everywhere() {
        assert_eq!(at(None, "docs/a").unwrap(), "docs/a");
        assert_eq!(at(Some("/etc"), "docs/a").unwrap(), "docs/a");
        assert_eq!(at(Some("/m/home/docs"), "a").unwrap(), "docs/a");
        assert_eq!(at(Some("/m/home/docs"), "../b/./c").unwrap(), "b/c");
        assert_eq!(at(None, "/m/home/x/").unwrap(), "x");
        assert_eq!(at(None, "/m/home").unwrap(), "");
        assert_eq!(at(Some("/m/home"), ".").unwrap(), "");
    }

    #[test]
    fn paths_of_a_home_that_is_not_mounted() {
        for path in ["docs/a", "/docs/a", "./docs/../docs/a/"] {
            assert_eq!(from_root(Path::new(path)).unwrap().as_bytes(), b"docs/a");
        }
        assert_eq!(from_root(Path::new("../x")).unwrap_err().exit, 2);
    }

    #[test]
    fn paths_outside_are_wrong_use() {
        for (current, path) in [
            (None, "/etc/passwd"),
            (None, "../x"),
            (Some("/m/home/docs"), "../../x"),
            (None, "/m/home2"),
        ] {
            assert_eq!(at(current, path).unwrap_err().exit, 2, "{path}");
        }
    }
}
