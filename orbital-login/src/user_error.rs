//! Errors as sentences, with the next step that the person can take.
//!
//! What always holds here: every code of the daemon and of the session's runner has a sentence of its own;
//! a code nobody has heard of shows the message that came with it. No sentence repeats what was typed into a
//! secret field.

mod reason;
mod sentence;

use safeos_control::ClientError;

pub(crate) use self::reason::{reason, reason_of};
pub use self::sentence::sentence;
use crate::message::Message;
use crate::state::AccountStore;

/// An error, as the worker reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserError {
    /// A stable word: the daemon's, or one of the runner's own.
    pub code: String,
    /// The message that came with it.
    pub message: String,
    /// Whether the same may succeed later.
    pub retry: bool,
}

impl UserError {
    /// Of the runner's own.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            retry: false,
        }
    }

    /// The person stopped it.
    pub fn stopped() -> Self {
        Self::new("stopped", "stopped before it was done")
    }
}

impl From<ClientError> for UserError {
    fn from(error: ClientError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.to_string(),
            retry: error.retry(),
        }
    }
}

/// The step that the person is offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The same again.
    Again,
    /// To the form that makes an account of this name.
    Create,
    /// To the form that signs in with this name.
    SignIn,
    /// Show the field for the secret key.
    SecretKey,
    /// Accept the older state on purpose.
    AcceptOlder,
    /// Show where the account lives.
    AccountStore,
    /// Puts an account back on the list.
    PutBack,
}

impl Next {
    /// The words on the button.
    pub const fn label(self) -> Message {
        Message::new(match self {
            Self::Again => "try-again",
            Self::Create => "create-it",
            Self::SignIn => "sign-in-instead",
            Self::SecretKey => "secret-key",
            Self::AcceptOlder => "open-it",
            Self::AccountStore => "look-elsewhere",
            Self::PutBack => "put-back",
        })
    }
}

/// Which field a sentence is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// The account's name.
    Name,
    /// The password.
    Password,
    /// The secret key.
    SecretKey,
    /// The words of the recovery sheet.
    Words,
    /// The server's address.
    Server,
    /// The private key of the wallet.
    Wallet,
}

/// A trouble as the screen shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// In a few words.
    pub title: Message,
    /// The event, and the remedy.
    pub text: Message,
    /// The next step offered.
    pub next: Option<Next>,
    /// The field to go to.
    pub field: Option<Field>,
    /// How it is meant.
    pub mood: Mood,
}

/// How a notice is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// Something did not work.
    Wrong,
    /// Something is still needed, or good to know.
    Plain,
    /// Something went well.
    Good,
}

impl Notice {
    const fn new(title: &'static str, text: Message) -> Self {
        Self {
            title: Message::new(title),
            text,
            next: None,
            field: None,
            mood: Mood::Wrong,
        }
    }

    /// With a text that nothing is put into.
    const fn of(title: &'static str, text: &'static str) -> Self {
        Self::new(title, Message::new(text))
    }

    /// Good news.
    pub fn calm(title: &'static str, text: &'static str) -> Self {
        Self {
            mood: Mood::Good,
            ..Self::of(title, text)
        }
    }

    /// Neither good nor bad.
    pub fn plain(title: &'static str, text: Message) -> Self {
        Self {
            mood: Mood::Plain,
            ..Self::new(title, text)
        }
    }

    /// An account is not on the list any more. Its address is said, for nobody knows it by heart.
    pub fn taken_off(name: &str, place: Message) -> Self {
        let text = Message::new("taken-off-text").with("place", place);
        Self {
            title: Message::new("taken-off-title").with("name", name),
            ..Self::plain("taken-off-title", text)
        }
        .then(Next::PutBack)
    }

    /// The network cannot be reached from here, a server that hands records on to it can.
    pub fn no_network() -> Self {
        Self::of("no-network", "no-network-text").at(Field::Server)
    }

    #[must_use]
    fn then(self, next: Next) -> Self {
        Self {
            next: Some(next),
            ..self
        }
    }

    #[must_use]
    fn at(self, field: Field) -> Self {
        Self {
            field: Some(field),
            ..self
        }
    }
}

/// The sentence for a trouble with the account `name` at `place`; `key_shown`: the field for the secret key is
/// on the screen.
pub fn explain(trouble: &UserError, name: &str, place: &AccountStore, key_shown: bool) -> Notice {
    let code = trouble.code.as_str();
    of_typing(code, &trouble.message, name, place, key_shown)
        .or_else(|| of_store(code, &trouble.message))
        .unwrap_or_else(|| of_computer(code, &trouble.message))
}

