//! Events in any order: there is no dead end, and never a second session.

use orbital_login::job::{Job, JobId, Opened, Outcome, Step};
use orbital_login::keyboard::{Input, Key};
use orbital_login::language::Language;
use orbital_login::layout::layout;
use orbital_login::state::{Effect, Event, Kind, Mode, Screen, State, Target};
use orbital_login::text::Text;
use orbital_login::user_error::UserError;
use orbital_login::view::view;
use proptest::prelude::*;
use safeos_control::{Keys, Secret};

use super::{KEY, PASSWORD, WORDS, click, opened, priced, remembering};

/// One of the things that can happen.
#[derive(Clone, Debug)]
enum Happening {
    Text(char),
    Key(Key),
    /// The target of this number in the order, pressed and let go.
    Click(usize),
    /// Pressed here, let go there.
    Drag(usize, usize),
    Hover(usize),
    Scroll(i32),
    Idle,
    /// The session is covered, where there is one.
    Covered,
    /// The question about a password is answered.
    Checked(usize),
    /// The same for a question that nobody asks any more.
    CheckedLate,
    Pasted(&'static str),
    Tick,
    Caps(bool),
    PadMoves(bool),
    Started,
    Step(u64),
    /// The keyboard has so many layouts now.
    Keymaps(usize),
    /// A key of the keyboard on the screen is tapped.
    Tap(usize),
    /// A language is chosen, or a switch of the accessibility corner.
    Chosen(usize),
    /// The pending job ends in this way.
    Done(usize),
    /// An answer to a job that is not pending.
    Stray(usize),
    /// Where the account is to live is typed.
    Server(&'static str),
    /// A whole sign-up on the network is typed.
    Wallet,
    /// A whole sign-up with both keys is typed.
    WithKeys,
}

const CODES: &[&str] = &[
    "stopped",
    "wrong_password",
    "unknown_name",
    "account_exists",
    "store_unreachable",
    "rolled_back",
    "in_use",
    "bad_secret_key",
    "unknown_recovery_key",
    "recovery_key_of_another",
    "bad_store_url",
    "weak_password",
    "wallet_empty",
    "too_dear",
    "bad_wallet_key",
    "no_randomness",
    "daemon_gone",
    "unheard_of",
];

fn happening() -> impl Strategy<Value = Happening> {
    let key = prop::sample::select(vec![
        Key::Tab,
        Key::BackTab,
        Key::Enter,
        Key::Enter,
        Key::Escape,
        Key::Backspace,
        Key::Delete,
        Key::Left,
        Key::Right,
        Key::Up,
        Key::Down,
        Key::Home,
        Key::End,
        Key::PageUp,
        Key::PageDown,
        Key::WordLeft,
        Key::DeleteWord,
        Key::DeleteToStart,
        Key::SelectAll,
        Key::Paste,
    ]);
    prop_oneof![
        6 => prop::sample::select(vec!['a', 'b', ' ', 'é', '/', '9', '日']).prop_map(Happening::Text),
        6 => key.prop_map(Happening::Key),
        8 => (0..40_usize).prop_map(Happening::Click),
        1 => (0..40_usize, 0..40_usize).prop_map(|(a, b)| Happening::Drag(a, b)),
        1 => (0..40_usize).prop_map(Happening::Hover),
        1 => (-9..9_i32).prop_map(Happening::Scroll),
        1 => Just(Happening::Idle),
        2 => Just(Happening::Covered),
        3 => (0..9_usize).prop_map(Happening::Checked),
        1 => Just(Happening::CheckedLate),
        1 => prop::sample::select(vec!["a\n", "", "https://x"]).prop_map(Happening::Pasted),
        1 => Just(Happening::Tick),
        1 => any::<bool>().prop_map(Happening::Caps),
        1 => any::<bool>().prop_map(Happening::PadMoves),
        1 => prop::sample::select(vec!["autonomi:", "https://x"]).prop_map(Happening::Server),
        1 => Just(Happening::Wallet),
        1 => Just(Happening::WithKeys),
        1 => (0..19_usize).prop_map(Happening::Chosen),
        2 => (0..60_usize).prop_map(Happening::Tap),
        1 => (0..4_usize).prop_map(Happening::Keymaps),
        2 => Just(Happening::Started),
        1 => (0..9_u64).prop_map(Happening::Step),
        5 => (0..40_usize).prop_map(Happening::Done),
        1 => (0..40_usize).prop_map(Happening::Stray),
    ]
}

/// Each of them is clicked, and then written into.
fn typed(steps: &[(Target, &str)]) -> Vec<Event> {
    let mut events = Vec::new();
    for (target, text) in steps {
        events.push(Event::Press(Some(*target)));
        events.push(Event::Release(Some(*target)));
        events.extend(text.chars().map(|c| Event::Input(Input::Text(c))));
    }
    events
}

/// The state of the world outside: the pending job and whether a session is open.
#[derive(Default)]
struct World {
    pending: Option<(JobId, What)>,
    open: bool,
    /// The question about a password that was asked last.
    asked: Option<JobId>,
    /// The session was told to end.
    ending: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    Price,
    Keys(bool, bool),
    Open,
    Launch,
    Leave(bool),
}

impl World {
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(id, job) => {
                    assert!(self.pending.is_none(), "two jobs at once");
                    let kind = match job {
                        Job::Price { .. } => What::Price,
                        Job::Keys {
                            secret_key,
                            recovery_key,
                        } => What::Keys(secret_key, recovery_key),
                        Job::SignIn(_) | Job::SignUp(_) | Job::Recover(_) | Job::Guest => {
                            assert!(!self.open, "two sessions");
                            What::Open
                        }
                        Job::Launch => {
                            assert!(self.open, "a launcher without a session");
                            What::Launch
                        }
                        Job::Leave { keep } => {
                            assert!(self.open, "leaving what is not open");
                            What::Leave(keep)
                        }
                    };
                    self.pending = Some((id, kind));
                }
                Effect::Check(id, password) => {
                    assert!(self.open && !password.expose().is_empty());
                    self.asked = Some(id);
                }
                Effect::EndPrograms => {
                    assert!(matches!(self.pending, Some((_, What::Launch))));
                    self.ending = true;
                }
                Effect::Stop(id) => assert_eq!(self.pending.map(|(id, _)| id), Some(id)),
                _ => {}
            }
        }
    }

    /// An outcome that the worker could give.
    fn outcome(&mut self, choice: usize) -> Option<(JobId, Outcome)> {
        let (id, kind) = self.pending.take()?;
        let trouble = UserError::new(CODES[choice % CODES.len()], "the message");
        let outcome = match kind {
            What::Price if choice.is_multiple_of(3) => Outcome::Failed(trouble),
            What::Price => Outcome::Priced((!choice.is_multiple_of(5)).then(priced)),
            What::Keys(..) if choice.is_multiple_of(4) => Outcome::Failed(trouble),
            What::Keys(secret_key, recovery_key) => Outcome::Keys(Keys {
                secret_key: secret_key.then(|| Secret::new("60RK4-CSM6M".to_owned())),
                recovery_key: recovery_key.then(|| Secret::new(WORDS.to_owned())),
            }),
            What::Open if choice.is_multiple_of(2) => {
                self.open = true;
                Outcome::Opened(Opened {
                    account: if choice.is_multiple_of(3) { "" } else { "ana" }.to_owned(),
                    secret_key: choice
                        .is_multiple_of(4)
                        .then(|| Secret::new("60RK4-CSM6M".to_owned())),
                    recovery_key: choice
                        .is_multiple_of(6)
                        .then(|| Secret::new(WORDS.to_owned())),
                    ..Opened::default()
                })
            }
            What::Open => Outcome::Failed(trouble),
            What::Launch => {
                self.ending = false;
                Outcome::LauncherEnded(choice.is_multiple_of(2).then_some(trouble))
            }
            What::Leave(false) if choice.is_multiple_of(5) => Outcome::Failed(UserError::stopped()),
            What::Leave(_) => {
                self.open = false;
                Outcome::Left(choice.is_multiple_of(2).then_some(trouble))
            }
        };
        Some((id, outcome))
    }
}

