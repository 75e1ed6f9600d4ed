//! The state machine under scripted and random events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use orbital_login::job::{Job, JobId, Opened, Outcome, Step};
use orbital_login::keyboard::{Input, Key};
use orbital_login::layout::layout;
use orbital_login::settings::{Remembered, Settings};
use orbital_login::state::{
    Abilities, Effect, Event, Form, Kind, Mode, NETWORK, Screen, State, Target, WalletKey,
};
use orbital_login::text::Text;
use orbital_login::trouble::Trouble;
use orbital_login::view::{Item, view};
use proptest::prelude::*;
use safeos_control::{Priced, Secret, Sum};

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const PASSWORD: &str = "correct horse battery";
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

fn fresh() -> State {
    State::new(Settings::default(), Vec::new(), Abilities::default())
}

fn remembering(names: &[&str]) -> State {
    let settings = Settings {
        accounts: names
            .iter()
            .map(|name| Remembered {
                name: (*name).to_owned(),
                store: None,
            })
            .collect(),
        ..Settings::default()
    };
    let abilities = Abilities {
        power: true,
        network: Some(NETWORK.to_owned()),
        only_network: false,
    };
    State::new(settings, vec!["us".to_owned(), "de".to_owned()], abilities)
}

fn press(state: &mut State, key: Key) -> Vec<Effect> {
    state.update(Event::Input(Input::Key(key)))
}

fn write(state: &mut State, text: &str) {
    for character in text.chars() {
        assert_eq!(state.update(Event::Input(Input::Text(character))), []);
    }
}

fn click(state: &mut State, target: Target) -> Vec<Effect> {
    let mut effects = state.update(Event::Press(Some(target)));
    effects.extend(state.update(Event::Release(Some(target))));
    effects
}

#[track_caller]
fn form(state: &State) -> &Form {
    match &state.screen {
        Screen::Form(form) => form,
        other => panic!("no form: {other:?}"),
    }
}

/// The one job that was started.
#[track_caller]
fn started(effects: Vec<Effect>) -> (JobId, Job) {
    let mut jobs: Vec<_> = effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Start(id, job) => Some((id, job)),
            _ => None,
        })
        .collect();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

fn opened(name: &str) -> Outcome {
    Outcome::Opened(Opened {
        account: name.to_owned(),
        ..Opened::default()
    })
}

/// Types name and password and goes.
fn sign_in(state: &mut State) -> (JobId, Job) {
    write(state, "ana");
    press(state, Key::Enter);
    write(state, PASSWORD);
    started(press(state, Key::Enter))
}

#[track_caller]
fn refuse(code: &str) -> State {
    let mut state = fresh();
    let (id, _) = sign_in(&mut state);
    let trouble = Trouble::new(code, "the message");
    assert_eq!(state.update(Event::Done(id, Outcome::Failed(trouble))), []);
    state
}

#[test]
fn a_session_from_beginning_to_end() {
    let mut state = fresh();
    let (id, job) = sign_in(&mut state);
    let Job::SignIn(request) = job else {
        panic!("{job:?}")
    };
    assert_eq!(
        (request.name.as_str(), request.password.expose()),
        ("ana", PASSWORD)
    );
    assert!(state.is_moving() && state.is_shown());
    let (id, job) = started(state.update(Event::Done(id, opened("ana"))));
    assert_eq!(job, Job::Launch);
    state.update(Event::Started(id));
    assert!(!state.is_shown() && !state.is_moving());
    let (id, job) = started(state.update(Event::Done(id, Outcome::LauncherEnded(None))));
    assert_eq!(job, Job::Leave { keep: false });
    state.update(Event::Step(
        id,
        Step {
            what: "uploading".to_owned(),
            done: 4,
            total: 7,
            unit: "records".to_owned(),
        },
    ));
    assert!(format!("{:?}", view(&state).card).contains("3 records left"));
    assert_eq!(
        state.update(Event::Done(id, Outcome::Left(None))),
        [Effect::ClearClipboard]
    );
    assert!(form(&state).is_wiped());
    assert!(state.notice.as_ref().is_some_and(|notice| notice.calm));
}

