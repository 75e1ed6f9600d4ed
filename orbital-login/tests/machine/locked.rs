//! The card over a session that goes on.

use orbital_login::job::{Job, JobId, Opened, Outcome};
use orbital_login::keyboard::Key;
use orbital_login::state::{Effect, Event, Leaving, NoLock, Running, Screen, State, Target};
use orbital_login::user_error::{Mood, UserError};
use orbital_login::view::{Hint, Item, view};

use super::{PASSWORD, click, fresh, opened, press, says, sign_in, started, write};

/// A session that has the screen.
fn running() -> (State, JobId) {
    let mut state = fresh();
    let (id, _) = sign_in(&mut state);
    let (id, _) = started(state.update(Event::Done(id, opened("ana"))));
    state.update(Event::Started(id));
    (state, id)
}

fn locked() -> (State, JobId) {
    let (mut state, id) = running();
    assert_eq!(state.may_lock(), Ok(()));
    assert_eq!(state.update(Event::Covered), []);
    assert!(state.is_locked() && state.is_shown());
    (state, id)
}

/// The question that was asked, and the password in it.
#[track_caller]
fn asked(effects: Vec<Effect>) -> (JobId, String) {
    match effects.into_iter().next() {
        Some(Effect::Check(id, password)) => (id, password.expose().to_owned()),
        other => panic!("{other:?}"),
    }
}

fn wrong() -> Result<(), UserError> {
    Err(UserError::new("wrong_password", "the password is wrong"))
}

