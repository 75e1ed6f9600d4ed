//! The thread that does what takes long: asks the daemon, runs the launcher.
//!
//! What always holds here: each job ends with exactly one outcome; while a session is open, and only then,
//! leaving it does something. A second thread does what must not wait for the launcher's end. Whoever wants to stop is heard within a second or so, also when the daemon
//! says nothing.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use safeos_account::{RecoveryKey, SecretKey};
use safeos_control::{CheckPassword, Keys, Priced, Request, Secret, SignOut, ask};
use serde_json::Value;

use crate::job::{Job, JobId, Opened, Outcome, Step};
use crate::session::{Aside, Host};
use crate::settings::Settings;
use crate::state::{Effect, Event, Tell};
use crate::user_error::UserError;
use crate::view::WAITING;

/// How often a session that nobody sees is looked for, and how long between.
const CLOSE_TRIES: usize = 10;
const CLOSE_PAUSE: Duration = Duration::from_millis(200);
/// How long a sign-out waits for a server that does not answer, before it leaves the rest to the next time by itself.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often a thread on Redox looks whether it was told of something without being woken.
const LOOK_EVERY: Duration = Duration::from_millis(250);

enum Order {
    Job(JobId, Job),
    Language(&'static str),
    Power(bool),
}

/// What is done also while the launcher runs.
enum Meanwhile {
    Check(JobId, Secret),
    EndLauncher,
    Keymap(String),
    Save(Settings),
}

/// The worker, as the window sees it.
pub struct Worker {
    orders: Sender<Order>,
    meanwhile: Sender<Meanwhile>,
    stop: Arc<AtomicU64>,
    threads: [JoinHandle<()>; 2],
}

impl Worker {
    /// Starts the thread; settings go to `settings`.
    pub fn start(host: Box<dyn Host>, settings: PathBuf, tell: Tell) -> std::io::Result<Self> {
        let (orders, take) = mpsc::channel();
        let (meanwhile, take_meanwhile) = mpsc::channel();
        let beside = Beside {
            aside: host.aside(),
            settings,
            tell: Arc::clone(&tell),
        };
        let stop = Arc::new(AtomicU64::new(0));
        let working = Working {
            host,
            tell,
            stop: Arc::clone(&stop),
            guest: false,
            maybe_open: false,
        };
        let thread = std::thread::Builder::new()
            .name("worker".to_owned())
            .spawn(move || working.run(&take))?;
        let other = std::thread::Builder::new()
            .name("meanwhile".to_owned())
            .spawn(move || beside.run(&take_meanwhile))?;
        Ok(Self {
            orders,
            meanwhile,
            stop,
            threads: [thread, other],
        })
    }

    /// Ends the thread when it has done what it was asked, and takes away what it has made.
    pub fn finish(self) {
        drop((self.orders, self.meanwhile));
        for thread in self.threads {
            let _ = thread.join();
        }
    }

    /// Has an effect done. Those of the window are not for here.
    pub fn carry_out(&self, effect: Effect) {
        let order = match effect {
            Effect::Start(id, job) => Order::Job(id, job),
            Effect::Stop(id) => return self.stop.store(id, Ordering::Release),
            Effect::KeepLanguage(code) => Order::Language(code),
            Effect::Power { restart } => Order::Power(restart),
            Effect::Check(id, password) => {
                return self.do_meanwhile(Meanwhile::Check(id, password));
            }
            Effect::EndPrograms => return self.do_meanwhile(Meanwhile::EndLauncher),
            Effect::Keymap(name) => return self.do_meanwhile(Meanwhile::Keymap(name)),
            Effect::Save(settings) => return self.do_meanwhile(Meanwhile::Save(settings)),
            Effect::ClearClipboard | Effect::Paste => return,
        };
        // The thread lives as long as this end of the channel.
        let _ = self.orders.send(order);
    }