#[test]
fn nothing_secret_stays_when_the_screen_is_left() {
    // Signed in.
    let mut state = fresh();
    let (id, _) = sign_in(&mut state);
    state.update(Event::Done(id, opened("ana")));
    assert!(!matches!(
        state.screen,
        Screen::Form(_) | Screen::Working(_)
    ));
    // Stopped, and Escape.
    let mut state = fresh();
    let (id, _) = sign_in(&mut state);
    assert_eq!(press(&mut state, Key::Escape), [Effect::Stop(id)]);
    state.update(Event::Done(id, Outcome::Failed(Trouble::stopped())));
    assert!(form(&state).is_wiped());
    write(&mut state, PASSWORD);
    press(&mut state, Key::Escape);
    assert!(form(&state).is_wiped());
    // To the other form and back, to another account, to a guest.
    for target in [
        Target::OtherForm,
        Target::Guest,
        Target::Forgotten,
        Target::Account(1),
        Target::Someone,
    ] {
        let mut state = remembering(&["ana", "ben"]);
        write(&mut state, PASSWORD);
        click(&mut state, target);
        let form = match &state.screen {
            Screen::Form(form) => form,
            Screen::Working(working) => &working.form,
            other => panic!("{other:?}"),
        };
        assert!(form.is_wiped(), "{target:?}");
    }
    // A wrong password is not kept either.
    assert!(form(&refuse("wrong_password")).is_wiped());
    // And nothing of it is ever printed.
    let mut state = fresh();
    write(&mut state, "ana");
    press(&mut state, Key::Enter);
    write(&mut state, PASSWORD);
    assert!(!format!("{state:?}").contains("horse"));
    assert!(!format!("{:?}", view(&state)).contains("horse"));
    let shown = |state: &State| {
        view(state).card.iter().any(|item| match item {
            Item::Field(field) => field.text.contains("horse"),
            _ => false,
        })
    };
    assert!(!shown(&state));
    click(&mut state, Target::Reveal);
    assert!(shown(&state));
}

#[test]
fn each_refusal_leads_on() {
    let state = refuse("wrong_password");
    assert_eq!(
        (form(&state).name.as_str(), state.focus),
        ("ana", Target::Password)
    );
    let mut state = refuse("unknown_name");
    assert_eq!(state.focus, Target::Name);
    click(&mut state, Target::Next);
    assert_eq!(
        (form(&state).mode, form(&state).name.as_str()),
        (Mode::Create, "ana")
    );
    // What only has to be tried again needs no typing again.
    let mut state = refuse("store_unreachable");
    assert_eq!(state.focus, Target::Next);
    let (_, job) = started(press(&mut state, Key::Enter));
    assert!(matches!(job, Job::SignIn(request) if request.password.expose() == PASSWORD));
    let mut state = refuse("rolled_back");
    let (id, job) = started(press(&mut state, Key::Enter));
    assert!(matches!(job, Job::SignIn(request) if request.accept_older));
    // Once only.
    state.update(Event::Done(
        id,
        Outcome::Failed(Trouble::new("in_use", "x")),
    ));
    let (_, job) = started(press(&mut state, Key::Enter));
    assert!(matches!(job, Job::SignIn(request) if !request.accept_older));
    let mut state = refuse("wrong_password");
    click(&mut state, Target::Next);
    assert!(form(&state).key_shown);
    write(&mut state, PASSWORD);
    press(&mut state, Key::Enter);
    assert_eq!(state.focus, Target::SecretKey);
    write(&mut state, "60rk4");
    let (_, job) = started(press(&mut state, Key::Enter));
    assert!(
        matches!(job, Job::SignIn(request) if request.secret_key == Some(Secret::new("60rk4".to_owned())))
    );
}

#[test]
fn stopping_and_opening_at_the_same_moment_leaves_no_session() {
    let mut state = fresh();
    let (id, _) = sign_in(&mut state);
    press(&mut state, Key::Escape);
    assert_eq!(press(&mut state, Key::Escape), []);
    let (id, job) = started(state.update(Event::Done(id, opened("ana"))));
    assert_eq!(job, Job::Leave { keep: true });
    state.update(Event::Done(id, Outcome::Left(None)));
    assert!(form(&state).is_wiped());
}

