//! The list of remembered people.

use super::item::{Item, Tone, colour_of, initials};
use crate::message::Message;
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
    let words = state.language;
    let mut items = vec![Item::Mark, Item::Title(words.text("who"))];
    items.push(Item::Text(
        Tone::Muted,
        match people.find.as_str() {
            "" if state.accounts.len() > PEOPLE_SHOWN => words.text("type-to-find"),
            "" => words.text("choose-name"),
            wanted => {
                let id = match found.is_empty() {
                    true => "nobody-called",
                    false => "names-with",
                };
                words.say(&Message::new(id).with("name", wanted))
            }
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
                words.say(&state.abilities.place_of(account).short()),
            ));
        }
    }
    if shown.len() < rows {
        items.push(Item::NoRows(rows - shown.len()));
    }
    if state.accounts.len() > PEOPLE_SHOWN {
        items.push(Item::Further(further(state, above, below)));
    }
    items.push(Item::Links(vec![
        (Target::Someone, words.text("somebody-else")),
        (Target::More, words.text("more-ways")),
    ]));
    items
}

/// How many more there are.
fn further(state: &State, above: usize, below: usize) -> String {
    let parts = [("more-above", above), ("more-below", below)];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(id, count)| state.language.say(&Message::new(id).with("count", count)))
        .collect();
    told.join("   ")
}
