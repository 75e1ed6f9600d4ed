//! What can fill the screen, and what each screen holds.
//!
//! What always holds here: a screen that something is gone back to holds its form, and with it its secrets.

use safeos_control::{Keys, Priced};

use super::{Form, People, Target};
use crate::job::Step;
use crate::user_error::UserError;

/// What is chosen from in a corner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Menu {
    /// Languages.
    Language,
    /// What makes the screen easier to read.
    Access,
    /// Keyboard layouts.
    Keyboard,
    /// Shutting down.
    Power,
}

/// A job that the person waits for.
#[derive(Debug)]
pub struct Working {
    /// What it was started from, and goes back to.
    pub form: Form,
    /// Without an account.
    pub guest: bool,
    /// Only the price of an account is asked for.
    pub asks_price: bool,
    /// How far it is.
    pub step: Step,
    /// The person wants it stopped.
    pub stopping: bool,
    /// It is stopped to be begun again, and to wait longer.
    pub to_wait: bool,
}

impl Working {
    /// After how many seconds it opens without a store that does not answer, if it does.
    pub fn goes_without(&self) -> Option<u64> {
        let step = &self.step;
        let can = step.unit == "seconds" && step.total > 0;
        can.then(|| step.total.saturating_sub(step.done))
    }
}

/// What an account costs, before it is paid.
#[derive(Debug)]
pub struct Offer {
    /// What it was asked for, goes on with, and goes back to.
    pub form: Form,
    /// What it costs.
    pub priced: Priced,
}

/// Keys, each shown once, one after the other: the secret key first.
#[derive(Debug)]
pub struct Sheet {
    /// The account's name.
    pub account: String,
    /// Its store.
    pub store: String,
    /// What is shown.
    pub keys: Keys,
    /// The secret key was seen.
    pub second: bool,
    /// The account that is made when the person has kept them; `None`: its session is open already.
    pub form: Option<Form>,
}

/// A session with the launcher in it.
#[derive(Debug)]
pub struct Running {
    /// The account's name; empty for a guest.
    pub account: String,
    /// The launcher has the screen.
    pub started: bool,
    /// The store is out of reach.
    pub offline: bool,
}

/// A session that ends.
#[derive(Debug)]
pub struct Leaving {
    /// The account's name.
    pub account: String,
    /// How far it is.
    pub step: Step,
    /// The rest is left to the next time.
    pub keep: bool,
    /// What to say afterwards.
    pub after: Option<UserError>,
}

/// What is asked before it is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// Turn the computer off.
    ShutDown,
    /// Off and on.
    Restart,
    /// Take this account off the list.
    Forget(usize),
}

/// A question, and the screen that it was asked on.
#[derive(Debug)]
pub struct Asked {
    /// What.
    pub question: Question,
    /// Where.
    pub behind: Box<Screen>,
    /// What the keyboard went to there.
    pub(super) focus: Target,
}

/// What fills the screen.
#[derive(Debug)]
pub enum Screen {
    /// Who it may be.
    People(People),
    /// Name and password.
    Form(Form),
    /// The other ways to get in than that form.
    Ways(Form),
    /// Whether something is to be done.
    Asked(Asked),
    /// Waiting for a session to open.
    Working(Working),
    /// What it costs.
    Offer(Offer),
    /// The sheet with a key.
    Sheet(Sheet),
    /// The session.
    Running(Running),
    /// Waiting for a session to end.
    Leaving(Leaving),
}
