//! The items of screens without a form: waiting, the sheet, the end of a session.

use safeos_control::{Secret, Sum};
use zeroize::Zeroizing;

use super::item::{Item, Tone, colour_of, initials};
use crate::job::Step;
use crate::language::Language;
use crate::message::Message;
use crate::state::{Asked, Leaving, Mode, Offer, Question, Running, Sheet, State, Target, Working};

/// How the daemon says what keeps it.
pub(crate) const WAITING: &str = "waiting since ";

/// The daemon's words for a step, and the text that says it on the screen.
const STEPS: [(&str, &str); 19] = [
    ("", "one-moment"),
    ("working", "one-moment"),
    ("starting", "starting"),
    ("stretching the password", "making-keys"),
    ("finding the account", "finding-account"),
    ("setting the new password", "setting-password"),
    ("opening the account", "opening-account"),
    (
        "looking whether this computer remembers the account",
        "looking-here",
    ),
    ("asking for prices", "asking-prices"),
    ("looking whether the name is free", "looking-name"),
    ("making the home", "making-home"),
    ("publishing the account", "saving-account"),
    ("opening the home", "fetching-home"),
    ("looking for changes of other computers", "looking-changes"),
    ("merging", "merging"),
    ("packing", "packing"),
    ("uploading", "saving-files"),
    ("waiting for programs", "waiting-programs"),
    ("ending programs", "ending-programs"),
];

/// The daemon's step, in the words of the screen.
fn words(language: Language, what: &str) -> String {
    if let Some((_, id)) = STEPS.iter().find(|(said, _)| *said == what) {
        return language.text(id);
    }
    // The reason for the wait; its start is a matter for logs.
    let why = match what.split_once(", because ") {
        Some((waits, why)) if waits.starts_with(WAITING) => why,
        _ => what,
    };
    crate::user_error::sentence(why)
}

fn person(account: &str, items: &mut Vec<Item>) {
    if account.is_empty() {
        items.push(Item::Mark);
    } else {
        items.push(Item::Avatar(initials(account), colour_of(account)));
    }
}

fn progress(language: Language, step: &Step, items: &mut Vec<Item>) {
    let fraction = (step.total > 0).then(|| step.done.min(step.total) as f32 / step.total as f32);
    items.push(Item::Progress(fraction));
    let mut text = words(language, &step.what);
    if step.total > step.done && !step.unit.is_empty() {
        let left = step.total - step.done;
        let message = match step.unit.as_str() {
            "bytes" => {
                Message::new("megabytes-left").with("amount", language.decimal(left as f64 / 1e6))
            }
            "records" => Message::new("records-left").with("count", left),
            _ => Message::new("other-left").with("count", left),
        };
        text = format!("{text} {}", language.say(&message));
    }
    items.push(Item::Text(Tone::Muted, text));
}

/// Waiting for a session to open.
pub(super) fn working(language: Language, working: &Working) -> Vec<Item> {
    let mut items = Vec::new();
    let name = working.form.name.as_str().trim();
    person(if working.guest { "" } else { name }, &mut items);
    let title = match (working.guest, working.form.mode) {
        (true, _) => Message::new("guest-session"),
        (false, Mode::SignIn | Mode::Recover) => Message::new("welcome").with("name", name),
        (false, Mode::Create) if working.asks_price => Message::new("what-does-it-cost"),
        (false, Mode::Create) => Message::new("creating").with("name", name),
    };
    items.push(Item::Title(language.say(&title)));
    let stop = || Item::Quiet(Target::Stop, language.text("stop"));
    if working.stopping {
        items.push(Item::Progress(None));
        let text = language.text(match working.to_wait {
            true => "one-moment",
            false => "stopping",
        });
        items.push(Item::Text(Tone::Muted, text));
    } else if let Some(seconds) = working.goes_without() {
        items.push(Item::Progress(None));
        let message = Message::new("silent")
            .with("place", working.form.place.words())
            .with("seconds", seconds);
        items.push(Item::Text(Tone::Plain, language.say(&message)));
        items.push(Item::Gap);
        items.push(Item::Quiet(
            Target::KeepWaiting,
            language.text("keep-waiting"),
        ));
        items.push(stop());
    } else {
        progress(language, &working.step, &mut items);
        items.push(Item::Gap);
        items.push(stop());
    }
    items
}

/// A question.
pub(super) fn asked(state: &State, asked: &Asked) -> Vec<Item> {
    let language = state.language;
    let account = match asked.question {
        Question::Forget(index) => state.accounts.get(index),
        Question::ShutDown | Question::Restart | Question::SignOut => None,
    };
    let name = account.map_or("", |account| account.name.as_str());
    let (title, mut text, sure) = match asked.question {
        Question::ShutDown => (
            language.text("shut-down-title"),
            language.text("shut-down-text"),
            "shut-down",
        ),
        Question::Restart => (
            language.text("restart-title"),
            language.text("restart-text"),
            "restart",
        ),
        Question::SignOut => (
            language.text("sign-out-title"),
            language.text("sign-out-text"),
            "sign-out-sure",
        ),
        Question::Forget(_) => (
            language.say(&Message::new("take-off-title").with("name", name)),
            String::new(),
            "take-off",
        ),
    };
    if let Some(account) = account {
        let place = state.abilities.place_of(account).short();
        text = language.say(&Message::new("take-off-text").with("place", place));
        if let Some(store) = &account.store {
            let address = Message::new("take-off-address").with("address", store.as_str());
            text = format!("{text} {}", language.say(&address));
        }
    }
    vec![
        Item::Title(title),
        Item::Text(Tone::Plain, text),
        Item::Gap,
        Item::Quiet(Target::Cancel, language.text("cancel")),
        Item::Button(Target::Sure, language.text(sure)),
    ]
}