/// Of what was typed, and the account that it is about.
fn of_typing(
    code: &str,
    message: &str,
    name: &str,
    place: &AccountStore,
    key_shown: bool,
) -> Option<Notice> {
    let named = |id| Message::new(id).with("name", name);
    Some(match code {
        "wrong_password" if key_shown => {
            Notice::of("wrong-password", "wrong-password-key").at(Field::Password)
        }
        "wrong_password" => Notice::of("wrong-password", "wrong-password-text")
            .at(Field::Password)
            .then(Next::SecretKey),
        "unknown_name" => Notice::new(
            "unknown-name",
            named("unknown-name-text").with("place", place.words()),
        )
        .at(Field::Name)
        .then(Next::Create),
        "wrong_or_unknown" => {
            Notice::of("wrong-or-unknown", "wrong-or-unknown-text").at(Field::Password)
        }
        "account_exists" => Notice::new("account-exists", named("account-exists-text"))
            .at(Field::Name)
            .then(Next::SignIn),
        "bad_name" => Notice::new("bad-name", reason(message)).at(Field::Name),
        "weak_password" => Notice::new("weak-password", reason(message)).at(Field::Password),
        "retired" => Notice::of("retired", "retired-text").at(Field::Password),
        "password_used" => Notice::of("retired", "password-used-text").at(Field::Password),
        "password_in_use" => Notice::of("retired", "password-in-use-text").at(Field::Password),
        "bad_secret_key" => Notice::new("bad-secret-key", reason(message)).at(Field::SecretKey),
        "bad_recovery_key" => Notice::new("sheet-again", reason(message)).at(Field::Words),
        "unknown_recovery_key" => Notice::new(
            "unknown-sheet",
            Message::new("unknown-sheet-text").with("place", place.words()),
        )
        .at(Field::Words),
        "recovery_key_of_another" => {
            Notice::new("sheet-of-another", named("sheet-of-another-text")).at(Field::Name)
        }
        "recovery_key_replaced" => {
            Notice::of("sheet-replaced", "sheet-replaced-text").at(Field::Words)
        }
        "bad_wallet_key" => Notice::of("bad-wallet-key", "bad-wallet-key-text").at(Field::Wallet),
        _ => return None,
    })
}

/// A text into which what the daemon says is put.
fn with_message(title: &'static str, text: &'static str, message: &str) -> Notice {
    Notice::new(title, Message::new(text).with("message", sentence(message)))
}

/// Of where accounts are kept.
fn of_store(code: &str, message: &str) -> Option<Notice> {
    let told = |title, text| with_message(title, text, message);
    Some(match code {
        "store_unreachable" => {
            // Which store it is, the screen says by itself.
            let why = message
                .split_once("is out of reach: ")
                .map_or(message, |(_, why)| why);
            let text = Message::new("unreachable-text").with("why", sentence(why));
            Notice::new("unreachable", text).then(Next::Again)
        }
        "not_a_gateway" => Notice::of("no-gateway", "no-gateway-text").then(Next::Again),
        "store_refused" => refused(message),
        "bad_store_url" => told("bad-store", "bad-store-text")
            .at(Field::Server)
            .then(Next::AccountStore),
        "wallet_empty" => told("wallet-poor", "wallet-poor-text").then(Next::Again),
        "too_dear" => told("too-dear", "too-dear-text").then(Next::AccountStore),
        "no_network_client" => {
            told("no-network-client", "no-network-client-text").then(Next::AccountStore)
        }
        "store_full" | "disk_full" => told("full", "full-text").then(Next::Again),
        "store_broken" | "state_unusable" => {
            told("store-broken", "store-broken-text").then(Next::Again)
        }
        "rolled_back" => Notice::of("rolled-back", "rolled-back-text").then(Next::AcceptOlder),
        "damaged_packet" | "damaged_record" | "missing_record" | "damaged" => {
            told("damaged", "damaged-text").then(Next::Again)
        }
        "in_use" => Notice::of("in-use", "in-use-text").then(Next::Again),
        "head_moved" | "conflict" => Notice::of("head-moved", "head-moved-text").then(Next::Again),
        "not_published" => told("not-published", "not-published-text"),
        _ => return None,
    })
}

/// Of this computer and its programs; and whatever nobody has heard of.
fn of_computer(code: &str, message: &str) -> Notice {
    let told = |title, text| with_message(title, text, message);
    match code {
        "no_memory" => told("no-memory", "no-memory-text").then(Next::Again),
        "no_randomness" => Notice::of("no-randomness", "no-randomness-text"),
        "wrong_clock" => told("wrong-clock", "wrong-clock-text").then(Next::Again),
        "stopped" => Notice::plain("stopped", Message::new("nothing-changed")),
        "account_made" => Notice::plain("stopped", Message::new("stopped-made")),
        "password_set" => Notice::plain("stopped", Message::new("stopped-set")),
        "no_daemon" | "daemon_gone" | "daemon_failed" | "daemon_missing" => {
            told("no-daemon", "no-daemon-text").then(Next::Again)
        }
        "forbidden" => told("forbidden", "forbidden-text"),
        "protocol" | "bad_request" => told("protocol", "protocol-text").then(Next::Again),
        "launcher_missing" | "launcher_failed" => told("desktop-failed", "desktop-failed-text"),
        "launcher_brief" => told("desktop-brief", "desktop-brief-text"),
        "launcher_crashed" => told("desktop-crashed", "desktop-crashed-text"),
        "user_failed" => told("no-user", "no-user-text").then(Next::Again),
        "namespace_failed" => told("no-home", "no-home-text").then(Next::Again),
        _ => told("unknown-error", "unknown-error-text").then(Next::Again),
    }
}

