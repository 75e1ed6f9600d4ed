//! The surroundings of the card, on every screen and at every size: they are whole, and nothing lies on anything else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod screens;

use orbital_login::geometry::Rect;
use orbital_login::language::Language;
use orbital_login::layout::{Layout, Look, Part, layout};
use orbital_login::text::Text;
use orbital_login::view::view;

const SIZES: [(i32, i32); 6] = [
    (640, 480),
    (800, 600),
    (1024, 768),
    (1280, 800),
    (1920, 1080),
    (3840, 2160),
];

/// The lines of the warning with their places.
fn warning(placed: &Layout) -> Vec<(Rect, String)> {
    placed.placed[placed.corner_from..]
        .iter()
        .filter_map(|one| match &one.part {
            Part::Words(words, Look::Label, ..) => Some((one.rect, words.to_string())),
            _ => None,
        })
        .collect()
}

#[test]
fn a_console_is_told_wherever_somebody_may_sign_in() {
    let mut text = Text::new();
    let (mut told, mut untold) = (0, 0);
    for (width, height) in SIZES {
        for (name, mut state) in screens::all(true) {
            let at = format!("{name} at {width}x{height}");
            state.console = false;
            let without = layout(&view(&state), &mut text, width, height);
            assert_eq!(warning(&without), [], "{at}");
            state.console = true;
            let with = layout(&view(&state), &mut text, width, height);
            let lines = warning(&with);
            if !state.is_at_rest() {
                assert_eq!(lines, [], "{at}");
                untold += 1;
                continue;
            }
            told += 1;
            let words: Vec<&str> = lines.iter().map(|(_, words)| words.as_str()).collect();
            assert_eq!(words.join(" "), Language::English.text("console"), "{at}");
            // Everything else is where it was, and nothing of it is covered.
            let others: Vec<Rect> = without.placed.iter().map(|one| one.rect).collect();
            assert_eq!(with.placed.len(), others.len() + lines.len(), "{at}");
            for (index, (rect, words)) in lines.iter().enumerate() {
                let wide = text.width(Look::Label.style(with.scale), words) as i32;
                let screen = Rect::new(0, 0, width, height);
                assert!(
                    wide <= rect.w && rect.intersect(screen) == *rect,
                    "{at}: {words}"
                );
                let covered = others
                    .iter()
                    .chain(lines[..index].iter().map(|(rect, _)| rect));
                for other in covered {
                    assert!(
                        rect.intersect(*other).is_empty(),
                        "{at}: {words} lies on {other:?}"
                    );
                }
            }
        }
    }
    assert!(told > 20 && untold > 10, "{told} {untold}");
}

/// A notice's title and its button stand beside each other, also on a small screen.
#[test]
fn a_notice_is_whole() {
    let mut text = Text::new();
    for code in [
        "wrong_password",
        "unknown_name",
        "wrong_or_unknown",
        "account_exists",
        "store_unreachable",
        "store_refused",
        "not_a_gateway",
        "bad_store_url",
        "rolled_back",
        "in_use",
        "head_moved",
        "damaged",
        "daemon_gone",
        "protocol",
        "wallet_empty",
        "too_dear",
        "unheard_of",
    ] {
        for (width, height) in SIZES {
            let state = screens::refused(code, "what the daemon says", true);
            let placed = layout(&view(&state), &mut text, width, height);
            let notice = view(&state).notice.unwrap();
            let words: Vec<&str> = (placed.placed.iter())
                .filter_map(|one| match &one.part {
                    Part::Words(words, ..) => Some(words.as_str()),
                    _ => None,
                })
                .collect();
            let at = format!("{code} at {width}x{height}: {words:?}");
            assert!(words.contains(&notice.title.as_str()), "{at}");
            // Its last word is there too.
            let last = notice.text.split(' ').next_back().unwrap();
            assert!(words.iter().any(|words| words.ends_with(last)), "{at}");
            let ground = placed
                .placed
                .iter()
                .find(|one| matches!(one.part, Part::Notice(_)))
                .unwrap();
            let screen = Rect::new(0, 0, width, height);
            assert_eq!(ground.rect.intersect(screen), ground.rect, "{at}");
            for other in &placed.placed[placed.corner_from..] {
                assert!(
                    ground.rect.intersect(other.rect).is_empty(),
                    "{at}: {other:?}"
                );
            }
        }
    }
}

/// On a small screen a long form is not made so small that nobody can read it: what has the focus is in sight, and the wheel
/// shows the rest.
#[test]
fn a_form_that_is_too_high_is_turned() {
    assert!(turned(640, 480, 100, false) > 10);
}

/// The same where the pixels are small, and everything is to be twice as large.
#[test]
fn on_a_small_screen_with_small_pixels_everything_can_be_reached() {
    let mut text = Text::new();
    for (name, mut state) in screens::all(true) {
        let plain = layout(&view(&state), &mut text, 1024, 600).scale;
        state.percent = 200;
        let dense = layout(&view(&state), &mut text, 1024, 600).scale;
        assert!(dense >= plain * 1.25, "{name}: {plain}, {dense}");
        // Pixels of a large screen are expected to be small.
        let large = layout(&view(&state), &mut text, 3840, 2160).scale;
        assert_eq!(large, orbital_login::layout::scale_for(3840, 2160));
    }
    for large in [false, true] {
        assert!(turned(1024, 600, 200, large) > 10);
    }
}

/// Sees that everything at rest can be reached by keys, by the pointer and by the wheel; how often a part of a card is hidden.
fn turned(width: i32, height: i32, percent: u16, large: bool) -> usize {
    let mut text = Text::new();
    let mut turned = 0;
    for (name, mut state) in screens::all(true) {
        if !state.is_at_rest() {
            continue;
        }
        state.percent = percent;
        state.access.large = large;
        for target in state.order() {
            state.focus = target;
            let placed = layout(&view(&state), &mut text, width, height);
            let smallest = Look::Small.style(placed.card_scale).size;
            assert!(smallest >= 9.0, "{name}: {smallest}");
            let spot = placed.placed.iter().find(|one| one.target == Some(target));
            let rect = spot.unwrap().rect;
            assert!(!rect.is_empty(), "{name}: {target:?}");
            let screen = Rect::new(0, 0, width, height);
            assert_eq!(rect.intersect(screen), rect, "{name}: {target:?}");
            let middle = placed.hit(rect.x + rect.w / 2, rect.y + rect.h / 2);
            assert!(middle.is_some(), "{name}: {target:?} is covered");
            let hidden = placed.placed.iter().filter(|one| one.rect.is_empty());
            if hidden.count() == 0 {
                continue;
            }
            turned += 1;
            let mut reached = std::collections::HashSet::new();
            for lines in -24..=24 {
                let mut view = view(&state);
                view.scrolled = lines;
                let placed = layout(&view, &mut text, width, height);
                reached.extend(
                    placed
                        .placed
                        .iter()
                        .filter(|one| !one.rect.is_empty())
                        .filter_map(|one| one.target),
                );
            }
            assert!(
                state.order().iter().all(|target| reached.contains(target)),
                "{name}"
            );
        }
    }
    turned
}
