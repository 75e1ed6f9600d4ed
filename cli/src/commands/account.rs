//! Making an account, signing in, signing out, changing the password.

use std::io;
use std::path::{Path, PathBuf};

use safeos_control::{
    ChangePassword, CheckPassword, NewRecoveryKey, Recover, Request, Secret, SignIn, SignOut,
    SignUp,
};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::session::{self, Published};
use super::{Context, money};
use crate::args::{Account, Mounting};
use crate::conversation::{ask, ask_for};
use crate::daemon::{self, Daemon, MountOptions, Temporary};
use crate::dirs::{self, LOST, MOUNT, Note};
use crate::failure::{Failure, Result};
use crate::keys::Keys;
use crate::mount_users::{self, MountUser, names};
use crate::password;
use crate::signals;
use crate::waiting;

/// Says for every sign-in that root is let in.
const ALLOW_ROOT: &str = "SAFE_ALLOW_ROOT";

/// Hands a secret over without leaving a copy.
pub fn secret(mut text: Zeroizing<String>) -> Secret {
    Secret::new(std::mem::take(&mut *text))
}

/// The store that a request names: a daemon of the command's own was started with it.
fn store_named(context: &Context, store: Option<&str>) -> Option<String> {
    let dirs = &context.dirs;
    let named = store.is_some() || dirs.store_named;
    (daemon::SHARED && named).then(|| dirs.store(store))
}

/// How to sign in.
#[derive(Clone, Copy, Default, Debug)]
pub struct Opening {
    /// Keep what is needed to sign in offline.
    pub remember: bool,
    /// Accept an older state.
    pub accept_older: bool,
    /// Go on waiting for a store that does not answer.
    pub wait: bool,
}

/// The request that opens an account; asks for missing parts.
pub fn sign_in(context: &Context, account: &Account, opening: Opening) -> Result<Request> {
    let password = password::existing(&account.name, account.password_stdin)?;
    Ok(Request::SignIn(SignIn {
        remember: opening.remember,
        accept_older: opening.accept_older,
        wait: opening.wait,
        ..credentials(context, account, secret(password))?
    }))
}

/// The same with a password that was asked for.
fn credentials(context: &Context, account: &Account, password: Secret) -> Result<SignIn> {
    let secret_key = account
        .secret_key
        .then(|| password::secret_key(&account.name))
        .transpose()?;
    Ok(SignIn {
        name: account.name.clone(),
        password,
        store: store_named(context, account.store.as_deref()),
        secret_key: secret_key.map(secret),
        remember: false,
        accept_older: false,
        wait: false,
    })
}

/// The request that makes an account, with keys that were not shown yet; asks for missing parts.
pub fn sign_up(
    context: &Context,
    account: &Account,
    remember: bool,
    small_memory: bool,
    recovery_sheet: bool,
) -> Result<(Request, Keys)> {
    let password = password::new(&account.name, account.password_stdin)?;
    let url = context.dirs.store(account.store.as_deref());
    let wallet_key = money::for_sign_up(context, &url, account.password_stdin)?;
    let keys = Keys::generate(account.secret_key, recovery_sheet)?;
    let request = Request::SignUp(SignUp {
        name: account.name.clone(),
        password: secret(password),
        store: store_named(context, account.store.as_deref()),
        secret_key: keys.secret_key(),
        wallet_key: wallet_key.map(secret),
        generate_secret_key: false,
        remember,
        small_memory,
        recovery_key: keys.words(),
        generate_recovery_key: false,
    });
    Ok((request, keys))
}

/// For a person who has seen keys of an account that may not have been made.
pub const NOT_MADE: &str = "keep the keys that were shown until you know that no account was made with them: if one was, they open it";

/// Opens an account with a daemon of this command's own, which mounts nothing; asks `then`, if that is anything, and
/// signs out again. Returns the answer to `then`, or else to opening.
pub fn ask_once(
    context: &Context,
    store: &str,
    open: Request,
    then: Option<Request>,
) -> Result<Value> {
    signals::watch()?;
    let temporary = Temporary::new()?;
    let place = temporary.mount();
    let mut daemon = Daemon::start_unmounted(&context.dirs, store, &place)?;
    let json = context.output.json;
    let answer = ask(&place, open, json).and_then(|opened| {
        let answer = then.map_or(Ok(opened), |request| ask(&place, request, json));
        let left = ask(&place, Request::SignOut(SignOut::default()), json);
        answer.and_then(|answer| left.map(|_| answer))
    });
    daemon.end();
    answer
}

