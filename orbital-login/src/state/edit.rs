//! The keyboard: letters into fields, and keys that move and act.
//!
//! What always holds here: while a form is shown and no menu is open, a letter goes into a field, whatever was clicked or
//! reached before.

use super::{Effect, Form, Mode, Screen, State, Target};
use crate::keyboard::Key;
use crate::text::direction;
use crate::typed::Typed;

impl State {
    pub(super) fn text(&mut self, character: char, effects: &mut Vec<Effect>) {
        if self.menu.is_none() && self.edit(|field| field.insert(character)) {
            return;
        }
        let finding = matches!(&self.screen, Screen::People(people) if !people.find.is_empty());
        if character == ' ' && !finding {
            return self.activate(self.focus, effects);
        }
        if self.menu.is_some() || self.finds(|find| find.insert(character)) {
            return;
        }
        self.move_to_a_field();
        self.edit(|field| field.insert(character));
    }

    /// Copied text goes into the field in focus.
    pub(super) fn paste(&mut self, text: &str) {
        if self.menu.is_some() {
            return;
        }
        // A line end at its end is not meant, and inside of a line there is none.
        let line = text.trim_end_matches(['\r', '\n']);
        let put = |field: &mut Typed| {
            for character in line.chars().take(crate::typed::BYTES_MAX) {
                field.insert(if character == '\n' { ' ' } else { character });
            }
        };
        if !matches!(self.screen, Screen::People(_)) {
            self.move_to_a_field();
            self.edit(put);
        } else {
            self.finds(put);
        }
    }

    /// The focus goes to the field that had it last, unless a field has it.
    pub(super) fn move_to_a_field(&mut self) {
        let order = match &self.screen {
            Screen::Form(form) => self.form_order(form),
            Screen::Locked(_) => vec![Target::Password],
            _ => return,
        };
        if self.focus.is_text() {
            return;
        }
        let last = order.iter().find(|target| **target == self.field);
        let first = order.iter().find(|target| target.is_text());
        if let Some(target) = last.or(first) {
            self.focus = *target;
        }
    }

    pub(super) fn key(&mut self, key: Key, effects: &mut Vec<Effect>) {
        let in_text = self.menu.is_none() && self.focus.is_text();
        if self.menu.is_none() && self.along_people(key) {
            return;
        }
        match key {
            Key::Tab => self.move_focus(false),
            Key::BackTab => self.move_focus(true),
            Key::Down => self.move_focus(false),
            Key::Up => self.move_focus(true),
            Key::PageUp | Key::PageDown => {}
            Key::Enter => self.enter(effects),
            Key::Escape => self.escape(effects),
            Key::Left | Key::Right if !in_text => {
                let turned = self.language.is_right_to_left();
                self.move_focus((key == Key::Left) != turned);
            }
            // Towards where the key points, whichever way the text runs.
            Key::Left | Key::Right if (key == Key::Left) != self.is_turned() => {
                self.caret(Typed::left);
            }
            Key::Left | Key::Right => self.caret(Typed::right),
            Key::WordLeft | Key::WordRight if (key == Key::WordLeft) != self.is_turned() => {
                self.caret(Typed::word_left);
            }
            Key::WordLeft | Key::WordRight => self.caret(Typed::word_right),
            Key::Home => self.caret(Typed::home),
            Key::End => self.caret(Typed::end),
            Key::SelectAll => self.caret(Typed::take_all),
            Key::Backspace => self.remove(Typed::backspace),
            Key::Delete => self.remove(Typed::delete),
            Key::DeleteWord => self.remove(Typed::delete_word),
            Key::DeleteWordAfter => self.remove(Typed::delete_word_after),
            Key::DeleteToStart => self.remove(Typed::delete_to_start),
            Key::Paste => {
                if in_text || matches!(self.screen, Screen::People(_)) {
                    effects.push(Effect::Paste);
                }
            }
        }
    }

    fn remove(&mut self, change: impl FnOnce(&mut Typed)) {
        if self.menu.is_none() && matches!(self.screen, Screen::People(_)) {
            self.finds(change);
        } else {
            self.edit(change);
        }
    }

    fn form(&mut self) -> Option<&mut Form> {
        match &mut self.screen {
            Screen::Form(form) => Some(form),
            Screen::Locked(locked) => Some(&mut locked.form),
            _ => None,
        }
    }

    /// Whether what stands in the field in focus runs from right to left, as it is shown.
    fn is_turned(&mut self) -> bool {
        let (turned, focus) = (self.language.is_right_to_left(), self.focus);
        let Some(form) = self.form() else {
            return turned;
        };
        // Dots run as the screen does.
        let dots = matches!(focus, Target::Password | Target::Again | Target::Wallet);
        if dots && !form.reveal {
            return turned;
        }
        let field = form.field(focus);
        field
            .and_then(|field| direction::of_line(field.as_str()))
            .unwrap_or(turned)
    }

    fn caret(&mut self, change: impl FnOnce(&mut Typed)) {
        let focus = self.focus;
        if let Some(field) = self.form().and_then(|form| form.field(focus)) {
            change(field);
        }
    }

    /// Changes the field in focus, if it is one.
    fn edit(&mut self, change: impl FnOnce(&mut Typed)) -> bool {
        let focus = self.focus;
        let Some(form) = self.form() else {
            return false;
        };
        let Some(field) = form.field(focus) else {
            return false;
        };
        change(field);
        form.edited(focus);
        // The notice is about the former text.
        self.notice = None;
        true
    }

    /// On a field or a box to tick: to the next field that is empty, and from the last one off.
    fn enter(&mut self, effects: &mut Vec<Effect>) {
        let is_box = matches!(
            self.focus,
            Target::Remember | Target::WithKey | Target::WithSheet
        );
        if self.menu.is_some() || !(self.focus.is_text() || is_box) {
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
            Target::Server if form.chosen.is_none() && form.name.is_empty() => Some(Target::Name),
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

    /// One step back, from anywhere.
    fn escape(&mut self, effects: &mut Vec<Effect>) {
        if let Some(menu) = self.menu.take() {
            self.focus = menu.target();
            return;
        }
        match &mut self.screen {
            Screen::Working(_) => self.activate(Target::Stop, effects),
            Screen::Leaving(_) => self.activate(Target::LeaveRest, effects),
            Screen::Offer(_) | Screen::Ways(_) => self.activate(Target::Back, effects),
            Screen::Asked(_) => self.cancel(),
            Screen::People(_) => {
                self.notice = None;
                self.show_sign_in();
            }
            Screen::Form(form) => {
                let mode = form.mode;
                form.wipe();
                self.notice = None;
                match mode {
                    Mode::SignIn => self.show_sign_in(),
                    Mode::Create | Mode::Recover => self.activate(Target::OtherForm, effects),
                }
            }
            // The account is not made yet: back to the form.
            Screen::Sheet(sheet) if sheet.form.is_some() => {
                self.activate(Target::Back, effects);
            }
            Screen::Locked(locked) => {
                locked.form.wipe();
                locked.asking = None;
                locked.again = false;
                self.notice = None;
                self.focus = Target::Password;
            }
            Screen::Sheet(_) | Screen::Running(_) => {}
        }
    }
}
