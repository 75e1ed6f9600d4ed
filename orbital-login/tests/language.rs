//! The languages: every one says everything, and everything that it says has room.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod screens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use orbital_login::draw::Op;
use orbital_login::geometry::Rect;
use orbital_login::language::Language;
use orbital_login::layout::{Look, Part};
use orbital_login::paint::Painter;
use orbital_login::state::{Event, Menu, State, Target};
use orbital_login::text::Text;
use orbital_login::view::{Item, View, view};

/// The messages of a source with their variables.
fn messages(source: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut messages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut last = String::new();
    for line in source.lines().filter(|line| !line.starts_with('#')) {
        let is_first = line.starts_with(|c: char| c.is_ascii_lowercase());
        if is_first && let Some((id, _)) = line.split_once(" = ") {
            last = id.to_owned();
            let before = messages.insert(last.clone(), BTreeSet::new());
            assert_eq!(before, None, "{id} is there twice");
        }
        for part in line.split('$').skip(1) {
            let end = part
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(part.len());
            messages
                .get_mut(&last)
                .unwrap()
                .insert(part[..end].to_owned());
        }
    }
    messages
}

#[test]
fn every_language_has_every_message_with_its_variables() {
    let english = messages(Language::English.source());
    assert!(english.len() > 250);
    for language in Language::ALL {
        let name = language.name();
        let mut theirs = messages(language.source());
        // How a date is written differs in what it needs.
        let date = theirs.get_mut("date").unwrap();
        assert!(date.is_subset(&english["date"]), "{name}: {date:?}");
        *date = english["date"].clone();
        for (id, variables) in &english {
            assert_eq!(theirs.get(id), Some(variables), "{name}: {id}");
        }
        let more: Vec<_> = theirs
            .keys()
            .filter(|id| !english.contains_key(*id))
            .collect();
        assert!(more.is_empty(), "{name}: {more:?}");
    }
}

/// Texts stay English only where that is the word there too.
#[test]
fn what_is_said_is_translated() {
    let english = messages(Language::English.source());
    for language in Language::ALL
        .into_iter()
        .filter(|l| *l != Language::English)
    {
        let same: Vec<_> = english
            .keys()
            .filter(|id| !id.ends_with("-text"))
            .filter(|id| {
                let line = |source: &str| {
                    let start = format!("{id} = ");
                    source
                        .lines()
                        .find(|line| line.starts_with(&start))
                        .map(str::to_owned)
                };
                line(language.source()) == line(Language::English.source())
            })
            .collect();
        assert!(same.len() < 12, "{}: {same:?}", language.name());
    }
}

/// A text that ends in English as a question, a sentence or a step under way does so in every language: no text stands in the place
/// of another.
#[test]
fn every_message_ends_as_it_does_in_english() {
    // An argument at the end ends as it does.
    let ends = |source: &str| -> BTreeMap<String, Option<char>> {
        let lines = source.lines().filter_map(|line| line.split_once(" = "));
        let lines = lines.map(|(id, text)| (id, text.trim_end_matches([')', '）'])));
        let lines = lines.filter(|(_, text)| !text.ends_with('}') && !text.ends_with("->"));
        lines
            .map(|(id, text)| {
                let end = text.chars().last().map(|end| match end {
                    '？' | '؟' => '?',
                    '。' => '.',
                    end => end,
                });
                (id.to_owned(), end.filter(|end| "…?.".contains(*end)))
            })
            .collect()
    };
    let english = ends(Language::English.source());
    for language in Language::ALL {
        for (id, end) in ends(language.source()) {
            if let Some(wanted) = english.get(&id) {
                assert_eq!(end, *wanted, "{}: {id}", language.name());
            }
        }
    }
}

fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// No text is left over, and none is asked for that is not there.
#[test]
fn every_message_is_used_and_every_one_used_is_there() {
    let mut all = String::new();
    sources(Path::new("src"), &mut all);
    let english = messages(Language::English.source());
    for id in english.keys() {
        assert!(all.contains(&format!("\"{id}\"")), "{id} is never said");
    }
    for start in ["Message::new(\"", ".text(\"", "Notice::of(\"", "told(\""] {
        for part in all.split(start).skip(1) {
            let id = part.split('"').next().unwrap();
            let is_test = id == "no-such-text";
            assert!(is_test || english.contains_key(id), "{start}{id}");
        }
    }
}

/// Every screen in a language, and each of its menus.
fn screens(language: Language, large: bool) -> Vec<(String, State)> {
    let mut all = Vec::new();
    for (name, mut state) in screens::all(true) {
        speak(&mut state, language, large);
        all.push((name.to_owned(), state));
    }
    for index in 0..2 {
        let (name, mut state) = screens::all(true).remove(index);
        speak(&mut state, language, large);
        state.access.keyboard = true;
        all.push((format!("{name} with keys"), state));
    }
    for menu in [Menu::Language, Menu::Access, Menu::Keyboard, Menu::Power] {
        let (_, mut state) = screens::all(true).remove(0);
        speak(&mut state, language, large);
        state.menu = Some(menu);
        all.push((format!("{menu:?}"), state));
    }
    all
}