    fn do_meanwhile(&self, order: Meanwhile) {
        // The same.
        let _ = self.meanwhile.send(order);
    }
}

/// Waits for the next order; none when there will be no more.
///
/// Redox's kernel finds a thread that waits for memory to change by the page frame. When another thread starts a program meanwhile,
/// what is written next may stand in another frame, and the thread is not woken: there it looks for itself.
fn next<T>(orders: &Receiver<T>) -> Option<T> {
    if cfg!(not(target_os = "redox")) {
        return orders.recv().ok();
    }
    loop {
        match orders.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            order => return order.ok(),
        }
    }
}

/// What the second thread works with.
struct Beside {
    aside: Box<dyn Aside>,
    settings: PathBuf,
    tell: Tell,
}

impl Beside {
    fn run(self, orders: &Receiver<Meanwhile>) {
        while let Some(order) = next(orders) {
            match order {
                Meanwhile::Check(id, password) => {
                    (self.tell)(Event::Checked(id, self.check(password)));
                }
                Meanwhile::EndLauncher => self.aside.end_launcher(),
                Meanwhile::Keymap(name) => self.aside.set_keymap(&name),
                // A setting that cannot be kept is asked for again next time; nobody is disturbed for it.
                Meanwhile::Save(settings) => drop(settings.save(&self.settings)),
            }
        }
    }

    /// The daemon's answer, from the keys of the session: no store is asked, and each try costs what signing in does.
    fn check(&self, password: Secret) -> Result<(), UserError> {
        let request = Request::CheckPassword(CheckPassword { password });
        ask(self.aside.client()?, request, |_| (), || false)?;
        Ok(())
    }
}

struct Working {
    host: Box<dyn Host>,
    tell: Tell,
    stop: Arc<AtomicU64>,
    guest: bool,
    /// A sign-in was stopped that the daemon may have finished all the same.
    maybe_open: bool,
}

impl Working {
    fn run(mut self, orders: &Receiver<Order>) {
        while let Some(order) = next(orders) {
            match order {
                Order::Job(id, job) => {
                    let outcome = self.job(id, job);
                    (self.tell)(Event::Done(id, outcome));
                }
                Order::Language(code) => self.host.keep_language(code),
                Order::Power(restart) => self.host.power(restart),
            }
        }
        self.host.end_programs();
        self.host.clean(true);
    }

    fn job(&mut self, id: JobId, job: Job) -> Outcome {
        match job {
            Job::SignIn(request) => {
                let name = request.name.clone();
                self.open(id, &name, Request::SignIn(request))
            }
            Job::Keys {
                secret_key,
                recovery_key,
            } => match make_keys(secret_key, recovery_key) {
                Ok(keys) => Outcome::Keys(keys),
                Err(error) => Outcome::Failed(UserError::new(error.code(), error.to_string())),
            },
            Job::Price { name, request } => self.price(id, &name, Request::Price(request)),
            Job::SignUp(request) => {
                let name = request.name.clone();
                self.open(id, &name, Request::SignUp(request))
            }
            Job::Recover(request) => {
                let name = request.name.clone().unwrap_or_default();
                self.open(id, &name, Request::Recover(request))
            }
            Job::Guest => match self.host.enter_guest() {
                Ok(()) => {
                    self.guest = true;
                    Outcome::Opened(Opened::default())
                }
                Err(trouble) => self.not_opened(trouble),
            },
            Job::Launch => {
                let tell = Arc::clone(&self.tell);
                let mut started = move || tell(Event::Started(id));
                let since = Instant::now();
                let ended = self.host.launch(&mut started);
                Outcome::LauncherEnded(how_it_ended(ended, since.elapsed()))
            }
            Job::Leave { keep } => self.leave(id, keep),
        }
    }

    fn step(&self, id: JobId, what: &str) {
        let step = Step {
            what: what.to_owned(),
            ..Step::default()
        };
        (self.tell)(Event::Step(id, step));
    }

    /// Asks the daemon in the person's name.
    fn ask(&mut self, id: JobId, request: Request) -> Result<Value, UserError> {
        self.ask_while(id, request, |_| (), || false)
    }

