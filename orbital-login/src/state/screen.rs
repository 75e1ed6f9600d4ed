//! The screens, and the data of each.
//!
//! What always holds here: a screen that something is gone back to holds its form, and with it its secrets.

use safeos_control::{Keys, Priced};

use super::{Form, People, Target};
use crate::job::{JobId, Step};
use crate::user_error::UserError;

/// A menu of a corner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Menu {
    /// Languages.
    Language,
    /// The accessibility switches.
    Access,
    /// Keyboard layouts.
    Keyboard,
    /// Shutting down.
    Power,
}

/// A job that the person waits for.
#[derive(Debug)]
pub struct Working {
    /// The form that it was started from, and goes back to.
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

/// The price of an account, before it is paid.
#[derive(Debug)]
pub struct Offer {
    /// The form that it was asked for, goes on with, and goes back to.
    pub form: Form,
    /// The price.
    pub priced: Priced,
}

/// Keys, each shown once, one after the other: the secret key first.
#[derive(Debug)]
pub struct Sheet {
    /// The account's name.
    pub account: String,
    /// Its store.
    pub store: String,
    /// The keys on the sheet.
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
    /// It was ended from the card that covers it: its programs are asked to go.
    pub ending: bool,
}

/// A card over a session that goes on.
#[derive(Debug)]
pub struct Locked {
    /// The session.
    pub running: Running,
    /// The field for the password.
    pub form: Form,
    /// The question whether a password is the right one, while it is open.
    pub asking: Option<JobId>,
    /// Enter was pressed meanwhile: what was typed since is asked about next.
    pub again: bool,
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
    /// The notice afterwards.
    pub after: Option<UserError>,
}

/// A question before an action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// Turn the computer off.
    ShutDown,
    /// Off and on.
    Restart,
    /// Take this account off the list.
    Forget(usize),
    /// End the session that is behind the card.
    SignOut,
}

/// A question, and the screen that it was asked on.
#[derive(Debug)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// Where.
    pub behind: Box<Screen>,
    /// The target that was in focus there.
    pub(super) focus: Target,
}

/// The screen that is shown.
#[derive(Debug)]
pub enum Screen {
    /// The list of people.
    People(People),
    /// Name and password.
    Form(Form),
    /// The other ways to get in than that form.
    Ways(Form),
    /// Whether something is to be done.
    Asked(Asked),
    /// Waiting for a session to open.
    Working(Working),
    /// The price.
    Offer(Offer),
    /// The sheet with a key.
    Sheet(Sheet),
    /// The session.
    Running(Running),
    /// The session, covered.
    Locked(Locked),
    /// Waiting for a session to end.
    Leaving(Leaving),
}
