//! The language of a person, kept in their home: `.config/safe/language` has its code on one line.
//!
//! What always holds here: a file that is missing, large or of another content is none; one that cannot be written is
//! done without.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use safeos_store::disk::replace;

use crate::language::Language;

/// So long is waited for a home.
#[cfg(target_os = "linux")]
const SOON: std::time::Duration = std::time::Duration::from_secs(1);
/// Longer than any code.
const BYTES_MAX: u64 = 64;

fn file(home: &Path) -> PathBuf {
    home.join(".config/safe/language")
}

/// The one that this home has.
pub(super) fn read(home: &Path) -> Option<String> {
    let mut text = String::new();
    let file = fs::File::open(file(home)).ok()?;
    file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    Language::of(text.trim()).map(|language| language.code().to_owned())
}

/// Keeps one there.
pub(super) fn write(home: &Path, code: &str) -> std::io::Result<()> {
    let file = file(home);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    replace(&file, format!("{code}\n").as_bytes())
}

/// Does something in a home, if that is soon: a home on a silent server must not hold the screen.
#[cfg(target_os = "linux")]
pub(super) fn soon<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("language".to_owned());
    thread.spawn(move || drop(tell.send(what()))).ok()?;
    told.recv_timeout(SOON).ok()
}

/// The language variables of the session, unless the computer is set up for that language anyway. A locale that this computer
/// does not have would be the bare one, without letters beyond ASCII: then only translations are asked for.
pub(super) fn variables(code: Option<&str>, own: Option<&str>) -> Vec<(&'static str, String)> {
    let Some(language) = code.and_then(Language::of) else {
        return Vec::new();
    };
    if own.and_then(Language::of) == Some(language) {
        return Vec::new();
    }
    let mut variables = vec![("LANGUAGE", language.code().to_owned())];
    if is_there(language.posix()) {
        variables.push(("LANG", language.posix().to_owned()));
    }
    variables
}

/// Whether the C library has a locale.
#[cfg(target_os = "linux")]
fn is_there(locale: &str) -> bool {
    let Ok(name) = std::ffi::CString::new(locale) else {
        return false;
    };
    // SAFETY: the name ends with a zero; what is made is taken away, and nothing uses it.
    unsafe {
        let made = libc::newlocale(libc::LC_ALL_MASK, name.as_ptr(), std::ptr::null_mut());
        let is_there = !made.is_null();
        if is_there {
            libc::freelocale(made);
        }
        is_there
    }
}

/// Redox's has none, and takes every name.
#[cfg(not(target_os = "linux"))]
const fn is_there(_locale: &str) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_in_the_home_and_damage_is_no_harm() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(read(home.path()), None);
        for code in ["he", "pt"] {
            write(home.path(), code).unwrap();
            assert_eq!(read(home.path()).as_deref(), Some(code));
        }
        for damaged in ["", "klingon", &"x".repeat(9000), "\0"] {
            fs::write(file(home.path()), damaged).unwrap();
            assert_eq!(read(home.path()), None);
        }
        fs::write(file(home.path()), "de_AT.UTF-8\n").unwrap();
        assert_eq!(read(home.path()).as_deref(), Some("de"));
        // Where nothing can be written.
        fs::write(home.path().join("file"), "").unwrap();
        assert!(write(&home.path().join("file"), "de").is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_home_that_does_not_answer_is_not_waited_for() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        assert_eq!(soon(move || held.recv().is_ok()), None);
        drop(hold);
        assert_eq!(soon(|| 1), Some(1));
    }

    #[test]
    fn programs_are_told_of_another_language_only() {
        assert!(variables(None, Some("de_DE")).is_empty());
        assert!(variables(Some("de"), Some("de_AT.UTF-8")).is_empty());
        let told = variables(Some("de"), Some("en_US.UTF-8"));
        assert_eq!(told[0], ("LANGUAGE", "de".to_owned()));
        let has = is_there(Language::German.posix());
        assert_eq!(told.get(1).is_some_and(|(name, _)| *name == "LANG"), has);
        assert!(is_there("C") && !is_there("xx_XX.UTF-8") && !is_there("a\0b"));
    }
}
