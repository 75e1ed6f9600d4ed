//! The state of the screen: events go in, effects come out.
//!
//! What always holds here: nothing is read, written, drawn or waited for. There is at most one job and at
//! most one session; while one is open no form can be filled in. Every screen leads back to the form. Secrets
//! live in the form, which wipes them when it goes, and in the request that is made of them. A letter that is typed
//! while a form is shown goes into a field.

mod account_store;
mod action;
mod choose;
mod edit;
mod form;
mod keys;
mod language;
mod layer;
mod locked;
mod order;
mod people;
mod screen;
mod target;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use safeos_control::{Keys, Priced, Secret};
use zeroize::Zeroizing;

pub use account_store::{AccountStore, Kind, NETWORK, host, is_network};
pub use form::{Form, Mode, WalletKey};
pub use layer::Layer;
pub use locked::NoLock;
pub use people::{People, SHOWN as PEOPLE_SHOWN};
pub use screen::{Asked, Leaving, Locked, Menu, Offer, Question, Running, Screen, Sheet, Working};
pub use target::Target;

use crate::job::{Job, JobId, Opened, Outcome, Step};
use crate::keyboard::Input;
use crate::language::{Language, Locale};
use crate::message::Message;
use crate::settings::{Access, REMEMBERED_MAX, Remembered, Settings};
use crate::user_error::{Notice, UserError, explain};

/// The keyboard layout that Redox starts with.
const SYSTEM_KEYMAP: &str = "us";

/// Typed text is kept for so long without a key.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// An event.
#[derive(Debug)]
pub enum Event {
    /// From the keyboard.
    Input(Input),
    /// The pointer moved over something else.
    Hover(Option<Target>),
    /// The button went down.
    Press(Option<Target>),
    /// The button went up.
    Release(Option<Target>),
    /// The wheel was turned by so many lines, down if it is more than 0.
    Scroll(i32),
    /// Copied text, for the field in focus.
    Pasted(Zeroizing<String>),
    /// Nobody has pressed a key for [`State::idle_after`].
    Idle,
    /// Somebody wants the session covered, and hears whether it is. For the window, which does it.
    LockWanted(Option<mpsc::Sender<Result<(), String>>>),
    /// The window covers the session now, and has the keyboard and the pointer to itself.
    Covered,
    /// Whether a password is the right one, or why nobody can say.
    Checked(JobId, Result<(), UserError>),
    /// Time for the next picture of something that moves.
    Tick,
    /// The minute has changed.
    Clock(Clock),
    /// The keyboard has other layouts than before.
    Keymaps(Vec<String>),
    /// The computer is otherwise than before.
    Computer(Computer),
    /// A job's program is on the screen now.
    Started(JobId),
    /// How far a job is.
    Step(JobId, Step),
    /// A job has ended.
    Done(JobId, Outcome),
}

/// Hears events of other threads.
pub type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// An effect.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Do this.
    Start(JobId, Job),
    /// Stop that.
    Stop(JobId),
    /// Use this keyboard layout.
    Keymap(String),
    /// Turn the computer off, or off and on.
    Power {
        /// And on again.
        restart: bool,
    },
    /// Ask whether this is the password of whoever is in.
    Check(JobId, Secret),
    /// End the programs of the session.
    EndPrograms,
    /// Keep these settings.
    Save(Settings),
    /// Keep this language, by its code, in the home that is open.
    KeepLanguage(&'static str),
    /// Nothing that the session copied may be pasted by the next one.
    ClearClipboard,
    /// Hand in what was copied.
    Paste,
}

/// The time, as it is where the computer is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Clock {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 is Sunday.
    pub weekday: u8,
    /// From 1 on.
    pub day: u8,
    /// From 1 on.
    pub month: u8,
    /// As it is counted.
    pub year: u16,
    /// It cannot be right.
    pub is_wrong: bool,
}

/// How this computer is, as far as it can be told.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Computer {
    /// Its name in the network.
    pub name: String,
    /// Whether it is connected.
    pub online: Option<bool>,
    /// How full its battery is, in percent.
    pub battery: Option<u8>,
}

/// The abilities of this computer.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Abilities {
    /// Be shut down from here.
    pub power: bool,
    /// Reach the network of this URL.
    pub network: Option<String>,
    /// Its own store is that network.
    pub only_network: bool,
    /// The URL of its own store, where that is on a server.
    pub server: Option<String>,
    /// Its language and time format.
    pub locale: Locale,
}

