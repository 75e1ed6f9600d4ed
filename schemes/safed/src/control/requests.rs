//! The requests on `.ctl`, and the answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use safeos_account::{RecoveryKey, SecretKey};
use safeos_control::{
    ErrorReply, Join, Keys, Price, Priced, Recover, Reply, Request, SignIn, SignOut, SignUp, Sum,
};
use safeos_session::{
    Credentials, Error, Options, Progress as _, Secret, Session, SignUpOptions, Step,
};
use safeos_store::{Money, Parsed, Store};
use safeos_telemetry::{event, span};
use serde::Serialize;
use serde_json::{Map, json};

use super::exchange::{Exchange, Listener};
use crate::daemon::{Daemon, Signed};
use crate::insight;

type Answer = Result<Reply, ErrorReply>;

/// How long a session without a client waits for its store when it ends.
const UNSEEN_MAX: Duration = Duration::from_secs(1);

/// Does what a request asks.
pub fn run(conversation: &Exchange, request: Request) -> Reply {
    let name = request.name();
    // Asked again and again by watching clients.
    let _span = match request {
        Request::Status | Request::Metrics | Request::Doctor => {
            span!(DEBUG, "request", name = name)
        }
        _ => span!(INFO, "request", name = name),
    };
    let waits = matches!(&request, Request::SignIn(sign_in) if sign_in.wait);
    let listener = Listener::new(conversation, waits);
    let answer = match request {
        Request::SignUp(request) => sign_up(conversation, request, &listener),
        Request::Price(request) => price(conversation, &request, &listener),
        Request::SignIn(request) => sign_in(conversation, request, &listener),
        Request::Recover(request) => recover(conversation, &request, &listener),
        Request::SignOut(request) => sign_out(conversation, &request, &listener),
        Request::Join(request) => join(conversation, &request),
        Request::Leave => Ok(Reply::Ok(json!({
            "last": conversation.daemon.members.leave(conversation.number),
        }))),
        Request::Metrics => of_the_daemon(conversation)
            .map(|daemon| Reply::Ok(json!({ "text": insight::metrics(daemon) }))),
        Request::Doctor => {
            of_the_daemon(conversation).map(|daemon| Reply::Ok(insight::doctor(daemon)))
        }
        request => in_session(conversation, request, &listener),
    };
    answer.unwrap_or_else(Reply::Error)
}

/// The daemon, for users that may know its state as a whole: it may serve others too.
fn of_the_daemon(conversation: &Exchange) -> Result<&Daemon, ErrorReply> {
    let daemon = &conversation.daemon;
    if conversation.uid == 0 || conversation.uid == daemon.uid {
        return Ok(daemon);
    }
    let message = "this SafeOS serves other users too: only root may ask how all of it stands";
    Err(refused("forbidden", message))
}

fn refused(code: &'static str, message: impl Into<String>) -> ErrorReply {
    event!(INFO, "a request is refused", error = code);
    ErrorReply {
        code: code.to_owned(),
        message: message.into(),
        retry: false,
    }
}

fn failed(error: impl Into<Error>) -> ErrorReply {
    let error = error.into();
    event!(INFO, "a request has failed", error = error.code());
    ErrorReply {
        code: error.code().to_owned(),
        message: error.to_string(),
        retry: error.retry(),
    }
}

/// The same, with the changes that wait for that.
fn not_published(session: &Session, error: Error) -> ErrorReply {
    let reply = failed(error);
    match session.status().waiting {
        Some(waiting) if !matches!(reply.code.as_str(), "stopped" | "no_session") => ErrorReply {
            message: format!(
                "{waiting}, wait on this computer to be published: {}",
                reply.message
            ),
            ..reply
        },
        _ => reply,
    }
}

/// The session of the conversation's opener.
fn signed(conversation: &Exchange) -> Result<(Arc<Signed>, Arc<Session>), ErrorReply> {
    let none = || {
        let message = "nobody is signed in here as this user: sign in with `safe login NAME`";
        refused("no_session", message)
    };
    let daemon = &conversation.daemon;
    let signed = daemon.signed(conversation.uid).ok_or_else(none)?;
    let session = signed.session.clone().ok_or_else(none)?;
    Ok((signed, session))
}

/// The permission to sign in: for root and the daemon's users, if they have no session yet.
fn may_sign_in(conversation: &Exchange) -> Result<(), ErrorReply> {
    let daemon = &conversation.daemon;
    if !daemon.may_sign_in(conversation.uid) {
        let message = "this SafeOS belongs to another user: start your own with `safe login NAME`";
        return Err(refused("forbidden", message));
    }
    if daemon.signed(conversation.uid).is_some() {
        return Err(failed(Error::InUse));
    }
    Ok(())
}

