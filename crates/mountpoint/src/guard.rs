//! The guard below the mount of a home, seen while no session is open.
//!
//! Programs write down paths in the home, and go on using them when it is not there. Their files would lie
//! unencrypted in the folder of the mount, hidden as soon as the home is there again. So the
//! name `home` is taken by a link that leads nowhere: below it nothing can be made, not even by root, on any file
//! system that has links. The folder itself cannot be written by its owner. Both are there before anything is
//! mounted, so they also are after a crash. A file says what this is.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The name that is taken.
const HOME: &CStr = c"home";
/// Shown by `ls -l`. No folder has the first part's name, so that a write to the link makes no file.
const TARGET: &CStr = c"NOBODY-IS-SIGNED-IN/sign in with: safe login NAME";
/// The file that says why.
pub const NOTE: &str = "NOBODY-IS-SIGNED-IN.txt";
const NOTE_NAME: &CStr = c"NOBODY-IS-SIGNED-IN.txt";
const TEXT: &str = "\
Nobody is signed in here, so the home is not here.

Sign in with `safe login NAME`, or work in `safe run NAME`. Meanwhile nothing can be written in this folder: it would
lie on this computer unencrypted. SafeOS made this file and the link `home`; both may be removed with the folder.
";

/// The content of a folder that is to be mounted on.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing, or only what this module puts there.
    Free,
    /// Besides that, files that were written while no session was open.
    Written(Vec<OsString>),
    /// Another program's files.
    Foreign,
}

/// Looks into a folder.
pub fn look(folder: &Path) -> io::Result<Look> {
    let (mut own, mut others) = (false, Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_own(&entry.path()) {
            own = true;
        } else {
            others.push(entry.file_name());
        }
    }
    others.sort();
    Ok(match (own, others.is_empty()) {
        (_, true) => Look::Free,
        (true, false) => Look::Written(others),
        (false, false) => Look::Foreign,
    })
}

/// Whether this module made it.
fn is_own(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    if name == HOME.to_bytes() {
        return match fs::read_link(path) {
            Ok(to) => to.as_os_str().as_bytes() == TARGET.to_bytes(),
            Err(_) => has_text(path),
        };
    }
    name == NOTE.as_bytes() && has_text(path)
}

fn has_text(path: &Path) -> bool {
    let regular = fs::symlink_metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() == TEXT.len() as u64);
    regular && fs::read(path).is_ok_and(|text| text == TEXT.as_bytes())
}

/// Puts the guard into an open folder, and lets its owner write there until [`close`].
pub fn put(folder: &File) -> io::Result<()> {
    let mode = folder.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o200 == 0 {
        folder.set_permissions(Permissions::from_mode(mode | 0o200))?;
    }
    // SAFETY: an open folder and two strings that end with NUL.
    let linked = unsafe { libc::symlinkat(TARGET.as_ptr(), folder.as_raw_fd(), HOME.as_ptr()) };
    let error = io::Error::last_os_error();
    if linked != 0 && error.kind() != io::ErrorKind::AlreadyExists {
        // A file system without links: nothing can be made below a file either.
        write(folder, HOME)?;
    }
    write(folder, NOTE_NAME)?;
    // Also after a power cut.
    folder.sync_all()
}

