//! The form: what is typed and chosen before a session opens.
//!
//! What always holds here: what is secret is wiped when the form is dropped, when the other form is shown,
//! and when a password turned out wrong.

use safeos_account::{RecoveryKey, Secret, check_name, check_new_password};
use safeos_control::{Keys, Price, Recover, SignIn, SignUp};

use super::{AccountStore, Target};
use crate::job::Job;
use crate::message::Message;
use crate::settings::Remembered;
use crate::strength::{Strength, estimate};
use crate::typed::Typed;
use crate::user_error::{Field, Notice, reason_of};

/// The purpose of the form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// To open an account.
    SignIn,
    /// To make one.
    Create,
    /// To open one with its recovery sheet and set a new password.
    Recover,
}

/// Hexadecimal digits of a wallet's private key.
const WALLET_DIGITS: usize = 64;

/// The fault of a wallet's private key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalletKey {
    /// The character at this place, counted from 1, is no digit.
    Strange(usize),
    /// So many digits, which are too few or too many.
    Digits(usize),
}

impl WalletKey {
    /// Whether more typing cannot put it right.
    pub const fn is_wrong(self) -> bool {
        matches!(self, Self::Strange(_))
            || matches!(self, Self::Digits(count) if count > WALLET_DIGITS)
    }

    /// In a sentence.
    pub fn words(self) -> Message {
        match self {
            Self::Strange(place) => Message::new("wallet-strange").with("position", place),
            Self::Digits(count) if count > WALLET_DIGITS => {
                Message::new("wallet-many").with("count", count)
            }
            Self::Digits(count) => Message::new("wallet-few").with("count", count),
        }
    }
}

/// The fields.
#[derive(Debug)]
pub struct Form {
    /// Its purpose.
    pub mode: Mode,
    /// Which of the remembered accounts.
    pub chosen: Option<usize>,
    /// The name.
    pub name: Typed,
    /// The password.
    pub password: Typed,
    /// The same again.
    pub again: Typed,
    /// The secret key.
    pub key: Typed,
    /// The words of the recovery sheet.
    pub words: Typed,
    /// The private key of the wallet that pays.
    pub wallet: Typed,
    /// The secret key's field is shown.
    pub key_shown: bool,
    /// A key is to be made.
    pub with_key: bool,
    /// A recovery sheet is to be made.
    pub with_sheet: bool,
    /// Keys that were made for this account, and that the person has kept.
    pub kept: Keys,
    /// The password is readable.
    pub reveal: bool,
    /// The account is to be remembered.
    pub remember: bool,
    /// Where the account lives.
    pub place: AccountStore,
    /// The choice of places is shown.
    pub places_shown: bool,
    /// An older state is welcome, once.
    pub accept_older: bool,
    /// A store that does not answer is waited for, once.
    pub wait: bool,
    /// How good the new password is.
    pub strength: Option<Strength>,
}

impl Form {
    /// Empty, to sign in.
    pub fn sign_in() -> Self {
        Self {
            mode: Mode::SignIn,
            chosen: None,
            name: Typed::new(),
            password: Typed::new(),
            again: Typed::new(),
            key: Typed::new(),
            words: Typed::new(),
            wallet: Typed::new(),
            key_shown: false,
            with_key: false,
            with_sheet: false,
            kept: Keys::default(),
            reveal: false,
            remember: false,
            place: AccountStore::default(),
            places_shown: false,
            accept_older: false,
            wait: false,
            strength: None,
        }
    }

    /// For a remembered account.
    pub fn choose(&mut self, index: usize, account: &Remembered) {
        self.turn_to(Mode::SignIn);
        self.wipe();
        self.chosen = Some(index);
        self.name = Typed::of(&account.name);
        let own = self.place.own.take();
        self.place = AccountStore::of(account.store.as_deref()).with_own(own.as_deref());
        self.places_shown = false;
        self.key_shown = false;
        self.remember = true;
    }

    /// The same for an account that lives elsewhere than on this computer.
    pub fn at(place: AccountStore) -> Self {
        Self {
            place,
            ..Self::sign_in()
        }
    }

    /// Another form, with the same name and place; a remembered account can be recovered, and not be created.
    pub fn turn_to(&mut self, mode: Mode) {
        if self.mode == mode {
            return;
        }
        self.wipe();
        self.key_shown = false;
        if mode == Mode::Create || self.mode == Mode::Create {
            self.chosen = None;
            self.remember = false;
        }
        // Without one a forgotten password loses everything.
        self.with_sheet = mode == Mode::Create;
        self.with_key = false;
        self.mode = mode;
    }