/// The store that a request names, or the daemon's own. A daemon that serves everybody works as root, and a
/// user must not have it make or write a folder of the user's choice.
fn store(conversation: &Exchange, named: Option<&str>) -> Result<Arc<dyn Store>, ErrorReply> {
    let daemon = &conversation.daemon;
    let url = named.unwrap_or(&daemon.store);
    let own = conversation.uid == 0 || conversation.uid == daemon.uid || url == daemon.store;
    if !own && url.trim_start().to_ascii_lowercase().starts_with("file:") {
        let message = format!(
            "{url}: only root may name a folder as the store of this computer's SafeOS; leave the store out, or name a server's"
        );
        return Err(refused("forbidden", message));
    }
    daemon.open_store(url).map_err(failed)
}

/// Refuses to make a store for somebody who looks for an account: its disk may not be there today.
fn store_is_there(url: &str, code: &'static str) -> Result<(), ErrorReply> {
    if safeos_store::may_be_there(url).map_err(failed)? {
        return Ok(());
    }
    let message = format!(
        "there is no store at {url}, so no account either: see that its disk is mounted and check the path, or sign up to make both"
    );
    Err(refused(code, message))
}

struct Opening {
    store: Option<String>,
    /// The error's code where there is no store yet; `None`: it is made.
    without_store: Option<&'static str>,
    remember: bool,
    accept_older: bool,
    wallet: Option<Secret>,
}

fn sign_up(conversation: &Exchange, request: SignUp, listener: &Listener<'_>) -> Answer {
    let both = |what: &str| {
        let message = format!("a {what} is either given or generated, not both");
        Err(ErrorReply::bad_request(message))
    };
    let mut generated = Keys::default();
    let secret_key = match (&request.secret_key, request.generate_secret_key) {
        (Some(_), true) => return both("secret key"),
        (Some(given), false) => Some(given.clone()),
        (None, true) => {
            let made = SecretKey::generate().map_err(failed)?.to_text();
            generated.secret_key = Some(made.clone());
            Some(made)
        }
        (None, false) => None,
    };
    let recovery_key = match (&request.recovery_key, request.generate_recovery_key) {
        (Some(_), true) => return both("recovery key"),
        (Some(given), false) => Some(RecoveryKey::parse(given).map_err(failed)?),
        (None, true) => {
            let made = RecoveryKey::generate().map_err(failed)?;
            generated.recovery_key = Some(made.to_words());
            Some(made)
        }
        (None, false) => None,
    };
    may_sign_in(conversation)?;
    conversation.hand_over(&generated)?;
    let credentials = Credentials {
        name: request.name,
        password: request.password.clone(),
        secret_key,
    };
    let sign_up = SignUpOptions {
        small_memory: request.small_memory,
        recovery_key,
    };
    let opening = Opening {
        store: request.store,
        without_store: None,
        remember: request.remember,
        accept_older: false,
        wallet: request.wallet_key.clone(),
    };
    open(conversation, opening, |options| {
        let session = Session::sign_up_with(credentials, sign_up, options, listener)?;
        Ok((session, generated))
    })
}

/// No session begins and nothing is paid; the wallet is forgotten with the store that was opened for it.
fn price(conversation: &Exchange, request: &Price, listener: &Listener<'_>) -> Answer {
    may_sign_in(conversation)?;
    let daemon = &conversation.daemon;
    let url = request.store.as_deref().unwrap_or(&daemon.store);
    let store = store(conversation, Some(url))?;
    let Some(wallet) = store.wallet() else {
        return Ok(Reply::ok(&()));
    };
    listener.step(Step {
        what: "asking for prices".to_owned(),
        done: 0,
        total: 0,
        unit: String::new(),
    });
    let head_elsewhere = match safeos_store::parse(url).map_err(failed)? {
        Parsed::Autonomi(named) => named.head.is_some(),
        _ => false,
    };
    let key = request.wallet_key.expose();
    let price = safeos_store::Price::of_sign_up(wallet, key, head_elsewhere).map_err(failed)?;
    price.affordable(url).map_err(failed)?;
    let sum = |money: Money| Sum {
        tokens: money.tokens.to_string(),
        gas: money.gas.to_string(),
    };
    Ok(Reply::ok(&Priced {
        records: price.records,
        cost: sum(price.cost),
        wallet: price.wallet,
        has: sum(price.has),
    }))
}

