//! The form's items.

use zeroize::Zeroizing;

use super::{Choice, Field, Item, Tone, colour_of, initials};
use crate::state::{Form, Kind, Mode, NETWORK, State, Target};
use crate::typed::Typed;

const DOT: &str = "•";

/// The card with the form.
pub(super) fn card(state: &State, form: &Form) -> Vec<Item> {
    let mut items = Vec::new();
    let create = form.mode == Mode::Create;
    let recover = form.mode == Mode::Recover;
    match form.chosen.and_then(|index| state.accounts.get(index)) {
        Some(account) => {
            items.push(Item::Avatar(
                initials(&account.name),
                colour_of(&account.name),
            ));
            items.push(Item::Title(account.name.clone()));
        }
        None => {
            items.push(Item::Mark);
            let title = match form.mode {
                Mode::SignIn => "Sign in",
                Mode::Create => "Create an account",
                Mode::Recover => "Set a new password",
            };
            items.push(Item::Title(title.to_owned()));
        }
    }
    if recover {
        let text = "With the twelve words of the recovery sheet. The forgotten password opens nothing any more then.";
        items.push(Item::Text(Tone::Muted, text.to_owned()));
    }
    if form.chosen.is_none() {
        items.push(name(form));
    }
    if recover {
        items.push(words(form));
    }
    items.push(password(state, form));
    if form.sets_password() {
        if let Some(strength) = form.strength {
            items.push(Item::Meter(strength.score, strength.words.to_owned()));
        }
        items.push(again(form));
    }
    if form.key_shown {
        items.push(Item::Field(Field {
            target: Target::SecretKey,
            label: "Secret key",
            text: Zeroizing::new(form.key.as_str().to_owned()),
            placeholder: "XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX",
            caret: form.key.caret(),
            hint: None,
            reveal: None,
        }));
    }
    places(state, form, &mut items);
    if form.needs_wallet() {
        items.push(wallet(form));
    }
    if create {
        items.push(Item::Check(
            Target::WithSheet,
            "Recovery sheet, for a forgotten password",
            form.with_sheet,
        ));
        items.push(Item::Check(
            Target::WithKey,
            "Add a secret key, shown once on a sheet",
            form.with_key,
        ));
    }
    items.push(Item::Check(
        Target::Remember,
        "Remember me on this computer",
        form.remember,
    ));
    if let Some(wrong) = &state.clock.wrong {
        items.push(Item::Text(Tone::Wrong, wrong.clone()));
    }
    items.extend(state.notice.clone().map(Item::Notice));
    items.push(Item::Button(
        Target::Submit,
        match form.mode {
            Mode::SignIn => "Sign in",
            Mode::Create => "Create account",
            Mode::Recover => "Set it and sign in",
        }
        .to_owned(),
    ));
    links(state, form, &mut items);
    items
}

fn name(form: &Form) -> Item {
    Item::Field(Field {
        target: Target::Name,
        label: "Name",
        text: Zeroizing::new(form.name.as_str().to_owned()),
        placeholder: "",
        caret: form.name.caret(),
        hint: form.name_hint().map(|hint| (Tone::Wrong, hint)),
        reveal: None,
    })
}

