//! The order in which the keyboard visits what is on the screen.
//!
//! What always holds here: whatever can be done is in the order of its screen (but the keyboard on the screen, which another
//! one does not need), and the focus is on something
//! that is, or on nothing where a form is not.

use super::{Form, Kind, Menu, Mode, People, Screen, State, Target};

impl State {
    /// Everything that can be done now, in reading order.
    pub fn order(&self) -> Vec<Target> {
        match self.menu {
            Some(Menu::Language) => self.languages.iter().copied().map(Target::Speak).collect(),
            Some(Menu::Access) => vec![
                Target::Contrast,
                Target::Large,
                Target::Calm,
                Target::ScreenKeyboard,
            ],
            Some(Menu::Keyboard) => (0..self.keymaps.len()).map(Target::Keymap).collect(),
            Some(Menu::Power) => vec![Target::ShutDown, Target::Restart],
            None => {
                let mut order = match &self.screen {
                    Screen::People(people) => self.people_order(people),
                    Screen::Form(form) => self.form_order(form),
                    Screen::Ways(form) => ways_order(form),
                    Screen::Asked(_) => vec![Target::Cancel, Target::Sure],
                    Screen::Working(working) if working.stopping => Vec::new(),
                    Screen::Working(working) if working.goes_without().is_some() => {
                        vec![Target::KeepWaiting, Target::Stop]
                    }
                    Screen::Working(_) => vec![Target::Stop],
                    Screen::Offer(_) => vec![Target::Continue, Target::Back],
                    Screen::Sheet(sheet) if sheet.form.is_some() => {
                        vec![Target::Continue, Target::Back]
                    }
                    Screen::Sheet(_) => vec![Target::Continue],
                    Screen::Leaving(leaving) if !leaving.keep => vec![Target::LeaveRest],
                    Screen::Leaving(_) => Vec::new(),
                    Screen::Locked(_) => self.locked_order(),
                    Screen::Running(_) => return Vec::new(),
                };
                order.extend(self.corner());
                order
            }
        }
    }

    /// The buttons in the corner of every screen.
    pub fn corner(&self) -> Vec<Target> {
        let mut corner = Vec::new();
        if self.languages.len() > 1 {
            corner.push(Target::Language);
        }
        corner.extend([Target::Access, Target::Appearance]);
        if self.keymaps.len() > 1 {
            corner.push(Target::Keyboard);
        }
        // Not while something of somebody's is being kept safe.
        let may = matches!(
            self.screen,
            Screen::People(_) | Screen::Form(_) | Screen::Ways(_)
        );
        if self.abilities.power && may {
            corner.push(Target::Power);
        }
        corner
    }

    fn people_order(&self, people: &People) -> Vec<Target> {
        let mut order: Vec<Target> = self
            .in_sight(people)
            .into_iter()
            .map(Target::Account)
            .collect();
        order.extend(self.next_target());
        order.extend([Target::Someone, Target::More]);
        order
    }

    fn locked_order(&self) -> Vec<Target> {
        vec![
            Target::Password,
            Target::Reveal,
            Target::Submit,
            Target::SignOut,
        ]
    }

    /// The step that a notice offers, if it does.
    fn next_target(&self) -> Option<Target> {
        self.notice.as_ref()?.next.map(|_| Target::Next)
    }

    pub(super) fn form_order(&self, form: &Form) -> Vec<Target> {
        let mut order = Vec::new();
        if form.chosen.is_none() {
            order.push(Target::Name);
        }
        if form.mode == Mode::Recover {
            order.push(Target::Words);
        }
        order.extend([Target::Password, Target::Reveal]);
        if form.sets_password() {
            order.push(Target::Again);
        }
        if form.key_shown {
            order.push(Target::SecretKey);
        }
        if form.chosen.is_none() || form.mode != Mode::SignIn || form.places_shown {
            order.push(Target::Places);
        }
        if form.places_shown {
            order.extend(self.places().map(Target::AccountStore));
            if form.place.kind == Kind::Server {
                order.push(Target::Server);
            }
        }
        if form.needs_wallet() {
            order.push(Target::Wallet);
        }
        if form.mode == Mode::Create {
            order.extend([Target::WithSheet, Target::WithKey]);
        }
        if form.chosen.is_none() || form.mode != Mode::SignIn {
            order.push(Target::Remember);
        }
        order.extend(self.next_target());
        order.push(Target::Submit);
        if form.mode != Mode::SignIn {
            order.push(Target::OtherForm);
            return order;
        }
        order.push(match (form.chosen, self.accounts.len()) {
            (Some(_), 1) => Target::Someone,
            (_, 1..) => Target::Others,
            (_, 0) => Target::OtherForm,
        });
        order.push(Target::More);
        order
    }

    /// The places that can be chosen.
    pub fn places(&self) -> impl Iterator<Item = Kind> + use<> {
        let network = self.abilities.network.is_some();
        let computer = !self.abilities.only_network;
        Kind::ALL.into_iter().filter(move |kind| match kind {
            Kind::Computer => computer,
            Kind::Server => true,
            Kind::Network => network,
        })
    }

    pub(super) fn keep_focus(&mut self) {
        if self.focus.is_text() {
            self.field = self.focus;
        }
        let waits = !self.is_at_rest() && self.menu.is_none();
        if waits && self.focus == Target::Screen {
            return;
        }
        let order = self.order();
        if !order.contains(&self.focus) {
            self.focus = order.first().copied().unwrap_or(Target::Screen);
        }
    }

    pub(super) fn move_focus(&mut self, back: bool) {
        let order = self.order();
        let place = order.iter().position(|target| *target == self.focus);
        let next = match (place, back) {
            (None, _) => 0,
            (Some(place), false) => (place + 1) % order.len(),
            (Some(place), true) => (place + order.len() - 1) % order.len(),
        };
        if let Some(target) = order.get(next) {
            self.focus = *target;
        }
    }
}

/// The other ways to get in than the form.
fn ways_order(form: &Form) -> Vec<Target> {
    let mut order = vec![
        Target::OtherForm,
        Target::Forgotten,
        Target::Places,
        Target::UseKey,
        Target::Guest,
    ];
    if form.chosen.is_some() {
        order.push(Target::Forget);
    }
    order.push(Target::Back);
    order
}
