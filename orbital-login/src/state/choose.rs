//! Choosing among the people that this computer remembers.

use super::people::{People, SHOWN};
use super::{Screen, State, Target};
use crate::keyboard::Key;
use crate::typed::Typed;

/// No card is higher than so many lines of the wheel.
const SCROLLED_MAX: i32 = 24;

impl State {
    /// The people that the typed text finds: all, while nothing is typed.
    pub fn found(&self, people: &People) -> Vec<usize> {
        let wanted = people.find.as_str().trim().to_lowercase();
        let fits = |text: &str| text.to_lowercase().contains(&wanted);
        (self.accounts.iter().enumerate())
            .filter(|(_, account)| {
                fits(&account.name) || account.store.as_deref().is_some_and(fits)
            })
            .map(|(index, _)| index)
            .collect()
    }

    /// Those of them that are on the screen.
    pub fn in_sight(&self, people: &People) -> Vec<usize> {
        let found = self.found(people);
        let first = people.first.min(found.len().saturating_sub(SHOWN));
        found.into_iter().skip(first).take(SHOWN).collect()
    }

    /// Moves along the list, or says that this is not for it.
    pub(super) fn along_people(&mut self, key: Key) -> bool {
        let Screen::People(people) = &self.screen else {
            return false;
        };
        let found = self.found(people);
        let Target::Account(index) = self.focus else {
            return false;
        };
        let Some(place) = found.iter().position(|other| *other == index) else {
            return false;
        };
        let last = found.len().saturating_sub(1);
        let to = match key {
            Key::Up if place > 0 => place - 1,
            Key::Down if place < last => place + 1,
            Key::PageUp => place.saturating_sub(SHOWN),
            Key::PageDown => (place + SHOWN).min(last),
            Key::Home => 0,
            Key::End => last,
            _ => return false,
        };
        self.look_at(&found, to);
        true
    }

    /// Brings one of those found onto the screen, and the focus to it.
    fn look_at(&mut self, found: &[usize], place: usize) {
        let Some(index) = found.get(place) else {
            return;
        };
        self.focus = Target::Account(*index);
        if let Screen::People(people) = &mut self.screen {
            let least = (place + 1).saturating_sub(SHOWN);
            people.first = people.first.clamp(least, place);
        }
    }

    /// Turns the list. The focus stays in sight.
    pub(super) fn scroll(&mut self, lines: i32) {
        let Screen::People(people) = &self.screen else {
            let lines = self.scrolled.saturating_add(lines);
            self.scrolled = lines.clamp(-SCROLLED_MAX, SCROLLED_MAX);
            return;
        };
        let found = self.found(people);
        let most = found.len().saturating_sub(SHOWN);
        let by = lines.unsigned_abs() as usize;
        let first = if lines < 0 {
            people.first.min(most).saturating_sub(by)
        } else {
            people.first.saturating_add(by).min(most)
        };
        if let Screen::People(people) = &mut self.screen {
            people.first = first;
        }
        if let Target::Account(index) = self.focus
            && let Some(place) = found.iter().position(|other| *other == index)
        {
            let place = place.clamp(first, (first + SHOWN - 1).min(found.len() - 1));
            self.look_at(&found, place);
        }
    }

    /// Types into what finds, or says that this is not for it.
    pub(super) fn finds(&mut self, change: impl FnOnce(&mut Typed)) -> bool {
        let Screen::People(people) = &mut self.screen else {
            return false;
        };
        change(&mut people.find);
        people.first = 0;
        self.notice = None;
        let Screen::People(people) = &self.screen else {
            return false;
        };
        self.focus = match self.found(people).first() {
            Some(index) => Target::Account(*index),
            None => Target::Someone,
        };
        true
    }
}
