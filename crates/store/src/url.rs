//! Store URLs, and what is wrong with text that is none.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A store URL, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A folder; the path is absolute.
    File(PathBuf),
}

pub(crate) fn parse(url: &str) -> Result<Parsed> {
    let wrong = |why: &str| Err(Error::Url(format!("“{}” {why}", shown(url))));
    let Some((scheme, rest)) = url.split_once(':') else {
        if url.starts_with('/') {
            return wrong(&format!(
                "is a path, not a store: use {}",
                file_url(Path::new(url))?
            ));
        }
        return wrong("is not a store: use file:///path");
    };
    match scheme {
        "file" => {}
        "http" | "https" | "autonomi" => {
            return wrong("is a kind of store this version cannot open yet: use file:///path");
        }
        _ => return wrong("is not a store: use file:///path"),
    }
    let path = match rest.strip_prefix("//") {
        Some(after) => {
            let (host, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            if !host.is_empty() && host != "localhost" {
                return wrong("names a computer: a file: store is on this one, use file:///path");
            }
            path
        }
        None => rest,
    };
    if !path.starts_with('/') {
        return wrong("has no absolute path: use file:///path");
    }
    if path.contains(['?', '#']) {
        return wrong("has a ? or # in its path: write ? as %3F and # as %23");
    }
    let Some(bytes) = decode(path) else {
        return wrong("has a % without two hexadecimal digits after it: write % as %25");
    };
    if bytes.contains(&0) {
        return wrong("has a NUL in its path, which no file name can have");
    }
    Ok(Parsed::File(PathBuf::from(OsString::from_vec(bytes))))
}

/// The URL of the store in this folder; an error when the path is not absolute.
pub fn file_url(path: &Path) -> Result<String> {
    if !path.is_absolute() {
        return Err(Error::Url(format!(
            "“{}” is not an absolute path, which a file: store needs",
            path.display()
        )));
    }
    let mut url = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(byte) {
            url.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    Ok(url)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            (high * 16 + low) as u8
        } else {
            byte
        });
    }
    Some(bytes)
}

/// As much of it as belongs in a message.
fn shown(url: &str) -> String {
    url.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn path(url: &str) -> String {
        let Parsed::File(path) = parse(url).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn files_are_named_in_these_ways() {
        assert_eq!(path("file:///srv/store"), "/srv/store");
        assert_eq!(path("file://localhost/srv/store"), "/srv/store");
        assert_eq!(path("file:/srv/store"), "/srv/store");
        assert_eq!(path("file:///a%20b/%C3%A4%25"), "/a b/ä%");
        assert_eq!(path("file:///a b/ä"), "/a b/ä");
    }

    #[test]
    fn each_other_text_gets_a_message_that_names_it_and_the_cure() {
        for (url, says) in [
            ("", "use file:///path"),
            ("nonsense", "use file:///path"),
            ("/srv/store", "use file:///srv/store"),
            ("/srv/a b", "use file:///srv/a%20b"),
            ("file:relative", "no absolute path"),
            ("file:", "no absolute path"),
            ("file://", "no absolute path"),
            ("file://relative/path", "names a computer"),
            ("file:///a%2", "write % as %25"),
            ("file:///a%zz", "write % as %25"),
            ("file:///a%+1", "write % as %25"),
            ("file:///a%00b", "NUL"),
            ("file:///a?b", "%3F"),
            ("http://host:8080", "cannot open yet"),
            ("https://host", "cannot open yet"),
            ("autonomi:", "cannot open yet"),
            ("s3://bucket", "use file:///path"),
        ] {
            let message = parse(url).unwrap_err().to_string();
            assert!(message.contains(says), "{url}: {message}");
            assert!(message.contains(&format!("“{url}”")), "{url}: {message}");
        }
        let long = format!("x{}", "y".repeat(1_000_000));
        assert!(parse(&long).unwrap_err().to_string().len() < 1000);
    }

    #[test]
    fn a_path_becomes_a_url_and_a_path_again() {
        for text in ["/", "/a", "/a b", "/ä%?#", "/new\nline"] {
            assert_eq!(path(&file_url(Path::new(text)).unwrap()), text);
        }
        let raw = PathBuf::from(OsString::from_vec(vec![b'/', 0xff, 0xfe]));
        assert_eq!(parse(&file_url(&raw).unwrap()).unwrap(), Parsed::File(raw));
        assert!(file_url(Path::new("a")).is_err());
    }
}
