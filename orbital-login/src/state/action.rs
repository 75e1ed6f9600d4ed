//! What each button, link and box does.

use safeos_control::Keys;

use super::{Effect, Form, Kind, Menu, Mode, Offer, Screen, Sheet, State, Target, Working};
use crate::job::{Job, Step};
use crate::trouble::{Next, Notice};

impl Menu {
    /// What opens it.
    pub(crate) const fn target(self) -> Target {
        match self {
            Self::Keyboard => Target::Keyboard,
            Self::Power => Target::Power,
        }
    }
}

impl State {
    pub(super) fn press(&mut self, target: Option<Target>) {
        let order = self.order();
        self.pressed = target.filter(|target| order.contains(target));
        match self.pressed {
            Some(target) => self.focus = target,
            // Beside an open menu: it closes.
            None => {
                if let Some(menu) = self.menu.take() {
                    self.focus = menu.target();
                }
            }
        }
    }

    /// Does what a target is for, if it is there to be done.
    pub(super) fn activate(&mut self, target: Target, effects: &mut Vec<Effect>) {
        if !self.order().contains(&target) {
            return;
        }
        match target {
            Target::Appearance => {
                self.dark = !self.dark;
                effects.push(self.save());
            }
            Target::Keyboard => self.open(Menu::Keyboard, Target::Keymap(self.keymap)),
            Target::Power => self.open(Menu::Power, Target::ShutDown),
            Target::Keymap(index) => {
                if let Some(name) = self.keymaps.get(index) {
                    effects.push(Effect::Keymap(name.clone()));
                    self.keymap = index;
                    effects.push(self.save());
                }
                self.close();
            }
            Target::ShutDown | Target::Restart => {
                self.close();
                effects.push(Effect::Power {
                    restart: target == Target::Restart,
                });
            }
            Target::Stop => {
                if let Screen::Working(working) = &mut self.screen {
                    working.stopping = true;
                    self.stop(effects);
                }
            }
            Target::LeaveRest => self.stop(effects),
            Target::Continue => self.go_on(effects),
            Target::Back => self.back(),
            Target::Submit => self.submit(effects),
            Target::Guest => self.guest(effects),
            Target::Next => self.next_step(effects),
            _ => self.in_form(target, effects),
        }
    }

    fn open(&mut self, menu: Menu, first: Target) {
        self.menu = Some(menu);
        self.focus = first;
    }

    fn close(&mut self) {
        if let Some(menu) = self.menu.take() {
            self.focus = menu.target();
        }
    }

    /// What only changes the form.
    fn in_form(&mut self, target: Target, effects: &mut Vec<Effect>) {
        let Screen::Form(form) = &mut self.screen else {
            return;
        };
        self.focus = target;
        match target {
            Target::Reveal => form.reveal = !form.reveal,
            Target::Remember => form.remember = !form.remember,
            Target::WithKey => form.with_key = !form.with_key,
            Target::Places => form.places_shown = !form.places_shown,
            Target::Place(kind) => {
                form.place.kind = kind;
                if let (Kind::Network, Some(url)) = (kind, &self.abilities.network) {
                    form.place.network.clone_from(url);
                }
                form.place_changed();
            }
            Target::UseKey => {
                form.key_shown = !form.key_shown;
                form.key.clear();
                if form.key_shown {
                    self.focus = Target::SecretKey;
                }
            }
            Target::WithSheet => form.with_sheet = !form.with_sheet,
            Target::OtherForm => {
                form.turn_to(match form.mode {
                    Mode::SignIn => Mode::Create,
                    Mode::Create | Mode::Recover => Mode::SignIn,
                });
                self.notice = None;
                self.focus = Target::Name;
            }
            Target::Forgotten => {
                form.turn_to(Mode::Recover);
                self.notice = None;
                self.focus = if form.name.is_empty() {
                    Target::Name
                } else {
                    Target::Words
                };
            }
            Target::Account(index) => {
                if let Some(account) = self.accounts.get(index) {
                    form.choose(index, account);
                }
                self.notice = None;
                self.focus = Target::Password;
            }
            Target::Someone => {
                *form = Form::at(self.abilities.place());
                self.notice = None;
                self.focus = Target::Name;
            }
            Target::Forget => {
                if let Some(index) = form.chosen.filter(|index| *index < self.accounts.len()) {
                    self.accounts.remove(index);
                    effects.push(self.save());
                }
                self.notice = None;
                self.show_sign_in();
            }
            _ => {}
        }
    }

