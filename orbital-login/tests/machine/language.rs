//! Languages, and what makes the screen easier to read: chosen, kept, and left again.

use orbital_login::job::{Opened, Outcome, Step};
use orbital_login::keyboard::{Input, Key};
use orbital_login::language::{Language, Locale};
use orbital_login::settings::{Remembered, Settings};
use orbital_login::state::{Abilities, Effect, Event, Menu, Screen, State, Target};
use orbital_login::view::view;

use super::{PASSWORD, click, fresh, press, remembering, started, write};

/// The settings that are to be kept.
#[track_caller]
fn saved(effects: Vec<Effect>) -> Settings {
    let mut saved = effects.into_iter().filter_map(|effect| match effect {
        Effect::Save(settings) => Some(settings),
        _ => None,
    });
    saved.next().unwrap()
}

fn choose(state: &mut State, language: Language) -> Settings {
    click(state, Target::Language);
    assert_eq!(state.focus, Target::Speak(state.language));
    saved(click(state, Target::Speak(language)))
}

fn title(state: &State) -> String {
    format!("{:?}", view(state).card)
}

#[test]
fn a_language_is_chosen_on_the_screen_and_kept_by_the_computer() {
    let mut state = fresh();
    assert!(title(&state).contains("Sign in"));
    let settings = choose(&mut state, Language::German);
    assert_eq!((state.menu, state.focus), (None, Target::Language));
    assert!(title(&state).contains("Anmelden"));
    assert_eq!(settings.language.as_deref(), Some("de"));
    let again = State::new(settings, Vec::new(), Abilities::default());
    assert_eq!(again.language, Language::German);
    // The notice is said in it too.
    click(&mut state, Target::Submit);
    assert_eq!(view(&state).notice.unwrap().title, "Wer sind Sie?");
    choose(&mut state, Language::French);
    assert_eq!(view(&state).notice.unwrap().title, "Qui êtes-vous ?");
}

#[test]
fn without_a_choice_it_is_the_computers() {
    let abilities = |language| Abilities {
        locale: Locale {
            language,
            ..Locale::default()
        },
        ..Abilities::default()
    };
    let new = |settings| State::new(settings, Vec::new(), abilities(Language::Polish));
    assert_eq!(new(Settings::default()).language, Language::Polish);
    let chosen = Settings {
        language: Some("he".to_owned()),
        ..Settings::default()
    };
    let mut state = new(chosen);
    assert_eq!(state.language, Language::Hebrew);
    // One without letters here is not offered, and not spoken.
    state.offer_languages(|language| !language.is_right_to_left());
    assert_eq!(state.language, Language::English);
    assert!(!state.languages.contains(&Language::Hebrew));
    let unknown = Settings {
        language: Some("klingon".to_owned()),
        ..Settings::default()
    };
    assert_eq!(new(unknown).language, Language::Polish);
}

fn open(state: &mut State, name: &str, language: Option<&str>) -> Vec<Effect> {
    if !matches!(&state.screen, Screen::Form(form) if form.chosen.is_some()) {
        write(state, name);
        press(state, Key::Enter);
    }
    write(state, PASSWORD);
    let (id, _) = started(press(state, Key::Enter));
    state.update(Event::Done(
        id,
        Outcome::Opened(Opened {
            account: name.to_owned(),
            language: language.map(str::to_owned),
            ..Opened::default()
        }),
    ))
}

/// Leaves the session that is open.
fn leave(state: &mut State, effects: Vec<Effect>) {
    let (id, _) = started(effects);
    let (id, _) = started(state.update(Event::Done(id, Outcome::LauncherEnded(None))));
    state.update(Event::Step(id, Step::default()));
    state.update(Event::Done(id, Outcome::Left(None)));
}