fn check(state: &State, world: &World) {
    let order = state.order();
    let at_rest = state.is_at_rest();
    assert_eq!(at_rest && world.pending.is_none(), !state.is_busy());
    assert!(!at_rest || !world.open, "a form while a session is open");
    assert!(
        order.contains(&state.focus)
            || !at_rest && state.focus == Target::Screen
            || order.is_empty(),
        "the focus {:?} is not in {order:?}",
        state.focus
    );
    if state.is_locked() {
        assert!(world.open && matches!(world.pending, Some((_, What::Launch))));
        assert!(state.is_shown() && !state.is_moving());
    }
    if let Screen::Form(form) = &state.screen {
        assert!(state.menu.is_some() || order.len() > 3);
        for typed in [
            &form.name,
            &form.password,
            &form.again,
            &form.key,
            &form.words,
            &form.wallet,
        ] {
            assert!(typed.is_wiped());
        }
        assert!(
            form.needs_wallet() || form.wallet.is_empty(),
            "a key that nobody sees"
        );
    }
    // Something is pending, or something can be done: no dead end.
    assert!(world.pending.is_some() || !order.is_empty());
}

/// What stands in the fields of the form that is shown.
#[derive(PartialEq)]
struct Letters {
    /// How many letters, without those of the wallet's key.
    count: usize,
    wallet: usize,
    /// Whether some were taken for a request.
    taken: bool,
}

