//! Remembered people: chosen, found, remembered and forgotten.

use orbital_login::job::Job;
use orbital_login::keyboard::Key;
use orbital_login::settings::{Remembered, Settings};
use orbital_login::state::{Abilities, Effect, Event, PEOPLE_SHOWN, Screen, State, Target};
use orbital_login::view::{Item, view};

use super::{PASSWORD, click, form, opened, press, remembering, started, write};

/// The names on the list, with where they are.
fn listed(state: &State) -> Vec<(String, String)> {
    let person = |item| match item {
        Item::Person(_, _, _, name, place) => Some((name, place)),
        _ => None,
    };
    view(state).card.into_iter().filter_map(person).collect()
}

fn many(count: usize) -> State {
    let names: Vec<String> = (0..count)
        .map(|index| format!("person{index:02}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    remembering(&names)
}

#[test]
fn one_is_chosen_and_has_one_field() {
    // Of one there is nothing to choose.
    let state = remembering(&["ana"]);
    assert_eq!(
        (form(&state).chosen, state.focus),
        (Some(0), Target::Password)
    );
    let fields = |state: &State| {
        let card = view(state).card;
        card.iter()
            .filter(|item| matches!(item, Item::Field(_)))
            .count()
    };
    assert_eq!(fields(&state), 1);
    let mut state = remembering(&["ana", "ben"]);
    assert_eq!((listed(&state).len(), state.focus), (2, Target::Account(0)));
    press(&mut state, Key::Down);
    press(&mut state, Key::Enter);
    assert_eq!(
        (form(&state).chosen, state.focus),
        (Some(1), Target::Password)
    );
    assert_eq!(fields(&state), 1);
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
}

#[test]
fn all_of_many_are_reached() {
    for count in [24, 50] {
        // By the keyboard.
        let mut state = many(count);
        let mut seen = Vec::new();
        for index in 0..count {
            assert_eq!(state.focus, Target::Account(index));
            let names = listed(&state);
            assert_eq!(names.len(), PEOPLE_SHOWN);
            let name = format!("person{index:02}");
            assert!(names.iter().any(|(listed, _)| *listed == name), "{name}");
            seen.push(name);
            press(&mut state, Key::Down);
        }
        assert_eq!((seen.len(), state.focus), (count, Target::Someone));
        press(&mut state, Key::BackTab);
        press(&mut state, Key::Home);
        assert_eq!(state.focus, Target::Account(0));
        press(&mut state, Key::End);
        assert_eq!(state.focus, Target::Account(count - 1));
        press(&mut state, Key::PageUp);
        assert_eq!(state.focus, Target::Account(count - 1 - PEOPLE_SHOWN));
        // By the wheel, and the focus stays in sight.
        let mut state = many(count);
        let mut seen: Vec<String> = Vec::new();
        for _ in 0..count {
            seen.extend(listed(&state).into_iter().map(|(name, _)| name));
            assert!(state.order().contains(&state.focus));
            state.update(Event::Scroll(3));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
        state.update(Event::Scroll(i32::MIN));
        assert_eq!(listed(&state)[0].0, "person00");
        // By typing.
        write(&mut state, "n4");
        let wanted: Vec<usize> = (0..count).filter(|index| index / 10 == 4).collect();
        assert_eq!(listed(&state).len(), wanted.len().min(PEOPLE_SHOWN));
        press(&mut state, Key::DeleteWord);
        write(&mut state, "17");
        assert_eq!(listed(&state).len(), 1);
        press(&mut state, Key::Enter);
        assert_eq!(form(&state).chosen, Some(17));
        press(&mut state, Key::Escape);
        assert_eq!(listed(&state).len(), PEOPLE_SHOWN);
        // A person who is not on it gets a form with the name.
        write(&mut state, "zoe");
        assert_eq!((listed(&state), state.focus), (vec![], Target::Someone));
        press(&mut state, Key::Enter);
        assert_eq!(
            (form(&state).name.as_str(), state.focus),
            ("zoe", Target::Password)
        );
    }
}

fn at(names: &[(&str, Option<&str>)], server: Option<&str>) -> State {
    let accounts = names.iter().map(|(name, store)| Remembered {
        name: (*name).to_owned(),
        store: store.map(str::to_owned),
        language: None,
    });
    let settings = Settings {
        accounts: accounts.collect(),
        ..Settings::default()
    };
    let abilities = Abilities {
        server: server.map(str::to_owned),
        ..Abilities::default()
    };
    State::new(settings, Vec::new(), abilities)
}

#[test]
fn two_of_one_name_are_told_apart_by_where_they_are() {
    let one = [
        ("ana", Some("https://home.example")),
        ("ana", Some("https://work.example:8443")),
        ("ana", None),
    ];
    let places = |state: &State| -> Vec<String> {
        listed(state).into_iter().map(|(_, place)| place).collect()
    };
    assert_eq!(
        places(&at(&one, None)),
        [
            "at home.example",
            "at work.example:8443",
            "on this computer"
        ]
    );
    // Where this computer's own store is a server, that is said.
    assert_eq!(places(&at(&one, Some("http://box:8420")))[2], "at box:8420");
    let mut state = at(&one, None);
    write(&mut state, "work");
    press(&mut state, Key::Enter);
    assert_eq!(form(&state).chosen, Some(1));
}

#[test]
fn this_computer_is_not_named_where_a_server_keeps_the_accounts() {
    let mut state = at(&[], Some("http://box:8420"));
    let shown = |state: &State| format!("{:?}", view(state).card);
    assert!(shown(&state).contains("Account at box:8420"));
    click(&mut state, Target::Places);
    let card = shown(&state);
    assert!(card.contains("On the server box:8420"), "{card}");
    assert!(!card.contains("his computer’s disk"), "{card}");
    assert!(!card.contains("This computer"), "{card}");
}

#[test]
fn forgetting_is_asked_about_says_the_address_and_can_be_undone() {
    let address = "https://home.example/a-long-address-nobody-knows-by-heart";
    let mut state = at(&[("ana", Some(address)), ("ben", None)], None);
    press(&mut state, Key::Enter);
    click(&mut state, Target::More);
    assert_eq!(click(&mut state, Target::Forget), []);
    assert!(format!("{:?}", view(&state).card).contains(address));
    // The answer that changes nothing is in focus.
    assert_eq!(press(&mut state, Key::Enter), []);
    assert!(matches!(state.screen, Screen::Ways(_)));
    click(&mut state, Target::Forget);
    let effects = click(&mut state, Target::Sure);
    assert!(matches!(&effects[..], [Effect::Save(settings)] if settings.accounts.len() == 1));
    assert_eq!(form(&state).chosen, Some(0));
    let effects = click(&mut state, Target::Next);
    let Some(Effect::Save(settings)) = effects.first() else {
        panic!("{effects:?}")
    };
    assert_eq!(settings.accounts[0].store.as_deref(), Some(address));
    assert_eq!(listed(&state).len(), 2);
    // Once.
    assert!(!state.order().contains(&Target::Next));
}
