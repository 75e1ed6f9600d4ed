//! The items of screens without a form: waiting, the sheet, the end of a session.

use safeos_control::{Secret, Sum};
use zeroize::Zeroizing;

use super::item::{Item, Tone, colour_of, initials};
use crate::job::Step;
use crate::state::{Asked, Leaving, Mode, Offer, Question, Running, Sheet, State, Target, Working};

/// How the daemon says what keeps it.
pub(crate) const WAITING: &str = "waiting since ";

/// What the daemon says it does, in the words of the screen.
fn words(what: &str) -> String {
    match what {
        "" | "working" => "One moment…",
        "starting" => "Starting SafeOS…",
        "stretching the password" => "Making the keys from your password…",
        "finding the account" => "Finding the account…",
        "setting the new password" => "Setting the new password…",
        "opening the account" => "Opening the account…",
        "looking whether this computer remembers the account" => {
            "No connection: looking on this computer…"
        }
        "asking for prices" => "Asking what it costs…",
        "looking whether the name is free" => "Looking whether the name is free…",
        "making the home" => "Making your home…",
        "publishing the account" => "Saving the account…",
        "opening the home" => "Fetching your home…",
        "looking for changes of other computers" => "Looking for changes of other computers…",
        "merging" => "Bringing both together…",
        "packing" => "Gathering what is new…",
        "uploading" => "Saving your files…",
        "waiting for programs" => "Waiting for programs to end…",
        "ending programs" => "Ending programs…",
        other => {
            // What keeps it; since when is a matter for logs.
            let why = match other.split_once(", because ") {
                Some((waits, why)) if waits.starts_with(WAITING) => why,
                _ => other,
            };
            return crate::user_error::sentence(why);
        }
    }
    .to_owned()
}

fn person(account: &str, items: &mut Vec<Item>) {
    if account.is_empty() {
        items.push(Item::Mark);
    } else {
        items.push(Item::Avatar(initials(account), colour_of(account)));
    }
}

fn progress(step: &Step, items: &mut Vec<Item>) {
    let fraction = (step.total > 0).then(|| step.done.min(step.total) as f32 / step.total as f32);
    items.push(Item::Progress(fraction));
    let mut text = words(&step.what);
    if step.total > step.done && !step.unit.is_empty() {
        text = match step.unit.as_str() {
            "bytes" => format!(
                "{text} {:.1} MB left",
                (step.total - step.done) as f64 / 1e6
            ),
            unit => format!("{text} {} {unit} left", step.total - step.done),
        };
    }
    items.push(Item::Text(Tone::Muted, text));
}

/// Waiting for a session to open.
pub(super) fn working(working: &Working) -> Vec<Item> {
    let mut items = Vec::new();
    let name = working.form.name.as_str().trim();
    person(if working.guest { "" } else { name }, &mut items);
    items.push(Item::Title(match (working.guest, working.form.mode) {
        (true, _) => "Guest session".to_owned(),
        (false, Mode::SignIn | Mode::Recover) => format!("Welcome, {name}"),
        (false, Mode::Create) if working.asks_price => "What does it cost?".to_owned(),
        (false, Mode::Create) => format!("Creating {name}"),
    }));
    if working.stopping {
        items.push(Item::Progress(None));
        let text = match working.to_wait {
            true => "One moment…",
            false => "Stopping…",
        };
        items.push(Item::Text(Tone::Muted, text.to_owned()));
    } else if let Some(seconds) = working.goes_without() {
        items.push(Item::Progress(None));
        let place = working.form.place.words();
        items.push(Item::Text(
            Tone::Plain,
            format!("{place} does not answer. Your files open without it, as this computer knows them, in {seconds} s."),
        ));
        items.push(Item::Gap);
        items.push(Item::Quiet(
            Target::KeepWaiting,
            "Keep waiting for it".to_owned(),
        ));
        items.push(Item::Quiet(Target::Stop, "Stop".to_owned()));
    } else {
        progress(&working.step, &mut items);
        items.push(Item::Gap);
        items.push(Item::Quiet(Target::Stop, "Stop".to_owned()));
    }
    items
}

/// A question.
pub(super) fn asked(state: &State, asked: &Asked) -> Vec<Item> {
    let account = match asked.question {
        Question::Forget(index) => state.accounts.get(index),
        Question::ShutDown | Question::Restart => None,
    };
    let (title, text, sure) = match (asked.question, account) {
        (Question::ShutDown, _) => (
            "Shut down?".to_owned(),
            "The computer turns off.".to_owned(),
            "Shut down",
        ),
        (Question::Restart, _) => (
            "Restart?".to_owned(),
            "The computer turns off and on again.".to_owned(),
            "Restart",
        ),
        (Question::Forget(_), None) => (
            "Take it off the list?".to_owned(),
            String::new(),
            "Take it off",
        ),
        (Question::Forget(_), Some(account)) => {
            let address = match &account.store {
                Some(store) => {
                    format!(" Its address is {store}: write it down, to sign in here later.")
                }
                None => String::new(),
            };
            (
                format!("Take {} off the list?", account.name),
                format!(
                    "This computer shows it no more. The account and its files stay where they are, {}.{address}",
                    state.abilities.place_of(account).short()
                ),
                "Take it off",
            )
        }
    };
    vec![
        Item::Title(title),
        Item::Text(Tone::Plain, text),
        Item::Gap,
        Item::Quiet(Target::Cancel, "Cancel".to_owned()),
        Item::Button(Target::Sure, sure.to_owned()),
    ]
}

