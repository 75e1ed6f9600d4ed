//! Every screen, reached as a person reaches it.
#![allow(dead_code)]

use orbital_login::job::{Job, JobId, Opened, Outcome, Step};
use orbital_login::keyboard::{Input, Key};
use orbital_login::settings::{Remembered, Settings};
use orbital_login::state::{
    Abilities, Clock, Computer, Effect, Event, Kind, NETWORK, State, Target,
};
use orbital_login::user_error::UserError;
use safeos_control::{Priced, Secret, Sum};

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

/// A screen and its name.
pub type Named = (&'static str, State);

fn new(names: &[&str], dark: bool) -> State {
    // One after the other on this computer, a server, and on this computer.
    let stores = [None, Some("https://home.example"), None];
    let settings = Settings {
        accounts: names
            .iter()
            .zip(stores.iter().cycle())
            .map(|(name, store)| Remembered {
                name: (*name).to_owned(),
                store: store.map(str::to_owned),
                language: None,
            })
            .collect(),
        light: !dark,
        ..Settings::default()
    };
    let abilities = Abilities {
        power: true,
        network: Some(NETWORK.to_owned()),
        only_network: false,
        ..Abilities::default()
    };
    let keymaps = ["us", "de", "fr", "es", "gb", "dvorak"].map(str::to_owned);
    let mut state = State::new(settings, keymaps.into(), abilities);
    state.update(Event::Clock(Clock {
        hour: 17,
        minute: 5,
        weekday: 2,
        day: 24,
        month: 11,
        year: 2026,
        is_wrong: false,
    }));
    state.update(Event::Computer(Computer {
        name: "kitchen".to_owned(),
        online: Some(true),
        battery: Some(84),
    }));
    state
}

fn write(state: &mut State, text: &str) {
    for character in text.chars() {
        state.update(Event::Input(Input::Text(character)));
    }
}

fn enter(state: &mut State) -> Option<(JobId, Job)> {
    job(state.update(Event::Input(Input::Key(Key::Enter))))
}

fn click(state: &mut State, target: Target) -> Option<(JobId, Job)> {
    state.update(Event::Press(Some(target)));
    job(state.update(Event::Release(Some(target))))
}

fn job(effects: Vec<Effect>) -> Option<(JobId, Job)> {
    effects.into_iter().find_map(|effect| match effect {
        Effect::Start(id, job) => Some((id, job)),
        _ => None,
    })
}

fn signing_in(dark: bool) -> (State, JobId) {
    let mut state = new(&[], dark);
    write(&mut state, "ana.lopez");
    enter(&mut state);
    write(&mut state, "correct horse battery");
    let id = enter(&mut state).map_or(0, |(id, _)| id);
    (state, id)
}

/// The card over a session.
fn locked(dark: bool) -> State {
    let (mut state, id) = signing_in(dark);
    let id = opened(&mut state, id, None, None);
    state.update(Event::Started(id));
    state.update(Event::Covered);
    state
}

/// The question about a password.
fn checks(effects: Vec<Effect>) -> JobId {
    let id = effects.into_iter().find_map(|effect| match effect {
        Effect::Check(id, _) => Some(id),
        _ => None,
    });
    id.unwrap_or(0)
}

/// The form after a refusal.
pub fn refused(code: &str, message: &str, dark: bool) -> State {
    let (mut state, id) = signing_in(dark);
    let trouble = UserError::new(code, message);
    state.update(Event::Done(id, Outcome::Failed(trouble)));
    state
}

fn opened(state: &mut State, id: JobId, key: Option<&str>, words: Option<&str>) -> JobId {
    let opened = Opened {
        account: "ana.lopez".to_owned(),
        store: "file:///var/lib/safeos/store".to_owned(),
        secret_key: key.map(|key| Secret::new(key.to_owned())),
        recovery_key: words.map(|words| Secret::new(words.to_owned())),
        ..Opened::default()
    };
    job(state.update(Event::Done(id, Outcome::Opened(opened)))).map_or(0, |(id, _)| id)
}

fn step(what: &str, done: u64, total: u64) -> Step {
    Step {
        what: what.to_owned(),
        done,
        total,
        unit: "records".to_owned(),
    }
}

fn create(dark: bool) -> State {
    let mut state = new(&[], dark);
    click(&mut state, Target::OtherForm);
    write(&mut state, "ana.lopez");
    enter(&mut state);
    write(&mut state, "correct horse battery");
    enter(&mut state);
    write(&mut state, "correct horse");
    state
}

/// A sign-up on the network with this wallet key.
fn on_the_network(dark: bool, key: &str) -> (State, JobId) {
    let mut state = create(dark);
    write(&mut state, " battery");
    click(&mut state, Target::WithSheet);
    click(&mut state, Target::Places);
    click(&mut state, Target::AccountStore(Kind::Network));
    click(&mut state, Target::Wallet);
    write(&mut state, key);
    let id = enter(&mut state).map_or(0, |(id, _)| id);
    state.update(Event::Input(Input::Key(Key::Backspace)));
    (state, id)
}

/// All of them, in the order of a life.
pub fn all(dark: bool) -> Vec<Named> {
    let mut screens = vec![("sign-in", new(&[], dark))];
    screens.push(("create", create(dark)));

    let mut state = create(dark);
    state.update(Event::Input(Input::Caps(true)));
    click(&mut state, Target::Places);
    click(&mut state, Target::AccountStore(Kind::Server));
    click(&mut state, Target::Server);
    write(&mut state, "https://home.example");
    state.update(Event::Hover(Some(Target::AccountStore(Kind::Computer))));
    screens.push(("places", state));

    let (mut state, _) = on_the_network(dark, "ac0974bec39a17e36ba4");
    click(&mut state, Target::Wallet);
    screens.push(("wallet", state));

    let (mut state, id) = on_the_network(dark, &"ac0974bec39a17e3".repeat(4));
    let sum = |tokens: &str, gas: &str| Sum {
        tokens: tokens.to_owned(),
        gas: gas.to_owned(),
    };
    let priced = Priced {
        records: 2,
        cost: sum("0.0234375", "0.0000021"),
        wallet: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".to_owned(),
        has: sum("12.5", "0.04"),
    };
    state.update(Event::Done(id, Outcome::Priced(Some(priced))));
    screens.push(("price", state));

    let (mut state, id) = signing_in(dark);
    state.update(Event::Step(id, step("finding the account", 0, 0)));
    state.update(Event::Tick);
    screens.push(("working", state));

    let (mut state, id) = signing_in(dark);
    opened(
        &mut state,
        id,
        Some("60RK4-CSM6M-V3EE1-SC5H6-6S35C-SJ9RC"),
        None,
    );
    screens.push(("sheet", state));

    let (mut state, id) = signing_in(dark);
    opened(&mut state, id, None, Some(WORDS));
    screens.push(("recovery", state));

    let mut state = new(&[], dark);
    write(&mut state, "ana.lopez");
    click(&mut state, Target::More);
    click(&mut state, Target::Forgotten);
    click(&mut state, Target::Words);
    write(&mut state, &WORDS.replace("winner", "wimmer"));
    screens.push(("forgotten", state));

    let (mut state, id) = signing_in(dark);
    let offline = Opened {
        account: "ana.lopez".to_owned(),
        offline: true,
        ..Opened::default()
    };
    state.update(Event::Done(id, Outcome::Opened(offline)));
    screens.push(("starting", state));

    let (mut state, id) = signing_in(dark);
    let id = opened(&mut state, id, None, None);
    let leave = job(state.update(Event::Done(id, Outcome::LauncherEnded(None))));
    let id = leave.map_or(0, |(id, _)| id);
    state.update(Event::Step(id, step("uploading", 4, 7)));
    screens.push(("leaving", state));

    let mut state = locked(dark);
    write(&mut state, "wrong");
    let id = checks(state.update(Event::Input(Input::Key(Key::Enter))));
    write(&mut state, "corr");
    let wrong = UserError::new("wrong_password", "the password is wrong");
    state.update(Event::Checked(id, Err(wrong)));
    screens.push(("locked", state));

    let mut state = locked(dark);
    click(&mut state, Target::SignOut);
    screens.push(("locked-leave", state));

    let names = [
        "ana.lopez",
        "ben",
        "zoë.k",
        "maría",
        "ben",
        "olga",
        "tom",
        "li.na",
    ];
    let mut state = new(&names, dark);
    state.update(Event::Input(Input::Key(Key::Down)));
    state.update(Event::Hover(Some(Target::Account(3))));
    screens.push(("remembered", state));

    let mut state = new(&["ana.lopez", "ben"], dark);
    enter(&mut state);
    write(&mut state, "correct horse");
    state.update(Event::Input(Input::Caps(true)));
    state.update(Event::Hover(Some(Target::Submit)));
    screens.push(("chosen", state));

    let mut state = new(&["ana.lopez"], dark);
    click(&mut state, Target::More);
    screens.push(("ways", state));

    let mut state = new(&["ben", "ana.lopez"], dark);
    state.update(Event::Input(Input::Key(Key::Down)));
    enter(&mut state);
    click(&mut state, Target::More);
    click(&mut state, Target::Forget);
    screens.push(("forget", state));

    let mut state = new(&["ben", "ana.lopez"], dark);
    state.update(Event::Input(Input::Key(Key::Down)));
    enter(&mut state);
    write(&mut state, "correct horse battery");
    let id = enter(&mut state).map_or(0, |(id, _)| id);
    let silent = Step {
        what: "waiting since 2026-11-22T10:11:12Z, because it has not answered yet".to_owned(),
        done: 3,
        total: 5,
        unit: "seconds".to_owned(),
    };
    state.update(Event::Step(id, silent));
    screens.push(("silent", state));

    screens.push(("wrong", refused("wrong_password", "", dark)));
    screens.push((
        "unreachable",
        refused(
            "store_unreachable",
            "the store https://home.example is out of reach: no answer from 203.0.113.7 within 10 seconds",
            dark,
        ),
    ));

    let mut state = new(&["ana.lopez"], dark);
    state.console = true;
    screens.push(("console", state));

    let mut state = new(&["ana.lopez"], dark);
    click(&mut state, Target::Keyboard);
    screens.push(("keyboard", state));
    screens
}