#[test]
fn what_is_chosen_goes_home_with_the_person() {
    let mut state = fresh();
    choose(&mut state, Language::Turkish);
    let effects = open(&mut state, "ana", Some("fr"));
    assert!(effects.contains(&Effect::KeepLanguage("tr")), "{effects:?}");
    leave(&mut state, effects);
    // Once: the next person brings their own.
    let effects = open(&mut state, "ben", Some("fr"));
    assert!(!effects.iter().any(|e| matches!(e, Effect::KeepLanguage(_))));
    assert_eq!(state.language, Language::French);
    leave(&mut state, effects);
    assert_eq!(state.language, Language::Turkish);
}

#[test]
fn a_person_who_is_remembered_is_spoken_to_in_their_language() {
    let mut settings = Settings::default();
    for (name, language) in [("ana", None), ("ben", Some("ja"))] {
        settings.accounts.push(Remembered {
            name: name.to_owned(),
            store: None,
            language: language.map(str::to_owned),
        });
    }
    let mut state = State::new(settings, Vec::new(), Abilities::default());
    assert_eq!(state.language, Language::English);
    click(&mut state, Target::Account(1));
    assert_eq!(state.language, Language::Japanese);
    press(&mut state, Key::Escape);
    assert_eq!(state.language, Language::English);
    click(&mut state, Target::Account(0));
    assert_eq!(state.language, Language::English);
    // The home's choice is remembered with the person.
    let effects = open(&mut state, "ana", Some("uk"));
    let accounts = saved(effects).accounts;
    assert_eq!(accounts[0].language.as_deref(), Some("uk"));
    assert_eq!(accounts[1].language.as_deref(), Some("ja"));
    // And what they choose on their own card.
    let mut state = remembering(&["ana"]);
    let settings = choose(&mut state, Language::Italian);
    assert_eq!(settings.accounts[0].language.as_deref(), Some("it"));
}

#[test]
fn switches_stay_open_and_are_kept() {
    let mut state = remembering(&["ana", "ben"]);
    press(&mut state, Key::Tab);
    let before = std::mem::discriminant(&state.screen);
    click(&mut state, Target::Access);
    assert_eq!(state.menu, Some(Menu::Access));
    for target in [
        Target::Contrast,
        Target::Large,
        Target::Calm,
        Target::ScreenKeyboard,
    ] {
        let settings = saved(click(&mut state, target));
        assert_eq!(settings.access, state.access);
        assert_eq!(state.menu, Some(Menu::Access));
    }
    assert!(state.access.contrast && state.access.large && state.access.calm);
    assert!(state.access.keyboard);
    let entries = view(&state).menu.unwrap().1;
    assert!(entries.iter().all(|(_, _, chosen)| *chosen), "{entries:?}");
    press(&mut state, Key::Escape);
    assert_eq!((state.menu, state.focus), (None, Target::Access));
    assert_eq!(std::mem::discriminant(&state.screen), before);
    // By the keyboard alone: a space switches it.
    press(&mut state, Key::Enter);
    state.update(Event::Input(Input::Text(' ')));
    assert!(!state.access.contrast);
}

#[test]
fn nothing_moves_where_motion_is_reduced() {
    let mut state = fresh();
    state.access.calm = true;
    write(&mut state, "ana");
    press(&mut state, Key::Enter);
    write(&mut state, PASSWORD);
    started(press(&mut state, Key::Enter));
    assert!(state.is_busy() && !state.is_moving());
    let before = view(&state);
    state.update(Event::Tick);
    assert_eq!(view(&state), before);
}

/// The arrows go where they point.
#[test]
fn arrows_go_where_they_point_in_both_directions() {
    let caret = |state: &State| super::form(state).name.caret();
    let mut state = fresh();
    write(&mut state, "שלום");
    press(&mut state, Key::Left);
    assert_eq!(caret(&state), 4);
    press(&mut state, Key::Right);
    assert_eq!(caret(&state), 3);
    press(&mut state, Key::WordRight);
    assert_eq!(caret(&state), 0);
    press(&mut state, Key::Left);
    assert_eq!(caret(&state), 1);
    // Latin letters keep their way in every language; dots run as the screen does.
    let mut state = fresh();
    state.language = Language::Arabic;
    write(&mut state, "ana");
    press(&mut state, Key::Left);
    assert_eq!(caret(&state), 2);
    press(&mut state, Key::Enter);
    write(&mut state, "abc");
    press(&mut state, Key::Right);
    let caret = |state: &State| super::form(state).password.caret();
    assert_eq!(caret(&state), 2);
    click(&mut state, Target::Reveal);
    press(&mut state, Key::Left);
    assert_eq!(caret(&state), 1);
    // Between buttons, too.
    click(&mut state, Target::More);
    assert_eq!(state.focus, Target::OtherForm);
    press(&mut state, Key::Left);
    assert_eq!(state.focus, Target::Forgotten);
    press(&mut state, Key::Right);
    assert_eq!(state.focus, Target::OtherForm);
}

