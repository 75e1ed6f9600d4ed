//! The form's items.

use zeroize::Zeroizing;

use super::item::{Choice, Field, Hint, Item, Tone, colour_of, initials};
use crate::language::Language;
use crate::message::Message;
use crate::state::{Form, Kind, Locked, Mode, State, Target, host};
use crate::typed::Typed;

const DOT: &str = "•";

/// The card with the form.
pub(super) fn card(state: &State, form: &Form) -> Vec<Item> {
    let words = state.language;
    let mut items = Vec::new();
    let create = form.mode == Mode::Create;
    let recover = form.mode == Mode::Recover;
    let chosen = form.chosen.and_then(|index| state.accounts.get(index));
    match chosen {
        Some(account) => {
            items.push(Item::Avatar(
                initials(&account.name),
                colour_of(&account.name),
            ));
            items.push(Item::Title(account.name.clone()));
            if !recover {
                let place = words.say(&state.abilities.place_of(account).short());
                items.push(Item::Text(Tone::Muted, place));
            }
        }
        None => {
            items.push(Item::Mark);
            let title = match form.mode {
                Mode::SignIn => "sign-in",
                Mode::Create => "create-title",
                Mode::Recover => "recover-title",
            };
            items.push(Item::Title(words.text(title)));
        }
    }
    if recover {
        items.push(Item::Text(Tone::Muted, words.text("recover-help")));
    }
    if form.chosen.is_none() {
        items.push(name(words, form));
    }
    if recover {
        items.push(sheet_words(words, form));
    }
    items.push(password(state, form));
    if form.sets_password() {
        items.push(match form.strength {
            Some(strength) => Item::Meter(Some(strength.score), words.text(strength.id)),
            None => Item::Meter(None, words.text("strength-none")),
        });
        items.push(again(state, form));
    }
    if form.key_shown {
        items.push(Item::Field(Field {
            target: Target::SecretKey,
            label: words.text("secret-key-label"),
            text: Zeroizing::new(form.key.as_str().to_owned()),
            placeholder: "XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX".to_owned(),
            caret: form.key.caret(),
            taken: form.key.is_taken(),
            hint: Hint::Beside(None),
            reveal: None,
        }));
    }
    if chosen.is_none() || form.places_shown || form.mode != Mode::SignIn {
        places(state, form, &mut items);
    }
    if form.needs_wallet() {
        items.push(wallet(words, form));
    }
    if create {
        items.push(Item::Check(
            Target::WithSheet,
            words.text("with-sheet"),
            form.with_sheet,
        ));
        items.push(Item::Check(
            Target::WithKey,
            words.text("with-key"),
            form.with_key,
        ));
    }
    if chosen.is_none() || form.mode != Mode::SignIn {
        items.push(Item::Check(
            Target::Remember,
            words.text("remember"),
            form.remember,
        ));
    }
    items.push(Item::Button(
        Target::Submit,
        words.text(match form.mode {
            Mode::SignIn => "sign-in",
            Mode::Create => "create-button",
            Mode::Recover => "recover-button",
        }),
    ));
    links(state, form, &mut items);
    items
}

/// The card over a session that goes on.
pub(super) fn locked(state: &State, locked: &Locked) -> Vec<Item> {
    let words = state.language;
    let account = &locked.running.account;
    let mut field = password(state, &locked.form);
    if let Item::Field(field) = &mut field
        && locked.asking.is_some()
    {
        field.hint = Hint::Beside(Some((Tone::Plain, words.text("one-moment"))));
    }
    vec![
        Item::Avatar(initials(account), colour_of(account)),
        Item::Title(account.clone()),
        Item::Text(Tone::Muted, words.text("locked")),
        field,
        Item::Button(Target::Submit, words.text("unlock")),
        Item::Links(vec![(Target::SignOut, words.text("sign-out"))]),
    ]
}

/// The other ways to get in.
pub(super) fn ways(state: &State, form: &Form) -> Vec<Item> {
    let words = state.language;
    let way = |target, id, what| Item::Way(target, words.text(id), words.text(what));
    let key = match form.key_shown {
        true => "no-key",
        false => "has-key",
    };
    let mut items = vec![
        Item::Title(words.text("more-ways")),
        way(Target::OtherForm, "create-title", "way-create"),
        way(Target::Forgotten, "forgot", "way-forgot"),
        way(Target::Places, "other-server", "way-server"),
        way(Target::UseKey, key, "way-key"),
        way(Target::Guest, "guest", "way-guest"),
    ];
    if let Some(account) = form.chosen.and_then(|index| state.accounts.get(index)) {
        let take_off = Message::new("take-off-list").with("name", account.name.as_str());
        items.push(Item::Way(
            Target::Forget,
            words.say(&take_off),
            words.text("way-take-off"),
        ));
    }
    items.push(Item::Quiet(Target::Back, words.text("back")));
    items
}

fn name(words: Language, form: &Form) -> Item {
    let hint = form.name_hint();
    Item::Field(Field {
        target: Target::Name,
        label: words.text("name"),
        text: Zeroizing::new(form.name.as_str().to_owned()),
        placeholder: String::new(),
        caret: form.name.caret(),
        taken: form.name.is_taken(),
        hint: Hint::Beside(hint.map(|hint| (Tone::Wrong, words.say(&hint)))),
        reveal: None,
    })
}