/// `safe signup`
pub fn signup(
    context: &Context,
    account: &Account,
    small_memory: bool,
    recovery_sheet: bool,
) -> Result<()> {
    let store = context.dirs.store(account.store.as_deref());
    let (request, keys) = sign_up(context, account, false, small_memory, recovery_sheet)?;
    keys.show(&account.name, context.output.json, &mut io::stdout())?;
    ask_once(context, &store, request, None).map_err(|failure| keys.after(failure, NOT_MADE))?;
    let mut value = json!({"account": account.name, "store": store});
    keys.add_to(&mut value);
    context.output.answer(&value, || {
        format!("the account {} is made on {store}", account.name)
    })
}

/// `safe recover`
pub fn recover(
    context: &Context,
    store: Option<&str>,
    stdin: bool,
    accept_older: bool,
) -> Result<()> {
    let (words, new) = password::recovery(stdin)?;
    let request = Request::Recover(Recover {
        recovery_key: secret(words),
        name: None,
        new_password: secret(new),
        store: store_named(context, store),
        remember: false,
        accept_older,
    });
    let answer = ask_once(context, &context.dirs.store(store), request, None)?;
    context.output.answer(&answer, || {
        let account = answer.get("account").and_then(Value::as_str).unwrap_or("");
        let key = answer.get("secret_key").and_then(Value::as_str);
        let option = key.map_or("", |_| " --secret-key");
        let mut text = format!(
            "the new password of {account} is set, the old one opens nothing any more; sign in with `safe login {account}{option}`. The recovery sheet stays valid."
        );
        if let Some(key) = key {
            text.push_str(&format!(
                "\nThe account has a secret key, needed besides the password on every new computer:\n\n    {key}"
            ));
        }
        text
    })
}

/// `safe recovery-sheet`
pub fn recovery_sheet(context: &Context, stdin: bool) -> Result<()> {
    const BEFORE: &str = "the sheet that was made before stays valid; keep the words that were shown until this command has succeeded with others";
    let mount = context.dirs.session()?;
    let json = context.output.json;
    let password = secret(password::again(stdin)?);
    // Before words are shown that would count for nothing.
    let check = CheckPassword {
        password: password.clone(),
    };
    ask(&mount, Request::CheckPassword(check), json)?;
    let status = ask(&mount, Request::Status, json)?;
    let account = status.get("account").and_then(Value::as_str).unwrap_or("");
    let keys = Keys::generate(false, true)?;
    keys.show(account, json, &mut io::stdout())?;
    let request = Request::NewRecoveryKey(NewRecoveryKey {
        password,
        recovery_key: keys.words(),
    });
    let mut answer = ask(&mount, request, json).map_err(|failure| keys.after(failure, BEFORE))?;
    keys.add_to(&mut answer);
    context.output.answer(&answer, || {
        "The sheet is valid now. A sheet that was made before opens nothing any more.".to_owned()
    })
}

/// The note on an account that was signed in to without its store.
pub const OFFLINE: &str = "the store is out of reach: this is the home as this computer has seen it last; what is not on this computer cannot be read until the store is back, and what you change is published then";

/// `safe login`
pub fn login(
    context: &Context,
    account: &Account,
    opening: Opening,
    mounting: Mounting,
) -> Result<()> {
    let dirs = &context.dirs;
    let mount = login_mount(context);
    not_open(&mount)?;
    let store = dirs.store(account.store.as_deref());
    // A wrong folder is reported before the password is asked for.
    let made = daemon::prepare(&mount, context.output)?;
    let request = sign_in(context, account, opening)?;
    signals::watch()?;
    let starting = daemon::starting(dirs, &mount)?;
    not_open(&mount)?;
    let started = Daemon::start_as(dirs, &store, &mount, false, mount_options(mounting));
    let opened = started.and_then(|mut daemon| {
        let pid = daemon.pid();
        let note = Note {
            mount: mount.clone(),
            pid,
        };
        ask(&mount, request, context.output.json)
            .and_then(|answer| dirs.note(&note).map(|()| answer))
            .inspect_err(|_| daemon.end())
    });
    let opened = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            if made {
                daemon::unprepare(&mount);
            }
            return Err(failure);
        }
    };
    drop(starting);
    let home = mount.join("home");
    let offline = opened.get("offline") == Some(&Value::Bool(true));
    context.output.answer(
        &json!({"account": account.name, "store": store, "mount": mount, "home": home, "offline": offline}),
        || {
            let text = format!("{} is signed in: home at {}", account.name, home.display());
            match offline {
                true => format!("{text}\n{OFFLINE}"),
                false => text,
            }
        },
    )
}

/// The mount options, from the command line or from the environment.
pub fn mount_options(mounting: Mounting) -> MountOptions {
    let by_variable = std::env::var_os(ALLOW_ROOT).is_some_and(|value| !value.is_empty());
    MountOptions {
        allow_root: mounting.allow_root || by_variable && !mounting.suid_dev,
        suid_dev: mounting.suid_dev,
    }
}

