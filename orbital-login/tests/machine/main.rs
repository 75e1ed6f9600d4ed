//! The state machine under scripted and random events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cases;
mod language;
mod locked;
mod network;
mod people;
mod random;
mod typing;

use orbital_login::job::{Job, JobId, Opened, Outcome};
use orbital_login::keyboard::{Input, Key};
use orbital_login::settings::{Remembered, Settings};
use orbital_login::state::{Abilities, Effect, Event, Form, NETWORK, Screen, State, Target};
use orbital_login::user_error::UserError;
use safeos_control::{Priced, Sum};

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
                language: None,
            })
            .collect(),
        ..Settings::default()
    };
    let abilities = Abilities {
        power: true,
        network: Some(NETWORK.to_owned()),
        ..Abilities::default()
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

/// The notice below the card.
fn says(state: &State) -> String {
    let notice = orbital_login::view::view(state).notice.unwrap();
    notice.text
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
    let trouble = UserError::new(code, "the message");
    assert_eq!(state.update(Event::Done(id, Outcome::Failed(trouble))), []);
    state
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
