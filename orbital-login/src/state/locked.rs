//! The card over a session that goes on.
//!
//! What always holds here: nothing but the right password, as the daemon says, takes the card away; a session that ends
//! meanwhile leads to signing out, never to what is behind the card. A password that was asked about is not kept, and
//! what is typed while the answer is awaited stays.

use super::screen::{Asked, Locked, Running};
use super::{Effect, Form, JobId, Screen, State, Target};
use crate::message::Message;
use crate::user_error::{UserError, explain};

/// The reason why there is nothing to cover.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoLock {
    /// No session has the screen.
    NoSession,
    /// A guest has no password to open it with.
    Guest,
    /// It is covered already.
    Locked,
}

impl NoLock {
    /// In a sentence, for whoever asked for it outside of the screen.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoSession => "no session has the screen",
            Self::Guest => "a guest session has no password that could open it again",
            Self::Locked => "it is locked already",
        }
    }
}

impl State {
    /// Whether the session can be covered now.
    pub fn may_lock(&self) -> Result<(), NoLock> {
        match &self.screen {
            Screen::Running(running) if !running.started || running.ending => {
                Err(NoLock::NoSession)
            }
            Screen::Running(running) if running.account.is_empty() => Err(NoLock::Guest),
            Screen::Running(_) => Ok(()),
            _ if self.is_locked() => Err(NoLock::Locked),
            _ => Err(NoLock::NoSession),
        }
    }

    /// Whether a session is covered.
    pub fn is_locked(&self) -> bool {
        match &self.screen {
            Screen::Locked(_) => true,
            Screen::Asked(Asked { behind, .. }) => matches!(**behind, Screen::Locked(_)),
            _ => false,
        }
    }

    /// Whether programs of a session run behind the screen.
    pub fn covers(&self) -> bool {
        self.is_locked() || matches!(&self.screen, Screen::Running(running) if running.ending)
    }

    /// Covers the session.
    pub(super) fn cover(&mut self) {
        if self.may_lock().is_err() {
            return;
        }
        let screen = std::mem::replace(&mut self.screen, Screen::Form(Form::sign_in()));
        let Screen::Running(running) = screen else {
            self.screen = screen;
            return;
        };
        self.notice = None;
        self.focus = Target::Password;
        self.show(Screen::Locked(Locked {
            running,
            form: Form::sign_in(),
            asking: None,
            again: false,
        }));
    }

    /// Asks whether the typed password is the right one.
    pub(super) fn unlock(&mut self, effects: &mut Vec<Effect>) {
        let Screen::Locked(locked) = &mut self.screen else {
            return;
        };
        if locked.asking.is_some() {
            locked.again = true;
            return;
        }
        self.focus = Target::Password;
        // The key that locked it may still be down.
        if locked.form.password.is_empty() {
            return;
        }
        let password = locked.form.password.to_secret();
        locked.form.wipe();
        let id = self.next_job;
        self.next_job += 1;
        locked.asking = Some(id);
        self.notice = None;
        effects.push(Effect::Check(id, password));
    }

    pub(super) fn reveal_locked(&mut self) {
        if let Screen::Locked(locked) = &mut self.screen {
            locked.form.reveal = !locked.form.reveal;
        }
    }

    /// The daemon has answered.
    pub(super) fn checked(
        &mut self,
        id: JobId,
        answer: Result<(), UserError>,
        effects: &mut Vec<Effect>,
    ) {
        let locked = match &mut self.screen {
            Screen::Locked(locked) => locked,
            Screen::Asked(Asked { behind, .. }) => match &mut **behind {
                Screen::Locked(locked) => locked,
                _ => return,
            },
            _ => return,
        };
        if locked.asking != Some(id) {
            return;
        }
        locked.asking = None;
        let again = std::mem::take(&mut locked.again);
        locked.form.reveal = false;
        let trouble = match answer {
            Ok(()) => return self.uncover(),
            Err(trouble) => trouble,
        };
        let account = locked.running.account.clone();
        let typed = !locked.form.password.is_empty();
        let mut notice = explain(&trouble, &account, &locked.form.place, false);
        notice.next = None;
        if trouble.code == "wrong_password" {
            // The secret key, if there is one, is in the session.
            notice.text = Message::new("type-it-again");
        }
        self.notice = Some(notice);
        if again && typed {
            self.unlock(effects);
        }
    }

    /// Takes the card away.
    fn uncover(&mut self) {
        if let Screen::Asked(_) = self.screen {
            self.cancel();
        }
        let screen = std::mem::replace(&mut self.screen, Screen::Form(Form::sign_in()));
        self.notice = None;
        match screen {
            Screen::Locked(Locked { running, .. }) => {
                self.focus = Target::Screen;
                self.show(Screen::Running(running));
            }
            screen => self.screen = screen,
        }
    }

    /// Has the programs behind the card end, and with them the session.
    pub(super) fn end_session(&mut self, effects: &mut Vec<Effect>) {
        let screen = std::mem::replace(&mut self.screen, Screen::Form(Form::sign_in()));
        match screen {
            Screen::Locked(Locked { running, .. }) => {
                self.notice = None;
                self.focus = Target::Screen;
                self.show(Screen::Running(Running {
                    ending: true,
                    ..running
                }));
                effects.push(Effect::EndPrograms);
            }
            screen => self.screen = screen,
        }
    }
}