/// A server that does not want to. What a person at the screen cannot do is not told: variables, and what the library says.
fn refused(message: &str) -> Notice {
    let is_unknown = ["nobody vouches", "nobody's but its own"]
        .iter()
        .any(|words| message.contains(words));
    let notice = match is_unknown {
        true => Notice::of("bad-certificate", "bad-certificate-text"),
        false => with_message("refused", "refused-text", &without_variables(message)),
    };
    notice.then(Next::AccountStore)
}

/// The sentences that name no variable of the environment: nobody can set one here.
fn without_variables(message: &str) -> String {
    let is_variable = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        word.len() > 5 && word.starts_with("SAFE_")
    };
    let told: Vec<&str> = message
        .split_inclusive(['.', ';', ':'])
        .filter(|part| !part.split_whitespace().any(is_variable))
        .collect();
    sentence(told.concat().trim_end_matches([';', ':', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    fn say(message: &Message) -> String {
        Language::English.say(message)
    }

    /// Every code that the daemon's crates and the runner give.
    const CODES: &[&str] = &[
        "wrong_password",
        "unknown_name",
        "wrong_or_unknown",
        "account_exists",
        "damaged_packet",
        "retired",
        "weak_password",
        "bad_name",
        "bad_secret_key",
        "bad_recovery_key",
        "unknown_recovery_key",
        "recovery_key_of_another",
        "recovery_key_replaced",
        "no_memory",
        "no_randomness",
        "wrong_clock",
        "head_moved",
        "bad_store_url",
        "store_unreachable",
        "not_a_gateway",
        "store_refused",
        "launcher_brief",
        "launcher_crashed",
        "store_full",
        "wallet_empty",
        "too_dear",
        "no_network_client",
        "bad_wallet_key",
        "store_broken",
        "rolled_back",
        "in_use",
        "stopped",
        "daemon_gone",
        "forbidden",
        "protocol",
        "launcher_missing",
        "user_failed",
        "namespace_failed",
        "not_published",
    ];

    #[test]
    fn each_code_has_a_sentence_of_its_own() {
        let mut titles: Vec<String> = CODES
            .iter()
            .map(|code| {
                let notice = explain(
                    &UserError::new(code, "the message"),
                    "ana",
                    &AccountStore::default(),
                    false,
                );
                let text = say(&notice.text);
                assert!(text.ends_with('.'), "{code}: {text}");
                let title = say(&notice.title);
                assert_ne!(title, "It did not work", "{code}");
                title
            })
            .collect();
        titles.sort();
        titles.dedup();
        assert_eq!(titles.len(), CODES.len());
    }

    #[test]
    fn what_only_an_administrator_can_do_is_not_asked_of_anybody() {
        let says = |why: &str| {
            let message = format!("the store https://home.example refuses: {why}");
            let trouble = UserError::new("store_refused", message);
            let notice = explain(&trouble, "ana", &AccountStore::default(), false);
            let text = say(&notice.text);
            assert!(!text.contains("SAFE_"), "{text}");
            (say(&notice.title), text)
        };
        let unknown = says(
            "its certificate is nobody's but its own: check the URL; for a certificate of your own name its file in SAFE_CA_FILE",
        );
        assert!(unknown.0.contains("prove"));
        let expired = says("its certificate has expired: whoever runs it must renew it");
        assert!(expired.1.contains("expired"), "{}", expired.1);
        let token = says(
            "it wants a token: write the one you were given into a file that only you can read, and name the file in SAFE_TOKEN_FILE",
        );
        assert!(token.1.contains("it wants a token"), "{}", token.1);
    }

    #[test]
    fn a_strange_message_stays_one_sentence() {
        assert_eq!(sentence("a\nb\u{1b}[2J"), "A b [2J.");
        assert_eq!(sentence(""), "");
        assert!(sentence(&"x".repeat(10_000)).len() < 700);
        let notice = explain(
            &UserError::new("new_code", "what the daemon says"),
            "ana",
            &AccountStore::default(),
            false,
        );
        assert_eq!(say(&notice.text), "What the daemon says.");
    }
}
