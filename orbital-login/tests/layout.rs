//! What stands beside the card, on every screen and at every size: it is whole, and nothing lies on anything else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod screens;

use orbital_login::geometry::Rect;
use orbital_login::layout::{Layout, Look, Part, layout};
use orbital_login::state::Screen;
use orbital_login::text::Text;
use orbital_login::view::{CONSOLE, view};

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
            if !matches!(state.screen, Screen::Form(_)) {
                assert_eq!(lines, [], "{at}");
                untold += 1;
                continue;
            }
            told += 1;
            let words: Vec<&str> = lines.iter().map(|(_, words)| words.as_str()).collect();
            assert_eq!(words.join(" "), CONSOLE, "{at}");
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
