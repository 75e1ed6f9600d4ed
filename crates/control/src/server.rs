//! The daemon's end of a conversation.
//!
//! What always holds here: any bytes, in any portions, become requests or
//! errors that name what is wrong; no more than [`REQUEST_LEN_MAX`] of them are kept, and those are wiped.

use zeroize::{Zeroize, Zeroizing};

use crate::{ErrorReply, REQUEST_LEN_MAX, Request};

/// Reads one request line, with or without its end.
pub fn parse_request(line: &[u8]) -> Result<Request, ErrorReply> {
    if line.len() > REQUEST_LEN_MAX {
        return Err(too_long());
    }
    if line.trim_ascii().is_empty() {
        return Err(ErrorReply::bad_request(
            "the request is empty: one line of JSON is needed",
        ));
    }
    serde_json::from_slice(line).map_err(|error| {
        let why = without_values(&error.to_string());
        ErrorReply::bad_request(format!("this is not a request: {why}"))
    })
}

fn too_long() -> ErrorReply {
    ErrorReply::bad_request("the request is longer than 64 KiB")
}

/// The JSON library's messages repeat texts in quotes, which may be a password in the wrong place.
fn without_values(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}\"…\"{}", &message[..first], &message[last + 1..])
        }
        _ => message.to_owned(),
    }
}

/// Puts together the request lines of one conversation from the portions in which they are written.
pub struct RequestLines {
    buffer: Zeroizing<Vec<u8>>,
    /// The line is too long: dropped up to its end.
    skipping: bool,
}

impl Default for RequestLines {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestLines {
    /// For a new conversation.
    pub fn new() -> Self {
        Self {
            buffer: Zeroizing::new(Vec::new()),
            skipping: false,
        }
    }

    /// Takes a portion and gives the requests that it completes, in order.
    pub fn push(&mut self, mut portion: &[u8]) -> Vec<Result<Request, ErrorReply>> {
        let mut requests = Vec::new();
        while let Some(end) = portion.iter().position(|byte| *byte == b'\n') {
            self.keep(&portion[..end]);
            requests.push(self.take());
            portion = &portion[end + 1..];
        }
        self.keep(portion);
        requests
    }