fn sign_in(conversation: &Exchange, request: SignIn, listener: &Listener<'_>) -> Answer {
    let credentials = Credentials {
        name: request.name,
        password: request.password.clone(),
        secret_key: request.secret_key.clone(),
    };
    let opening = Opening {
        store: request.store,
        without_store: Some("no_account"),
        remember: request.remember,
        accept_older: request.accept_older,
        wallet: None,
    };
    open(conversation, opening, |options| {
        let session = Session::sign_in(credentials, options, listener)?;
        if !request.accept_older
            && let Err(error) = session.look_at_root(listener)
        {
            let _ = session.sign_out_later();
            return Err(error);
        }
        Ok((session, Keys::default()))
    })
}

fn recover(conversation: &Exchange, request: &Recover, listener: &Listener<'_>) -> Answer {
    let key = RecoveryKey::parse(&request.recovery_key).map_err(failed)?;
    let opening = Opening {
        store: request.store.clone(),
        without_store: Some("unknown_recovery_key"),
        remember: request.remember,
        accept_older: request.accept_older,
        wallet: None,
    };
    open(conversation, opening, |options| {
        let new = request.new_password.clone();
        let session = Session::recover(&key, request.name.as_deref(), &new, options, listener)?;
        let keys = Keys {
            secret_key: session.secret_key(),
            recovery_key: None,
        };
        Ok((session, keys))
    })
}

fn open(
    conversation: &Exchange,
    opening: Opening,
    how: impl FnOnce(Options) -> safeos_session::Result<(Arc<Session>, Keys)>,
) -> Answer {
    may_sign_in(conversation)?;
    let daemon = &conversation.daemon;
    let url = opening.store.as_deref();
    if let Some(code) = opening.without_store {
        store_is_there(url.unwrap_or(&daemon.store), code)?;
    }
    let store = store(conversation, url)?;
    let owner = (conversation.uid, conversation.gid);
    let options = Options {
        remember: opening.remember,
        accept_older: opening.accept_older,
        wallet: opening.wallet,
        ..Options::new(Arc::clone(&store), &daemon.state, owner)
    };
    let (session, keys) = how(options).map_err(failed)?;
    // The client has gone meanwhile: it would not know of the session, which would keep others out.
    if conversation.closed.load(Ordering::Acquire) {
        end_unseen(&session);
        return Err(failed(Error::Stopped));
    }
    let account = session.account();
    let offline = session.status().offline;
    let attached = daemon.attach(
        conversation.uid,
        Arc::clone(&session) as _,
        Some(Arc::clone(&session)),
        Arc::clone(&store),
    );
    match attached {
        Ok(true) => {}
        // Another request of the same user was faster.
        Ok(false) => {
            end_unseen(&session);
            return Err(failed(Error::InUse));
        }
        Err(error) => {
            end_unseen(&session);
            return Err(failed(error));
        }
    }
    #[cfg(target_os = "redox")]
    if store.url().starts_with("http") {
        crate::lossy::say_if_lossy();
    }
    let mut result = Map::new();
    result.insert("account".to_owned(), json!(account));
    result.insert("store".to_owned(), json!(store.url()));
    if offline {
        result.insert("offline".to_owned(), json!(true));
    }
    for (name, key) in [
        ("secret_key", keys.secret_key),
        ("recovery_key", keys.recovery_key),
    ] {
        if let Some(key) = key {
            result.insert(name.to_owned(), json!(key.expose()));
        }
    }
    Ok(Reply::Ok(result.into()))
}

/// Ends a session without a client, which must not keep its own account out: in order if the store answers, else
/// with changes that it takes back later.
fn end_unseen(session: &Arc<Session>) {
    struct Soon(Instant);
    impl safeos_session::Progress for Soon {
        fn step(&self, _: Step) {}
        fn stopped(&self) -> bool {
            self.0.elapsed() > UNSEEN_MAX
        }
    }
    if session
        .sign_out(false, false, &Soon(Instant::now()))
        .is_err()
    {
        let _ = session.sign_out_later();
    }
}

fn sign_out(conversation: &Exchange, request: &SignOut, listener: &Listener<'_>) -> Answer {
    let (signed, session) = signed(conversation)?;
    let daemon = &conversation.daemon;
    if !request.force {
        may_sign_out(conversation, &signed)?;
    }
    daemon.flush();
    let published = if request.later {
        session.sign_out_later()
    } else {
        session.sign_out(request.wipe, request.keep_stage, listener)
    };
    let published = published.map_err(|error| not_published(&session, error))?;
    daemon.detach(&signed);
    Ok(Reply::ok(&published))
}

