//! The list of remembered people.

use super::item::{Item, Tone, colour_of, initials};
use crate::state::{PEOPLE_SHOWN, People, State, Target};

/// The card with the people.
pub(super) fn card(state: &State, people: &People) -> Vec<Item> {
    let found = state.found(people);
    let shown = state.in_sight(people);
    let above = match shown.first() {
        Some(first) => found.iter().take_while(|index| *index != first).count(),
        None => 0,
    };
    let below = found.len() - above - shown.len();
    let mut items = vec![Item::Mark, Item::Title("Who are you?".to_owned())];
    items.push(Item::Text(
        Tone::Muted,
        match people.find.as_str() {
            "" if state.accounts.len() > PEOPLE_SHOWN => "Type a name to find it".to_owned(),
            "" => "Choose your name".to_owned(),
            wanted if found.is_empty() => format!("Nobody here is called “{wanted}”"),
            wanted => format!("Names with “{wanted}”"),
        },
    ));
    // The room of the longest list that there can be here: nothing moves while one types.
    let rows = state.accounts.len().min(PEOPLE_SHOWN);
    for index in &shown {
        if let Some(account) = state.accounts.get(*index) {
            items.push(Item::Person(
                Target::Account(*index),
                initials(&account.name),
                colour_of(&account.name),
                account.name.clone(),
                state.abilities.place_of(account).short(),
            ));
        }
    }
    if shown.len() < rows {
        items.push(Item::NoRows(rows - shown.len()));
    }
    if state.accounts.len() > PEOPLE_SHOWN {
        items.push(Item::Further(above, below));
    }
    items.push(Item::Links(vec![
        (Target::Someone, "Somebody else".to_owned()),
        (Target::More, "More ways in".to_owned()),
    ]));
    items
}