#[test]
fn a_key_pressed_too_often_stops_and_skips_nothing() {
    let mut state = fresh();
    click(&mut state, Target::OtherForm);
    write(&mut state, "ana");
    press(&mut state, Key::Enter);
    write(&mut state, PASSWORD);
    press(&mut state, Key::Enter);
    write(&mut state, PASSWORD);
    click(&mut state, Target::WithKey);
    let (id, job) = started(click(&mut state, Target::Submit));
    assert!(matches!(job, Job::SignUp(request) if request.generate_secret_key));
    assert_eq!(press(&mut state, Key::Enter), []);
    write(&mut state, " ");
    let outcome = Outcome::Opened(Opened {
        account: "ana".to_owned(),
        secret_key: Some(Secret::new(
            "60RK4-CSM6M-V3EE1-SC5H6-6S35C-SJ9RC".to_owned(),
        )),
        ..Opened::default()
    });
    assert_eq!(state.update(Event::Done(id, outcome)), []);
    assert_eq!(press(&mut state, Key::Enter), []);
    assert!(matches!(state.screen, Screen::Sheet(_)));
    // With the keyboard alone all the same.
    press(&mut state, Key::Tab);
    let (_, job) = started(press(&mut state, Key::Enter));
    assert_eq!(job, Job::Launch);
}

#[test]
fn both_keys_are_shown_one_after_the_other() {
    let mut state = fresh();
    let (id, _) = sign_in(&mut state);
    let outcome = Outcome::Opened(Opened {
        account: "ana".to_owned(),
        secret_key: Some(Secret::new(
            "60RK4-CSM6M-V3EE1-SC5H6-6S35C-SJ9RC".to_owned(),
        )),
        recovery_key: Some(Secret::new(WORDS.to_owned())),
        ..Opened::default()
    });
    assert_eq!(state.update(Event::Done(id, outcome)), []);
    let shows = |state: &State, word: &str| {
        view(state).card.iter().any(|item| match item {
            Item::Key(text) | Item::Words(text) => text.contains(word),
            _ => false,
        })
    };
    assert!(shows(&state, "60RK4") && !shows(&state, "sausage"));
    assert_eq!(click(&mut state, Target::Continue), []);
    assert!(!shows(&state, "60RK4") && shows(&state, "sausage"));
    // Pressed too often: the second one is not skipped.
    assert_eq!(press(&mut state, Key::Enter), []);
    assert!(!format!("{state:?}").contains("sausage"));
    let (_, job) = started(click(&mut state, Target::Continue));
    assert_eq!(job, Job::Launch);
}

#[test]
fn a_forgotten_password_is_replaced() {
    let mut state = remembering(&["ana"]);
    click(&mut state, Target::Forgotten);
    assert_eq!((form(&state).chosen, state.focus), (Some(0), Target::Words));
    write(&mut state, &WORDS.replace("year", "yaer"));
    assert!(
        form(&state)
            .words_hint()
            .is_some_and(|hint| hint.contains("word 4"))
    );
    press(&mut state, Key::Enter);
    write(&mut state, PASSWORD);
    press(&mut state, Key::Enter);
    write(&mut state, PASSWORD);
    assert_eq!(press(&mut state, Key::Enter), []);
    assert_eq!(state.focus, Target::Words);
    for _ in 0..200 {
        press(&mut state, Key::Backspace);
    }
    write(&mut state, WORDS);
    assert_eq!(form(&state).words_hint(), None);
    let (id, job) = started(click(&mut state, Target::Submit));
    let Job::Recover(request) = job else {
        panic!("{job:?}")
    };
    assert_eq!(request.name.as_deref(), Some("ana"));
    assert_eq!(request.recovery_key.expose(), WORDS);
    assert_eq!(request.new_password.expose(), PASSWORD);
    // Whoever stops it is not told that nothing was changed.
    let says = |state: &State| state.notice.as_ref().unwrap().text.clone();
    press(&mut state, Key::Escape);
    state.update(Event::Done(id, Outcome::Failed(Trouble::stopped())));
    assert!(says(&state).contains("may hold already"));
    click(&mut state, Target::Words);
    write(&mut state, WORDS);
    click(&mut state, Target::Password);
    write(&mut state, PASSWORD);
    press(&mut state, Key::Enter);
    write(&mut state, PASSWORD);
    let (id, _) = started(press(&mut state, Key::Enter));
    let trouble = Trouble::new("recovery_key_replaced", "the message");
    state.update(Event::Done(id, Outcome::Failed(trouble)));
    assert_eq!(state.focus, Target::Words);
    press(&mut state, Key::Escape);
    assert_eq!(
        (form(&state).mode, form(&state).chosen),
        (Mode::SignIn, Some(0))
    );
    assert!(form(&state).is_wiped());
}