fn speak(state: &mut State, language: Language, large: bool) {
    state.language = language;
    state.access.large = large;
    // So that what stands beside the card is as much as it can be.
    state.console = true;
}

/// The area of a text: as high as its capitals, and as wide as it is.
fn inked(op: &Op, text: &mut Text) -> Option<Rect> {
    let Op::Text {
        at, style, words, ..
    } = op
    else {
        return None;
    };
    let wide = text.width(*style, words);
    let high = style.capital();
    Some(Rect::new(
        at.0.ceil() as i32,
        (at.1 - high) as i32,
        wide.floor() as i32,
        high as i32,
    ))
}

/// Half as long again, in words of the same length.
fn longer(words: &str) -> String {
    let mut more: Vec<&str> = words.split(' ').collect();
    let parts = more.clone();
    let wanted = words.chars().count() * 3 / 2;
    for part in parts.iter().cycle() {
        if more.join(" ").chars().count() >= wanted || words.is_empty() {
            break;
        }
        more.push(part);
    }
    more.join(" ")
}

/// The same screen with longer texts; not what people, computers and servers are called.
fn lengthen(view: &mut View) {
    for item in &mut view.card {
        match item {
            Item::Title(words)
            | Item::Text(_, words)
            | Item::Meter(_, words)
            | Item::Check(_, words, _)
            | Item::Button(_, words)
            | Item::Quiet(_, words)
            | Item::Further(words) => *words = longer(words),
            Item::Way(_, words, what) | Item::Where(_, words, what) => {
                *words = longer(words);
                *what = longer(what);
            }
            Item::Links(links) => {
                for (_, words) in links {
                    *words = longer(words);
                }
            }
            Item::Choices(choices) => {
                for choice in choices {
                    choice.label = longer(&choice.label);
                }
            }
            _ => {}
        }
    }
    if let Some(notice) = &mut view.notice {
        notice.title = longer(&notice.title);
        notice.text = longer(&notice.text);
        notice.next = notice.next.as_deref().map(longer);
    }
    for (_, entry, _) in view.menu.iter_mut().flat_map(|(_, entries)| entries) {
        *entry = longer(entry);
    }
}