impl Abilities {
    /// Where an account lives when nobody says otherwise.
    pub fn place(&self) -> AccountStore {
        let network = self.network.as_deref();
        AccountStore::of(network.filter(|_| self.only_network)).with_own(self.server.as_deref())
    }

    /// Where a remembered account lives.
    pub fn place_of(&self, account: &Remembered) -> AccountStore {
        AccountStore::of(account.store.as_deref()).with_own(self.server.as_deref())
    }
}

/// Everything the screen knows.
#[derive(Debug)]
pub struct State {
    /// The screen that is shown.
    pub screen: Screen,
    /// The target in focus.
    pub focus: Target,
    /// The field it went to last.
    field: Target,
    /// The target under the pointer.
    pub hover: Option<Target>,
    /// The target on which the button went down.
    pub pressed: Option<Target>,
    /// The open menu of a corner.
    pub menu: Option<Menu>,
    /// The last result, good or bad.
    pub notice: Option<Notice>,
    /// Caps Lock seems to be on.
    pub caps: bool,
    /// Num Lock is off, and somebody types on the keypad.
    pub pad_moves: bool,
    /// Dark instead of light.
    pub dark: bool,
    /// Counts the pictures of what moves.
    pub tick: u32,
    /// How many lines the wheel was turned since the focus moved, where there is no list to turn.
    pub scrolled: i32,
    /// The accessibility switches.
    pub access: Access,
    /// Everything is at least so large, in percent, as far as the screen has room: where pixels are small.
    pub percent: u16,
    /// The layer of the keyboard on the screen.
    pub layer: Layer,
    /// The next letter from it is a capital.
    pub capitals: bool,
    /// The language of the screen.
    pub language: Language,
    /// The languages that can be shown.
    pub languages: Vec<Language>,
    /// The language that was chosen on this computer.
    chosen_language: Option<Language>,
    /// It was chosen since the last session: whoever opens the next one keeps it.
    keeps_language: bool,
    /// The time.
    pub clock: Clock,
    /// How the computer is.
    pub computer: Computer,
    /// The remembered accounts, the last used first.
    pub accounts: Vec<Remembered>,
    /// The keyboard layouts there are.
    pub keymaps: Vec<String>,
    /// The one that is in use.
    pub keymap: usize,
    /// The abilities of this computer.
    pub abilities: Abilities,
    /// The image has a console for developers: said wherever somebody may sign in.
    pub console: bool,
    /// The account that was taken off the list last, and its position.
    forgotten: Option<(usize, Remembered)>,
    job: Option<JobId>,
    next_job: JobId,
}

impl State {
    /// The first screen.
    pub fn new(settings: Settings, keymaps: Vec<String>, abilities: Abilities) -> Self {
        // Nobody can be asked for the layout in use; until one is chosen it is the system's.
        let in_use = settings.keymap.as_deref().unwrap_or(SYSTEM_KEYMAP);
        let keymap = keymaps.iter().position(|name| name == in_use).unwrap_or(0);
        let chosen_language = settings.language.as_deref().and_then(Language::of);
        let mut state = Self {
            screen: Screen::Form(Form::sign_in()),
            focus: Target::Name,
            field: Target::Name,
            hover: None,
            pressed: None,
            menu: None,
            notice: None,
            caps: false,
            pad_moves: false,
            dark: !settings.light,
            tick: 0,
            scrolled: 0,
            access: settings.access,
            percent: 100,
            layer: Layer::default(),
            capitals: false,
            language: chosen_language.unwrap_or(abilities.locale.language),
            languages: Language::ALL.into(),
            chosen_language,
            keeps_language: false,
            clock: Clock::default(),
            computer: Computer::default(),
            accounts: settings.accounts,
            keymaps,
            keymap,
            abilities,
            console: false,
            forgotten: None,
            job: None,
            next_job: 1,
        };
        state.accounts.truncate(REMEMBERED_MAX);
        state.show_sign_in();
        state
    }

    /// Whether the window is wanted: not while the launcher has the screen.
    pub fn is_shown(&self) -> bool {
        !matches!(&self.screen, Screen::Running(running) if running.started && !running.ending)
    }

    /// Whether something moves.
    pub fn is_moving(&self) -> bool {
        self.is_shown() && self.job.is_some() && !self.is_locked() && !self.access.calm
    }

    /// Whether a session is open or being opened or ended.
    pub fn is_busy(&self) -> bool {
        self.job.is_some() || !self.is_at_rest()
    }