#[test]
fn the_rest_can_be_left_to_the_next_time() {
    let mut state = fresh();
    let (id, _) = sign_in(&mut state);
    let (id, _) = started(state.update(Event::Done(id, opened("ana"))));
    let (id, _) = started(state.update(Event::Done(id, Outcome::LauncherEnded(None))));
    assert_eq!(click(&mut state, Target::LeaveRest), [Effect::Stop(id)]);
    let (id, job) = started(state.update(Event::Done(id, Outcome::Failed(Trouble::stopped()))));
    assert_eq!(job, Job::Leave { keep: true });
    assert!(!state.order().contains(&Target::LeaveRest));
    state.update(Event::Done(id, Outcome::Left(None)));
    assert!(state.notice.as_ref().unwrap().text.contains("encrypted"));
}

#[test]
fn a_form_says_what_is_missing() {
    let mut state = fresh();
    for (typed, field) in [("", Target::Name), ("a b", Target::Name)] {
        write(&mut state, typed);
        assert_eq!(click(&mut state, Target::Submit), []);
        assert_eq!(state.focus, field);
        assert!(state.notice.is_some());
        press(&mut state, Key::Escape);
    }
    let mut state = fresh();
    click(&mut state, Target::OtherForm);
    for (first, second, says) in [
        ("short", "short", "8 characters"),
        (PASSWORD, "correct horse", "twice"),
    ] {
        click(&mut state, Target::OtherForm);
        click(&mut state, Target::OtherForm);
        click(&mut state, Target::Someone);
        if form(&state).name.is_empty() {
            write(&mut state, "ana");
        }
        click(&mut state, Target::Password);
        write(&mut state, first);
        click(&mut state, Target::Again);
        write(&mut state, second);
        assert_eq!(click(&mut state, Target::Submit), []);
        let text = &state.notice.as_ref().unwrap().text;
        assert!(text.contains(says), "{text}");
    }
    let mut state = fresh();
    click(&mut state, Target::Places);
    click(&mut state, Target::Place(Kind::Network));
    assert_eq!(form(&state).place.kind, Kind::Computer);
    click(&mut state, Target::Place(Kind::Server));
    click(&mut state, Target::Submit);
    assert!(state.notice.is_some());
}

#[test]
fn accounts_are_remembered_and_forgotten() {
    let mut state = remembering(&["ana", "ben"]);
    assert_eq!(
        (form(&state).chosen, state.focus),
        (Some(0), Target::Password)
    );
    click(&mut state, Target::Account(1));
    write(&mut state, PASSWORD);
    let (id, job) = started(press(&mut state, Key::Enter));
    assert!(matches!(job, Job::SignIn(request) if request.name == "ben" && request.remember));
    let effects = state.update(Event::Done(id, opened("ben")));
    let saved = effects.iter().find_map(|effect| match effect {
        Effect::Save(settings) => Some(
            settings
                .accounts
                .iter()
                .map(|a| a.name.as_str())
                .collect::<Vec<_>>(),
        ),
        _ => None,
    });
    assert_eq!(saved, Some(vec!["ben", "ana"]));
    let mut state = remembering(&["ana"]);
    let effects = click(&mut state, Target::Forget);
    assert!(matches!(&effects[..], [Effect::Save(settings)] if settings.accounts.is_empty()));
    assert_eq!((form(&state).chosen, state.focus), (None, Target::Name));
}