#[test]
fn texts_may_be_half_as_long_again() {
    assert_eq!(longer("Sign in"), "Sign in Sign");
    let mut wrong = Vec::new();
    let (mut painter, mut text) = (Painter::new(), Text::new());
    for language in [Language::English, Language::German, Language::Russian] {
        for (name, state) in screens(language, false) {
            let mut longer = view(&state);
            lengthen(&mut longer);
            let name = format!("{} {name}", language.code());
            for size in [(640, 480), (800, 600), (1280, 800), (3840, 2160)] {
                wrong.extend(faults(&name, &longer, size, &mut painter, &mut text));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} faults:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// All that is wrong with a screen of this size.
fn faults(
    name: &str,
    view: &View,
    size: (i32, i32),
    painter: &mut Painter,
    text: &mut Text,
) -> Vec<String> {
    let mut faults = Vec::new();
    let ops = painter.ops(view, size.0, size.1);
    if painter.take_cuts() > 0 {
        faults.push(format!("{name} {size:?}: something is shortened"));
    }
    let screen = Rect::new(0, 0, size.0, size.1);
    // An open menu lies on what is behind it.
    let layout = painter.layout().unwrap();
    let behind = layout
        .placed
        .iter()
        .find(|placed| placed.part == Part::Menu);
    let behind = behind.map_or(Rect::default(), |placed| placed.rect);
    let mut before: Vec<(Rect, String)> = Vec::new();
    for op in &ops {
        let Some(rect) = inked(op, text) else {
            continue;
        };
        let Op::Text { clip, words, .. } = op else {
            continue;
        };
        let words = words.as_str();
        if rect.intersect(screen) != rect {
            faults.push(format!(
                "{name} {size:?}: “{words}” stands beside the screen"
            ));
        }
        // Typed text moves in its field.
        let is_typed = words.contains("wimmer") || words.contains("ac0974");
        if !is_typed && (rect.x < clip.x || rect.right() > clip.right()) {
            faults.push(format!("{name} {size:?}: “{words}” is cut off"));
        }
        let covers = |other: &&(Rect, String)| {
            let both = other.0.intersect(rect);
            !both.is_empty() && behind.intersect(both).is_empty()
        };
        if let Some((_, other)) = before.iter().find(covers) {
            faults.push(format!("{name} {size:?}: “{words}” lies on “{other}”"));
        }
        before.push((rect, words.to_owned()));
    }
    faults
}

fn check(large: bool) {
    let mut wrong = Vec::new();
    let mut painter = Painter::new();
    let mut text = Text::new();
    let mut shown = 0;
    for language in Language::ALL {
        if !text.can_show(language.name()) {
            // Without letters there is nothing to measure; nor is it offered then.
            continue;
        }
        shown += 1;
        for (name, state) in screens(language, large) {
            let name = format!("{} {name}", language.code());
            for size in [(640, 480), (800, 600), (1280, 800), (3840, 2160)] {
                wrong.extend(faults(&name, &view(&state), size, &mut painter, &mut text));
            }
            let mut dense = view(&state);
            dense.percent = 200;
            wrong.extend(faults(&name, &dense, (1024, 600), &mut painter, &mut text));
        }
    }
    assert!(shown >= 11, "the own fonts have Latin and Cyrillic letters");
    assert!(
        wrong.is_empty(),
        "{} faults:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_text_has_room_in_every_language() {
    check(false);
}

#[test]
fn large_text_has_room_in_every_language() {
    check(true);
}

/// Every notice below the card is whole too.
#[test]
fn every_notice_has_room_in_every_language() {
    const CODES: [&str; 24] = [
        "wrong_password",
        "unknown_name",
        "wrong_or_unknown",
        "account_exists",
        "password_in_use",
        "unknown_recovery_key",
        "recovery_key_of_another",
        "store_unreachable",
        "not_a_gateway",
        "bad_store_url",
        "wallet_empty",
        "too_dear",
        "no_network_client",
        "bad_wallet_key",
        "store_full",
        "rolled_back",
        "damaged",
        "in_use",
        "head_moved",
        "no_randomness",
        "wrong_clock",
        "daemon_gone",
        "not_published",
        "unheard_of",
    ];
    let mut wrong = Vec::new();
    let mut painter = Painter::new();
    let mut text = Text::new();
    for language in Language::ALL {
        if !text.can_show(language.name()) {
            continue;
        }
        for code in CODES {
            let mut state = screens::refused(code, "what the daemon says", true);
            state.language = language;
            let name = format!("{} {code}", language.code());
            for size in [(640, 480), (1280, 800)] {
                wrong.extend(faults(&name, &view(&state), size, &mut painter, &mut text));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} faults:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Hints that stand beside a label, and words below a field, have the room that is kept for them.
#[test]
fn what_comes_while_one_types_has_the_room_that_is_kept_for_it() {
    let mut text = Text::new();
    let (label, small) = (Look::Label.style(1.0), Look::Small.style(1.0));
    let mut wrong = Vec::new();
    for language in Language::ALL {
        if !text.can_show(language.name()) {
            continue;
        }
        let mut check = |beside: &'static str, hint: &'static str| {
            let wide = text.width(label, &language.text(beside)) + 12.0;
            let wide = if beside.is_empty() { 0.0 } else { wide };
            let all = wide + text.width(small, &language.text(hint));
            if all > 336.0 {
                wrong.push(format!("{}: {hint} is {all:.0} wide", language.code()));
            }
        };
        for hint in [
            "name-empty",
            "name-long",
            "name-slash",
            "name-space",
            "name-hidden",
            "name-start",
        ] {
            check("name", hint);
        }
        for hint in ["same", "differs", "caps-lock", "num-lock"] {
            check("password-again", hint);
        }
        for hint in [
            "strength-none",
            "strength-0",
            "strength-1",
            "strength-2",
            "strength-3",
            "strength-4",
        ] {
            check("", hint);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// In a language that is written from right to left everything stands as in a mirror.
#[test]
fn what_is_written_from_right_to_left_begins_at_the_right() {
    let mut painter = Painter::new();
    let middle = |painter: &mut Painter, language| {
        let (_, mut state) = screens::all(true).remove(0);
        state.language = language;
        state.update(Event::Tick);
        painter.ops(&view(&state), 1280, 800);
        let layout = painter.layout().unwrap().clone();
        let at = |target| {
            let found = layout
                .placed
                .iter()
                .find(|placed| placed.target == Some(target));
            let rect = found.unwrap().rect;
            (rect.x + rect.right()) / 2
        };
        [
            at(Target::Reveal),
            at(Target::Power),
            at(Target::Language),
            at(Target::Submit),
        ]
    };
    let [reveal, power, languages, submit] = middle(&mut painter, Language::Hebrew);
    assert!(reveal < 640 && power < 320 && languages > power);
    assert_eq!(submit, 640);
    // But the keys of a keyboard.
    let (_, mut state) = screens::all(true).remove(0);
    state.language = Language::Hebrew;
    state.access.keyboard = true;
    painter.ops(&view(&state), 1280, 800);
    let keys = painter.layout().unwrap().placed.iter();
    let keys: Vec<(i32, char)> = keys
        .filter_map(|placed| match placed.target {
            Some(Target::Type(letter @ '0'..='9')) => Some((placed.rect.x, letter)),
            _ => None,
        })
        .collect();
    assert!(keys.is_sorted() && keys.len() == 10, "{keys:?}");
    let mirrored = middle(&mut painter, Language::English).map(|x| 1280 - x);
    assert_eq!(mirrored, [reveal, power, languages, submit]);
}
