//! Visits to the sign-in screen, step by step.

use orbital_login::job::{Job, JobId, Opened, Outcome, Step};
use orbital_login::keyboard::Key;
use orbital_login::language::Language;
use orbital_login::state::{Effect, Event, Kind, Mode, Screen, State, Target};
use orbital_login::user_error::{Mood, UserError};
use orbital_login::view::{Item, view};
use safeos_control::{Keys, Secret};

use super::{
    PASSWORD, WORDS, click, form, fresh, opened, press, refuse, remembering, says, sign_in,
    started, write,
};

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
    assert_eq!(
        state.notice.as_ref().map(|notice| notice.mood),
        Some(Mood::Good)
    );
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
    state.update(Event::Done(id, Outcome::Failed(UserError::stopped())));
    assert!(form(&state).is_wiped());
    write(&mut state, PASSWORD);
    press(&mut state, Key::Escape);
    assert!(form(&state).is_wiped());
    // To the other form and back, to another account, to a guest.
    for target in [Target::OtherForm, Target::Guest, Target::Forgotten] {
        let mut state = remembering(&["ana", "ben"]);
        click(&mut state, Target::Account(0));
        write(&mut state, PASSWORD);
        click(&mut state, Target::More);
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
    // A second try needs no typing.
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
        Outcome::Failed(UserError::new("in_use", "x")),
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

/// Types a new account, with these boxes ticked, and goes.
fn create(state: &mut State, boxes: &[Target]) -> (JobId, Job) {
    click(state, Target::OtherForm);
    write(state, "ana");
    press(state, Key::Enter);
    write(state, PASSWORD);
    press(state, Key::Enter);
    write(state, PASSWORD);
    // A sheet is made unless somebody wants none.
    for ticked in [Target::WithSheet, Target::WithKey] {
        if boxes.contains(&ticked) != (ticked == Target::WithSheet) {
            click(state, ticked);
        }
    }
    started(click(state, Target::Submit))
}

/// Keys as the worker makes them.
fn keys(secret_key: bool, recovery_key: bool) -> Keys {
    let key = |text: &str| Secret::new(text.to_owned());
    Keys {
        secret_key: secret_key.then(|| key("60RK4-CSM6M-V3EE1-SC5H6-6S35C-SJ9RC")),
        recovery_key: recovery_key.then(|| key(WORDS)),
    }
}

fn shows(state: &State, word: &str) -> bool {
    view(state).card.iter().any(|item| match item {
        Item::Key(text) | Item::Words(text) => text.contains(word),
        _ => false,
    })
}

#[test]
fn a_key_pressed_too_often_stops_and_skips_nothing() {
    let mut state = fresh();
    let (id, job) = create(&mut state, &[Target::WithKey]);
    assert!(matches!(
        job,
        Job::Keys {
            secret_key: true,
            recovery_key: false
        }
    ));
    assert_eq!(press(&mut state, Key::Enter), []);
    write(&mut state, " ");
    let outcome = Outcome::Keys(keys(true, false));
    assert_eq!(state.update(Event::Done(id, outcome)), []);
    assert_eq!(press(&mut state, Key::Enter), []);
    assert!(matches!(state.screen, Screen::Sheet(_)));
    // With the keyboard alone all the same.
    press(&mut state, Key::Tab);
    let (id, job) = started(press(&mut state, Key::Enter));
    assert!(matches!(job, Job::SignUp(_)));
    let (_, job) = started(state.update(Event::Done(id, opened("ana"))));
    assert_eq!(job, Job::Launch);
}

#[test]
fn nothing_is_made_before_its_keys_are_kept_and_they_are_asked_for_once() {
    let mut state = fresh();
    let (id, job) = create(&mut state, &[Target::WithKey, Target::WithSheet]);
    assert!(matches!(
        job,
        Job::Keys {
            secret_key: true,
            recovery_key: true
        }
    ));
    assert_eq!(
        state.update(Event::Done(id, Outcome::Keys(keys(true, true)))),
        []
    );
    assert!(shows(&state, "60RK4") && !shows(&state, "sausage"));
    assert_eq!(click(&mut state, Target::Continue), []);
    assert!(!shows(&state, "60RK4") && shows(&state, "sausage"));
    let (id, job) = started(click(&mut state, Target::Continue));
    let given = |job: Job| {
        let Job::SignUp(request) = job else {
            panic!("{job:?}")
        };
        assert!(!request.generate_secret_key && !request.generate_recovery_key);
        Keys {
            secret_key: request.secret_key,
            recovery_key: request.recovery_key,
        }
    };
    assert_eq!(given(job), keys(true, true));
    // The last step fails: the paper is still right.
    let trouble = UserError::new("store_unreachable", "the message");
    state.update(Event::Done(id, Outcome::Failed(trouble)));
    let (id, job) = started(press(&mut state, Key::Enter));
    assert_eq!(given(job), keys(true, true));
    // Another name is another account, and gets keys of its own.
    let trouble = UserError::new("account_exists", "the message");
    state.update(Event::Done(id, Outcome::Failed(trouble)));
    click(&mut state, Target::Name);
    write(&mut state, "b");
    click(&mut state, Target::Password);
    write(&mut state, PASSWORD);
    click(&mut state, Target::Again);
    write(&mut state, PASSWORD);
    let (id, job) = started(click(&mut state, Target::Submit));
    assert!(matches!(job, Job::Keys { .. }));
    state.update(Event::Done(id, Outcome::Keys(keys(true, true))));
    // Back to the form, by the button; and what was shown is not taken for kept.
    assert_eq!(click(&mut state, Target::Back), []);
    let (id, job) = started(click(&mut state, Target::Submit));
    assert!(matches!(job, Job::Keys { .. }));
    // Stopped, nobody is told that nothing was made.
    state.update(Event::Done(id, Outcome::Keys(keys(true, true))));
    click(&mut state, Target::Continue);
    let (id, _) = started(click(&mut state, Target::Continue));
    press(&mut state, Key::Escape);
    state.update(Event::Done(id, Outcome::Failed(UserError::stopped())));
    let says = says(&state);
    assert!(says.contains("made all the same"), "{says}");
    assert!(form(&state).is_wiped());
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
    click(&mut state, Target::More);
    click(&mut state, Target::Forgotten);
    assert_eq!((form(&state).chosen, state.focus), (Some(0), Target::Words));
    write(&mut state, &WORDS.replace("year", "yaer"));
    let hint = form(&state).words_hint().unwrap();
    assert!(Language::English.say(&hint).contains("Word 4"));
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
    // A person who stops it is not told that nothing was changed.
    press(&mut state, Key::Escape);
    state.update(Event::Done(id, Outcome::Failed(UserError::stopped())));
    assert!(says(&state).contains("may hold already"));
    click(&mut state, Target::Words);
    write(&mut state, WORDS);
    click(&mut state, Target::Password);
    write(&mut state, PASSWORD);
    press(&mut state, Key::Enter);
    write(&mut state, PASSWORD);
    let (id, _) = started(press(&mut state, Key::Enter));
    let trouble = UserError::new("recovery_key_replaced", "the message");
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
    let shows = |state: &State, text: &str| format!("{:?}", view(state).card).contains(text);
    let left = "3 records left";
    let step = |what: &str| Step {
        what: what.into(),
        done: 1,
        total: 4,
        unit: "records".into(),
    };
    state.update(Event::Step(id, step("uploading")));
    assert!(shows(&state, left) && !shows(&state, "Nothing is lost"));
    // The reason, since when, and that it can be left.
    let waits = "waiting since 2026-11-22T10:11:12Z, because the store https://home.example is out of reach: it is asleep";
    state.update(Event::Step(id, step(waits)));
    for text in [
        "The store https://home.example is out of reach",
        "it is asleep.",
        left,
        "Nothing is lost if you sign out now",
        "Sign out now, save the rest next time",
    ] {
        assert!(shows(&state, text), "{text}");
    }
    // By the button and by a key.
    assert_eq!(click(&mut state, Target::LeaveRest), [Effect::Stop(id)]);
    assert_eq!(press(&mut state, Key::Escape), [Effect::Stop(id)]);
    let (id, job) = started(state.update(Event::Done(id, Outcome::Failed(UserError::stopped()))));
    assert_eq!(job, Job::Leave { keep: true });
    assert!(!state.order().contains(&Target::LeaveRest));
    state.update(Event::Done(id, Outcome::Left(None)));
    assert!(says(&state).contains("encrypted"));
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
    for (first, second, said) in [
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
        let text = says(&state);
        assert!(text.contains(said), "{text}");
    }
    let mut state = fresh();
    click(&mut state, Target::Places);
    click(&mut state, Target::AccountStore(Kind::Network));
    assert_eq!(form(&state).place.kind, Kind::Computer);
    click(&mut state, Target::AccountStore(Kind::Server));
    click(&mut state, Target::Submit);
    assert!(state.notice.is_some());
}

#[test]
fn a_server_that_does_not_answer_can_be_waited_for() {
    let mut state = remembering(&["ana"]);
    write(&mut state, PASSWORD);
    let (id, _) = started(press(&mut state, Key::Enter));
    let step = |done| Step {
        what: "waiting since 2026-11-22T10:11:12Z, because it has not answered yet".to_owned(),
        done,
        total: 5,
        unit: "seconds".to_owned(),
    };
    assert!(!state.order().contains(&Target::KeepWaiting));
    state.update(Event::Step(id, step(3)));
    assert!(format!("{:?}", view(&state).card).contains("in 2 s"));
    // Stopped and begun again, with the same password, to wait longer; once.
    assert_eq!(click(&mut state, Target::KeepWaiting), [Effect::Stop(id)]);
    let stopped = || Outcome::Failed(UserError::stopped());
    let (id, job) = started(state.update(Event::Done(id, stopped())));
    assert!(
        matches!(&job, Job::SignIn(request) if request.wait && request.password.expose() == PASSWORD),
        "{job:?}"
    );
    state.update(Event::Done(
        id,
        Outcome::Failed(UserError::new("store_unreachable", "x")),
    ));
    let (id, job) = started(press(&mut state, Key::Enter));
    assert!(matches!(job, Job::SignIn(request) if !request.wait));
    // Opened all the same: then it is open.
    state.update(Event::Step(id, step(4)));
    click(&mut state, Target::KeepWaiting);
    let (_, job) = started(state.update(Event::Done(id, opened("ana"))));
    assert_eq!(job, Job::Launch);
    // And it can be left at once.
    let mut state = remembering(&["ana"]);
    write(&mut state, PASSWORD);
    let (id, _) = started(press(&mut state, Key::Enter));
    state.update(Event::Step(id, step(3)));
    assert_eq!(press(&mut state, Key::Escape), [Effect::Stop(id)]);
    state.update(Event::Done(id, stopped()));
    assert!(form(&state).is_wiped());
}

#[test]
fn what_cannot_be_undone_is_asked_about() {
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
    // However often Enter is pressed, on whatever is under it.
    click(&mut state, Target::Power);
    for _ in 0..20 {
        assert_eq!(press(&mut state, Key::Enter), []);
    }
    press(&mut state, Key::Escape);
    press(&mut state, Key::Escape);
    for (target, restart) in [(Target::ShutDown, false), (Target::Restart, true)] {
        click(&mut state, Target::Power);
        assert_eq!(click(&mut state, target), []);
        assert_eq!(state.focus, Target::Cancel);
        assert_eq!(press(&mut state, Key::Escape), []);
        assert_eq!(form(&state).chosen, Some(0));
        click(&mut state, Target::Power);
        click(&mut state, target);
        assert_eq!(click(&mut state, Target::Sure), [Effect::Power { restart }]);
    }
    // Nobody turns the computer off under somebody's session.
    write(&mut state, PASSWORD);
    press(&mut state, Key::Enter);
    assert!(!state.order().contains(&Target::Power));
}