fn letters(state: &State) -> Option<Letters> {
    let form = match &state.screen {
        Screen::Form(form) => form,
        Screen::Locked(locked) => &locked.form,
        _ => return None,
    };
    let fields = [
        &form.name,
        &form.password,
        &form.again,
        &form.key,
        &form.words,
        &form.place.server,
    ];
    Some(Letters {
        count: fields.iter().map(|field| field.chars()).sum(),
        wallet: form.wallet.chars(),
        taken: fields.iter().any(|field| field.is_taken()) || form.wallet.is_taken(),
    })
}

/// From time to time: one key leads away from wherever it is, but where somebody is in already, or it is being left.
fn leaves(state: &mut State, world: &mut World) -> Result<(), TestCaseError> {
    let is_left_alone = match &state.screen {
        // The beginning.
        Screen::People(people) => people.find.is_empty(),
        Screen::Form(form) => form.mode == Mode::SignIn && !form.holds_something(),
        Screen::Working(working) => working.stopping,
        Screen::Sheet(sheet) => sheet.form.is_none(),
        Screen::Running(_) => true,
        // Nothing but the password leads away.
        Screen::Locked(locked) => locked.form.password.is_empty(),
        Screen::Leaving(leaving) => leaving.keep,
        Screen::Offer(_) | Screen::Ways(_) | Screen::Asked(_) => false,
    };
    if state.menu.is_some() || is_left_alone || !state.tick.is_multiple_of(3) {
        return Ok(());
    }
    let place = |state: &State| match &state.screen {
        Screen::Form(form) => (
            std::mem::discriminant(&state.screen),
            Some((form.mode, form.chosen)),
        ),
        screen => (std::mem::discriminant(screen), None),
    };
    let before = place(state);
    let (fields, stops) = (letters(state), world.pending.is_some());
    let effects = state.update(Event::Input(Input::Key(Key::Escape)));
    let stopped = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Stop(_)));
    world.take(effects);
    check(state, world);
    let away = place(state) != before
        || fields.is_some() && letters(state) != fields
        || matches!(&state.screen, Screen::People(people) if people.find.is_empty());
    prop_assert!(away || stops && stopped, "no way out of {:?}", state.screen);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(happenings in prop::collection::vec(happening(), 1..120), remembered in 0..6_usize) {
        let names = ["ana", "ben", "zoë", "dan", "eve", "fay"];
        let mut state = remembering(&names[..remembered]);
        let mut world = World::default();
        let mut text = Text::new();
        let size = [(800, 600), (320, 200), (1280, 800)][remembered % 3];
        for (index, happening) in happenings.into_iter().enumerate() {
            let at = |state: &State, number: usize| {
                let order = state.order();
                order.get(number % order.len().max(1)).copied()
            };
            let events = match happening {
                Happening::Text(character) => vec![Event::Input(Input::Text(character))],
                Happening::Key(key) => vec![Event::Input(Input::Key(key))],
                Happening::Click(number) => {
                    let target = at(&state, number);
                    vec![Event::Press(target), Event::Release(target)]
                }
                Happening::Drag(from, to) => vec![Event::Press(at(&state, from)), Event::Release(at(&state, to))],
                Happening::Hover(number) => vec![Event::Hover(at(&state, number))],
                Happening::Scroll(lines) => vec![Event::Scroll(lines)],
                Happening::Idle => vec![Event::Idle],
                Happening::Covered => vec![Event::Covered],
                Happening::Checked(choice) => {
                    let answer = match choice % 3 {
                        0 => Ok(()),
                        _ => Err(UserError::new(CODES[choice], "the message")),
                    };
                    world.asked.take().map(|id| Event::Checked(id, answer)).into_iter().collect()
                }
                Happening::CheckedLate => vec![Event::Checked(9_999_999, Ok(()))],
                Happening::Pasted(text) => vec![Event::Pasted(zeroize::Zeroizing::new(text.to_owned()))],
                Happening::Tick => vec![Event::Tick],
                Happening::Keymaps(count) => {
                    let names = ["de", "us", "il", "fr"].map(str::to_owned);
                    vec![Event::Keymaps(names[..count].to_vec())]
                }
                Happening::Tap(number) => {
                    let keys = state.keys().concat();
                    let others = [Target::Layer, Target::Capitals, Target::Erase, Target::Type(' ')];
                    let letter = || keys.get(number - others.len()).map(|key| Target::Type(*key));
                    let target = others.get(number).copied().or_else(letter);
                    vec![Event::Press(target), Event::Release(target)]
                }
                Happening::Chosen(number) => {
                    let switches = [Target::Contrast, Target::Large, Target::Calm, Target::ScreenKeyboard];
                    match switches.get(number) {
                        Some(switch) => typed(&[(Target::Access, ""), (*switch, "")]),
                        None => typed(&[
                            (Target::Language, ""),
                            (Target::Speak(Language::ALL[number - switches.len()]), ""),
                        ]),
                    }
                }
                Happening::Caps(on) => vec![Event::Input(Input::Caps(on))],
                Happening::PadMoves(moves) => vec![Event::Input(Input::PadMoves(moves))],
                Happening::Started => world.pending.map(|(id, _)| Event::Started(id)).into_iter().collect(),
                Happening::Step(done) => {
                    let unit = if done % 2 == 0 { "records" } else { "seconds" };
                    let step = Step { what: "uploading".to_owned(), done, total: 5, unit: unit.to_owned() };
                    world.pending.map(|(id, _)| Event::Step(id, step)).into_iter().collect()
                }
                Happening::Done(choice) => world.outcome(choice).map(|(id, outcome)| Event::Done(id, outcome)).into_iter().collect(),
                Happening::Stray(choice) => {
                    let outcome = if choice % 2 == 0 { opened("eve") } else { Outcome::Left(None) };
                    vec![Event::Done(9_999_999, outcome)]
                }
                Happening::Server(url) => typed(&[(Target::Places, ""), (Target::AccountStore(Kind::Server), ""), (Target::Server, url)]),
                Happening::WithKeys => typed(&[
                    (Target::Someone, ""),
                    (Target::More, ""),
                    (Target::OtherForm, ""),
                    (Target::Name, "ana"),
                    (Target::Password, PASSWORD),
                    (Target::Again, PASSWORD),
                    (Target::WithKey, ""),
                    (Target::Submit, ""),
                ]),
                Happening::Wallet => typed(&[
                    (Target::Someone, ""),
                    (Target::More, ""),
                    (Target::OtherForm, ""),
                    (Target::Name, "ana"),
                    (Target::Password, PASSWORD),
                    (Target::Again, PASSWORD),
                    (Target::Places, ""),
                    (Target::AccountStore(Kind::Network), ""),
                    (Target::Wallet, &KEY[2..]),
                    (Target::Submit, ""),
                ]),
            };
            for event in events {
                let typed = match &event {
                    Event::Input(Input::Text(character)) => Some(*character),
                    _ => None,
                };
                let before = letters(&state);
                let may_open = matches!(&event, Event::Checked(_, Ok(())) | Event::Done(..));
                let locked = state.is_locked();
                let (in_field, menu) = (state.focus.is_text(), state.menu.is_some());
                let effects = state.update(event);
                world.take(effects);
                check(&state, &world);
                // The right password or the session's end takes the card away, and its owner may end the session.
                prop_assert!(!locked || state.is_locked() || may_open || world.ending, "it opened by itself");
                // No letter is lost while a form is shown, whatever has the focus; a space is for what has it.
                if let (Some(character), Some(before), Some(after)) = (typed, before, letters(&state))
                    && !menu
                    && (in_field || character != ' ')
                    && !before.taken
                {
                    // A letter in the server's address may lead away from the network: the wallet's key is forgotten then.
                    let wallet = if after.wallet == 0 { 0 } else { before.wallet };
                    let is_there = after.count + after.wallet == before.count + wallet + 1;
                    prop_assert!(is_there || before.count >= 200, "{character:?} is lost");
                }
            }
            leaves(&mut state, &mut world)?;
            if index % 16 == 0 && state.is_shown() {
                // The pointer reaches all that the keyboard reaches.
                let placed = layout(&view(&state), &mut text, size.0, size.1);
                for target in state.order() {
                    let spot = placed.placed.iter().find(|placed| placed.target == Some(target));
                    prop_assert!(spot.is_some(), "{target:?} is nowhere");
                    // Out of sight on a small screen: the wheel brings it.
                    let mut by_wheel = || (-24..=24).any(|lines| {
                        let mut view = view(&state);
                        view.scrolled = lines;
                        let placed = layout(&view, &mut text, size.0, size.1);
                        placed.placed.iter().any(|one| one.target == Some(target) && !one.rect.is_empty())
                    });
                    prop_assert!(spot.is_some_and(|spot| !spot.rect.is_empty()) || by_wheel(), "{target:?} is out of reach");
                }
            }
        }
        // From wherever it is, it comes back to the form.
        for _ in 0..20 {
            if !state.is_busy() {
                break;
            }
            if let Some((id, outcome)) = world.outcome(7) {
                let effects = state.update(Event::Done(id, outcome));
                world.take(effects);
            } else {
                let effects = click(&mut state, Target::Continue);
                world.take(effects);
            }
            check(&state, &world);
        }
        prop_assert!(!state.is_busy() && !world.open);
    }
}
