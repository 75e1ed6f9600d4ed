//! Keys that open an account: made here and shown before the account is asked for.
//!
//! What always holds here: keys that open an account are in the person's hands before the account exists. After any
//! failure or stop, a key that was shown opens the account, or there is no account that it would open.

use std::io::{self, Write};

use safeos_account::{RecoveryKey, SecretKey};
use safeos_control::Secret;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};

/// The keys of an account that is to be made, or the one that is to open it from now on.
#[derive(Default)]
pub struct Keys {
    secret_key: Option<Secret>,
    words: Option<Secret>,
}

impl Keys {
    /// Makes those that are wanted.
    pub fn generate(secret_key: bool, recovery_sheet: bool) -> Result<Self> {
        let failed = |error: safeos_account::Error| Failure::new(error.code(), error);
        let secret_key = secret_key
            .then(SecretKey::generate)
            .transpose()
            .map_err(failed)?;
        let words = recovery_sheet
            .then(RecoveryKey::generate)
            .transpose()
            .map_err(failed)?;
        Ok(Self {
            secret_key: secret_key.as_ref().map(SecretKey::to_text),
            words: words.as_ref().map(RecoveryKey::to_words),
        })
    }

    /// The secret key, for a request.
    pub fn secret_key(&self) -> Option<Secret> {
        self.secret_key.clone()
    }

    /// The words of the recovery sheet, for a request.
    pub fn words(&self) -> Option<Secret> {
        self.words.clone()
    }

    fn is_empty(&self) -> bool {
        self.secret_key.is_none() && self.words.is_none()
    }

    /// Puts them into an answer for programs.
    pub fn add_to(&self, answer: &mut Value) {
        if let Some(key) = &self.secret_key {
            answer["secret_key"] = key.expose().into();
        }
        if let Some(words) = &self.words {
            answer["recovery_key"] = words.expose().into();
        }
    }

    /// Shows them, before anything is asked of the daemon: people see them on `out`; programs, whose one answer is
    /// still to come, get a line `{"keys": {…}}` on standard error. A failure to show them ends the command.
    pub fn show(&self, account: &str, json: bool, out: &mut dyn Write) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let written = if json {
            let mut keys = json!({});
            self.add_to(&mut keys);
            let line = Zeroizing::new(format!("{}\n", json!({ "keys": keys })));
            io::stderr().lock().write_all(line.as_bytes())
        } else {
            out.write_all(self.text(account).as_bytes())
                .and_then(|()| out.flush())
        };
        written.map_err(|error| {
            Failure::system("the keys cannot be shown, so nothing was made", &error)
        })
    }

    fn text(&self, account: &str) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        if let Some(key) = &self.secret_key {
            text.push_str(&format!(
                "The secret key of {account}, shown only now, needed besides the password on every new computer:\n\n    {}\n\nWrite it down and keep it apart from the password.\n\n",
                key.expose()
            ));
        }
        if let Some(words) = &self.words {
            text.push_str(&sheet(account, words.expose()));
            text.push_str("\n\n");
        }
        text
    }

    /// Adds to a failure what it means for shown keys.
    pub fn after(&self, failure: Failure, meaning: &str) -> Failure {
        if self.is_empty() {
            return failure;
        }
        Failure {
            message: format!("{}; {meaning}", failure.message),
            ..failure
        }
    }
}

/// The words of a recovery sheet, to be printed or copied down: four in a row.
fn sheet(account: &str, words: &str) -> String {
    let mut text = format!("The recovery sheet of {account}, shown only now:\n");
    for (place, word) in words.split(' ').enumerate() {
        let row = if place % 4 == 0 { "\n    " } else { "" };
        text.push_str(&format!("{row}{:>2}. {word:<10}", place + 1));
    }
    let text: Vec<&str> = text.lines().map(str::trim_end).collect();
    text.join("\n")
        + "\n\nWhoever has these words can open the account and set another password with `safe recover`. Write them down and keep them where only you look."
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_shown_is_what_is_asked_with() {
        let keys = Keys::generate(true, true).unwrap();
        let mut shown = Vec::new();
        keys.show("ana", false, &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains(keys.secret_key().unwrap().expose()));
        for word in keys.words().unwrap().expose().split(' ') {
            assert!(shown.contains(&format!(". {word}")), "{shown}");
        }
        let mut answer = json!({});
        keys.add_to(&mut answer);
        assert_eq!(answer["recovery_key"], keys.words().unwrap().expose());
    }

    #[test]
    fn keys_that_nobody_sees_end_the_command_and_none_are_no_output() {
        let keys = Keys::generate(false, true).unwrap();
        let failure = keys.show("ana", false, &mut Closed).unwrap_err();
        assert!(failure.message.contains("nothing was made"));
        Keys::default().show("ana", false, &mut Closed).unwrap();
    }
}
