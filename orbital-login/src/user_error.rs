//! What went wrong, in a sentence, and what the person can do next.
//!
//! What always holds here: every code of the daemon and of the session's runner has a sentence of its own;
//! a code nobody has heard of shows the message that came with it. No sentence repeats what was typed into a
//! secret field.

use safeos_control::ClientError;

use crate::state::AccountStore;

/// What did not work, as the worker tells it.
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

/// What the person is offered.
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
    /// What was taken off the list comes back.
    PutBack,
}

impl Next {
    /// The words on the button.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Again => "Try again",
            Self::Create => "Create it",
            Self::SignIn => "Sign in instead",
            Self::SecretKey => "Secret key",
            Self::AcceptOlder => "Open it",
            Self::AccountStore => "Look elsewhere",
            Self::PutBack => "Put it back",
        }
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
    pub title: String,
    /// What happened and what helps.
    pub text: String,
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
    fn new(title: &str, text: impl Into<String>) -> Self {
        Self {
            title: title.to_owned(),
            text: text.into(),
            next: None,
            field: None,
            mood: Mood::Wrong,
        }
    }

    /// Good news.
    pub fn calm(title: &str, text: impl Into<String>) -> Self {
        Self {
            mood: Mood::Good,
            ..Self::new(title, text)
        }
    }

    /// What is neither good nor bad.
    pub fn plain(title: &str, text: impl Into<String>) -> Self {
        Self {
            mood: Mood::Plain,
            ..Self::new(title, text)
        }
    }

    /// An account is not on the list any more. Its address is said, for nobody knows it by heart.
    pub fn taken_off(name: &str, place: &str) -> Self {
        Self::plain(
            &format!("{name} is off this computer’s list"),
            format!("The account itself is where it was, {place}. With its name and password it opens here again."),
        )
        .then(Next::PutBack)
    }

    /// The network cannot be reached from here, a server that hands records on to it can.
    pub fn no_network() -> Self {
        Self::new(
            "The SAFE Network cannot be reached from here",
            "Its program does not run on this computer. Choose a server, and type the address of a gateway to the network.",
        )
        .at(Field::Server)
    }

    const fn then(mut self, next: Next) -> Self {
        self.next = Some(next);
        self
    }

    const fn at(mut self, field: Field) -> Self {
        self.field = Some(field);
        self
    }
}