    /// The same, until it is given up; `hears`: what is done meanwhile.
    fn ask_while(
        &mut self,
        id: JobId,
        request: Request,
        mut hears: impl FnMut(&str),
        mut gives_up: impl FnMut() -> bool,
    ) -> Result<Value, UserError> {
        let client = self.host.client()?;
        let tell = &self.tell;
        let answer = ask(
            client,
            request,
            |progress| {
                hears(&progress.what);
                let step = Step {
                    what: progress.what,
                    done: progress.done,
                    total: progress.total,
                    unit: progress.unit,
                };
                tell(Event::Step(id, step));
            },
            || self.stop.load(Ordering::Acquire) == id || gives_up(),
        );
        Ok(answer?)
    }

    /// Asks only: nothing of it stays.
    fn price(&mut self, id: JobId, name: &str, request: Request) -> Outcome {
        self.step(id, "starting");
        let entered = self.host.enter(name);
        let answer = entered.and_then(|()| self.ask(id, request));
        self.host.clean(false);
        match answer {
            // Where nothing is paid, nothing is said.
            Ok(answer) if answer.get("cost").is_none() => Outcome::Priced(None),
            Ok(answer) => match serde_json::from_value::<Priced>(answer) {
                Ok(priced) => Outcome::Priced(Some(priced)),
                Err(error) => Outcome::Failed(UserError::new("protocol", error.to_string())),
            },
            Err(trouble) => Outcome::Failed(trouble),
        }
    }

    fn open(&mut self, id: JobId, name: &str, request: Request) -> Outcome {
        self.step(id, "starting");
        // Neither is done without the store.
        let online = matches!(request, Request::SignUp(_) | Request::Recover(_));
        if let Err(trouble) = self.host.enter(name) {
            return self.not_opened(trouble);
        }
        match self.ask_to_open(id, request) {
            Ok(mut answer) => {
                let mut text = |name: &str| match answer.get_mut(name).map(Value::take) {
                    Some(Value::String(text)) => Some(text),
                    _ => None,
                };
                let mut opened = Opened {
                    account: text("account").unwrap_or_else(|| name.to_owned()),
                    store: text("store").unwrap_or_default(),
                    secret_key: text("secret_key").map(Secret::new),
                    recovery_key: text("recovery_key").map(Secret::new),
                    offline: false,
                    language: None,
                };
                if !online && let Ok(status) = self.ask(id, Request::Status) {
                    opened.offline = status.get("offline") == Some(&Value::Bool(true));
                }
                opened.language = (!opened.offline).then(|| self.host.language()).flatten();
                Outcome::Opened(opened)
            }
            Err(trouble) => {
                self.maybe_open |= trouble.code == "stopped";
                self.not_opened(trouble)
            }
        }
    }

    /// Opens; and closes first what a sign-in that was stopped may have left open, unseen.
    fn ask_to_open(&mut self, id: JobId, request: Request) -> Result<Value, UserError> {
        for _ in 0..CLOSE_TRIES {
            match self.ask(id, request.clone()) {
                Err(trouble) if trouble.code == "in_use" && self.maybe_open => {
                    let close = Request::SignOut(SignOut {
                        wipe: false,
                        keep_stage: true,
                        later: true,
                        force: true,
                    });
                    // It may still be on its way.
                    if self.ask(id, close).is_err() {
                        std::thread::sleep(CLOSE_PAUSE);
                    }
                }
                answer => {
                    self.maybe_open &= answer.is_err();
                    return answer;
                }
            }
        }
        self.ask(id, request)
    }

    fn not_opened(&mut self, trouble: UserError) -> Outcome {
        self.host.clean(false);
        Outcome::Failed(trouble)
    }

    fn leave(&mut self, id: JobId, keep: bool) -> Outcome {
        self.step(id, "ending programs");
        self.host.end_programs();
        let trouble = if std::mem::take(&mut self.guest) {
            None
        } else {
            match self.close(id, keep) {
                // The session is still open; it is asked to leave in another way now.
                Err(trouble) if trouble.code == "stopped" && !keep => {
                    return Outcome::Failed(trouble);
                }
                Err(trouble) => Some(trouble),
                Ok(()) => None,
            }
        };
        let broken = trouble
            .as_ref()
            .is_some_and(|trouble| trouble.code != "not_published");
        self.host.clean(broken);
        Outcome::Left(trouble)
    }

