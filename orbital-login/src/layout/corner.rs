//! What stands around the card: the time, the corner's buttons and the menus that hang on them.

use zeroize::Zeroizing;

use super::part::{Align, Look, Part, Placed};
use crate::geometry::Rect;
use crate::icon::Icon;
use crate::text::Text;
use crate::view::{Corner, Tone, View};

const MARGIN: f32 = 24.0;
const BUTTON: f32 = 40.0;
const ENTRY: f32 = 34.0;

pub(super) fn place(
    view: &View,
    text: &mut Text,
    (width, height): (i32, i32),
    scale: f32,
    middle: Rect,
    placed: &mut Vec<Placed>,
) {
    let px = |units: f32| (units * scale).round() as i32;
    let (margin, button) = (px(MARGIN), px(BUTTON));
    let words = |text: &str, look, align| {
        Part::Words(Zeroizing::new(text.to_owned()), look, Tone::Muted, align)
    };
    // Up to what stands in the middle, where that reaches down to the time.
    let beside = middle.x - 3 * margin / 2;
    let room = if middle.bottom() > height - margin - px(86.0) {
        beside
    } else {
        width / 2
    };
    let mut put = |rect, part, target| placed.push(Placed { rect, part, target });

    // The time, as far as the card leaves room for it.
    let (time, date) = (&view.clock.0, &view.clock.1);
    let date_height = px(22.0);
    let mut top = height - margin - date_height;
    let is_large = text.width(Look::Clock.style(scale), time) as i32 <= room;
    if is_large {
        let clock_height = px(64.0);
        top -= clock_height;
        put(
            Rect::new(margin, top, room, clock_height),
            words(time, Look::Clock, Align::Left),
            None,
        );
    }
    let style = Look::Date.style(scale);
    // The time stands once: below itself there is the date, or as much of it as there is room for.
    let date = match text.width(style, date) as i32 <= room {
        true => date.as_str(),
        false if is_large => date.split(',').next().unwrap_or_default(),
        false => time.as_str(),
    };
    put(
        Rect::new(margin, height - margin - date_height, room, date_height),
        words(date, Look::Date, Align::Left),
        None,
    );

    // A warning above it, beside the card at any height.
    if let Some(warning) = view.warning {
        let line = px(19.0);
        let lines = text.lines(Look::Label.style(scale), warning, beside as f32);
        top -= px(12.0) + line * lines.len() as i32;
        for (index, words_of_line) in (0..).zip(lines) {
            put(
                Rect::new(margin, top + index * line, beside, line),
                words(&words_of_line, Look::Label, Align::Left),
                None,
            );
        }
    }

    let mut right = width - margin;
    let mut anchor = None;
    for (target, corner) in view.corner.iter().rev() {
        let (part, wide) = match corner {
            Corner::Appearance(dark) => {
                let icon = if *dark { Icon::Sun } else { Icon::Moon };
                (Part::Corner(icon), button)
            }
            Corner::Power => (Part::Corner(Icon::Power), button),
            Corner::Keyboard(name) => {
                let style = Look::Label.style(scale);
                let name = text.fit(style, name, button as f32 * 3.0);
                let wide = text.width(style, &name) as i32 + px(26.0);
                (Part::CornerWords(name), wide.max(button))
            }
        };
        let rect = Rect::new(right - wide, height - margin - button, wide, button);
        if view.menu.as_ref().is_some_and(|(on, _)| on == target) {
            anchor = Some(rect);
        }
        put(rect, part, Some(*target));
        right = rect.x - px(10.0);
    }

    if let (Some((_, entries)), Some(anchor)) = (&view.menu, anchor) {
        let inset = px(6.0);
        let wide = px(190.0).min(width - 2 * margin);
        // In as many columns as it takes.
        let rows = ((anchor.y - 2 * margin) / px(ENTRY).max(1)).max(1);
        let columns = (entries.len() as i32 + rows - 1) / rows.max(1);
        let rows = rows.min(entries.len() as i32);
        let menu = Rect::new(
            (width - margin - columns * wide - 2 * inset).max(0),
            anchor.y - px(10.0) - rows * px(ENTRY) - 2 * inset,
            columns * wide + 2 * inset,
            rows * px(ENTRY) + 2 * inset,
        );
        put(menu, Part::Menu, None);
        for (index, (target, name, chosen)) in (0..).zip(entries) {
            let name = text.fit(Look::Body.style(scale), name, (wide - px(28.0)) as f32);
            let (column, row) = (index / rows.max(1), index % rows.max(1));
            put(
                Rect::new(
                    menu.x + inset + column * wide,
                    menu.y + inset + row * px(ENTRY),
                    wide,
                    px(ENTRY),
                ),
                Part::Entry(name, *chosen),
                Some(*target),
            );
        }
    }
}