/// Refuses while others work in the session, or programs have files open that they would write into for nothing.
fn may_sign_out(conversation: &Exchange, signed: &Signed) -> Result<(), ErrorReply> {
    const SHOWN_MAX: usize = 5;
    let daemon = &conversation.daemon;
    let others = daemon.members.others(conversation.number, signed.home.key);
    if others > 0 {
        let message = format!(
            "`safe run` works in this session ({others} of them): end the commands that it runs first"
        );
        return Err(refused("in_use", message));
    }
    let open = daemon.open_for_writing(signed);
    if open.is_empty() {
        return Ok(());
    }
    let mut names = open
        .iter()
        .take(SHOWN_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if open.len() > SHOWN_MAX {
        names.push_str(&format!(" and {} more", open.len() - SHOWN_MAX));
    }
    Err(refused("files_open", format!("open for writing: {names}")))
}

fn join(conversation: &Exchange, request: &Join) -> Answer {
    let (signed, session) = signed(conversation)?;
    let members = &conversation.daemon.members;
    if !members.join(conversation.number, signed.home.key, request.bound) {
        let message = "the session is being signed out; try again in a moment";
        return Err(ErrorReply {
            retry: true,
            ..refused("ending", message)
        });
    }
    // Closed meanwhile, it takes part no longer.
    if conversation.closed.load(Ordering::Acquire) {
        let daemon = &conversation.daemon;
        daemon.conversation_closed(conversation.number);
        return Err(failed(Error::Stopped));
    }
    Ok(Reply::Ok(json!({
        "account": session.account(),
        "store": signed.store.url(),
    })))
}

fn in_session(conversation: &Exchange, request: Request, listener: &Listener<'_>) -> Answer {
    let (_, session) = signed(conversation)?;
    let daemon = &conversation.daemon;
    let reply = |result: safeos_session::Result<Reply>| result.map_err(failed);
    match request {
        Request::Status => Ok(Reply::ok(&session.status())),
        Request::Sync => {
            daemon.flush();
            let done = session.publish(listener);
            done.map(|done| Reply::ok(&done))
                .map_err(|error| not_published(&session, error))
        }
        Request::ChangePassword(request) => {
            let (old, new) = (&request.old, &request.new);
            let done = session.change_password(old, new, listener);
            reply(done.map(|()| Reply::ok(&())))
        }
        Request::CheckPassword(request) => {
            let done = session.check_password(&request.password);
            reply(done.map(|()| Reply::ok(&())))
        }
        Request::NewRecoveryKey(request) => {
            let given = request.recovery_key.as_ref();
            let key = given.map(RecoveryKey::parse);
            let key = key.unwrap_or_else(RecoveryKey::generate).map_err(failed)?;
            let keys = Keys {
                secret_key: None,
                recovery_key: given.is_none().then(|| key.to_words()),
            };
            conversation.hand_over(&keys)?;
            daemon.flush();
            let done = session.new_recovery_key(&request.password, &key, listener);
            reply(done.map(|()| Reply::ok(&keys)))
        }
        Request::Publish(request) => {
            daemon.flush();
            let url = session.publish_path(request.path.as_bytes(), listener);
            reply(url.map(|url| Reply::Ok(json!({ "url": url }))))
        }
        Request::Log(request) => reply(session.snapshots().map(|mut snapshots| {
            if let Some(limit) = request.limit {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                snapshots.drain(..snapshots.len().saturating_sub(limit));
            }
            Reply::ok(&Log { snapshots })
        })),
        Request::Restore(request) => {
            daemon.flush();
            let to = request.to.as_ref().map(|path| path.as_bytes());
            let path = request.path.as_bytes();
            let done = session.restore(&request.snapshot, path, to, request.replace, listener);
            reply(done.map(|()| Reply::ok(&())))
        }
        Request::Check => reply(session.check(listener).map(|found| Reply::ok(&found))),
        Request::Collect(request) => {
            let lost = request.lost.as_deref();
            let done = session.collect_without(request.dry_run, lost, listener);
            reply(done.map(|done| Reply::ok(&done)))
        }
        Request::Copy(request) => {
            daemon.flush();
            let to = store(conversation, Some(&request.to))?;
            let done = session.copy_to(&*to, listener);
            reply(done.map(|done| Reply::ok(&done)))
        }
        Request::Spend(request) => {
            let max = request
                .max
                .parse()
                .map_err(|error| failed(Error::Store(error)))?;
            let spent = session.spend_at_most(max);
            reply(spent.map(|()| Reply::ok(&())))
        }
        Request::SignUp(_)
        | Request::Price(_)
        | Request::SignIn(_)
        | Request::Recover(_)
        | Request::SignOut(_)
        | Request::Join(_)
        | Request::Leave
        | Request::Metrics
        | Request::Doctor => Err(refused("failed", "this request is answered elsewhere")),
    }
}

#[derive(Serialize)]
struct Log {
    snapshots: Vec<safeos_session::Snapshot>,
}