fn sheet_words(words: Language, form: &Form) -> Item {
    let hint = form.words_hint();
    Item::Field(Field {
        target: Target::Words,
        label: words.text("recovery-sheet"),
        text: Zeroizing::new(form.words.as_str().to_owned()),
        placeholder: words.text("twelve-words"),
        caret: form.words.caret(),
        taken: form.words.is_taken(),
        hint: Hint::Below(hint.map(|hint| (Tone::Wrong, words.say(&hint)))),
        reveal: None,
    })
}

/// As it is, or as dots.
fn shown(typed: &Typed, reveal: bool) -> Zeroizing<String> {
    Zeroizing::new(if reveal {
        typed.as_str().to_owned()
    } else {
        DOT.repeat(typed.chars())
    })
}

/// Why letters or digits come out otherwise than they were meant. Said where it matters: beside the field that is typed into.
fn locks(state: &State, target: Target) -> Option<(Tone, String)> {
    let id = match (state.caps, state.pad_moves) {
        (true, _) => "caps-lock",
        (false, true) => "num-lock",
        (false, false) => return None,
    };
    (state.focus == target).then(|| (Tone::Plain, state.language.text(id)))
}

fn password(state: &State, form: &Form) -> Item {
    Item::Field(Field {
        target: Target::Password,
        label: state.language.text(match form.mode {
            Mode::Recover => "new-password",
            Mode::SignIn | Mode::Create => "password",
        }),
        text: shown(&form.password, form.reveal),
        placeholder: String::new(),
        caret: form.password.caret(),
        taken: form.password.is_taken(),
        hint: Hint::Beside(locks(state, Target::Password)),
        reveal: Some(!form.reveal),
    })
}

fn again(state: &State, form: &Form) -> Item {
    let same = !form.again.is_empty() && form.again.as_str() == form.password.as_str();
    Item::Field(Field {
        target: Target::Again,
        label: state.language.text("password-again"),
        text: shown(&form.again, form.reveal),
        placeholder: String::new(),
        caret: form.again.caret(),
        taken: form.again.is_taken(),
        hint: Hint::Beside(match form.again_hint() {
            Some(hint) => Some((Tone::Wrong, state.language.say(&hint))),
            None if same => Some((Tone::Good, state.language.text("same"))),
            None => locks(state, Target::Again),
        }),
        reveal: None,
    })
}

fn places(state: &State, form: &Form, items: &mut Vec<Item>) {
    let words = state.language;
    let muted = |message: Message| Item::Text(Tone::Muted, words.say(&message));
    if !form.places_shown {
        let id = match form.mode {
            Mode::Create => "will-be-kept",
            Mode::SignIn | Mode::Recover => "account-at",
        };
        let place = Message::new(id).with("place", form.place.short());
        items.push(Item::Where(
            Target::Places,
            words.say(&place),
            words.text("change"),
        ));
        return;
    }
    items.push(Item::Where(
        Target::Places,
        words.text("where-kept"),
        words.text("done"),
    ));
    let choice = |kind: Kind| Choice {
        target: Target::AccountStore(kind),
        label: match kind {
            // Its own store is on a server.
            Kind::Computer if form.place.own.is_some() => words.text("usual"),
            kind => words.say(&kind.label()),
        },
        chosen: form.place.kind == kind,
    };
    items.push(Item::Choices(state.places().map(choice).collect()));
    items.push(match (form.place.kind, &form.place.own) {
        (Kind::Server, _) => Item::Field(Field {
            target: Target::Server,
            label: words.text("server-address"),
            text: Zeroizing::new(form.place.server.as_str().to_owned()),
            placeholder: "https://home.example".to_owned(),
            caret: form.place.server.caret(),
            taken: form.place.server.is_taken(),
            hint: Hint::Beside(None),
            reveal: None,
        }),
        (Kind::Network, _) => muted(Message::new("keeping-costs")),
        (Kind::Computer, Some(own)) => muted(Message::new("on-own-server").with("host", host(own))),
        (Kind::Computer, None) => muted(Message::new("on-disk")),
    });
    if state.abilities.network.is_none() {
        items.push(muted(Message::new("through-gateway")));
    }
}

fn wallet(words: Language, form: &Form) -> Item {
    let hint = match form.wallet_key() {
        _ if form.wallet.is_empty() => None,
        Ok(()) => Some((Tone::Good, words.text("wallet-complete"))),
        Err(wrong) if wrong.is_wrong() => Some((Tone::Wrong, words.say(&wrong.words()))),
        Err(short) => Some((Tone::Plain, words.say(&short.words()))),
    };
    Item::Field(Field {
        target: Target::Wallet,
        label: words.text("wallet-label"),
        text: shown(&form.wallet, form.reveal),
        placeholder: words.text("wallet-empty-field"),
        caret: form.wallet.caret(),
        taken: form.wallet.is_taken(),
        hint: Hint::Below(hint),
        reveal: None,
    })
}

fn links(state: &State, form: &Form, items: &mut Vec<Item>) {
    let link = |target, id| Item::Links(vec![(target, state.language.text(id))]);
    match form.mode {
        Mode::SignIn => {}
        Mode::Create => {
            return items.push(link(Target::OtherForm, "have-account"));
        }
        Mode::Recover => return items.push(link(Target::OtherForm, "back-to-sign-in")),
    }
    items.push(match (form.chosen, state.accounts.len()) {
        (Some(_), 1) => link(Target::Someone, "somebody-else"),
        (_, 1..) => link(Target::Others, "back-to-names"),
        (_, 0) => link(Target::OtherForm, "new-here"),
    });
    items.push(link(Target::More, "more-ways"));
}