    /// Whether a password is set here: judged, and typed twice.
    pub fn sets_password(&self) -> bool {
        self.mode != Mode::SignIn
    }

    /// Whether a wallet pays for the account that is made here.
    pub fn needs_wallet(&self) -> bool {
        self.mode == Mode::Create && self.place.is_network()
    }

    /// Forgets the text of fields that are not shown any more.
    pub fn place_changed(&mut self) {
        // They were shown with it.
        self.kept = Keys::default();
        if !self.needs_wallet() {
            self.wallet.clear();
        }
    }

    /// Forgets every secret.
    pub fn wipe(&mut self) {
        self.password.clear();
        self.again.clear();
        self.key.clear();
        self.words.clear();
        self.wallet.clear();
        self.kept = Keys::default();
        self.reveal = false;
        self.accept_older = false;
        self.wait = false;
        self.strength = None;
    }

    /// Whether something was typed that is not for everybody who comes by.
    pub fn holds_something(&self) -> bool {
        !self.is_wiped() || self.chosen.is_none() && !self.name.is_empty()
    }

    /// Whether every secret is gone from memory.
    #[doc(hidden)]
    pub fn is_wiped(&self) -> bool {
        [
            &self.password,
            &self.again,
            &self.key,
            &self.words,
            &self.wallet,
        ]
        .iter()
        .all(|typed| typed.is_empty() && typed.is_wiped())
            && self.kept == Keys::default()
    }

    /// The field behind a target.
    pub fn field(&mut self, target: Target) -> Option<&mut Typed> {
        match target {
            Target::Name if self.chosen.is_none() => Some(&mut self.name),
            Target::Password => Some(&mut self.password),
            Target::Again if self.sets_password() => Some(&mut self.again),
            Target::Words if self.mode == Mode::Recover => Some(&mut self.words),
            Target::SecretKey if self.key_shown => Some(&mut self.key),
            Target::Wallet if self.needs_wallet() => Some(&mut self.wallet),
            Target::Server => Some(&mut self.place.server),
            _ => None,
        }
    }

    /// Updates what depends on a field that has changed.
    pub fn edited(&mut self, target: Target) {
        if self.sets_password() && matches!(target, Target::Password | Target::Name) {
            self.strength = (!self.password.is_empty())
                .then(|| estimate(self.password.as_str(), self.name.as_str()));
        }
        if target == Target::Name {
            self.kept = Keys::default();
        }
        if target == Target::Server {
            self.place_changed();
        }
    }

    /// The fault of the name so far; none while it is empty.
    pub fn name_hint(&self) -> Option<Message> {
        if self.name.is_empty() || self.chosen.is_some() {
            return None;
        }
        check_name(self.name.as_str())
            .err()
            .map(|error| reason_of(&error))
    }

    /// The fault of the second password so far.
    pub fn again_hint(&self) -> Option<Message> {
        let (first, second) = (self.password.as_str(), self.again.as_str());
        (!second.is_empty() && !first.starts_with(second)).then_some(Message::new("differs"))
    }

    /// The fault of the wallet's key: its digits are counted, never repeated.
    pub fn wallet_key(&self) -> Result<(), WalletKey> {
        let typed = self.wallet.as_str().trim();
        let digits = ["0x", "0X"]
            .iter()
            .find_map(|start| typed.strip_prefix(start));
        let digits = digits.unwrap_or(typed);
        let before = typed.len() - digits.len();
        if let Some(place) = digits.chars().position(|c| !c.is_ascii_hexdigit()) {
            return Err(WalletKey::Strange(before + place + 1));
        }
        match digits.len() {
            WALLET_DIGITS => Ok(()),
            count => Err(WalletKey::Digits(count)),
        }
    }

    fn recovery_key(&self) -> safeos_account::Result<RecoveryKey> {
        RecoveryKey::parse(&Secret::new(self.words.as_str().to_owned()))
    }

    /// The fault of the words of the sheet; none while there are too few.
    pub fn words_hint(&self) -> Option<Message> {
        let typed = self.words.as_str().split_whitespace().count();
        if typed < safeos_account::RECOVERY_WORDS {
            return None;
        }
        self.recovery_key().err().map(|error| reason_of(&error))
    }