    /// Publishes and signs out; what cannot be published stays in the encrypted stage.
    fn close(&mut self, id: JobId, keep: bool) -> Result<(), UserError> {
        let request = |keep_stage| {
            Request::SignOut(SignOut {
                wipe: false,
                keep_stage,
                later: keep_stage,
                // Its programs were ended before; what is left of them cannot be asked.
                force: true,
            })
        };
        // Why it waits, and since when; others may want to sign in here.
        let waits: Cell<Option<Instant>> = Cell::new(None);
        let why = RefCell::new(String::new());
        let hears = |what: &str| match what.split_once(", because ") {
            Some((waiting, because)) if waiting.starts_with(WAITING) => {
                waits.set(waits.get().or_else(|| Some(Instant::now())));
                because.clone_into(&mut why.borrow_mut());
            }
            // The daemon says again what it did before, now and then.
            _ => {}
        };
        let waited = || waits.get().is_some_and(|since| since.elapsed() > WAIT_MAX);
        let first = match self.ask_while(id, request(keep), hears, waited) {
            Ok(_) => return Ok(()),
            Err(trouble) if trouble.code == "no_session" => return Ok(()),
            Err(trouble) if trouble.code == "stopped" => {
                // The person's wish comes before.
                if self.stop.load(Ordering::Acquire) == id || !waited() {
                    return Err(trouble);
                }
                UserError::new("store_unreachable", why.take())
            }
            Err(trouble) => trouble,
        };
        match self.ask(id, request(true)) {
            Ok(_) => Err(UserError::new(
                "not_published",
                format!(
                    "{}; what is not saved to the account stays encrypted on this computer, and is saved when you sign in here again",
                    first.message
                ),
            )),
            Err(second) => Err(second),
        }
    }
}

/// So soon after its start nobody has used it.
const BRIEF: Duration = Duration::from_secs(3);
/// A desktop that breaks off sooner has not come up.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// The report on the end of a launcher, after so long.
fn how_it_ended(ended: Result<(), UserError>, after: Duration) -> Option<UserError> {
    let seconds = after.as_secs();
    match ended {
        Ok(()) if after < BRIEF => Some(UserError::new(
            "launcher_brief",
            "it started and ended by itself, without an error. Whoever set this computer up can see which program it is to start",
        )),
        Ok(()) => None,
        Err(trouble) if trouble.code == "launcher_failed" && after >= STARTS_WITHIN => {
            Some(UserError::new(
                "launcher_crashed",
                format!(
                    "it ran for {} and ended with an error: {}",
                    so_long(seconds),
                    trouble.message
                ),
            ))
        }
        Err(trouble) => Some(trouble),
    }
}

fn so_long(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        _ => format!("{} hours", seconds / 3600),
    }
}

fn make_keys(secret_key: bool, recovery_key: bool) -> safeos_account::Result<Keys> {
    let shown = |key: safeos_account::Secret| Secret::new(key.expose().to_owned());
    let secret_key = secret_key.then(SecretKey::generate).transpose()?;
    let recovery_key = recovery_key.then(RecoveryKey::generate).transpose()?;
    Ok(Keys {
        secret_key: secret_key.map(|key| shown(key.to_text())),
        recovery_key: recovery_key.map(|key| shown(key.to_words())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_desktop_ended_is_told_apart() {
        let code = |ended: Result<(), UserError>, seconds| {
            how_it_ended(ended, Duration::from_secs(seconds)).map(|trouble| trouble.code)
        };
        let failed = || {
            Err(UserError::new(
                "launcher_failed",
                "x ended with exit status: 1",
            ))
        };
        assert_eq!(code(Ok(()), 0).as_deref(), Some("launcher_brief"));
        assert_eq!(code(Ok(()), 3), None);
        assert_eq!(code(failed(), 0).as_deref(), Some("launcher_failed"));
        assert_eq!(code(failed(), 12).as_deref(), Some("launcher_crashed"));
        let missing = Err(UserError::new("launcher_missing", "x"));
        assert_eq!(code(missing, 90).as_deref(), Some("launcher_missing"));
    }
}
