//! Which language the screen speaks.
//!
//! What always holds here: on the list of people, and to whoever has not been here, it is the computer's; to a
//! person, the one that they chose. What is chosen on the screen is kept by the computer, and by the home of whoever
//! signs in next.

use super::{Effect, Screen, State};
use crate::language::Language;

impl State {
    /// Leaves out the languages for which there are no letters here.
    pub fn offer_languages(&mut self, mut can_show: impl FnMut(Language) -> bool) {
        self.languages.retain(|language| can_show(*language));
        if !self.languages.contains(&self.language) {
            self.language = Language::English;
        }
    }

    /// Speaks this language, or the computer's.
    pub(super) fn speak(&mut self, theirs: Option<Language>) {
        let own = self
            .chosen_language
            .unwrap_or(self.abilities.locale.language);
        let is_here = |language: &Language| self.languages.contains(language);
        let theirs = theirs.filter(|_| !self.keeps_language);
        self.language = (theirs.filter(is_here))
            .or(Some(own).filter(is_here))
            .unwrap_or_default();
    }

    /// Somebody has chosen a language.
    pub(super) fn choose_language(&mut self, language: Language) {
        if !self.languages.contains(&language) {
            return;
        }
        self.language = language;
        self.chosen_language = Some(language);
        // Not where somebody is in already.
        self.keeps_language = match &self.screen {
            Screen::Sheet(sheet) => sheet.form.is_some(),
            Screen::Running(_) | Screen::Locked(_) | Screen::Leaving(_) => false,
            _ => true,
        };
        if let Screen::Form(form) | Screen::Ways(form) = &self.screen
            && let Some(account) = form.chosen.and_then(|index| self.accounts.get_mut(index))
        {
            account.language = Some(language.code().to_owned());
        }
    }

    /// A session has opened: its home keeps the language that was chosen, or brings the one it has.
    pub(super) fn language_of_session(&mut self, in_home: Option<&str>, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.keeps_language) {
            effects.push(Effect::KeepLanguage(self.language.code()));
        } else if let Some(language) = in_home.and_then(Language::of)
            && self.languages.contains(&language)
        {
            self.language = language;
        }
    }
}