    /// Whether nobody is in, or on the way.
    pub fn is_at_rest(&self) -> bool {
        match &self.screen {
            Screen::People(_) | Screen::Form(_) | Screen::Ways(_) => true,
            Screen::Asked(_) => !self.is_locked(),
            _ => false,
        }
    }

    /// After how long without a key [`Event::Idle`] is due: where something was typed that must not stand there for ever.
    pub fn idle_after(&self) -> Option<Duration> {
        let is_typed = match &self.screen {
            Screen::People(people) => !people.find.is_empty(),
            Screen::Form(form) | Screen::Ways(form) => form.holds_something(),
            Screen::Locked(locked) => !locked.form.is_wiped(),
            Screen::Asked(_) => true,
            _ => false,
        };
        is_typed.then_some(IDLE_AFTER)
    }

    /// Nobody is there any more: what was typed goes.
    fn idle(&mut self) {
        if self.idle_after().is_none() {
            return;
        }
        if let Screen::Asked(_) = self.screen {
            self.menu = None;
            self.cancel();
        }
        let typed = match &mut self.screen {
            Screen::Form(form) if form.mode != Mode::SignIn => {
                let typed = form.holds_something();
                form.wipe();
                typed
            }
            Screen::Form(form) | Screen::Ways(form) => {
                let typed = form.holds_something();
                self.show_sign_in();
                typed
            }
            Screen::People(_) => {
                self.show_sign_in();
                false
            }
            Screen::Locked(locked) => {
                let typed = !locked.form.is_wiped();
                locked.form.wipe();
                typed
            }
            _ => false,
        };
        if typed {
            self.notice = Some(Notice::plain("idle-title", Message::new("idle-text")));
        }
    }

    /// Takes an event; says what is to be done.
    pub fn update(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        let focus = self.focus;
        let typed = matches!(event, Event::Input(_) | Event::Pasted(_));
        match event {
            Event::Input(Input::Caps(on)) => self.caps = on,
            Event::Input(Input::PadMoves(moves)) => self.pad_moves = moves,
            Event::Input(Input::Text(character)) => self.text(character, &mut effects),
            Event::Input(Input::Key(key)) => self.key(key, &mut effects),
            Event::Hover(target) => self.hover = target,
            Event::Scroll(lines) => self.scroll(lines),
            Event::Pasted(text) => self.paste(&text),
            Event::Idle => self.idle(),
            Event::LockWanted(_) => {}
            Event::Covered => self.cover(),
            Event::Checked(id, answer) => self.checked(id, answer, &mut effects),
            Event::Press(target) => self.press(target),
            Event::Release(target) => {
                if let Some(target) = target.filter(|_| self.pressed == target) {
                    self.activate(target, &mut effects);
                }
                self.pressed = None;
            }
            Event::Tick => {
                if self.is_moving() {
                    self.tick = self.tick.wrapping_add(1);
                }
            }
            Event::Clock(clock) => self.clock = clock,
            Event::Keymaps(keymaps) => {
                let in_use = self.keymaps.get(self.keymap);
                let again = keymaps.iter().position(|name| Some(name) == in_use);
                self.keymap = again.unwrap_or(0);
                self.keymaps = keymaps;
                // Its entries are others now.
                if self.menu == Some(Menu::Keyboard) {
                    self.menu = None;
                }
            }
            Event::Computer(computer) => self.computer = computer,
            Event::Started(job) => {
                if let (true, Screen::Running(running)) = (self.job == Some(job), &mut self.screen)
                {
                    running.started = true;
                }
            }
            Event::Step(job, step) if self.job == Some(job) => match &mut self.screen {
                Screen::Working(working) => working.step = step,
                Screen::Leaving(leaving) => leaving.step = step,
                _ => {}
            },
            Event::Done(job, outcome) if self.job == Some(job) => {
                self.job = None;
                self.done(outcome, &mut effects);
            }
            Event::Step(..) | Event::Done(..) => {}
        }
        self.keep_focus();
        if typed || self.focus != focus {
            self.scrolled = 0;
        }
        effects
    }

    fn save(&self) -> Effect {
        Effect::Save(Settings {
            accounts: self.accounts.clone(),
            light: !self.dark,
            keymap: self.keymaps.get(self.keymap).cloned(),
            language: self
                .chosen_language
                .map(|language| language.code().to_owned()),
            access: self.access,
        })
    }

