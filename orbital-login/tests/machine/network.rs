//! Accounts on the network: what they cost, and the wallet that pays.

use orbital_login::job::{Job, JobId, Outcome};
use orbital_login::keyboard::Key;
use orbital_login::settings::Settings;
use orbital_login::state::{
    Abilities, Effect, Event, Kind, NETWORK, Screen, State, Target, WalletKey,
};
use orbital_login::user_error::UserError;
use orbital_login::view::{Item, view};
use safeos_control::Secret;

use super::{
    KEY, PASSWORD, click, form, fresh, opened, press, priced, says, sign_in, started, write,
};

/// Types everything for an account on the network, and goes.
fn sign_up_there(state: &mut State) -> (JobId, Job) {
    click(state, Target::OtherForm);
    write(state, "ana");
    press(state, Key::Enter);
    write(state, PASSWORD);
    press(state, Key::Enter);
    click(state, Target::WithSheet);
    click(state, Target::Places);
    click(state, Target::AccountStore(Kind::Network));
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
    // The fault is told on the form, with another price asked for before anything is paid.
    let trouble = UserError::new("wallet_empty", "the message");
    state.update(Event::Done(id, Outcome::Failed(trouble)));
    assert_eq!(state.focus, Target::Next);
    let (id, job) = started(press(&mut state, Key::Enter));
    assert!(matches!(job, Job::Price { .. }));
    let trouble = UserError::new("bad_wallet_key", "the message");
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
    click(&mut state, Target::AccountStore(Kind::Network));
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
    click(&mut state, Target::AccountStore(Kind::Computer));
    assert!(form(&state).is_wiped());
    click(&mut state, Target::AccountStore(Kind::Network));
    click(&mut state, Target::Wallet);
    write(&mut state, KEY);
    click(&mut state, Target::OtherForm);
    assert!(form(&state).is_wiped() && !state.order().contains(&Target::Wallet));
    // A local network, typed: until it is none any more.
    click(&mut state, Target::OtherForm);
    click(&mut state, Target::AccountStore(Kind::Server));
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
    assert!(!state.order().contains(&Target::AccountStore(Kind::Network)));
    assert!(format!("{:?}", view(&state).card).contains("gateway"));
    click(&mut state, Target::Name);
    write(&mut state, "ana");
    click(&mut state, Target::Password);
    write(&mut state, PASSWORD);
    click(&mut state, Target::AccountStore(Kind::Server));
    click(&mut state, Target::Server);
    write(&mut state, "autonomi:");
    assert_eq!(click(&mut state, Target::Submit), []);
    assert_eq!(state.focus, Target::Server);
    assert!(says(&state).contains("gateway"));
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
