//! The notice below the card.
//!
//! What always holds here: all of it is there to be read, smaller where there is not enough room.

use zeroize::Zeroizing;

use super::part::{Align, Look, Part, Placed};
use crate::geometry::Rect;
use crate::state::Target;
use crate::text::Text;
use crate::user_error::Mood;
use crate::view::{Notice, Tone};

/// However little room there is.
const SCALE_MIN: f32 = 0.25;

/// Places a notice, smaller where there is not enough room for all of it.
pub(super) fn place(
    notice: &Notice,
    text: &mut Text,
    scale: f32,
    room: Rect,
    placed: &mut Vec<Placed>,
) {
    let mut scale = scale;
    let mut parts = notice_parts(notice, text, scale, room);
    while parts[0].rect.h > room.h && scale > SCALE_MIN {
        scale *= 0.94;
        parts = notice_parts(notice, text, scale, room);
    }
    placed.extend(parts);
}

/// A notice: its ground, a title and beside it what it offers, and its sentences below.
fn notice_parts(notice: &Notice, text: &mut Text, scale: f32, room: Rect) -> Vec<Placed> {
    let px = |units: f32| (units * scale).round() as i32;
    let tone = match notice.mood {
        Mood::Wrong => Tone::Wrong,
        Mood::Plain => Tone::Plain,
        Mood::Good => Tone::Good,
    };
    let mut placed = Vec::new();
    let mut put = |rect, part, target| {
        placed.push(Placed {
            rect,
            part,
            target,
            scale,
        });
    };
    put(Rect::default(), Part::Notice(notice.mood), None);
    let (left, right) = (room.x + px(44.0), room.right() - px(14.0));
    let top = room.y + px(8.0);
    let mut end = right;
    let mut y = top;
    if let Some(next) = &notice.next {
        let style = Look::Label.style(scale);
        let wide = (text.width(style, next).ceil() as i32 + px(24.0)).min(right - left);
        let rect = Rect::new(right - wide, top, wide, px(28.0));
        end = rect.x - px(8.0);
        put(rect, Part::SmallButton(next.clone()), Some(Target::Next));
        y = rect.bottom();
    }
    let mut words = |look: Look, words: String, rect: Rect| {
        put(
            rect,
            Part::Words(Zeroizing::new(words), look, tone, Align::Left),
            None,
        );
    };
    // The first line in the middle of what stands beside it.
    let titles = text.lines(Look::Label.style(scale), &notice.title, (end - left) as f32);
    let (first, line) = (px(28.0), px(18.0));
    let mut title_y = top;
    for (index, title) in titles.into_iter().enumerate() {
        let high = if index == 0 { first } else { line };
        words(
            Look::Label,
            title,
            Rect::new(left, title_y, end - left, high),
        );
        title_y += high;
    }
    y = y.max(title_y) + px(2.0);
    let style = Look::Small.style(scale);
    for one in text.lines(style, &notice.text, (right - left) as f32) {
        words(Look::Small, one, Rect::new(left, y, right - left, line));
        y += line;
    }
    placed[0].rect = Rect {
        h: y + px(10.0) - room.y,
        ..room
    };
    placed
}
