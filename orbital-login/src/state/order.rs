//! The order in which the keyboard visits what is on the screen.
//!
//! What always holds here: whatever can be done is in the order of its screen, and the focus is on something
//! that is, or on nothing where a form is not.

use super::{Form, Kind, Menu, Mode, Screen, State, Target};

impl State {
    /// Everything that can be done now, in reading order.
    pub fn order(&self) -> Vec<Target> {
        match self.menu {
            Some(Menu::Keyboard) => (0..self.keymaps.len()).map(Target::Keymap).collect(),
            Some(Menu::Power) => vec![Target::ShutDown, Target::Restart],
            None => {
                let mut order = match &self.screen {
                    Screen::Form(form) => self.form_order(form),
                    Screen::Working(working) if working.stopping => Vec::new(),
                    Screen::Working(_) => vec![Target::Stop],
                    Screen::Offer(_) => vec![Target::Continue, Target::Back],
                    Screen::Sheet(sheet) if sheet.form.is_some() => {
                        vec![Target::Continue, Target::Back]
                    }
                    Screen::Sheet(_) => vec![Target::Continue],
                    Screen::Leaving(leaving) if !leaving.keep => vec![Target::LeaveRest],
                    Screen::Leaving(_) => Vec::new(),
                    Screen::Running(_) => return Vec::new(),
                };
                order.extend(self.corner());
                order
            }
        }
    }

    /// What stands in the corner of every screen.
    pub fn corner(&self) -> Vec<Target> {
        let mut corner = vec![Target::Appearance];
        if self.keymaps.len() > 1 {
            corner.push(Target::Keyboard);
        }
        // Not while something of somebody's is being kept safe.
        if self.abilities.power && matches!(self.screen, Screen::Form(_)) {
            corner.push(Target::Power);
        }
        corner
    }

    fn form_order(&self, form: &Form) -> Vec<Target> {
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
        order.push(Target::Places);
        if form.places_shown {
            order.extend(self.places().map(Target::Place));
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
        order.push(Target::Remember);
        if self
            .notice
            .as_ref()
            .is_some_and(|notice| notice.next.is_some())
        {
            order.push(Target::Next);
        }
        order.push(Target::Submit);
        if form.mode == Mode::SignIn {
            order.extend(self.others(form).map(Target::Account));
            if form.chosen.is_some() {
                order.extend([Target::Someone, Target::Forget]);
            }
            order.push(Target::UseKey);
        }
        order.push(Target::OtherForm);
        if form.mode == Mode::SignIn {
            order.extend([Target::Forgotten, Target::Guest]);
        }
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

    /// The remembered accounts that are not chosen: as many as the screen has room for.
    pub fn others(&self, form: &Form) -> impl Iterator<Item = usize> + use<> {
        let chosen = form.chosen;
        (0..self.accounts.len())
            .filter(move |index| Some(*index) != chosen)
            .take(4)
    }

    pub(super) fn keep_focus(&mut self) {
        let waits = !matches!(self.screen, Screen::Form(_)) && self.menu.is_none();
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
