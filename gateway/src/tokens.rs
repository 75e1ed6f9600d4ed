//! Access rights: bearer tokens from a file.
//!
//! ```text
//! # a comment
//! read  f3b0…      may fetch
//! write 91ac…      may fetch and store
//! ```
//!
//! What always holds here: only hashes of tokens are kept, and comparing takes the same time for every
//! token.

use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

/// Most bytes of the file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// A token can be guessed if it is shorter than this, in characters.
const TOKEN_LEN_MIN: usize = 16;

/// The rights of a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Access {
    /// Nothing.
    None,
    /// Fetch.
    Read,
    /// Fetch and store.
    Write,
}

/// The tokens.
pub(crate) struct Tokens(Vec<(blake3::Hash, Access)>);

impl Tokens {
    /// Reads the file; says what is wrong with it, without repeating what it holds.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let mut text = Zeroizing::new(String::new());
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| {
                format!("the token file {} cannot be read: {error}", path.display())
            })?;
        let tokens = Self::parse(&text)
            .map_err(|why| format!("the token file {}: {why}", path.display()))?;
        Ok(tokens)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (Some(access), token) = (words.next(), words.next()) else {
                continue;
            };
            let access = match access {
                "read" => Access::Read,
                "write" => Access::Write,
                _ => {
                    return Err(format!(
                        "line {number} begins with neither “read” nor “write”"
                    ));
                }
            };
            let Some(token) = token.filter(|_| words.next().is_none()) else {
                return Err(format!(
                    "line {number} must have two words: read or write, and the token"
                ));
            };
            if token.len() < TOKEN_LEN_MIN {
                return Err(format!(
                    "the token in line {number} is shorter than {TOKEN_LEN_MIN} characters and could be guessed; make one with `openssl rand -hex 32`"
                ));
            }
            tokens.push((blake3::hash(token.as_bytes()), access));
        }
        if tokens.is_empty() {
            return Err("it holds no token, so nobody could use the gateway".into());
        }
        Ok(Self(tokens))
    }

    /// The rights that this value of `Authorization` gives, and a number for the token if it is one of these.
    pub(crate) fn access(&self, header: Option<&[u8]>) -> (Access, Option<u64>) {
        let token = header
            .filter(|value| value.len() > 7)
            .and_then(|value| value.split_at_checked(7))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map(|(_, token)| token.trim_ascii())
            .unwrap_or_default();
        let sent = blake3::hash(token);
        let mut found = Access::None;
        let mut number = None;
        for (hash, access) in &self.0 {
            // Comparing hashes of this kind takes constant time; all of them are compared.
            if *hash == sent {
                found = found.max(*access);
                let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
                number = Some(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
            }
        }
        (found, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_who_may_what() {
        let text = "# mine\nread  reader-0123456789abc\n\nwrite writer-0123456789abc # laptop\n";
        let tokens = Tokens::parse(text).unwrap();
        for (header, access) in [
            ("Bearer reader-0123456789abc", Access::Read),
            ("bearer  writer-0123456789abc ", Access::Write),
            ("Bearer writer-0123456789ab", Access::None),
            ("Basic reader-0123456789abc", Access::None),
            ("Bearer ", Access::None),
            ("Bearer", Access::None),
            ("", Access::None),
        ] {
            let (found, number) = tokens.access(Some(header.as_bytes()));
            assert_eq!(found, access, "{header}");
            assert_eq!(number.is_some(), access != Access::None, "{header}");
        }
        assert_eq!(tokens.access(None), (Access::None, None));
        assert_eq!(tokens.access(Some(&[0xff; 40])), (Access::None, None));
    }

    #[test]
    fn a_file_that_is_none_is_refused_without_repeating_it() {
        for (text, says) in [
            ("", "holds no token"),
            ("# only this", "holds no token"),
            ("admin secret-0123456789abc", "line 1"),
            ("read", "two words"),
            ("read secret-0123456789abc x", "two words"),
            ("write secret", "shorter"),
        ] {
            let error = Tokens::parse(text).err().unwrap();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let error = Tokens::load(Path::new("/nonexistent/tokens"))
            .err()
            .unwrap();
        assert!(error.contains("/nonexistent/tokens"), "{error}");
    }
}
