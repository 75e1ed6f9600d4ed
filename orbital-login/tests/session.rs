//! The worker with a real daemon and without a window: what it makes, it takes away.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orbital_login::job::{Job, JobId, Opened, Outcome};
use orbital_login::session::{Options, System};
use orbital_login::state::{Effect, Event};
use orbital_login::user_error::UserError;
use orbital_login::worker::Worker;
use safeos_control::{Price, Recover, Secret, SignIn, SignUp};

const LIMIT: Duration = Duration::from_secs(120);
const PASSWORD: &str = "correct horse battery";
/// The variables that say where temporary folders go are the process's own: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

struct Login {
    worker: Worker,
    events: Receiver<Event>,
    next: JobId,
}

impl Login {
    fn new(place: &Path, launcher: &[&str]) -> Self {
        let options = Options {
            launcher: launcher.iter().map(OsString::from).collect(),
            state: place.join("state"),
            store: format!("file://{}", place.join("store").display()),
            daemon: Path::new(env!("CARGO_BIN_EXE_orbital-login")).with_file_name("safed"),
            console: false,
        };
        assert!(
            options.daemon.is_file(),
            "safed is not built: cargo build -p safed"
        );
        let (tell, events) = mpsc::channel();
        let settings = place.join("login.json");
        let host = Box::new(System::new(options));
        let worker = Worker::start(
            host,
            settings,
            Arc::new(move |event| drop(tell.send(event))),
        )
        .unwrap();
        Self {
            worker,
            events,
            next: 1,
        }
    }

    fn start(&mut self, job: Job) -> JobId {
        let id = self.next;
        self.next += 1;
        self.worker.carry_out(Effect::Start(id, job));
        id
    }

    #[track_caller]
    fn outcome(&self, id: JobId) -> Outcome {
        loop {
            if let Event::Done(done, outcome) = self.events.recv_timeout(LIMIT).unwrap() {
                assert_eq!(done, id);
                return outcome;
            }
        }
    }

    #[track_caller]
    fn run(&mut self, job: Job) -> Outcome {
        let id = self.start(job);
        self.outcome(id)
    }
}

fn sign_in(password: &str, key: Option<&Secret>) -> Job {
    Job::SignIn(SignIn {
        name: "ana".to_owned(),
        password: Secret::new(password.to_owned()),
        store: None,
        secret_key: key.cloned(),
        remember: false,
        accept_older: false,
        wait: false,
    })
}

#[track_caller]
fn opened(outcome: Outcome) -> Opened {
    match outcome {
        Outcome::Opened(opened) => opened,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn code(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(trouble)
        | Outcome::LauncherEnded(Some(trouble))
        | Outcome::Left(Some(trouble)) => trouble.code,
        other => panic!("{other:?}"),
    }
}

/// Of our making, in the folder for temporary files.
fn left() -> Vec<PathBuf> {
    let base = std::env::var_os("XDG_RUNTIME_DIR").or_else(|| std::env::var_os("TMPDIR"));
    let base = base.map_or_else(|| "/tmp".into(), PathBuf::from);
    let own = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("safe-login-"))
    };
    fs::read_dir(base)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(own)
        .collect()
}

#[test]
fn a_guest_leaves_nothing() {
    let _one = ONE.lock();
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("home");
    let script = format!(
        "pwd > '{}'; echo secret > file; mkdir -p .config/x; test \"$HOME\" = \"$PWD\"",
        out.display()
    );
    let before = left();
    let mut login = Login::new(place.path(), &["sh", "-c", &script]);
    assert_eq!(opened(login.run(Job::Guest)), Opened::default());
    // Nobody has used it.
    assert_eq!(code(login.run(Job::Launch)), "launcher_brief");
    let home = PathBuf::from(fs::read_to_string(&out).unwrap().trim());
    assert!(home.join("file").exists());
    assert_eq!(login.run(Job::Leave { keep: false }), Outcome::Left(None));
    assert!(!home.exists());
    // And again, also without a launcher.
    opened(login.run(Job::Guest));
    login.run(Job::Leave { keep: true });
    login.worker.finish();
    assert_eq!(left(), before);
}