#[track_caller]
fn typed(state: &State) -> &str {
    match &state.screen {
        Screen::Locked(locked) => locked.form.password.as_str(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_right_password_takes_it_away_and_the_session_goes_on() {
    let (mut state, launch) = locked();
    // Nothing moves on it, though a job runs behind it.
    assert!(!state.is_moving() && state.is_busy());
    write(&mut state, PASSWORD);
    let (id, password) = asked(press(&mut state, Key::Enter));
    assert_eq!(password, PASSWORD);
    assert_eq!(typed(&state), "");
    assert!(state.is_locked(), "not before the answer");
    assert_eq!(state.update(Event::Checked(id, Ok(()))), []);
    assert!(!state.is_locked() && !state.is_shown());
    // The session ends as any other.
    let (_, job) = started(state.update(Event::Done(launch, Outcome::LauncherEnded(None))));
    assert_eq!(job, Job::Leave { keep: false });
}

#[test]
fn any_other_answer_leaves_it_there() {
    for code in [
        "wrong_password",
        "no_session",
        "daemon_gone",
        "user_failed",
        "protocol",
    ] {
        let (mut state, _) = locked();
        write(&mut state, "wrong");
        let (id, _) = asked(press(&mut state, Key::Enter));
        let answer = Err(UserError::new(code, "the message"));
        assert_eq!(state.update(Event::Checked(id, answer)), []);
        assert!(state.is_locked(), "{code}");
        assert_eq!((typed(&state), state.focus), ("", Target::Password));
        let notice = state
            .notice
            .as_ref()
            .map(|notice| (notice.mood, notice.next));
        assert_eq!(notice, Some((Mood::Wrong, None)), "{code}");
        assert!(says(&state).len() > 3);
    }
    // Nor do stray answers, and answers to what was asked before.
    let (mut state, _) = locked();
    write(&mut state, "wrong");
    let (id, _) = asked(press(&mut state, Key::Enter));
    state.update(Event::Checked(id + 1, Ok(())));
    assert!(state.is_locked());
    press(&mut state, Key::Escape);
    state.update(Event::Checked(id, Ok(())));
    assert!(state.is_locked(), "Escape took the question back");
}

#[test]
fn letters_that_are_typed_while_the_answer_is_awaited_stay() {
    let (mut state, _) = locked();
    // Enter of whatever locked it says nothing.
    assert_eq!(press(&mut state, Key::Enter), []);
    assert!(state.notice.is_none());
    write(&mut state, "wrong");
    let (id, _) = asked(press(&mut state, Key::Enter));
    let waits = view(&state).card.into_iter().any(|item| match item {
        Item::Field(field) => matches!(field.hint, Hint::Beside(Some(_))),
        _ => false,
    });
    assert!(waits, "nothing says that the answer is awaited");
    write(&mut state, PASSWORD);
    // One question at a time; this one comes after the answer.
    assert_eq!(press(&mut state, Key::Enter), []);
    let (id, password) = asked(state.update(Event::Checked(id, wrong())));
    assert_eq!(password, PASSWORD);
    state.update(Event::Checked(id, Ok(())));
    assert!(!state.is_shown());
    // Without Enter it waits for it.
    let (mut state, _) = locked();
    write(&mut state, "wrong");
    let (id, _) = asked(press(&mut state, Key::Enter));
    write(&mut state, "corr");
    assert_eq!(state.update(Event::Checked(id, wrong())), []);
    assert_eq!(typed(&state), "corr");
}

#[test]
fn a_click_takes_no_letters_away_and_the_eye_closes() {
    let start = locked().0;
    for target in start.order() {
        let (mut state, _) = locked();
        write(&mut state, "half");
        click(&mut state, target);
        let Screen::Locked(_) = &state.screen else {
            continue;
        };
        if state.menu.is_some() || target == Target::Submit {
            continue;
        }
        write(&mut state, "more");
        assert_eq!(typed(&state), "halfmore", "after {target:?}");
    }
    let (mut state, _) = locked();
    click(&mut state, Target::Reveal);
    write(&mut state, "wrong");
    let (id, _) = asked(press(&mut state, Key::Enter));
    click(&mut state, Target::Reveal);
    state.update(Event::Checked(id, wrong()));
    let Screen::Locked(locked) = &state.screen else {
        panic!("{:?}", state.screen)
    };
    assert!(!locked.form.reveal);
}

#[test]
fn what_was_typed_does_not_stay_and_one_key_empties_it() {
    let (mut state, _) = locked();
    assert_eq!(state.idle_after(), None);
    write(&mut state, "half");
    assert!(state.idle_after().is_some());
    state.update(Event::Idle);
    assert_eq!((typed(&state), state.idle_after()), ("", None));
    assert!(state.is_locked());
    write(&mut state, "half");
    press(&mut state, Key::Escape);
    assert_eq!(typed(&state), "");
    // Behind the question as well.
    write(&mut state, "half");
    click(&mut state, Target::SignOut);
    state.update(Event::Idle);
    assert_eq!(typed(&state), "");
}

#[test]
fn signing_out_from_it_is_asked_about_and_ends_the_programs_first() {
    let (mut state, launch) = locked();
    assert_eq!(click(&mut state, Target::SignOut), []);
    assert!(matches!(state.screen, Screen::Asked(_)) && state.is_locked());
    assert_eq!(state.focus, Target::Cancel);
    press(&mut state, Key::Escape);
    assert!(matches!(state.screen, Screen::Locked(_)));
    click(&mut state, Target::SignOut);
    assert_eq!(click(&mut state, Target::Sure), [Effect::EndPrograms]);
    assert!(matches!(
        state.screen,
        Screen::Running(Running { ending: true, .. })
    ));
    assert!(state.is_shown() && !state.is_locked());
    // Not before they have ended.
    assert!(state.covers());
    assert_eq!(state.may_lock(), Err(NoLock::NoSession));
    // However the launcher took it: it was told to end.
    let killed = UserError::new("launcher_failed", "sh ended with signal: 15");
    let (_, job) = started(state.update(Event::Done(launch, Outcome::LauncherEnded(Some(killed)))));
    assert_eq!(job, Job::Leave { keep: false });
    assert!(matches!(
        state.screen,
        Screen::Leaving(Leaving { after: None, .. })
    ));
    assert!(!state.covers());
}

#[test]
fn a_session_that_ends_behind_it_is_left_and_never_shown() {
    for question in [false, true] {
        let (mut state, launch) = locked();
        write(&mut state, "half");
        if question {
            click(&mut state, Target::SignOut);
        }
        let broke = UserError::new("launcher_crashed", "the message");
        let ended = Outcome::LauncherEnded(Some(broke));
        let (_, job) = started(state.update(Event::Done(launch, ended)));
        assert_eq!(job, Job::Leave { keep: false });
        assert!(state.is_shown());
    }
}

#[test]
fn only_a_session_with_a_password_that_has_the_screen_is_covered() {
    let mut state = fresh();
    assert_eq!(state.may_lock(), Err(NoLock::NoSession));
    state.update(Event::Covered);
    assert!(!state.is_locked());
    let (id, _) = sign_in(&mut state);
    assert_eq!(state.may_lock(), Err(NoLock::NoSession));
    let (id, _) = started(state.update(Event::Done(id, opened("ana"))));
    assert_eq!(state.may_lock(), Err(NoLock::NoSession));
    state.update(Event::Started(id));
    state.update(Event::Covered);
    assert_eq!(state.may_lock(), Err(NoLock::Locked));
    // A guest has none.
    let mut state = fresh();
    click(&mut state, Target::More);
    let (id, _) = started(click(&mut state, Target::Guest));
    let guest = Outcome::Opened(Opened::default());
    let (id, _) = started(state.update(Event::Done(id, guest)));
    state.update(Event::Started(id));
    assert_eq!(state.may_lock(), Err(NoLock::Guest));
    state.update(Event::Covered);
    assert!(!state.is_locked() && !state.is_shown());
}

#[test]
fn it_never_prints_the_password() {
    let (mut state, _) = locked();
    write(&mut state, PASSWORD);
    assert!(!format!("{state:?}").contains("horse"));
    assert!(!format!("{:?}", view(&state)).contains("horse"));
    let effects = press(&mut state, Key::Enter);
    assert!(!format!("{effects:?}").contains("horse"));
}
