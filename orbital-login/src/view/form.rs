//! The form's items.

use zeroize::Zeroizing;

use super::item::{Choice, Field, Hint, Item, Tone, colour_of, initials};
use crate::state::{Form, Kind, Mode, State, Target, host};
use crate::typed::Typed;

const DOT: &str = "•";

/// The card with the form.
pub(super) fn card(state: &State, form: &Form) -> Vec<Item> {
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
                let place = state.abilities.place_of(account).short();
                items.push(Item::Text(Tone::Muted, place));
            }
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
        let text = "Type the twelve words of your recovery sheet. The forgotten password opens nothing any more then.";
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
        items.push(match form.strength {
            Some(strength) => Item::Meter(Some(strength.score), strength.words.to_owned()),
            None => Item::Meter(None, "Several words are better than one.".to_owned()),
        });
        items.push(again(state, form));
    }
    if form.key_shown {
        items.push(Item::Field(Field {
            target: Target::SecretKey,
            label: "Secret key, from its sheet",
            text: Zeroizing::new(form.key.as_str().to_owned()),
            placeholder: "XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX",
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
        items.push(wallet(form));
    }
    if create {
        items.push(Item::Check(
            Target::WithSheet,
            "Recovery sheet, in case I forget the password",
            form.with_sheet,
        ));
        items.push(Item::Check(
            Target::WithKey,
            "A secret key besides the password",
            form.with_key,
        ));
    }
    if chosen.is_none() || form.mode != Mode::SignIn {
        items.push(Item::Check(
            Target::Remember,
            "Remember me on this computer",
            form.remember,
        ));
    }
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

/// The other ways to get in.
pub(super) fn ways(state: &State, form: &Form) -> Vec<Item> {
    let way = |target, words: &str, what| Item::Way(target, words.to_owned(), what);
    let key = match form.key_shown {
        true => "My account has no secret key",
        false => "My account has a secret key",
    };
    let mut items = vec![
        Item::Title("More ways in".to_owned()),
        way(
            Target::OtherForm,
            "Create an account",
            "You are new here. It takes a name and a password.",
        ),
        way(
            Target::Forgotten,
            "I forgot my password",
            "Set a new one with the twelve words of your recovery sheet.",
        ),
        way(
            Target::Places,
            "My account is on another server",
            "Type the address of the computer that keeps it.",
        ),
        way(
            Target::UseKey,
            key,
            "It is asked for besides the password; it is on a sheet of its own.",
        ),
        way(
            Target::Guest,
            "Continue as a guest",
            "No account is needed. Everything is gone when you sign out.",
        ),
    ];
    if let Some(account) = form.chosen.and_then(|index| state.accounts.get(index)) {
        items.push(way(
            Target::Forget,
            &format!("Take {} off this computer’s list", account.name),
            "The account stays. Only this computer no longer shows it.",
        ));
    }
    items.push(Item::Quiet(Target::Back, "Back".to_owned()));
    items
}

fn name(form: &Form) -> Item {
    Item::Field(Field {
        target: Target::Name,
        label: "Name",
        text: Zeroizing::new(form.name.as_str().to_owned()),
        placeholder: "",
        caret: form.name.caret(),
        taken: form.name.is_taken(),
        hint: Hint::Beside(form.name_hint().map(|hint| (Tone::Wrong, hint))),
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
        taken: form.words.is_taken(),
        hint: Hint::Below(form.words_hint().map(|hint| (Tone::Wrong, hint))),
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

/// Said where it matters: beside the field that is typed into.
fn caps(state: &State, target: Target) -> Option<(Tone, String)> {
    (state.caps && state.focus == target).then(|| (Tone::Plain, "Caps Lock is on".to_owned()))
}

fn password(state: &State, form: &Form) -> Item {
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
        taken: form.password.is_taken(),
        hint: Hint::Beside(caps(state, Target::Password)),
        reveal: Some(!form.reveal),
    })
}

fn again(state: &State, form: &Form) -> Item {
    let same = !form.again.is_empty() && form.again.as_str() == form.password.as_str();
    Item::Field(Field {
        target: Target::Again,
        label: "Password again",
        text: shown(&form.again, form.reveal),
        placeholder: "",
        caret: form.again.caret(),
        taken: form.again.is_taken(),
        hint: Hint::Beside(match form.again_hint() {
            Some(hint) => Some((Tone::Wrong, hint.to_owned())),
            None if same => Some((Tone::Good, "The same".to_owned())),
            None => caps(state, Target::Again),
        }),
        reveal: None,
    })
}

fn places(state: &State, form: &Form, items: &mut Vec<Item>) {
    if !form.places_shown {
        let place = form.place.short();
        items.push(Item::Where(
            Target::Places,
            match form.mode {
                Mode::Create => format!("It will be kept {place}"),
                Mode::SignIn | Mode::Recover => format!("Account {place}"),
            },
            "Change",
        ));
        return;
    }
    items.push(Item::Where(
        Target::Places,
        "Where is the account kept?".to_owned(),
        "Done",
    ));
    let choice = |kind: Kind| Choice {
        target: Target::AccountStore(kind),
        label: match kind {
            // Its own store is on a server.
            Kind::Computer if form.place.own.is_some() => "As usual here",
            kind => kind.label(),
        },
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
            taken: form.place.server.is_taken(),
            hint: Hint::Beside(None),
            reveal: None,
        })),
        Kind::Network => items.push(Item::Text(
            Tone::Muted,
            "Keeping records there costs money, once; the account needs a wallet key.".to_owned(),
        )),
        Kind::Computer => items.push(Item::Text(
            Tone::Muted,
            match &form.place.own {
                Some(own) => format!("On the server {}, as this computer is set up.", host(own)),
                None => "On this computer's disk, and nowhere else.".to_owned(),
            },
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
        taken: form.wallet.is_taken(),
        hint: Hint::Below(hint),
        reveal: None,
    })
}

fn links(state: &State, form: &Form, items: &mut Vec<Item>) {
    let link = |target, words: &str| Item::Links(vec![(target, words.to_owned())]);
    match form.mode {
        Mode::SignIn => {}
        Mode::Create => {
            return items.push(link(Target::OtherForm, "I have an account already"));
        }
        Mode::Recover => return items.push(link(Target::OtherForm, "Back to signing in")),
    }
    items.push(match (form.chosen, state.accounts.len()) {
        (Some(_), 1) => link(Target::Someone, "Somebody else"),
        (_, 1..) => link(Target::Others, "Back to the names"),
        (_, 0) => link(Target::OtherForm, "New here? Create an account"),
    });
    items.push(link(Target::More, "More ways in"));
}
