//! Where letters go, how long they stay, and who can read them.

use orbital_login::job::Outcome;
use orbital_login::keyboard::{Input, Key};
use orbital_login::state::{Effect, Event, Mode, Screen, State, Target};
use orbital_login::user_error::{Mood, UserError};
use orbital_login::view::{Hint, Item, view};
use zeroize::Zeroizing;

use super::{PASSWORD, WORDS, click, form, fresh, press, remembering, sign_in, started, write};

/// Half a password is typed.
fn half() -> State {
    let mut state = fresh();
    write(&mut state, "ana");
    press(&mut state, Key::Tab);
    write(&mut state, "half");
    state
}

#[test]
fn letters_arrive_whatever_was_clicked() {
    let start = half();
    for target in start.order() {
        let mut state = half();
        click(&mut state, target);
        let Screen::Form(before) = &state.screen else {
            continue;
        };
        let (mode, before) = (before.mode, before.name.as_str().len());
        if state.menu.is_some() || mode != Mode::SignIn {
            continue;
        }
        write(&mut state, "more");
        let form = form(&state);
        if target == Target::Name {
            assert_eq!(form.name.as_str().len(), before + 4);
        } else if target != Target::Submit {
            assert_eq!(form.password.as_str(), "halfmore", "after {target:?}");
        }
    }
    // Beside everything.
    let mut state = half();
    state.update(Event::Press(None));
    state.update(Event::Release(None));
    write(&mut state, "more");
    assert_eq!(form(&state).password.as_str(), "halfmore");
    // Also when the keyboard has left the field: a space is for what it is on.
    let mut state = half();
    press(&mut state, Key::Tab);
    assert_eq!(state.focus, Target::Reveal);
    write(&mut state, " ");
    assert!(form(&state).reveal);
    write(&mut state, "more");
    assert_eq!(form(&state).password.as_str(), "halfmore");
    assert_eq!(state.focus, Target::Password);
}

#[test]
fn enter_signs_in_from_a_box_to_tick() {
    let mut state = half();
    click(&mut state, Target::Remember);
    assert!(form(&state).remember);
    started(press(&mut state, Key::Enter));
    let mut state = half();
    while state.focus != Target::Remember {
        press(&mut state, Key::Tab);
    }
    write(&mut state, " ");
    assert!(form(&state).remember);
    started(press(&mut state, Key::Enter));
}

#[test]
fn a_password_is_hidden_again_when_it_was_wrong() {
    for code in ["wrong_password", "store_unreachable", "in_use", "stopped"] {
        let mut state = fresh();
        write(&mut state, "ana");
        press(&mut state, Key::Tab);
        click(&mut state, Target::Reveal);
        write(&mut state, PASSWORD);
        let (id, _) = started(press(&mut state, Key::Enter));
        state.update(Event::Done(id, Outcome::Failed(UserError::new(code, "x"))));
        assert!(!form(&state).reveal, "{code}");
    }
}

#[test]
fn what_was_typed_does_not_stay() {
    // Nothing typed: nothing to take away, and no reason to wake up.
    assert_eq!(fresh().idle_after(), None);
    assert_eq!(remembering(&["ana"]).idle_after(), None);
    let mut state = half();
    assert!(state.idle_after().is_some());
    assert_eq!(state.update(Event::Idle), []);
    assert!(form(&state).is_wiped() && form(&state).name.is_empty());
    assert_eq!(
        state.notice.as_ref().map(|notice| notice.mood),
        Some(Mood::Plain)
    );
    assert_eq!(state.idle_after(), None);
    // In every form, and behind every question.
    let mut state = half();
    click(&mut state, Target::More);
    assert!(state.idle_after().is_some());
    state.update(Event::Idle);
    assert!(form(&state).is_wiped());
    let mut state = remembering(&["ana"]);
    write(&mut state, PASSWORD);
    click(&mut state, Target::Power);
    click(&mut state, Target::ShutDown);
    state.update(Event::Idle);
    assert!(form(&state).is_wiped());
    let mut state = fresh();
    write(&mut state, "ana");
    click(&mut state, Target::More);
    click(&mut state, Target::Forgotten);
    write(&mut state, WORDS);
    state.update(Event::Idle);
    // A person who reads the sheet for a minute need not begin again.
    assert_eq!(form(&state).mode, Mode::Recover);
    assert!(form(&state).is_wiped() && form(&state).name.as_str() == "ana");
    // A name that was looked for.
    let mut state = remembering(&["ana", "ben"]);
    write(&mut state, "be");
    state.update(Event::Idle);
    assert_eq!(state.idle_after(), None);
    // A person who waits is not interrupted.
    let mut state = fresh();
    sign_in(&mut state);
    assert_eq!(state.idle_after(), None);
    state.update(Event::Idle);
    assert!(matches!(state.screen, Screen::Working(_)));
}