/// A file of ours with the text, unless the name is taken.
fn write(folder: &File, name: &CStr) -> io::Result<()> {
    let how = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: an open folder, a string that ends with NUL; the new descriptor has no other owner.
    let file = unsafe {
        match libc::openat(folder.as_raw_fd(), name.as_ptr(), how, 0o444) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    };
    match file {
        Ok(file) => File::from(file).write_all(TEXT.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes away the permission to write in the folder, except from root. It may be covered by a mount by now.
pub fn close(folder: &File) -> io::Result<()> {
    let mode = folder.metadata()?.permissions().mode() & 0o7777;
    folder.set_permissions(Permissions::from_mode(mode & !0o222))
}

/// Moves the written files into a new folder beside this one; returns that folder.
pub fn move_aside(folder: &Path, written: &[OsString]) -> io::Result<PathBuf> {
    const TRIES: u32 = 100;
    let from = open(folder)?;
    let mode = from.metadata()?.permissions().mode() & 0o7777;
    from.set_permissions(Permissions::from_mode(mode | 0o700))?;
    let name = folder.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let (to, at) = 'made: {
        for count in 0..TRIES {
            let mut name = name.to_owned();
            name.push("-written-unencrypted");
            if count > 0 {
                name.push(format!("-{count}"));
            }
            let path = folder.with_file_name(name);
            let made = std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700)
                .create(&path);
            match made {
                Ok(()) => break 'made (open(&path)?, path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        return Err(io::ErrorKind::AlreadyExists.into());
    };
    for name in written {
        let name = std::ffi::CString::new(name.as_bytes())?;
        // SAFETY: two open folders, and a string that ends with NUL.
        let moved = unsafe {
            libc::renameat(
                from.as_raw_fd(),
                name.as_ptr(),
                to.as_raw_fd(),
                name.as_ptr(),
            )
        };
        if moved != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(at)
}

fn open(folder: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(folder)
}

/// Removes the guard and the folder, if nothing else is in it.
pub fn remove(folder: &Path) -> io::Result<()> {
    let open = open(folder)?;
    let mode = open.metadata()?.permissions().mode() & 0o7777;
    open.set_permissions(Permissions::from_mode(mode | 0o200))?;
    for name in [HOME, NOTE_NAME] {
        let path = folder.join(OsStr::from_bytes(name.to_bytes()));
        if is_own(&path) {
            fs::remove_file(path)?;
        }
    }
    fs::remove_dir(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn guarded() -> (tempfile::TempDir, PathBuf) {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("safe");
        fs::create_dir(&folder).unwrap();
        let file = open(&folder).unwrap();
        put(&file).unwrap();
        close(&file).unwrap();
        (above, folder)
    }

    /// Also as root: these tests are run as either.
    #[test]
    fn nothing_can_be_made_below_the_home() {
        let (_above, folder) = guarded();
        let home = folder.join("home");
        assert!(!home.exists());
        assert!(fs::create_dir_all(home.join("log")).is_err());
        assert!(fs::create_dir(&home).is_err());
        assert!(fs::write(home.join("file"), b"private").is_err());
        assert!(fs::write(&home, b"private").is_err());
        assert!(
            fs::read_to_string(folder.join(NOTE))
                .unwrap()
                .contains("safe login")
        );
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o222,
            0
        );
        assert_eq!(look(&folder).unwrap(), Look::Free);
        // And again, over what is there.
        let file = open(&folder).unwrap();
        put(&file).unwrap();
        close(&file).unwrap();
        assert_eq!(look(&folder).unwrap(), Look::Free);
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn what_was_written_all_the_same_is_put_aside() {
        let (above, folder) = guarded();
        put(&open(&folder).unwrap()).unwrap();
        fs::remove_file(folder.join("home")).unwrap();
        fs::create_dir(folder.join("home")).unwrap();
        fs::write(folder.join("home/file"), b"private").unwrap();
        let written = match look(&folder).unwrap() {
            Look::Written(written) => written,
            other => panic!("{other:?}"),
        };
        assert_eq!(written, ["home"]);
        assert!(remove(&folder).is_err(), "not with somebody's files in it");
        put(&open(&folder).unwrap()).unwrap();
        let aside = move_aside(&folder, &written).unwrap();
        assert_eq!(aside, above.path().join("safe-written-unencrypted"));
        assert_eq!(fs::read(aside.join("home/file")).unwrap(), b"private");
        assert_eq!(look(&folder).unwrap(), Look::Free);
    }

    #[test]
    fn somebody_elses_folder_is_known_as_such() {
        let above = tempfile::tempdir().unwrap();
        assert_eq!(look(above.path()).unwrap(), Look::Free);
        fs::write(above.path().join("home"), b"mine").unwrap();
        assert_eq!(look(above.path()).unwrap(), Look::Foreign);
        assert!(look(&above.path().join("none")).is_err());
    }
}
