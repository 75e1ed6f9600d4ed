//! A card that is higher than the screen has room for: the part of it around what has the focus.
//!
//! What always holds here: what has the focus is in sight; what is not has a place of no size, and nothing is cut in the
//! middle. The wheel shows the rest.

use zeroize::Zeroizing;

use super::part::{Align, Look, Part, Placed};
use crate::geometry::Rect;
use crate::view::{Tone, View};

/// How far a line of the wheel goes.
const LINE: f32 = 48.0;
/// Above and below there is room for an arrow.
const EDGE: f32 = 22.0;

/// The visible part of a card, whose upper edge is at 0, in so much room.
pub(super) fn shown(
    mut placed: Vec<Placed>,
    card: Rect,
    room: i32,
    view: &View,
    scale: f32,
) -> (Vec<Placed>, Rect) {
    if card.h <= room {
        return (placed, card);
    }
    let edge = (EDGE * scale) as i32;
    let window = Rect {
        h: room.max(2 * edge + 1),
        ..card
    };
    let inner = window.h - 2 * edge;
    // In the middle of it, as far as the card goes.
    let focus = placed.iter().find(|one| one.target == Some(view.focus));
    let middle = focus.map_or(0, |one| one.rect.y + one.rect.h / 2);
    let wheel = (view.scrolled as f32 * LINE * scale) as i32;
    let end = (card.h - edge - inner).max(0);
    let first = (middle - inner / 2).clamp(0, end);
    let first = (first + wheel).clamp(0, end);
    // At its ends nothing is left out.
    let top = if first == 0 { 0 } else { first + edge };
    let bottom = if first == end {
        card.h
    } else {
        first + edge + inner
    };
    let (mut above, mut below) = (false, false);
    for one in placed.iter_mut().skip(1) {
        let rect = one.rect;
        one.rect.y -= first;
        above |= rect.y < top;
        below |= rect.bottom() > bottom;
        if rect.y < top || rect.bottom() > bottom {
            one.rect = Rect::new(rect.x, (rect.y - first).clamp(0, window.h), 0, 0);
        }
    }
    placed.retain(|one| !one.rect.is_empty() || one.target.is_some());
    if let Some(ground) = placed.first_mut() {
        ground.rect = window;
    }
    // Off the card's own edge.
    let inset = (3.0 * scale).ceil() as i32;
    let arrows = [("↑", above, inset), ("↓", below, window.h - edge - inset)];
    for (arrow, is_more, y) in arrows {
        if is_more {
            let words = Zeroizing::new(arrow.to_owned());
            placed.push(Placed {
                rect: Rect::new(window.x, y, window.w, edge),
                part: Part::Words(words, Look::Small, Tone::Muted, Align::Middle),
                target: None,
                scale,
            });
        }
    }
    (placed, window)
}