    fn start(&mut self, job: Job, effects: &mut Vec<Effect>) {
        let id = self.next_job;
        self.next_job += 1;
        self.job = Some(id);
        effects.push(Effect::Start(id, job));
    }

    fn stop(&self, effects: &mut Vec<Effect>) {
        effects.extend(self.job.map(Effect::Stop));
    }

    /// The list of people; of one that is remembered, the form.
    fn show_sign_in(&mut self) {
        match self.accounts.len() {
            0 => self.show_someone(),
            1 => self.show_account(0),
            _ => {
                self.speak(None);
                self.focus = Target::Account(0);
                self.show(Screen::People(People::default()));
            }
        }
    }

    /// The form of a remembered account.
    fn show_account(&mut self, index: usize) {
        if let Some(account) = self.accounts.get(index) {
            let mut form = Form::at(self.abilities.place_of(account));
            form.choose(index, account);
            let theirs = account.language.as_deref().and_then(Language::of);
            self.speak(theirs);
            self.focus = Target::Password;
            self.show(Screen::Form(form));
        }
    }

    /// The form of whoever has not been here.
    fn show_someone(&mut self) {
        self.speak(None);
        self.focus = Target::Name;
        self.show(Screen::Form(Form::at(self.abilities.place())));
    }

    fn show(&mut self, screen: Screen) {
        self.screen = screen;
        self.menu = None;
        self.pressed = None;
        self.hover = None;
    }

    fn done(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        // Taken out; every branch below puts one in again.
        let screen = std::mem::replace(&mut self.screen, Screen::Form(Form::sign_in()));
        match (screen, outcome) {
            (Screen::Working(working), Outcome::Opened(opened)) => {
                self.opened(working, opened, effects);
            }
            (Screen::Working(working), Outcome::Priced(_) | Outcome::Keys(_))
                if working.stopping =>
            {
                self.refused(working, &UserError::stopped());
            }
            (Screen::Working(working), Outcome::Priced(priced)) => {
                self.priced(working.form, priced, effects);
            }
            (Screen::Working(working), Outcome::Keys(keys)) => self.show_keys(working.form, keys),
            (Screen::Working(mut working), Outcome::Failed(trouble))
                if working.to_wait && trouble.code == "stopped" =>
            {
                working.form.wait = true;
                self.screen = Screen::Form(working.form);
                self.submit(effects);
            }
            (Screen::Working(working), Outcome::Failed(trouble)) => self.refused(working, &trouble),
            (Screen::Asked(Asked { behind, .. }), outcome) => {
                self.screen = *behind;
                self.done(outcome, effects);
            }
            (Screen::Running(running) | Screen::Locked(Locked { running, .. }), outcome) => {
                let after = match outcome {
                    // It was told to end.
                    _ if running.ending => None,
                    Outcome::LauncherEnded(trouble) => trouble,
                    Outcome::Failed(trouble) => Some(trouble),
                    Outcome::Opened(_)
                    | Outcome::Priced(_)
                    | Outcome::Keys(_)
                    | Outcome::Left(_) => None,
                };
                self.leave(running.account, false, after, effects);
            }
            (Screen::Leaving(leaving), Outcome::Failed(trouble))
                if !leaving.keep && trouble.code == "stopped" =>
            {
                self.leave(leaving.account, true, leaving.after, effects);
            }
            (Screen::Leaving(leaving), outcome) => {
                let trouble = match outcome {
                    Outcome::Left(trouble) => trouble,
                    Outcome::Failed(trouble) => Some(trouble),
                    Outcome::Opened(_)
                    | Outcome::Priced(_)
                    | Outcome::Keys(_)
                    | Outcome::LauncherEnded(_) => None,
                };
                effects.push(Effect::ClearClipboard);
                self.show_sign_in();
                // Lost or kept changes are told before the end of the desktop.
                self.left(&leaving, trouble.or_else(|| leaving.after.clone()).as_ref());
            }
            // An answer that fits nothing changes nothing.
            (screen, _) => self.screen = screen,
        }
    }

    /// The price is known: the person is asked, where there is one.
    fn priced(&mut self, form: Form, priced: Option<Priced>, effects: &mut Vec<Effect>) {
        self.focus = Target::Screen;
        match priced {
            Some(priced) => self.show(Screen::Offer(Offer { form, priced })),
            None => {
                let job = form.make();
                self.show(Screen::Form(form));
                self.work(job, effects);
            }
        }
    }