fn words(form: &Form) -> Item {
    Item::Field(Field {
        target: Target::Words,
        label: "Recovery sheet",
        text: Zeroizing::new(form.words.as_str().to_owned()),
        placeholder: "its twelve words",
        caret: form.words.caret(),
        hint: form.words_hint().map(|hint| (Tone::Wrong, hint)),
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

fn password(state: &State, form: &Form) -> Item {
    let in_focus = matches!(state.focus, Target::Password | Target::Again);
    Item::Field(Field {
        target: Target::Password,
        label: if form.mode == Mode::Recover {
            "New password"
        } else {
            "Password"
        },
        text: shown(&form.password, form.reveal),
        placeholder: "",
        caret: form.password.caret(),
        hint: (state.caps && in_focus).then(|| (Tone::Plain, "Caps Lock is on".to_owned())),
        reveal: Some(!form.reveal),
    })
}

fn again(form: &Form) -> Item {
    let same = !form.again.is_empty() && form.again.as_str() == form.password.as_str();
    Item::Field(Field {
        target: Target::Again,
        label: "The same again",
        text: shown(&form.again, form.reveal),
        placeholder: "",
        caret: form.again.caret(),
        hint: match form.again_hint() {
            Some(hint) => Some((Tone::Wrong, hint.to_owned())),
            None if same => Some((Tone::Good, "The same".to_owned())),
            None => None,
        },
        reveal: None,
    })
}

fn places(state: &State, form: &Form, items: &mut Vec<Item>) {
    if !form.places_shown {
        let words = match form.place.kind {
            Kind::Server => form.place.server.as_str().trim(),
            Kind::Network if form.place.network != NETWORK => &form.place.network,
            kind => kind.label(),
        };
        items.push(Item::Links(vec![(
            Target::Places,
            format!("Account on: {words} · change"),
        )]));
        return;
    }
    items.push(Item::Links(vec![(
        Target::Places,
        "Where does the account live?".to_owned(),
    )]));
    let choice = |kind: Kind| Choice {
        target: Target::Place(kind),
        label: kind.label(),
        chosen: form.place.kind == kind,
    };
    items.push(Item::Choices(state.places().map(choice).collect()));
    match form.place.kind {
        Kind::Server => items.push(Item::Field(Field {
            target: Target::Server,
            label: "The server's address",
            text: Zeroizing::new(form.place.server.as_str().to_owned()),
            placeholder: "https://home.example",
            caret: form.place.server.caret(),
            hint: None,
            reveal: None,
        })),
        Kind::Network => items.push(Item::Text(
            Tone::Muted,
            "Keeping records there costs money, once; the account needs a wallet key.".to_owned(),
        )),
        Kind::Computer => items.push(Item::Text(
            Tone::Muted,
            "Free, on this computer's disk.".to_owned(),
        )),
    }
    if state.abilities.network.is_none() {
        items.push(Item::Text(
            Tone::Muted,
            "From here the SAFE Network is reached through a server, a gateway to it.".to_owned(),
        ));
    }
}

fn wallet(form: &Form) -> Item {
    let hint = match form.wallet_key() {
        _ if form.wallet.is_empty() => None,
        Ok(()) => Some((Tone::Good, "64 digits: complete".to_owned())),
        Err(wrong) if wrong.is_wrong() => Some((Tone::Wrong, wrong.words())),
        Err(short) => Some((Tone::Plain, short.words())),
    };
    Item::Field(Field {
        target: Target::Wallet,
        label: "Private key of the wallet that pays",
        text: shown(&form.wallet, form.reveal),
        placeholder: "64 hexadecimal digits",
        caret: form.wallet.caret(),
        hint,
        reveal: None,
    })
}

fn links(state: &State, form: &Form, items: &mut Vec<Item>) {
    let link = |target, words: &str| (target, words.to_owned());
    let back = match form.mode {
        Mode::SignIn => None,
        Mode::Create => Some("I have an account: sign in"),
        Mode::Recover => Some("Back to signing in"),
    };
    if let Some(words) = back {
        items.push(Item::Links(vec![link(Target::OtherForm, words)]));
        return;
    }
    let others: Vec<_> = state
        .others(form)
        .filter_map(|index| Some((index, &state.accounts.get(index)?.name)))
        .map(|(index, name)| {
            (
                Target::Account(index),
                initials(name),
                colour_of(name),
                name.clone(),
            )
        })
        .collect();
    if !others.is_empty() {
        items.push(Item::People(others));
    }
    if form.chosen.is_some() {
        items.push(Item::Links(vec![
            link(Target::Someone, "Someone else"),
            link(Target::Forget, "Forget this account"),
        ]));
    }
    let key = if form.key_shown {
        "No secret key"
    } else {
        "I have a secret key"
    };
    items.push(Item::Links(vec![
        link(Target::UseKey, key),
        link(Target::OtherForm, "Create an account"),
        link(Target::Forgotten, "Forgotten password"),
        link(Target::Guest, "Guest session"),
    ]));
}
