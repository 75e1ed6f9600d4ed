//! The keyboard: letters into fields, and keys that move and act.

use super::{Effect, Form, Mode, Screen, State, Target};
use crate::keyboard::Key;

impl State {
    pub(super) fn text(&mut self, character: char, effects: &mut Vec<Effect>) {
        if self.menu.is_none() && self.edit(|field| field.insert(character)) {
            return;
        }
        if character == ' ' && !self.focus.is_text() {
            self.activate(self.focus, effects);
        }
    }

    pub(super) fn key(&mut self, key: Key, effects: &mut Vec<Effect>) {
        let in_text = self.menu.is_none() && self.focus.is_text();
        match key {
            Key::Tab => self.move_focus(false),
            Key::BackTab => self.move_focus(true),
            Key::Down => self.move_focus(false),
            Key::Up => self.move_focus(true),
            Key::Enter => self.enter(effects),
            Key::Escape => self.escape(effects),
            Key::Left | Key::Right if !in_text => self.move_focus(key == Key::Left),
            Key::Left => self.caret(crate::typed::Typed::left),
            Key::Right => self.caret(crate::typed::Typed::right),
            Key::Home => self.caret(crate::typed::Typed::home),
            Key::End => self.caret(crate::typed::Typed::end),
            Key::Backspace => drop(self.edit(crate::typed::Typed::backspace)),
            Key::Delete => drop(self.edit(crate::typed::Typed::delete)),
        }
    }

    fn form(&mut self) -> Option<&mut Form> {
        match &mut self.screen {
            Screen::Form(form) => Some(form),
            _ => None,
        }
    }

    fn caret(&mut self, change: impl FnOnce(&mut crate::typed::Typed)) {
        let focus = self.focus;
        if let Some(field) = self.form().and_then(|form| form.field(focus)) {
            change(field);
        }
    }

    /// Changes the field in focus, if it is one.
    fn edit(&mut self, change: impl FnOnce(&mut crate::typed::Typed)) -> bool {
        let focus = self.focus;
        let Some(form) = self.form() else {
            return false;
        };
        let Some(field) = form.field(focus) else {
            return false;
        };
        change(field);
        form.edited(focus);
        // What was said is about what stood there before.
        self.notice = None;
        true
    }

    /// On a field: to the next one that is empty, and from the last one off.
    fn enter(&mut self, effects: &mut Vec<Effect>) {
        if self.menu.is_some() || !self.focus.is_text() {
            return self.activate(self.focus, effects);
        }
        let focus = self.focus;
        let Some(form) = self.form() else {
            return;
        };
        let next = match focus {
            Target::Name if form.mode == Mode::Recover && form.words.is_empty() => {
                Some(Target::Words)
            }
            Target::Name | Target::Words if form.password.is_empty() => Some(Target::Password),
            Target::Password if form.sets_password() && form.again.is_empty() => {
                (!form.password.is_empty()).then_some(Target::Again)
            }
            Target::Password if form.key_shown && form.key.is_empty() => Some(Target::SecretKey),
            Target::Server if form.password.is_empty() => Some(Target::Password),
            Target::Again | Target::Server if form.needs_wallet() && form.wallet.is_empty() => {
                Some(Target::Wallet)
            }
            _ => None,
        };
        match next {
            Some(target) => self.focus = target,
            None => self.activate(Target::Submit, effects),
        }
    }

    fn escape(&mut self, effects: &mut Vec<Effect>) {
        if let Some(menu) = self.menu.take() {
            self.focus = menu.target();
            return;
        }
        match &mut self.screen {
            Screen::Working(_) => self.activate(Target::Stop, effects),
            Screen::Offer(_) => self.activate(Target::Back, effects),
            Screen::Form(form) => {
                let other = form.mode != Mode::SignIn;
                form.wipe();
                self.notice = None;
                if other {
                    self.activate(Target::OtherForm, effects);
                } else {
                    self.focus = if form.chosen.is_some() {
                        Target::Password
                    } else {
                        Target::Name
                    };
                }
            }
            Screen::Sheet(_) | Screen::Running(_) | Screen::Leaving(_) => {}
        }
    }
}
