//! Passwords and secret keys: asked for on the terminal, read from standard input, or from a file.
//!
//! They never come from an argument, are never written anywhere, and are wiped from memory after use.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::exposed;
use crate::failure::{Failure, Result};
use crate::terminal::{ask_hidden, read_line};

/// The file with the password, for scripts.
pub const PASSWORD_FILE: &str = "SAFE_PASSWORD_FILE";
/// The file with the new password, for `safe passwd` in scripts.
pub const NEW_PASSWORD_FILE: &str = "SAFE_NEW_PASSWORD_FILE";
/// The file with the secret key, for scripts.
pub const SECRET_KEY_FILE: &str = "SAFE_SECRET_KEY_FILE";
/// The file with the words of the recovery sheet, for scripts.
pub const RECOVERY_KEY_FILE: &str = "SAFE_RECOVERY_KEY_FILE";

/// The key of the wallet that pays: from its file, the next line of standard input, or asked for.
pub fn wallet_key(stdin: bool) -> Result<Zeroizing<String>> {
    let variable = safeos_store_autonomi::WALLET_KEY_FILE;
    // Its own file first: standard input has the password, as everywhere.
    match from(false, variable)? {
        Some(key) => Ok(key),
        None => secret(stdin, variable, "Private key of the wallet that pays: "),
    }
}

/// The password of an account that exists.
pub fn existing(name: &str, stdin: bool) -> Result<Zeroizing<String>> {
    secret(stdin, PASSWORD_FILE, &format!("Password of {name}: "))
}

/// The password for an account that is being made: on a terminal asked for twice.
pub fn new(name: &str, stdin: bool) -> Result<Zeroizing<String>> {
    twice(stdin, PASSWORD_FILE, &format!("New password for {name}: "))
}

/// The old and the new password: two lines of standard input, two files, or asked for.
pub fn change(stdin: bool) -> Result<(Zeroizing<String>, Zeroizing<String>)> {
    let old = secret(stdin, PASSWORD_FILE, "Old password: ")?;
    let new = twice(stdin, NEW_PASSWORD_FILE, "New password: ")?;
    Ok((old, new))
}

/// The words of the recovery sheet and the new password: two lines of standard input, two files, or asked for.
pub fn recovery(stdin: bool) -> Result<(Zeroizing<String>, Zeroizing<String>)> {
    let prompt = "The twelve words of the recovery sheet: ";
    let words = secret(stdin, RECOVERY_KEY_FILE, prompt)?;
    let new = twice(stdin, NEW_PASSWORD_FILE, "New password: ")?;
    Ok((words, new))
}

/// The password that holds, asked for once more.
pub fn again(stdin: bool) -> Result<Zeroizing<String>> {
    secret(stdin, PASSWORD_FILE, "Password: ")
}

/// The secret key of an account that has one. Standard input has the password.
pub fn secret_key(name: &str) -> Result<Zeroizing<String>> {
    secret(false, SECRET_KEY_FILE, &format!("Secret key of {name}: "))
}

/// A secret from standard input or from the file that `variable` names, or asked for.
fn secret(stdin: bool, variable: &str, prompt: &str) -> Result<Zeroizing<String>> {
    if let Some(secret) = from(stdin, variable)? {
        return Ok(secret);
    }
    let what = prompt.trim_end_matches([':', ' ']);
    not_empty(ask_hidden(prompt, &instead(variable))?, what)
}

/// The same, asked for twice.
fn twice(stdin: bool, variable: &str, prompt: &str) -> Result<Zeroizing<String>> {
    if let Some(secret) = from(stdin, variable)? {
        return Ok(secret);
    }
    let first = not_empty(ask_hidden(prompt, &instead(variable))?, "the password")?;
    if *first == *ask_hidden("The same again: ", &instead(variable))? {
        Ok(first)
    } else {
        Err(Failure::usage("the two passwords differ: try again"))
    }
}

/// How to give a secret without a terminal.
fn instead(variable: &str) -> String {
    match variable {
        SECRET_KEY_FILE => format!("name a file in {variable}"),
        _ => format!("name a file in {variable}, or use --password-stdin"),
    }
}

fn from(stdin: bool, variable: &str) -> Result<Option<Zeroizing<String>>> {
    if stdin {
        // Not the buffered handle: input after the line belongs to the command that is run.
        let mut input = unbuffered_stdin()?;
        let line = read_line(&mut input)
            .map_err(|e| Failure::system("reading the password from standard input failed", &e))?;
        return not_empty(line, "the password on standard input").map(Some);
    }
    match std::env::var_os(variable) {
        Some(path) if !path.is_empty() => file(variable, &path).map(Some),
        _ => Ok(None),
    }
}

fn file(variable: &str, path: &OsString) -> Result<Zeroizing<String>> {
    let path = Path::new(path);
    let what = format!("the file {} ({variable})", path.display());
    let line = File::open(path)
        .and_then(|mut file| {
            exposed::look(path, &file.metadata()?);
            read_line(&mut file)
        })
        .map_err(|e| Failure::system(format!("{what} cannot be read"), &e))?;
    not_empty(line, &what)
}

fn unbuffered_stdin() -> Result<File> {
    use std::os::fd::AsFd;
    io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
        .map_err(|e| Failure::system("standard input cannot be read", &e))
}

fn not_empty(secret: Zeroizing<String>, what: &str) -> Result<Zeroizing<String>> {
    if secret.is_empty() {
        Err(Failure::usage(format!(
            "{what} is empty: nothing was done; give one of at least one character"
        )))
    } else {
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn written(text: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        file
    }

    #[test]
    fn a_file_gives_its_first_line() {
        let kept = written(b"tr\xc3\xa4umerei 12\nnot this\n");
        let read = file(PASSWORD_FILE, &kept.path().into()).unwrap();
        assert_eq!(*read, "träumerei 12");
    }

    #[test]
    fn an_empty_file_is_wrong_use_and_says_which() {
        let kept = written(b"\nsecond line");
        let failure = file(PASSWORD_FILE, &kept.path().into()).unwrap_err();
        assert_eq!(failure.exit, 2);
        assert!(failure.message.contains(PASSWORD_FILE));
    }

    #[test]
    fn a_missing_file_is_named() {
        let failure = file(PASSWORD_FILE, &"/no/such/file".into()).unwrap_err();
        assert_eq!(failure.exit, 1);
        assert!(failure.message.contains("/no/such/file"));
    }

    #[test]
    fn no_error_repeats_the_secret() {
        let kept = written(&[b's', b'e', b'c', b'r', b'e', b't', 0xff]);
        let failure = file(PASSWORD_FILE, &kept.path().into()).unwrap_err();
        assert!(
            !failure.message.contains("secret\u{fffd}") && !failure.message.ends_with("secret")
        );
    }
}