#[test]
fn an_account_with_a_key_and_whatever_goes_wrong() {
    let _one = ONE.lock();
    let place = tempfile::tempdir().unwrap();
    let before = left();
    let mut login = Login::new(place.path(), &["/no/such/launcher"]);
    let sign_up = SignUp {
        name: "ana".to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        store: None,
        secret_key: None,
        wallet_key: None,
        generate_secret_key: true,
        remember: false,
        small_memory: true,
        recovery_key: None,
        generate_recovery_key: true,
    };
    // A price is no session, wherever it comes from.
    let price = |store: Option<String>| Job::Price {
        name: "ana".to_owned(),
        request: Price {
            wallet_key: Secret::new("1".repeat(64)),
            store,
        },
    };
    assert_eq!(login.run(price(None)), Outcome::Priced(None));
    let missing = format!("autonomi://{}", place.path().join("no.json").display());
    assert_eq!(code(login.run(price(Some(missing)))), "store_unreachable");
    let made = opened(login.run(Job::SignUp(sign_up.clone())));
    let (key, words) = (made.secret_key.unwrap(), made.recovery_key.unwrap());
    assert_eq!((made.account.as_str(), made.offline), ("ana", false));
    // A desktop that is not there is no reason not to leave in order.
    assert_eq!(code(login.run(Job::Launch)), "launcher_missing");
    assert_eq!(login.run(Job::Leave { keep: false }), Outcome::Left(None));

    assert_eq!(code(login.run(Job::SignUp(sign_up))), "account_exists");
    assert_eq!(
        code(login.run(sign_in("wrong horse", Some(&key)))),
        "wrong_password"
    );
    assert_eq!(code(login.run(sign_in(PASSWORD, None))), "wrong_password");
    let nowhere = SignIn {
        name: "ana".to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        store: Some("nonsense".to_owned()),
        secret_key: None,
        remember: false,
        accept_older: false,
        wait: false,
    };
    assert_eq!(code(login.run(Job::SignIn(nowhere))), "bad_store_url");

    // Stopped at whatever moment, the next sign-in is not kept out by a session that nobody sees.
    for pause in [0, 30, 300, 900, 1500] {
        let id = login.start(sign_in(PASSWORD, Some(&key)));
        std::thread::sleep(Duration::from_millis(pause));
        login.worker.carry_out(Effect::Stop(id));
        match login.outcome(id) {
            Outcome::Opened(_) => {
                assert_eq!(login.run(Job::Leave { keep: true }), Outcome::Left(None));
            }
            outcome => assert_eq!(outcome, Outcome::Failed(UserError::stopped())),
        }
    }
    opened(login.run(sign_in(PASSWORD, Some(&key))));
    assert_eq!(login.run(Job::Leave { keep: false }), Outcome::Left(None));

    // The password is forgotten.
    let recover = |name: &str| {
        Job::Recover(Recover {
            recovery_key: words.clone(),
            name: Some(name.to_owned()),
            new_password: Secret::new("another password".to_owned()),
            store: None,
            remember: false,
            accept_older: false,
        })
    };
    assert_eq!(code(login.run(recover("bob"))), "recovery_key_of_another");
    let again = opened(login.run(recover("ana")));
    assert_eq!(again.secret_key.as_ref(), Some(&key));
    assert_eq!(login.run(Job::Leave { keep: false }), Outcome::Left(None));
    assert_eq!(code(login.run(sign_in(PASSWORD, Some(&key)))), "retired");
    opened(login.run(sign_in("another password", Some(&key))));
    assert_eq!(login.run(Job::Leave { keep: false }), Outcome::Left(None));
    login.worker.finish();
    assert_eq!(left(), before);
}

/// A language that was chosen before signing in is in the home from then on, comes back with it on another computer, and the
/// launcher is told.
#[test]
fn a_language_goes_home_and_comes_back() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("told");
    let script = format!("echo $LANGUAGE > '{}'", out.display());
    let mut login = Login::new(place.path(), &["sh", "-c", &script]);
    let job = Job::SignUp(SignUp {
        name: "ana".to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        store: None,
        secret_key: None,
        wallet_key: None,
        generate_secret_key: false,
        remember: false,
        small_memory: true,
        recovery_key: None,
        generate_recovery_key: false,
    });
    assert_eq!(opened(login.run(job)).language, None);
    login.worker.carry_out(Effect::KeepLanguage("he"));
    login.run(Job::Launch);
    assert_eq!(fs::read_to_string(&out).unwrap(), "he\n");
    assert_eq!(login.run(Job::Leave { keep: false }), Outcome::Left(None));
    login.worker.finish();
    // Another computer at the same store.
    let other = tempfile::tempdir().unwrap();
    let store = other.path().join("store");
    std::os::unix::fs::symlink(place.path().join("store"), store).unwrap();
    let mut login = Login::new(other.path(), &["sh", "-c", &script]);
    let language = opened(login.run(sign_in(PASSWORD, None))).language;
    assert_eq!(language.as_deref(), Some("he"));
    fs::remove_file(&out).unwrap();
    login.run(Job::Launch);
    assert_eq!(fs::read_to_string(&out).unwrap(), "he\n");
    // A guest is nobody's.
    assert_eq!(login.run(Job::Leave { keep: false }), Outcome::Left(None));
    assert_eq!(opened(login.run(Job::Guest)).language, None);
    login.run(Job::Leave { keep: false });
    login.worker.finish();
}