/// The keyboard on the screen types as another one does, and takes the focus from nothing.
#[test]
fn what_is_tapped_is_typed() {
    let mut state = fresh();
    assert_eq!(click(&mut state, Target::Type('a')), []);
    assert!(super::form(&state).name.is_empty());
    state.access.keyboard = true;
    for target in [
        Target::Capitals,
        Target::Type('A'),
        Target::Type('n'),
        Target::Type('x'),
        Target::Erase,
        Target::Type('a'),
    ] {
        assert_eq!(click(&mut state, target), [], "{target:?}");
        assert_eq!(state.focus, Target::Name);
    }
    assert_eq!(super::form(&state).name.as_str(), "Ana");
    // The password has spaces, also after a click on something else.
    click(&mut state, Target::Password);
    click(&mut state, Target::Reveal);
    for letter in ['a', ' ', 'b'] {
        click(&mut state, Target::Type(letter));
    }
    assert_eq!(super::form(&state).password.as_str(), "a b");
    // A letter that is not on the keys is not typed; other layers come round.
    click(&mut state, Target::Type('@'));
    assert_eq!(super::form(&state).password.as_str(), "a b");
    click(&mut state, Target::Layer);
    click(&mut state, Target::Type('@'));
    assert_eq!(super::form(&state).password.as_str(), "a b@");
    click(&mut state, Target::Layer);
    click(&mut state, Target::Layer);
    assert!(state.keys().concat().contains(&'q'));
    // In a language with letters of its own those come first, Latin ones after.
    state.language = Language::Hebrew;
    assert!(state.keys().concat().contains(&'ש'));
    click(&mut state, Target::Layer);
    assert!(state.keys().concat().contains(&'q'));
    // Beside an open menu a tap closes that, and types nothing.
    let before = super::form(&state).password.as_str().to_owned();
    click(&mut state, Target::Power);
    state.menu = Some(Menu::Access);
    click(&mut state, Target::Type('q'));
    assert_eq!(super::form(&state).password.as_str(), before);
    assert_eq!(state.menu, None);
    // A list of people is searched by it.
    let mut state = remembering(&["ana", "ben"]);
    state.access.keyboard = true;
    click(&mut state, Target::Type('b'));
    assert_eq!(state.focus, Target::Account(1));
    // Where nothing can be typed there is none.
    click(&mut state, Target::More);
    assert!(state.keys().is_empty());
}

/// Layouts that come and go while the screen is there.
#[test]
fn the_layout_that_is_shown_is_one_that_there_is() {
    let mut state = remembering(&["ana"]);
    assert_eq!(state.keymaps[state.keymap], "us");
    click(&mut state, Target::Keyboard);
    let keymaps = |names: &[&str]| Event::Keymaps(names.iter().map(|n| (*n).to_owned()).collect());
    state.update(keymaps(&["fr", "us"]));
    assert_eq!((state.keymap, state.menu), (1, None));
    assert!(state.order().contains(&state.focus));
    // One alone is said, and cannot be changed.
    state.update(keymaps(&["il"]));
    assert!(!state.order().contains(&Target::Keyboard));
    let status = view(&state).status;
    assert!(status.iter().any(|(_, words)| words == "IL"), "{status:?}");
    state.update(keymaps(&[]));
    assert!(view(&state).status.iter().all(|(_, words)| words != "IL"));
}