fn login_mount(context: &Context) -> PathBuf {
    let dirs = &context.dirs;
    if daemon::SHARED {
        // Always there; the daemon says whether this user has a session.
        return dirs.default_mount();
    }
    let named = dirs.mount.clone().or_else(|| {
        // Inside a session this names that session, which is no place for another.
        std::env::var_os(MOUNT)
            .map(PathBuf::from)
            .filter(|mount| mount.is_absolute() && !dirs::answers(mount))
    });
    named.unwrap_or_else(|| dirs.default_mount())
}

fn not_open(mount: &Path) -> Result<()> {
    if daemon::SHARED || !dirs::answers(mount) {
        return Ok(());
    }
    Err(Failure::new(
        "in_use",
        format!(
            "a session is open at {} already: use it, sign it out with `safe logout`, or choose another folder with --mount",
            mount.display()
        ),
    ))
}

/// `safe logout`
pub fn logout(context: &Context, how: SignOut) -> Result<()> {
    let dirs = &context.dirs;
    let mount = match dirs.session() {
        Ok(mount) => mount,
        // There is nothing left to sign out of, and the remains are taken away.
        Err(failure) if failure.code == LOST => {
            let waiting = waiting::waiting(&dirs.state);
            let value = json!({"changed": waiting > 0, "lost": true, "waiting_bytes": waiting});
            context.output.note(&failure.message);
            return context.output.answer(&value, String::new);
        }
        Err(failure) => return Err(failure),
    };
    let note = dirs.noted(&mount);
    if note.is_none() && std::env::var_os(MOUNT).is_some_and(|inside| inside == *mount) {
        return Err(Failure::usage(
            "this session belongs to `safe run`: end the command (or `exit` the shell), and it signs out by itself",
        ));
    }
    signals::watch()?;
    let later = how.later;
    let request = Request::SignOut(how);
    let published = match ask_for::<Published>(&mount, request, context.output.json) {
        Ok((published, _)) => Some(published),
        // A daemon without a session is only to be ended.
        Err(failure) if failure.code == "no_session" => None,
        Err(failure) => return Err(still_open(failure, &mount_users::find(&mount))),
    };
    let busy = mount_users::find(&mount);
    if !busy.is_empty() {
        context.output.note(&format!(
            "{} was still in use by {}; these programs have lost it",
            mount.display(),
            names(&busy)
        ));
    }
    let ended = daemon::end_other(note.map(|note| note.pid), &mount);
    dirs.forget(&mount);
    ended?;
    let published = published.unwrap_or_default();
    context.output.answer(&json!(published), || {
        if later || published.is_kept() {
            return "signed out; what is not published yet waits, encrypted, on this computer for your next sign-in here".to_owned();
        }
        format!("signed out; {}", session::published_text(&published))
    })
}

/// Why the session was not signed out, with what to do.
fn still_open(mut failure: Failure, busy: &[MountUser]) -> Failure {
    match failure.code.as_str() {
        "files_open" => {
            let writing: Vec<MountUser> = busy.iter().filter(|one| one.writes).cloned().collect();
            let by = match writing.as_slice() {
                [] => String::new(),
                writing => format!(" by {}", names(writing)),
            };
            failure.message.push_str(&format!(
                "{by}; the session is still open: close them, or sign out all the same with `safe logout --force` (what these programs write after that fails)"
            ));
        }
        "in_use" => failure
            .message
            .push_str(", or sign out all the same with `safe logout --force`"),
        // It says what to do.
        "retired" => {}
        _ => failure.message.push_str(
            "; the session is still open: try again, or sign out without publishing with `safe logout --later` (what waits stays, encrypted, on this computer and goes on from your next sign-in here)",
        ),
    }
    failure
}

/// `safe passwd`
pub fn passwd(context: &Context, account: Option<&Account>, stdin: bool) -> Result<()> {
    let mount = match account {
        Some(_) => None,
        None => Some(context.dirs.session()?),
    };
    let (old, new) = password::change(stdin)?;
    let change = |old: &Secret| {
        Request::ChangePassword(ChangePassword {
            old: old.clone(),
            new: secret(new),
        })
    };
    let old = secret(old);
    let answer = match (mount, account) {
        (Some(mount), _) => ask(&mount, change(&old), context.output.json)?,
        (None, Some(account)) => {
            let request = change(&old);
            let open = Request::SignIn(credentials(context, account, old)?);
            let store = context.dirs.store(account.store.as_deref());
            ask_once(context, &store, open, Some(request))?
        }
        (None, None) => return Err(Failure::usage("name the account with --account")),
    };
    context.output.answer(&answer, || {
        "the password is changed; sign in with the new one on other computers".to_owned()
    })
}