#[test]
fn fields_are_edited_as_everywhere() {
    let mut state = fresh();
    click(&mut state, Target::Places);
    click(
        &mut state,
        Target::AccountStore(orbital_login::state::Kind::Server),
    );
    write(&mut state, "https://home.example");
    press(&mut state, Key::DeleteWord);
    assert_eq!(form(&state).place.server.as_str(), "https://home.");
    press(&mut state, Key::SelectAll);
    write(&mut state, "x");
    assert_eq!(form(&state).place.server.as_str(), "x");
    press(&mut state, Key::DeleteToStart);
    // Copied text comes with its line end.
    assert_eq!(press(&mut state, Key::Paste), [Effect::Paste]);
    let pasted = Zeroizing::new("https://home.example:8443\r\n".to_owned());
    state.update(Event::Pasted(pasted));
    assert_eq!(
        form(&state).place.server.as_str(),
        "https://home.example:8443"
    );
    // A taken text is shown as one.
    press(&mut state, Key::SelectAll);
    let taken = view(&state).card.iter().any(
        |item| matches!(item, Item::Field(field) if field.target == Target::Server && field.taken),
    );
    assert!(taken);
    state.update(Event::Pasted(Zeroizing::new("y".to_owned())));
    assert_eq!(form(&state).place.server.as_str(), "y");
}

/// Whether this is said beside a field.
fn is_said(state: &State, text: &str) -> bool {
    view(state).card.iter().any(|item| {
        matches!(item, Item::Field(field)
            if matches!(&field.hint, Hint::Beside(Some((_, hint))) if hint.contains(text)))
    })
}

#[test]
fn caps_lock_is_said_before_the_first_letter_and_only_while_it_is_on() {
    let said = |state: &State| is_said(state, "Caps Lock");
    let mut state = fresh();
    state.update(Event::Input(Input::Caps(true)));
    // Beside the field that is typed into.
    assert!(!said(&state));
    press(&mut state, Key::Tab);
    assert!(said(&state));
    state.update(Event::Input(Input::Caps(false)));
    assert!(!said(&state));
}

#[test]
fn num_lock_is_said_beside_a_password_while_the_keypad_moves() {
    let said = |state: &State| is_said(state, "Num Lock");
    let mut state = fresh();
    state.update(Event::Input(Input::PadMoves(true)));
    // A name is seen as it is typed.
    assert!(!said(&state));
    let before = places(&state);
    press(&mut state, Key::Tab);
    assert!(said(&state));
    assert_eq!(places(&state), before);
    // One at a time: there is room for one.
    state.update(Event::Input(Input::Caps(true)));
    assert!(is_said(&state, "Caps Lock") && !said(&state));
    state.update(Event::Input(Input::Caps(false)));
    assert!(said(&state));
    state.update(Event::Input(Input::PadMoves(false)));
    assert!(!said(&state));
}

/// Where everything stands, but for words that are there only sometimes.
fn places(state: &State) -> Vec<(Target, orbital_login::geometry::Rect)> {
    let mut text = orbital_login::text::Text::new();
    let placed = orbital_login::layout::layout(&view(state), &mut text, 1280, 800);
    let mut places: Vec<_> = (placed.placed.iter())
        .filter_map(|one| Some((one.target?, one.rect)))
        .filter(|(target, _)| *target != Target::Next)
        .collect();
    places.sort_by_key(|(target, rect)| (format!("{target:?}"), rect.x, rect.y));
    places
}

#[test]
fn nothing_moves_while_one_types() {
    let mut state = fresh();
    let before = places(&state);
    state.update(Event::Input(Input::Caps(true)));
    write(&mut state, "a b");
    assert_eq!(places(&state), before);
    press(&mut state, Key::Enter);
    click(&mut state, Target::Submit);
    assert!(state.notice.is_some());
    assert_eq!(places(&state), before);
    let mut state = super::refuse("wrong_password");
    assert_eq!(places(&state), before);
    write(&mut state, "x");
    assert_eq!(places(&state), before);
    // Where a password is set.
    let mut state = fresh();
    click(&mut state, Target::OtherForm);
    let before = places(&state);
    for text in ["ana", PASSWORD, "correct donkey"] {
        write(&mut state, text);
        assert_eq!(places(&state), before, "{text}");
        press(&mut state, Key::Tab);
        if state.focus == Target::Reveal {
            press(&mut state, Key::Tab);
        }
    }
    // The words of a sheet.
    let mut state = fresh();
    click(&mut state, Target::More);
    click(&mut state, Target::Forgotten);
    let before = places(&state);
    click(&mut state, Target::Words);
    write(&mut state, &WORDS.replace("winner", "wimmer"));
    assert!(form(&state).words_hint().is_some());
    assert_eq!(places(&state), before);
}