#[test]
fn menus_open_choose_and_close() {
    let mut state = remembering(&["ana"]);
    click(&mut state, Target::Keyboard);
    assert_eq!(state.focus, Target::Keymap(0));
    press(&mut state, Key::Down);
    let effects = press(&mut state, Key::Enter);
    assert_eq!(effects[0], Effect::Keymap("de".to_owned()));
    assert_eq!((state.menu, state.focus), (None, Target::Keyboard));
    click(&mut state, Target::Power);
    press(&mut state, Key::Escape);
    assert_eq!((state.menu, state.focus), (None, Target::Power));
    click(&mut state, Target::Power);
    assert_eq!(
        click(&mut state, Target::Restart),
        [Effect::Power { restart: true }]
    );
    // Nobody turns the computer off under somebody's session.
    write(&mut state, "");
    click(&mut state, Target::Password);
    write(&mut state, PASSWORD);
    press(&mut state, Key::Enter);
    assert!(!state.order().contains(&Target::Power));
}

fn priced() -> Priced {
    let sum = |tokens: &str, gas: &str| Sum {
        tokens: tokens.to_owned(),
        gas: gas.to_owned(),
    };
    Priced {
        records: 2,
        cost: sum("0.0234375", "0.0000021"),
        wallet: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".to_owned(),
        has: sum("12.5", "0.04"),
    }
}

/// Types everything for an account on the network, and goes.
fn sign_up_there(state: &mut State) -> (JobId, Job) {
    click(state, Target::OtherForm);
    write(state, "ana");
    press(state, Key::Enter);
    write(state, PASSWORD);
    press(state, Key::Enter);
    click(state, Target::Places);
    click(state, Target::Place(Kind::Network));
    click(state, Target::Again);
    write(state, PASSWORD);
    assert_eq!(press(state, Key::Enter), []);
    assert_eq!(state.focus, Target::Wallet);
    write(state, KEY);
    started(press(state, Key::Enter))
}

fn reaching_the_network() -> State {
    let abilities = Abilities {
        network: Some(NETWORK.to_owned()),
        ..Abilities::default()
    };
    State::new(Settings::default(), Vec::new(), abilities)
}