/// The price of an account.
pub(super) fn offer(language: Language, offer: &Offer) -> Vec<Item> {
    let priced = &offer.priced;
    let with = |message: Message, sum: &Sum| {
        let message = message
            .with("tokens", sum.tokens.as_str())
            .with("gas", sum.gas.as_str());
        Item::Text(Tone::Plain, language.say(&message))
    };
    let has = Message::new("price-has").with("wallet", priced.wallet.as_str());
    vec![
        Item::Title(language.text("price-title")),
        with(Message::new("price-cost"), &priced.cost),
        with(has, &priced.has),
        Item::Text(Tone::Muted, language.text("price-note")),
        Item::Button(Target::Continue, language.text("continue")),
        Item::Quiet(Target::Back, language.text("back")),
    ]
}

/// The keys, one after the other.
pub(super) fn sheet(language: Language, sheet: &Sheet) -> Vec<Item> {
    let mut items = match (&sheet.keys.secret_key, &sheet.keys.recovery_key) {
        (Some(key), _) if !sheet.second => secret_key(language, sheet, key),
        (_, Some(words)) => recovery(language, &sheet.account, words),
        _ => Vec::new(),
    };
    let more = !sheet.second && sheet.keys.recovery_key.is_some();
    let text = match &sheet.form {
        _ if more => "kept-go-on",
        // Not before: what opens it must not be lost with whatever goes wrong meanwhile.
        Some(_) => "kept-create",
        None => "kept-start",
    };
    items.push(Item::Button(Target::Continue, language.text(text)));
    if sheet.form.is_some() {
        items.push(Item::Quiet(Target::Back, language.text("back")));
    }
    items
}

/// The recovery sheet.
fn recovery(language: Language, account: &str, words: &Secret) -> Vec<Item> {
    let words = Zeroizing::new(words.expose().to_owned());
    vec![
        Item::Title(language.text("sheet-title")),
        Item::Text(
            Tone::Plain,
            language.say(&Message::new("sheet-text").with("name", account)),
        ),
        Item::Code(words.clone()),
        Item::Words(words),
        Item::Text(Tone::Muted, language.text("sheet-note")),
    ]
}

/// The secret key.
fn secret_key(language: Language, sheet: &Sheet, key: &Secret) -> Vec<Item> {
    // Short, so that its squares are large. A folder of this computer says nothing elsewhere.
    let store = if sheet.store.starts_with("file:") {
        ""
    } else {
        &sheet.store
    };
    let code = Zeroizing::new(format!("SafeOS {} {} {store}", sheet.account, key.expose()));
    vec![
        Item::Title(language.text("key-title")),
        Item::Text(
            Tone::Plain,
            language.say(&Message::new("key-text").with("name", sheet.account.as_str())),
        ),
        Item::Code(Zeroizing::new(code.trim_end().to_owned())),
        Item::Key(Zeroizing::new(key.expose().to_owned())),
        Item::Text(Tone::Muted, language.text("key-note")),
    ]
}

/// The moment before the launcher has the screen.
pub(super) fn running(language: Language, running: &Running) -> Vec<Item> {
    let mut items = Vec::new();
    person(&running.account, &mut items);
    if running.ending {
        items.push(Item::Title(language.text("signing-out")));
        items.push(Item::Progress(None));
        items.push(Item::Text(Tone::Muted, language.text("ending-programs")));
        return items;
    }
    let title = match running.account.as_str() {
        "" => Message::new("guest-session"),
        name => Message::new("welcome").with("name", name),
    };
    items.push(Item::Title(language.say(&title)));
    items.push(Item::Progress(None));
    items.push(Item::Text(Tone::Muted, language.text("starting-desktop")));
    if running.offline {
        items.push(Item::Text(Tone::Plain, language.text("offline-now")));
    }
    items
}

/// Waiting for a session to end.
pub(super) fn leaving(language: Language, leaving: &Leaving) -> Vec<Item> {
    let mut items = Vec::new();
    person(&leaving.account, &mut items);
    items.push(Item::Title(language.text("signing-out")));
    progress(language, &leaving.step, &mut items);
    if !leaving.keep {
        if leaving.step.what.starts_with(WAITING) {
            items.push(Item::Text(Tone::Plain, language.text("nothing-lost")));
        }
        items.push(Item::Gap);
        items.push(Item::Quiet(
            Target::LeaveRest,
            language.text("sign-out-now"),
        ));
    }
    items
}