    /// The job, or what is missing and where.
    pub fn submit(&self) -> Result<Job, Notice> {
        let unfit = |field, title, text| {
            Err(Notice {
                field: Some(field),
                ..Notice::plain(title, text)
            })
        };
        let missing = |field, title, text| unfit(field, title, Message::new(text));
        if self.name.as_str().trim().is_empty() {
            return missing(Field::Name, "who", "type-name");
        }
        if let Some(hint) = self.name_hint() {
            return unfit(Field::Name, "bad-name", hint);
        }
        if self.place.kind == super::Kind::Server && self.place.server.as_str().trim().is_empty() {
            return missing(Field::Server, "which-server", "type-server");
        }
        if self.mode == Mode::Recover
            && let Err(error) = self.recovery_key()
        {
            return unfit(Field::Words, "sheet-again", reason_of(&error));
        }
        if self.password.is_empty() {
            return missing(Field::Password, "password-missing", "type-password");
        }
        if self.needs_wallet()
            && let Err(wrong) = self.wallet_key()
        {
            let text = Message::new("wallet-pays").with("wrong", wrong.words());
            return unfit(Field::Wallet, "wallet-needed", text);
        }
        let name = self.name.as_str().trim().to_owned();
        if self.mode == Mode::SignIn {
            return Ok(Job::SignIn(SignIn {
                name,
                password: self.password.to_secret(),
                store: self.place.url(),
                secret_key: (self.key_shown && !self.key.is_empty()).then(|| self.key.to_secret()),
                remember: self.remember,
                accept_older: self.accept_older,
                wait: self.wait,
            }));
        }
        if let Err(error) = check_new_password(&Secret::new(self.password.as_str().to_owned())) {
            return unfit(Field::Password, "weak-password", reason_of(&error));
        }
        if self.password.as_str() != self.again.as_str() {
            return missing(Field::Password, "passwords-differ", "type-twice");
        }
        if self.mode == Mode::Recover {
            return Ok(Job::Recover(Recover {
                recovery_key: self.words.to_secret(),
                name: Some(name),
                new_password: self.password.to_secret(),
                store: self.place.url(),
                remember: self.remember,
                accept_older: self.accept_older,
            }));
        }
        if !self.needs_wallet() {
            return Ok(self.make());
        }
        // The price is told before it is paid.
        Ok(Job::Price {
            name,
            request: Price {
                wallet_key: self.wallet.to_secret(),
                store: self.place.url(),
            },
        })
    }

    /// The job that makes the account, once its price, if it has one, is agreed to; before it, the one that makes the keys
    /// which the person is to keep.
    pub fn make(&self) -> Job {
        let secret_key = self.with_key && self.kept.secret_key.is_none();
        let recovery_key = self.with_sheet && self.kept.recovery_key.is_none();
        if secret_key || recovery_key {
            return Job::Keys {
                secret_key,
                recovery_key,
            };
        }
        let wanted = |wanted: bool, key: &Option<_>| key.clone().filter(|_| wanted);
        Job::SignUp(SignUp {
            name: self.name.as_str().trim().to_owned(),
            password: self.password.to_secret(),
            store: self.place.url(),
            secret_key: wanted(self.with_key, &self.kept.secret_key),
            wallet_key: self.needs_wallet().then(|| self.wallet.to_secret()),
            generate_secret_key: false,
            remember: self.remember,
            small_memory: false,
            recovery_key: wanted(self.with_sheet, &self.kept.recovery_key),
            generate_recovery_key: false,
        })
    }

    /// Prepares for another try; where to go on.
    pub fn after_refusal(&mut self, notice: &Notice) -> Target {
        self.accept_older = false;
        match notice.field {
            Some(Field::Name) if self.chosen.is_none() => {
                self.name.end();
                Target::Name
            }
            Some(Field::Password | Field::Name) => {
                self.password.clear();
                self.again.clear();
                self.strength = None;
                Target::Password
            }
            Some(Field::SecretKey) => Target::SecretKey,
            Some(Field::Words) => Target::Words,
            Some(Field::Wallet) => {
                self.wallet.end();
                Target::Wallet
            }
            Some(Field::Server) => {
                self.places_shown = true;
                Target::Server
            }
            None if notice.next.is_some() => Target::Next,
            None => Target::Password,
        }
    }
}