/// The sentence for a trouble with the account `name` at `place`; `key_shown`: the field for the secret key is
/// on the screen.
pub fn explain(trouble: &UserError, name: &str, place: &AccountStore, key_shown: bool) -> Notice {
    let message = sentence(&trouble.message);
    match trouble.code.as_str() {
        "wrong_password" if key_shown => Notice::new(
            "Wrong password",
            "Type it again, and compare the secret key with your sheet. Caps Lock and the keyboard layout matter.",
        )
        .at(Field::Password),
        "wrong_password" => Notice::new(
            "Wrong password",
            "Type it again; Caps Lock and the keyboard layout matter. If this account has a secret key, it is needed too.",
        )
        .at(Field::Password)
        .then(Next::SecretKey),
        "unknown_name" => Notice::new(
            "There is no such account here",
            format!("{} has no account “{name}”. Check the spelling, look where the account lives, or create it.", place.words()),
        )
        .at(Field::Name)
        .then(Next::Create),
        "wrong_or_unknown" => Notice::new(
            "Nothing opens with this name and password",
            "Check both. There, nobody can tell a wrong password from a name that does not exist.",
        )
        .at(Field::Password),
        "account_exists" => Notice::new(
            "This name is taken",
            format!("Somebody has the account “{name}” already. If it is yours, sign in; else choose another name."),
        )
        .at(Field::Name)
        .then(Next::SignIn),
        "bad_name" => Notice::new("This cannot be a name", message).at(Field::Name),
        "weak_password" => Notice::new("This password will not do", message).at(Field::Password),
        "password_used" | "password_in_use" | "retired" => {
            Notice::new("This password holds no more", message).at(Field::Password)
        }
        "bad_secret_key" => Notice::new("The secret key is mistyped", message).at(Field::SecretKey),
        "bad_recovery_key" => Notice::new("Look at the sheet again", message).at(Field::Words),
        "unknown_recovery_key" => Notice::new(
            "This sheet opens nothing here",
            format!("{} has no account with it. Look where the account lives, and whether there is a newer sheet.", place.words()),
        )
        .at(Field::Words),
        "recovery_key_of_another" => Notice::new(
            "This sheet is another account's",
            format!("It does not open “{name}”. Type the name of the account it was made for."),
        )
        .at(Field::Name),
        "recovery_key_replaced" => Notice::new(
            "This sheet was replaced",
            "It opens nothing any more. Look for the newer one.",
        )
        .at(Field::Words),
        "store_unreachable" => {
            // Which store it is, the screen says by itself.
            let why = message.split_once("is out of reach: ").map_or(message.as_str(), |(_, why)| why);
            Notice::new(
                "The account is out of reach",
                format!("{} Check the cable or the wireless network. Whoever is remembered here can sign in offline.", sentence(why)),
            )
            .then(Next::Again)
        }
        "not_a_gateway" => Notice::new(
            "Something else answers there",
            "Perhaps this network wants a sign-in of its own: do that first, then try again. Else check the address. Whoever is remembered here can sign in offline.",
        )
        .then(Next::Again),
        "store_refused" => refused(&message),
        "bad_store_url" => Notice::new("No place for accounts", message)
            .at(Field::Server)
            .then(Next::AccountStore),
        "wallet_empty" => Notice::new("The wallet has too little", message).then(Next::Again),
        "too_dear" => Notice::new(
            "It costs too much",
            format!("{message} Prices change: try again later, or choose another place."),
        )
        .then(Next::AccountStore),
        "no_network_client" => Notice::new("This computer cannot reach the network itself", message).then(Next::AccountStore),
        "bad_wallet_key" => Notice::new(
            "The wallet's key opens no wallet",
            "Compare it with the one that your wallet shows: 64 digits, 0 to 9 and a to f. Nothing was paid.",
        )
        .at(Field::Wallet),
        "store_full" | "disk_full" => Notice::new("There is no room left", message).then(Next::Again),
        "store_broken" | "state_unusable" => Notice::new("The place cannot be used", message).then(Next::Again),
        "rolled_back" => Notice::new(
            "An older state of your home",
            "Somebody has put an old state of your home back in place of the newest. If the store was restored on purpose, open it; else ask who runs it.",
        )
        .then(Next::AcceptOlder),
        "damaged_packet" | "damaged_record" | "missing_record" | "damaged" => {
            Notice::new("A part of the account is damaged", message).then(Next::Again)
        }
        "in_use" => Notice::new(
            "This account is open already",
            "It is signed in on this computer, perhaps in a terminal. Sign it out there, then try again.",
        )
        .then(Next::Again),
        "head_moved" | "conflict" => Notice::new(
            "Another computer was quicker",
            "The account is in use on another computer, which has just published. Nothing is lost: try again, and both are brought together.",
        )
        .then(Next::Again),
        "no_memory" => Notice::new("Not enough memory", message).then(Next::Again),
        "no_randomness" => Notice::new(
            "No random numbers",
            "This computer offers no source of random numbers, so no safe keys can be made on it. In a virtual machine, choose a processor that has one.",
        ),
        "wrong_clock" => Notice::new(
            "The clock is wrong",
            format!("{message} Servers are not trusted with a wrong clock: set it, then try again."),
        )
        .then(Next::Again),
        "stopped" => Notice::plain("Stopped", "Nothing was changed."),
        "account_made" => Notice::plain("Stopped", "The account is made already: sign in to it."),
        "password_set" => Notice::plain("Stopped", "The new password holds already: sign in with it."),
        "no_daemon" | "daemon_gone" | "daemon_failed" | "daemon_missing" => Notice::new(
            "SafeOS does not answer",
            format!("{message} What was saved is not lost. It is started again when you try again."),
        )
        .then(Next::Again),
        "forbidden" => Notice::new("This SafeOS belongs to another user", message),
        "protocol" | "bad_request" => Notice::new("The parts do not fit together", message).then(Next::Again),
        "launcher_missing" | "launcher_failed" => Notice::new("The desktop did not start", message),
        "launcher_brief" => Notice::new("The desktop ended at once", message),
        "launcher_crashed" => Notice::new("The desktop broke off", message),
        "user_failed" => Notice::new("No place for you on this computer", message).then(Next::Again),
        "namespace_failed" => Notice::new("Your home cannot be shown", message).then(Next::Again),
        "not_published" => Notice::new("Not everything is published yet", message),
        _ => Notice::new("It did not work", message).then(Next::Again),
    }
}

/// A server that does not want to. What a person at the screen cannot do is not told: variables, and what the library says.
fn refused(message: &str) -> Notice {
    let is_unknown = ["nobody vouches", "nobody's but its own"]
        .iter()
        .any(|words| message.contains(words));
    let (title, text) = match is_unknown {
        true => (
            "The server cannot prove who it is",
            "Its certificate was made by nobody whom this computer trusts, so nothing was sent to it. Check the address, or ask whoever runs the server.".to_owned(),
        ),
        false => ("The server refuses", without_variables(message)),
    };
    Notice::new(title, text).then(Next::AccountStore)
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

/// A message as a sentence: with a capital and a full stop, on one line.
pub fn sentence(message: &str) -> String {
    let clean: String = message
        .chars()
        .take(600)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let clean = clean.trim();
    let mut characters = clean.chars();
    let mut text: String = characters
        .next()
        .map(|first| first.to_uppercase().collect())
        .unwrap_or_default();
    text.push_str(characters.as_str());
    if !text.is_empty() && !text.ends_with(['.', '!', '?', '…']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
                assert!(notice.text.ends_with('.'), "{code}: {}", notice.text);
                assert_ne!(notice.title, "It did not work", "{code}");
                notice.title
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
            assert!(!notice.text.contains("SAFE_"), "{}", notice.text);
            notice
        };
        let unknown = says(
            "its certificate is nobody's but its own: check the URL; for a certificate of your own name its file in SAFE_CA_FILE",
        );
        assert!(unknown.title.contains("prove"));
        let expired = says("its certificate has expired: whoever runs it must renew it");
        assert!(expired.text.contains("expired"), "{}", expired.text);
        let token = says(
            "it wants a token: write the one you were given into a file that only you can read, and name the file in SAFE_TOKEN_FILE",
        );
        assert!(token.text.contains("it wants a token"), "{}", token.text);
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
        assert_eq!(notice.text, "What the daemon says.");
    }
}