#[test]
fn the_price_is_shown_before_it_is_paid() {
    let mut state = reaching_the_network();
    let (id, job) = sign_up_there(&mut state);
    let Job::Price { name, request } = job else {
        panic!("{job:?}")
    };
    assert_eq!((name.as_str(), request.wallet_key.expose()), ("ana", KEY));
    assert_eq!(request.store.as_deref(), Some(NETWORK));
    assert_eq!(
        state.update(Event::Done(id, Outcome::Priced(Some(priced())))),
        []
    );
    let shown = format!("{:?}", view(&state).card);
    for word in ["0.0234375 ANT", "0.0000021 ETH", "12.5 ANT", "0xf39F"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    // A key pressed too often pays nothing.
    assert_eq!(press(&mut state, Key::Enter), []);
    write(&mut state, " ");
    // Back, by the button and by Escape, to what was typed.
    for back in [true, false] {
        let effects = if back {
            click(&mut state, Target::Back)
        } else {
            press(&mut state, Key::Escape)
        };
        assert_eq!(effects, []);
        assert_eq!(form(&state).wallet.as_str(), KEY);
        let (id, _) = started(click(&mut state, Target::Submit));
        state.update(Event::Done(id, Outcome::Priced(Some(priced()))));
    }
    let (id, job) = started(click(&mut state, Target::Continue));
    let Job::SignUp(request) = job else {
        panic!("{job:?}")
    };
    assert_eq!(request.wallet_key.as_ref().map(Secret::expose), Some(KEY));
    assert_eq!(
        (request.password.expose(), request.store.as_deref()),
        (PASSWORD, Some(NETWORK))
    );
    // What is wrong with it is said on the form, with another price asked for before anything is paid.
    let trouble = Trouble::new("wallet_empty", "the message");
    state.update(Event::Done(id, Outcome::Failed(trouble)));
    assert_eq!(state.focus, Target::Next);
    let (id, job) = started(press(&mut state, Key::Enter));
    assert!(matches!(job, Job::Price { .. }));
    let trouble = Trouble::new("bad_wallet_key", "the message");
    state.update(Event::Done(id, Outcome::Failed(trouble)));
    assert_eq!(state.focus, Target::Wallet);
    // Stopped, also when the price was quicker.
    let (id, _) = started(click(&mut state, Target::Submit));
    assert_eq!(press(&mut state, Key::Escape), [Effect::Stop(id)]);
    assert_eq!(
        state.update(Event::Done(id, Outcome::Priced(Some(priced())))),
        []
    );
    assert!(form(&state).is_wiped());
    // Where nothing turns out to be paid, nobody is asked.
    let mut state = reaching_the_network();
    let (id, _) = sign_up_there(&mut state);
    let (id, job) = started(state.update(Event::Done(id, Outcome::Priced(None))));
    assert!(matches!(job, Job::SignUp(_)));
    state.update(Event::Done(id, opened("ana")));
    assert!(matches!(state.screen, Screen::Running(_)));
}

#[test]
fn the_wallets_key_is_checked_hidden_and_forgotten() {
    let mut state = reaching_the_network();
    click(&mut state, Target::OtherForm);
    click(&mut state, Target::Places);
    assert!(!state.order().contains(&Target::Wallet));
    click(&mut state, Target::Place(Kind::Network));
    for (typed, wrong) in [
        ("0x12", Err(WalletKey::Digits(2))),
        ("0x1g", Err(WalletKey::Strange(4))),
        ("é1", Err(WalletKey::Strange(1))),
        (&KEY[2..], Ok(())),
        (KEY, Ok(())),
        (&format!("{KEY}00"), Err(WalletKey::Digits(66))),
    ] {
        click(&mut state, Target::Wallet);
        write(&mut state, typed);
        assert_eq!(form(&state).wallet_key(), wrong, "{typed}");
        for _ in 0..typed.len() {
            press(&mut state, Key::Backspace);
        }
    }
    write(&mut state, KEY);
    let shows = |state: &State| {
        let card = view(state).card;
        card.iter()
            .any(|item| matches!(item, Item::Field(field) if field.text.contains("ac0974")))
    };
    assert!(!shows(&state) && !format!("{state:?}{:?}", view(&state)).contains("ac0974"));
    click(&mut state, Target::Reveal);
    assert!(shows(&state));
    // Its field goes, and it with it.
    click(&mut state, Target::Place(Kind::Computer));
    assert!(form(&state).is_wiped());
    click(&mut state, Target::Place(Kind::Network));
    click(&mut state, Target::Wallet);
    write(&mut state, KEY);
    click(&mut state, Target::OtherForm);
    assert!(form(&state).is_wiped() && !state.order().contains(&Target::Wallet));
    // A local network, typed: until it is none any more.
    click(&mut state, Target::OtherForm);
    click(&mut state, Target::Place(Kind::Server));
    click(&mut state, Target::Server);
    write(&mut state, "autonomi:///run/net/manifest.json");
    click(&mut state, Target::Wallet);
    write(&mut state, KEY);
    click(&mut state, Target::Server);
    press(&mut state, Key::Home);
    write(&mut state, "x");
    assert!(form(&state).is_wiped() && !state.order().contains(&Target::Wallet));
}

#[test]
fn where_there_is_no_network_a_server_is_offered() {
    let mut state = fresh();
    click(&mut state, Target::Places);
    assert!(!state.order().contains(&Target::Place(Kind::Network)));
    assert!(format!("{:?}", view(&state).card).contains("gateway"));
    click(&mut state, Target::Name);
    write(&mut state, "ana");
    click(&mut state, Target::Password);
    write(&mut state, PASSWORD);
    click(&mut state, Target::Place(Kind::Server));
    click(&mut state, Target::Server);
    write(&mut state, "autonomi:");
    assert_eq!(click(&mut state, Target::Submit), []);
    assert_eq!(state.focus, Target::Server);
    assert!(
        state
            .notice
            .as_ref()
            .is_some_and(|notice| notice.text.contains("gateway"))
    );
}

#[test]
fn a_computer_whose_store_is_the_network_offers_no_other() {
    let local = "autonomi:///run/net/manifest.json";
    let abilities = Abilities {
        network: Some(local.to_owned()),
        only_network: true,
        ..Abilities::default()
    };
    let mut state = State::new(Settings::default(), Vec::new(), abilities);
    let (_, job) = sign_in(&mut state);
    assert!(matches!(job, Job::SignIn(request) if request.store.as_deref() == Some(local)));
    let kinds: Vec<_> = state.places().collect();
    assert_eq!(kinds, [Kind::Server, Kind::Network]);
}

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
    Tick,
    Caps(bool),
    Started,
    Step(u64),
    /// The pending job ends in this way.
    Done(usize),
    /// An answer to a job that is not pending.
    Stray(usize),
    /// Where the account is to live is typed.
    Server(&'static str),
    /// A whole sign-up on the network is typed.
    Wallet,
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
    ]);
    prop_oneof![
        6 => prop::sample::select(vec!['a', 'b', ' ', 'é', '/', '9', '日']).prop_map(Happening::Text),
        6 => key.prop_map(Happening::Key),
        8 => (0..40_usize).prop_map(Happening::Click),
        1 => (0..40_usize, 0..40_usize).prop_map(|(a, b)| Happening::Drag(a, b)),
        1 => (0..40_usize).prop_map(Happening::Hover),
        1 => Just(Happening::Tick),
        1 => any::<bool>().prop_map(Happening::Caps),
        1 => prop::sample::select(vec!["autonomi:", "https://x"]).prop_map(Happening::Server),
        1 => Just(Happening::Wallet),
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

/// What is true of the world outside: the pending job and whether a session is open.
#[derive(Default)]
struct World {
    pending: Option<(JobId, What)>,
    open: bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    Price,
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
                Effect::Stop(id) => assert_eq!(self.pending.map(|(id, _)| id), Some(id)),
                _ => {}
            }
        }
    }

    /// An outcome that the worker could give.
    fn outcome(&mut self, choice: usize) -> Option<(JobId, Outcome)> {
        let (id, kind) = self.pending.take()?;
        let trouble = Trouble::new(CODES[choice % CODES.len()], "the message");
        let outcome = match kind {
            What::Price if choice.is_multiple_of(3) => Outcome::Failed(trouble),
            What::Price => Outcome::Priced((!choice.is_multiple_of(5)).then(priced)),
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
            What::Launch => Outcome::LauncherEnded(choice.is_multiple_of(2).then_some(trouble)),
            What::Leave(false) if choice.is_multiple_of(5) => Outcome::Failed(Trouble::stopped()),
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
    let at_rest = matches!(state.screen, Screen::Form(_));
    assert_eq!(at_rest && world.pending.is_none(), !state.is_busy());
    assert!(!at_rest || !world.open, "a form while a session is open");
    assert!(
        order.contains(&state.focus)
            || !at_rest && state.focus == Target::Screen
            || order.is_empty(),
        "the focus {:?} is not in {order:?}",
        state.focus
    );
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
                Happening::Tick => vec![Event::Tick],
                Happening::Caps(on) => vec![Event::Input(Input::Caps(on))],
                Happening::Started => world.pending.map(|(id, _)| Event::Started(id)).into_iter().collect(),
                Happening::Step(done) => {
                    let step = Step { what: "uploading".to_owned(), done, total: 5, unit: "records".to_owned() };
                    world.pending.map(|(id, _)| Event::Step(id, step)).into_iter().collect()
                }
                Happening::Done(choice) => world.outcome(choice).map(|(id, outcome)| Event::Done(id, outcome)).into_iter().collect(),
                Happening::Stray(choice) => {
                    let outcome = if choice % 2 == 0 { opened("eve") } else { Outcome::Left(None) };
                    vec![Event::Done(9_999_999, outcome)]
                }
                Happening::Server(url) => typed(&[(Target::Places, ""), (Target::Place(Kind::Server), ""), (Target::Server, url)]),
                Happening::Wallet => typed(&[
                    (Target::Someone, ""),
                    (Target::OtherForm, ""),
                    (Target::Name, "ana"),
                    (Target::Password, PASSWORD),
                    (Target::Again, PASSWORD),
                    (Target::Places, ""),
                    (Target::Place(Kind::Network), ""),
                    (Target::Wallet, &KEY[2..]),
                    (Target::Submit, ""),
                ]),
            };
            for event in events {
                let effects = state.update(event);
                world.take(effects);
                check(&state, &world);
            }
            if index % 16 == 0 && state.is_shown() {
                // Whatever the keyboard reaches, the pointer does.
                let placed = layout(&view(&state), &mut text, size.0, size.1);
                for target in state.order() {
                    let spot = placed.placed.iter().find(|placed| placed.target == Some(target));
                    prop_assert!(spot.is_some(), "{target:?} is nowhere");
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