/// What an account costs.
pub(super) fn offer(offer: &Offer) -> Vec<Item> {
    let priced = &offer.priced;
    let sum = |sum: &Sum| format!("{} ANT and {} ETH of gas", sum.tokens, sum.gas);
    vec![
        Item::Title("What it costs".to_owned()),
        Item::Text(
            Tone::Plain,
            format!("Signing up costs about {}.", sum(&priced.cost)),
        ),
        Item::Text(
            Tone::Plain,
            format!("The wallet {} has {}.", priced.wallet, sum(&priced.has)),
        ),
        Item::Text(
            Tone::Muted,
            "Each record is paid for once, and keeping it costs nothing more. What you publish later is paid from this wallet too: its key goes, sealed, into the account."
                .to_owned(),
        ),
        Item::Button(Target::Continue, "Continue".to_owned()),
        Item::Quiet(Target::Back, "Back".to_owned()),
    ]
}

/// The keys, one after the other.
pub(super) fn sheet(sheet: &Sheet) -> Vec<Item> {
    let mut items = match (&sheet.keys.secret_key, &sheet.keys.recovery_key) {
        (Some(key), _) if !sheet.second => secret_key(sheet, key),
        (_, Some(words)) => recovery(&sheet.account, words),
        _ => Vec::new(),
    };
    let more = !sheet.second && sheet.keys.recovery_key.is_some();
    let text = match &sheet.form {
        _ if more => "I have kept it: go on",
        // Not before: what opens it must not be lost with whatever goes wrong meanwhile.
        Some(_) => "I have kept it: create the account",
        None => "I have kept it: start",
    };
    items.push(Item::Button(Target::Continue, text.to_owned()));
    if sheet.form.is_some() {
        items.push(Item::Quiet(Target::Back, "Back".to_owned()));
    }
    items
}

/// The recovery sheet.
fn recovery(account: &str, words: &Secret) -> Vec<Item> {
    let words = Zeroizing::new(words.expose().to_owned());
    vec![
        Item::Title("Your recovery sheet".to_owned()),
        Item::Text(
            Tone::Plain,
            format!(
                "If you forget the password, these twelve words open {account} and set another one. They are shown only now: write them down or photograph them."
            ),
        ),
        Item::Code(words.clone()),
        Item::Words(words),
        Item::Text(
            Tone::Muted,
            "Whoever has them needs no password. Keep them where only you look.".to_owned(),
        ),
    ]
}

/// The secret key.
fn secret_key(sheet: &Sheet, key: &Secret) -> Vec<Item> {
    // Short, so that its squares are large. A folder of this computer says nothing elsewhere.
    let store = if sheet.store.starts_with("file:") {
        ""
    } else {
        &sheet.store
    };
    let code = Zeroizing::new(format!("SafeOS {} {} {store}", sheet.account, key.expose()));
    vec![
        Item::Title("Your secret key".to_owned()),
        Item::Text(
            Tone::Plain,
            format!(
                "{} opens with your password and this key together. It is shown only now: write it down or photograph it, and keep it apart from the password.",
                sheet.account
            ),
        ),
        Item::Code(Zeroizing::new(code.trim_end().to_owned())),
        Item::Key(Zeroizing::new(key.expose().to_owned())),
        Item::Text(
            Tone::Muted,
            "Who finds it cannot open the account without the password. Nobody can replace either of them.".to_owned(),
        ),
    ]
}

/// The moment before the launcher has the screen.
pub(super) fn running(running: &Running) -> Vec<Item> {
    let mut items = Vec::new();
    person(&running.account, &mut items);
    items.push(Item::Title(if running.account.is_empty() {
        "Guest session".to_owned()
    } else {
        format!("Welcome, {}", running.account)
    }));
    items.push(Item::Progress(None));
    items.push(Item::Text(Tone::Muted, "Starting your desktop…".to_owned()));
    if running.offline {
        let text = "Offline: what you change is saved on this computer, and to your account when it can be reached again.";
        items.push(Item::Text(Tone::Plain, text.to_owned()));
    }
    items
}

/// Waiting for a session to end.
pub(super) fn leaving(leaving: &Leaving) -> Vec<Item> {
    let mut items = Vec::new();
    person(&leaving.account, &mut items);
    items.push(Item::Title("Signing out".to_owned()));
    progress(&leaving.step, &mut items);
    if !leaving.keep {
        if leaving.step.what.starts_with(WAITING) {
            let text = "Nothing is lost if you sign out now: the rest waits, encrypted, on this computer and is saved when you sign in here again.";
            items.push(Item::Text(Tone::Plain, text.to_owned()));
        }
        items.push(Item::Gap);
        items.push(Item::Quiet(
            Target::LeaveRest,
            "Sign out now, save the rest next time".to_owned(),
        ));
    }
    items
}