    /// Shows the keys of an account that is made when the person has kept them: whatever happens while it is made, they are
    /// not lost with it.
    fn show_keys(&mut self, form: Form, keys: Keys) {
        self.focus = Target::Screen;
        self.notice = None;
        self.show(Screen::Sheet(Sheet {
            account: form.name.as_str().trim().to_owned(),
            store: form.place.url().unwrap_or_default(),
            second: keys.secret_key.is_none(),
            keys,
            form: Some(form),
        }));
    }

    fn opened(&mut self, working: Working, opened: Opened, effects: &mut Vec<Effect>) {
        let Working {
            form,
            guest,
            stopping,
            to_wait,
            ..
        } = working;
        if stopping && !to_wait {
            // It was quicker than the wish to stop it.
            let after = match form.mode {
                Mode::Recover => UserError::new("password_set", ""),
                Mode::Create if !guest => UserError::new("account_made", ""),
                Mode::SignIn | Mode::Create => UserError::stopped(),
            };
            return self.leave(opened.account, true, Some(after), effects);
        }
        if form.remember && !guest {
            let store = form.place.url();
            let is_theirs =
                |known: &Remembered| known.name == opened.account && known.store == store;
            let known = self.accounts.iter().find(|known| is_theirs(known));
            let language = match self.keeps_language {
                true => Some(self.language.code().to_owned()),
                false => opened.language.clone(),
            };
            let language = language.or_else(|| known?.language.clone());
            self.accounts.retain(|known| !is_theirs(known));
            self.accounts.insert(
                0,
                Remembered {
                    name: opened.account.clone(),
                    store,
                    language,
                },
            );
            self.accounts.truncate(REMEMBERED_MAX);
            effects.push(self.save());
        }
        self.language_of_session(opened.language.as_deref().filter(|_| !guest), effects);
        // The form goes here, and its secrets with it.
        drop(form);
        self.notice = None;
        if opened.secret_key.is_none() && opened.recovery_key.is_none() {
            return self.launch(opened.account, opened.offline, effects);
        }
        self.focus = Target::Screen;
        self.show(Screen::Sheet(Sheet {
            account: opened.account,
            store: opened.store,
            second: opened.secret_key.is_none(),
            keys: Keys {
                secret_key: opened.secret_key,
                recovery_key: opened.recovery_key,
            },
            form: None,
        }));
    }

    fn launch(&mut self, account: String, offline: bool, effects: &mut Vec<Effect>) {
        self.focus = Target::Screen;
        self.show(Screen::Running(Running {
            account,
            started: false,
            offline,
            ending: false,
        }));
        self.start(Job::Launch, effects);
    }

    fn leave(
        &mut self,
        account: String,
        keep: bool,
        after: Option<UserError>,
        effects: &mut Vec<Effect>,
    ) {
        self.focus = Target::Screen;
        self.show(Screen::Leaving(Leaving {
            account,
            step: Step::default(),
            keep,
            after,
        }));
        self.start(Job::Leave { keep }, effects);
    }

    /// The notice on the form after a session.
    fn left(&mut self, leaving: &Leaving, trouble: Option<&UserError>) {
        let account = &leaving.account;
        self.notice = match trouble {
            Some(trouble) => Some(explain(trouble, account, &AccountStore::default(), false)),
            None if leaving.keep => Some(Notice::calm("signed-out", "out-kept")),
            None if account.is_empty() => Some(Notice::calm("signed-out", "out-guest")),
            None => Some(Notice::calm("signed-out", "out-saved")),
        };
        // Nothing to do about it from here but to sign in again.
        if let Some(notice) = &mut self.notice {
            notice.next = None;
            notice.field = None;
        }
    }

    /// Back to the form, with the reason.
    fn refused(&mut self, working: Working, trouble: &UserError) {
        let mut form = working.form;
        form.reveal = false;
        form.wait = false;
        let mut notice = explain(trouble, form.name.as_str(), &form.place, form.key_shown);
        if trouble.code == "stopped" {
            let kept = form.kept != Keys::default();
            form.wipe();
            match form.mode {
                Mode::Recover => notice.text = Message::new("stopped-maybe-set"),
                Mode::Create if kept => notice.text = Message::new("stopped-maybe-made"),
                Mode::SignIn | Mode::Create => {}
            }
        }
        self.focus = form.after_refusal(&notice);
        self.show(Screen::Form(form));
        self.notice = Some(notice);
    }
}
