//! The actions of buttons, links and boxes.

use safeos_control::Keys;

use super::{
    Asked, Effect, Form, Kind, Menu, Mode, Offer, Question, Screen, Sheet, State, Target, Working,
};
use crate::job::{Job, Step};
use crate::user_error::{Field, Next, Notice};

impl Menu {
    /// The target that opens it.
    pub(crate) const fn target(self) -> Target {
        match self {
            Self::Language => Target::Language,
            Self::Access => Target::Access,
            Self::Keyboard => Target::Keyboard,
            Self::Power => Target::Power,
        }
    }
}

impl State {
    pub(super) fn press(&mut self, target: Option<Target>) {
        let order = self.order();
        self.pressed = target.filter(|target| order.contains(target) || self.is_key(*target));
        match self.pressed {
            // A click on anything else leaves the keyboard where it is.
            Some(target) if target.is_text() => self.focus = target,
            Some(_) => {}
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
        if self.is_key(target) {
            return self.tap(target, effects);
        }
        if !self.order().contains(&target) {
            return;
        }
        match target {
            Target::Appearance => {
                self.dark = !self.dark;
                effects.push(self.save());
            }
            Target::Language => self.open(Menu::Language, Target::Speak(self.language)),
            Target::Speak(language) => {
                self.choose_language(language);
                effects.push(self.save());
                self.close();
            }
            Target::Access => self.open(Menu::Access, Target::Contrast),
            Target::Contrast | Target::Large | Target::Calm | Target::ScreenKeyboard => {
                let access = &mut self.access;
                let switch = match target {
                    Target::Contrast => &mut access.contrast,
                    Target::Large => &mut access.large,
                    Target::ScreenKeyboard => &mut access.keyboard,
                    _ => &mut access.calm,
                };
                *switch = !*switch;
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
            Target::ShutDown => self.ask(Question::ShutDown),
            Target::Restart => self.ask(Question::Restart),
            Target::Sure => self.sure(effects),
            Target::Cancel => self.cancel(),
            Target::Stop | Target::KeepWaiting => {
                if let Screen::Working(working) = &mut self.screen {
                    working.stopping = true;
                    working.to_wait = target == Target::KeepWaiting;
                    self.stop(effects);
                }
            }
            Target::LeaveRest => self.stop(effects),
            Target::Continue => self.go_on(effects),
            Target::Back => self.back(),
            Target::Others => self.show_sign_in(),
            Target::Account(index) => {
                self.notice = None;
                self.show_account(index);
            }
            Target::Someone => self.someone(),
            Target::More => self.more(),
            Target::Submit if self.is_locked() => self.unlock(effects),
            Target::Reveal if self.is_locked() => self.reveal_locked(),
            Target::SignOut => self.ask(Question::SignOut),
            Target::Submit => self.submit(effects),
            Target::Guest => self.guest(effects),
            Target::Next => self.next_step(effects),
            _ => self.in_form(target),
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

    /// Asks before it is done. The answer that changes nothing is in focus.
    fn ask(&mut self, question: Question) {
        self.close();
        let behind = std::mem::replace(&mut self.screen, Screen::Form(Form::sign_in()));
        let focus = self.focus;
        self.notice = None;
        self.show(Screen::Asked(Asked {
            question,
            behind: Box::new(behind),
            focus,
        }));
        self.focus = Target::Cancel;
    }

    /// Back to where it was asked.
    pub(super) fn cancel(&mut self) {
        let screen = std::mem::replace(&mut self.screen, Screen::Form(Form::sign_in()));
        match screen {
            Screen::Asked(asked) => {
                self.show(*asked.behind);
                self.focus = asked.focus;
            }
            screen => self.screen = screen,
        }
    }

    /// Does the thing that was asked about.
    fn sure(&mut self, effects: &mut Vec<Effect>) {
        let Screen::Asked(Asked { question, .. }) = self.screen else {
            return;
        };
        self.cancel();
        match question {
            Question::ShutDown | Question::Restart => effects.push(Effect::Power {
                restart: question == Question::Restart,
            }),
            Question::Forget(index) if index < self.accounts.len() => {
                let account = self.accounts.remove(index);
                effects.push(self.save());
                self.show_sign_in();
                let place = self.abilities.place_of(&account).short();
                self.notice = Some(Notice::taken_off(&account.name, place));
                self.forgotten = Some((index, account));
            }
            Question::SignOut => self.end_session(effects),
            Question::Forget(_) => {}
        }
    }

    /// Puts back on the list what was taken off it last.
    fn put_back(&mut self, effects: &mut Vec<Effect>) {
        if let Some((index, account)) = self.forgotten.take() {
            let index = index.min(self.accounts.len());
            self.accounts.insert(index, account);
            effects.push(self.save());
            self.show_sign_in();
        }
    }

    /// The form for somebody else, with what was looked for as the name.
    fn someone(&mut self) {
        let name = match &mut self.screen {
            Screen::People(people) => Some(std::mem::take(&mut people.find)),
            _ => None,
        };
        self.notice = None;
        self.show_someone();
        if let (Some(name), Screen::Form(form)) = (name, &mut self.screen)
            && !name.is_empty()
        {
            form.name = name;
            self.focus = Target::Password;
        }
    }

    /// The other ways to get in.
    fn more(&mut self) {
        let screen = std::mem::replace(&mut self.screen, Screen::Form(Form::sign_in()));
        let form = match screen {
            Screen::Form(form) if form.mode == Mode::SignIn => form,
            Screen::People(_) => Form::at(self.abilities.place()),
            screen => {
                self.screen = screen;
                return;
            }
        };
        self.notice = None;
        self.show(Screen::Ways(form));
        self.focus = Target::OtherForm;
    }

    /// From the other ways to the form itself.
    fn leave_ways(&mut self) {
        let screen = std::mem::replace(&mut self.screen, Screen::Form(Form::sign_in()));
        match screen {
            Screen::Ways(form) => self.show(Screen::Form(form)),
            screen => self.screen = screen,
        }
    }

    /// Actions that change the form only.
    fn in_form(&mut self, target: Target) {
        if target == Target::Forget {
            if let Screen::Ways(Form {
                chosen: Some(index),
                ..
            }) = self.screen
            {
                self.ask(Question::Forget(index));
            }
            return;
        }
        let was_ways = matches!(self.screen, Screen::Ways(_));
        self.leave_ways();
        let Screen::Form(form) = &mut self.screen else {
            return;
        };
        match target {
            Target::Reveal => form.reveal = !form.reveal,
            Target::Remember => form.remember = !form.remember,
            Target::WithKey => form.with_key = !form.with_key,
            Target::Places => {
                form.places_shown = was_ways || !form.places_shown;
                if was_ways {
                    form.place.kind = Kind::Server;
                    form.place_changed();
                    self.focus = Target::Server;
                }
            }
            Target::AccountStore(kind) => {
                form.place.kind = kind;
                if kind == Kind::Server {
                    self.focus = Target::Server;
                }
                if let (Kind::Network, Some(url)) = (kind, &self.abilities.network) {
                    form.place.network.clone_from(url);
                }
                form.place_changed();
            }
            Target::UseKey => {
                form.key_shown = !form.key_shown;
                form.key.clear();
                self.focus = match (form.chosen, form.key_shown) {
                    (None, true) if form.name.is_empty() => Target::Name,
                    (_, true) if !form.password.is_empty() => Target::SecretKey,
                    _ => Target::Password,
                };
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
            _ => {}
        }
    }

    pub(super) fn submit(&mut self, effects: &mut Vec<Effect>) {
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
                    Some(Field::Name) if form.chosen.is_none() => Target::Name,
                    Some(Field::Words) => Target::Words,
                    Some(Field::Wallet) => Target::Wallet,
                    Some(Field::Server) => {
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
        self.leave_ways();
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
            to_wait: false,
        }));
        self.start(job, effects);
    }

    /// From the price or the sheet to the form, as it was.
    fn back(&mut self) {
        if let Screen::Ways(form) = &self.screen {
            self.focus = match form.chosen {
                None if form.name.is_empty() => Target::Name,
                _ => Target::Password,
            };
            let is_nobody = form.chosen.is_none() && !form.holds_something();
            return match is_nobody {
                true => self.show_sign_in(),
                false => self.leave_ways(),
            };
        }
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
        if next == Next::PutBack {
            self.notice = None;
            return self.put_back(effects);
        }
        let Screen::Form(form) = &mut self.screen else {
            return;
        };
        self.notice = None;
        match next {
            Next::PutBack => {}
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
            Next::AccountStore => {
                form.places_shown = true;
                self.focus = Target::Places;
            }
        }
    }
}