    fn submit(&mut self, effects: &mut Vec<Effect>) {
        let Screen::Form(form) = &mut self.screen else {
            return;
        };
        // Typed, or remembered on another computer.
        let submitted = if form.place.is_network() && self.abilities.network.is_none() {
            Err(Notice::no_network())
        } else {
            form.submit()
        };
        match submitted {
            Ok(job) => self.work(job, effects),
            Err(notice) => {
                self.focus = match notice.field {
                    Some(crate::trouble::Field::Name) if form.chosen.is_none() => Target::Name,
                    Some(crate::trouble::Field::Words) => Target::Words,
                    Some(crate::trouble::Field::Wallet) => Target::Wallet,
                    Some(crate::trouble::Field::Server) => {
                        form.places_shown = true;
                        Target::Server
                    }
                    _ => Target::Password,
                };
                self.notice = Some(notice);
            }
        }
    }

    fn guest(&mut self, effects: &mut Vec<Effect>) {
        if let Screen::Form(form) = &mut self.screen {
            form.wipe();
            self.work(Job::Guest, effects);
        }
    }

    /// Leaves the form for as long as the job takes.
    pub(super) fn work(&mut self, job: Job, effects: &mut Vec<Effect>) {
        let screen = std::mem::replace(&mut self.screen, Screen::Form(Form::sign_in()));
        let (Screen::Form(form)
        | Screen::Offer(Offer { form, .. })
        | Screen::Sheet(Sheet {
            form: Some(form), ..
        })) = screen
        else {
            self.screen = screen;
            return;
        };
        self.notice = None;
        self.focus = Target::Screen;
        self.show(Screen::Working(Working {
            form,
            guest: job == Job::Guest,
            asks_price: matches!(job, Job::Price { .. }),
            step: Step::default(),
            stopping: false,
        }));
        self.start(job, effects);
    }

    /// From the price or the sheet to the form, as it was.
    fn back(&mut self) {
        let screen = std::mem::replace(&mut self.screen, Screen::Form(Form::sign_in()));
        let (Screen::Offer(Offer { form, .. })
        | Screen::Sheet(Sheet {
            form: Some(form), ..
        })) = screen
        else {
            self.screen = screen;
            return;
        };
        self.focus = Target::Submit;
        self.show(Screen::Form(form));
    }

    fn go_on(&mut self, effects: &mut Vec<Effect>) {
        if let Screen::Offer(offer) = &self.screen {
            let job = offer.form.make();
            return self.work(job, effects);
        }
        if let Screen::Sheet(sheet) = &mut self.screen {
            // One after the other: each must be seen.
            if !sheet.second && sheet.keys.recovery_key.is_some() {
                sheet.second = true;
                self.focus = Target::Screen;
                return;
            }
            let Some(form) = &mut sheet.form else {
                let account = std::mem::take(&mut sheet.account);
                return self.launch(account, false, effects);
            };
            let keys = std::mem::take(&mut sheet.keys);
            form.kept = Keys {
                secret_key: keys.secret_key.or(form.kept.secret_key.take()),
                recovery_key: keys.recovery_key.or(form.kept.recovery_key.take()),
            };
            let job = form.make();
            self.work(job, effects);
        }
    }

    /// The step that the notice offers.
    fn next_step(&mut self, effects: &mut Vec<Effect>) {
        let Some(next) = self.notice.as_ref().and_then(|notice| notice.next) else {
            return;
        };
        let Screen::Form(form) = &mut self.screen else {
            return;
        };
        self.notice = None;
        match next {
            Next::Again => self.submit(effects),
            Next::AcceptOlder => {
                form.accept_older = true;
                self.submit(effects);
            }
            Next::Create | Next::SignIn => {
                let wanted = if next == Next::Create {
                    Mode::Create
                } else {
                    Mode::SignIn
                };
                form.turn_to(wanted);
                self.focus = Target::Password;
            }
            Next::SecretKey => {
                form.key_shown = true;
                self.focus = if form.password.is_empty() {
                    Target::Password
                } else {
                    Target::SecretKey
                };
            }
            Next::Place => {
                form.places_shown = true;
                self.focus = Target::Places;
            }
        }
    }
}
