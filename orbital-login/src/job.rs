//! Jobs that the screen has done elsewhere, and their reports.
//!
//! What always holds here: one job runs at a time, and each ends with exactly one [`Outcome`].

use safeos_control::{Keys, Price, Priced, Recover, Secret, SignIn, SignUp};

use crate::user_error::UserError;

/// Which job: an answer that belongs to another one is nobody's.
pub type JobId = u64;

/// Work that may take long.
#[derive(Debug, PartialEq, Eq)]
pub enum Job {
    /// Open an account.
    SignIn(SignIn),
    /// Say what making an account costs.
    Price {
        /// The account's name.
        name: String,
        /// The request.
        request: Price,
    },
    /// Make keys for an account that is to be made; nothing is asked of anybody.
    Keys {
        /// A secret key.
        secret_key: bool,
        /// A recovery key.
        recovery_key: bool,
    },
    /// Make an account and open it.
    SignUp(SignUp),
    /// Open an account with its recovery sheet and set a new password.
    Recover(Recover),
    /// Prepare a session that leaves nothing behind.
    Guest,
    /// Run the launcher in the session and wait for its end.
    Launch,
    /// Publish and end the session; `keep`: leave what is unpublished to the next time.
    Leave {
        /// Do not publish.
        keep: bool,
    },
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The step under way.
    pub what: String,
    /// How much of it.
    pub done: u64,
    /// Of how much; 0: not known.
    pub total: u64,
    /// Counted in what.
    pub unit: String,
}

/// How a job ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A session is open.
    Opened(Opened),
    /// The price of an account; `None` where nothing is paid.
    Priced(Option<Priced>),
    /// Keys, to be shown before the account is made.
    Keys(Keys),
    /// The launcher has ended; how, if it was not well.
    LauncherEnded(Option<UserError>),
    /// The session is closed and nothing of it left; what could not be done.
    Left(Option<UserError>),
    /// It did not work. No session is open that was not before.
    Failed(UserError),
}

/// An open session.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The account's name as it was given at sign-up; empty for a guest.
    pub account: String,
    /// The store's URL.
    pub store: String,
    /// A secret key that was just made, or is needed again, to be shown once.
    pub secret_key: Option<Secret>,
    /// A recovery key that was just made, to be shown once.
    pub recovery_key: Option<Secret>,
    /// From this computer's memory: the store is out of reach.
    pub offline: bool,
    /// The language that is kept in the home, by its code.
    pub language: Option<String>,
}