    /// Takes a request whose line was not ended, when the other side begins to read; `None` if nothing was written.
    pub fn finish(&mut self) -> Option<Result<Request, ErrorReply>> {
        (self.skipping || !self.buffer.is_empty()).then(|| self.take())
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > REQUEST_LEN_MAX {
            self.skipping = true;
            self.buffer.zeroize();
        }
        if !self.skipping && !bytes.is_empty() {
            // All the room at once: a buffer that grows would leave copies of a password behind.
            let room = REQUEST_LEN_MAX - self.buffer.len();
            self.buffer.reserve_exact(room);
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn take(&mut self) -> Result<Request, ErrorReply> {
        let request = if std::mem::take(&mut self.skipping) {
            Err(too_long())
        } else {
            parse_request(&self.buffer)
        };
        self.buffer.zeroize();
        request
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ChangePassword, CheckPassword, Collect, Copy, Join, Log, NewRecoveryKey, PathText, Price,
        Publish, Recover, Restore, Secret, SignIn, SignOut, SignUp, Spend,
    };

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn all() -> Vec<Request> {
        vec![
            Request::SignUp(SignUp {
                name: "ana".into(),
                password: secret("p\"\\\n"),
                store: None,
                secret_key: None,
                wallet_key: Some(secret("0xff")),
                generate_secret_key: true,
                remember: false,
                small_memory: false,
                recovery_key: Some(secret("legal winner")),
                generate_recovery_key: true,
            }),
            Request::Price(Price {
                wallet_key: secret("0xff"),
                store: Some("autonomi:".into()),
            }),
            Request::Recover(Recover {
                recovery_key: secret("legal winner"),
                name: Some("ana".into()),
                new_password: secret("пароль"),
                store: None,
                remember: true,
                accept_older: false,
            }),
            Request::CheckPassword(CheckPassword {
                password: secret("p"),
            }),
            Request::NewRecoveryKey(NewRecoveryKey {
                password: secret("p"),
                recovery_key: Some(secret("legal winner")),
            }),
            Request::SignIn(SignIn {
                name: "ana".into(),
                password: secret("пароль"),
                store: Some("file:///tmp/s".into()),
                secret_key: Some(secret("XXXXX")),
                remember: true,
                accept_older: true,
                wait: true,
            }),
            Request::SignOut(SignOut {
                wipe: true,
                keep_stage: false,
                later: true,
                force: true,
            }),
            Request::Join(Join { bound: true }),
            Request::Leave,
            Request::Status,
            Request::Sync,
            Request::Spend(Spend { max: "1.5".into() }),
            Request::ChangePassword(ChangePassword {
                old: secret("a"),
                new: secret("b"),
            }),
            Request::Publish(Publish { path: "a/b".into() }),
            Request::Log(Log { limit: Some(3) }),
            Request::Restore(Restore {
                snapshot: "2026".into(),
                path: PathText::new([0xff, b'a']),
                to: Some("c".into()),
                replace: true,
            }),
            Request::Check,
            Request::Collect(Collect {
                dry_run: true,
                lost: Some("laptop".into()),
            }),
            Request::Copy(Copy {
                to: "file:///t".into(),
            }),
        ]
    }

    fn line(request: &Request) -> Vec<u8> {
        let mut line = serde_json::to_vec(request).unwrap();
        line.push(b'\n');
        line
    }

    #[test]
    fn every_request_comes_back() {
        for request in all() {
            assert_eq!(parse_request(&line(&request)).unwrap(), request);
        }
    }

    #[test]
    fn requests_are_written_as_the_contract_says() {
        let text = r#"{"sign_in": {"name": "ana", "password": "s3cret", "store": "file:///s", "remember": true}}"#;
        let Ok(Request::SignIn(request)) = parse_request(text.as_bytes()) else {
            panic!("{text}");
        };
        assert_eq!(request.password.expose(), "s3cret");
        assert!(request.remember && !request.accept_older && request.secret_key.is_none());

        for (text, expected) in [
            (r#""status""#, Request::Status),
            (r#"{"status": {}}"#, Request::Status),
            (r#" {"sync":{}} "#, Request::Sync),
            (r#""sign_out""#, Request::SignOut(SignOut::default())),
            (r#"{"log":{}}"#, Request::Log(Log::default())),
            (r#""collect""#, Request::Collect(Collect::default())),
        ] {
            assert_eq!(parse_request(text.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_request_is_refused_by_what_is_wrong() {
        for (text, word) in [
            ("", "empty"),
            (" \n", "empty"),
            ("{", "EOF"),
            ("{}", "no name"),
            (r#"{"fly":{}}"#, "fly"),
            (r#""fly""#, "fly"),
            (r#"{"sign_in":{"name":"a"}}"#, "password"),
            (r#""price""#, "wallet_key"),
            (r#""sign_in""#, "name"),
            (r#"{"status":{"colour":1}}"#, "colour"),
            (
                r#"{"sign_in":{"name":"a","password":"b","colour":1}}"#,
                "colour",
            ),
            (
                r#"{"sign_in":{"name":"a","password":"b","name":"c"}}"#,
                "duplicate",
            ),
            (r#"{"status":{},"sync":{}}"#, "one request"),
            (r#"{"status":{}} {"sync":{}}"#, "trailing"),
            (r#"{"log":{"limit":-1}}"#, "-1"),
            ("[1]", "a request"),
            ("\"\u{0}\"", "control character"),
        ] {
            let error = parse_request(text.as_bytes()).unwrap_err();
            assert_eq!(error.code, "bad_request");
            assert!(error.message.contains(word), "{text}: {}", error.message);
        }
        assert!(parse_request(&[0xff, 0xfe]).is_err());
        assert!(parse_request(&vec![b'['; REQUEST_LEN_MAX]).is_err());
        assert!(
            parse_request(&vec![b' '; REQUEST_LEN_MAX + 1])
                .unwrap_err()
                .message
                .contains("64 KiB")
        );
    }

    #[test]
    fn a_password_in_the_wrong_place_is_not_repeated() {
        for text in [
            r#"{"sign_in":"hunter2"}"#,
            r#"{"sign_in":{"remember":"hunter2"}}"#,
            r#"{"sign_in":{"password":["hunter2"],"name":"a"}}"#,
            r#"{"change_password":{"old":"x","new":{"a":"hunter2"}}}"#,
        ] {
            let error = parse_request(text.as_bytes()).unwrap_err();
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
    }

    #[test]
    fn a_line_that_never_ends_is_dropped_to_its_end() {
        let mut lines = RequestLines::new();
        for _ in 0..1000 {
            assert!(lines.push(&[b'x'; 1000]).is_empty());
            assert!(lines.buffer.len() <= REQUEST_LEN_MAX);
        }
        let answers = lines.push(b"yyy\n\"status\"\n");
        assert!(
            answers[0]
                .as_ref()
                .is_err_and(|e| e.message.contains("64 KiB"))
        );
        assert_eq!(answers[1], Ok(Request::Status));
        assert_eq!(lines.finish(), None);
        assert!(lines.push(b"\"sync\"").is_empty());
        assert_eq!(lines.finish(), Some(Ok(Request::Sync)));
        assert_eq!(lines.finish(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse_request(&bytes);
        }

        #[test]
        fn damaged_requests_are_requests_or_errors(
            which in 0..12_usize, place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        ) {
            let mut line = line(&all()[which]);
            let place = place.index(line.len());
            if cut { line.truncate(place) } else { line[place] = byte }
            if let Err(error) = parse_request(&line) {
                prop_assert_eq!(error.code, "bad_request");
            }
        }

        #[test]
        fn portions_do_not_matter(cuts in prop::collection::vec(1..40_usize, 1..60)) {
            let bytes: Vec<u8> = all().iter().flat_map(line).collect();
            let mut lines = RequestLines::new();
            let mut got = Vec::new();
            let (mut rest, mut cuts) = (bytes.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (portion, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                got.extend(lines.push(portion));
                rest = after;
            }
            let got: Result<Vec<_>, _> = got.into_iter().collect();
            prop_assert_eq!(got.unwrap(), all());
        }
    }
}
