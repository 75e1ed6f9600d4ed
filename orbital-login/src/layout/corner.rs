//! The surroundings of the card: the time, the corner's buttons and the menus that hang on them.
//!
//! What always holds here: it stands beside the card and a notice, on as many lines as that takes.

use zeroize::Zeroizing;

use super::part::{Align, Look, Part, Placed};
use crate::geometry::Rect;
use crate::icon::Icon;
use crate::state::Target;
use crate::text::Text;
use crate::view::{Corner, Entry, Tone, View};

const MARGIN: f32 = 24.0;
const BUTTON: f32 = 40.0;
const GAP: f32 = 10.0;
const ENTRY: f32 = 34.0;
/// So small the warning gets, if a word of it is too long.
const WARNING_MIN: f32 = 0.4;
/// As wide as an entry of a menu is at least.
const ENTRY_WIDTH: f32 = 190.0;

/// Places it around what stands in the middle.
pub(super) fn place(
    view: &View,
    text: &mut Text,
    (width, height): (i32, i32),
    scale: f32,
    middle: Rect,
    placed: &mut Vec<Placed>,
) {
    let mut around = Around {
        text,
        width,
        height,
        scale,
        middle,
        placed,
    };
    around.time(view);
    around.status(view);
    let anchor = around.buttons(view);
    if let (Some((_, entries)), Some(anchor)) = (&view.menu, anchor) {
        around.menu(entries, anchor);
    }
}

struct Around<'a> {
    text: &'a mut Text,
    width: i32,
    height: i32,
    scale: f32,
    middle: Rect,
    placed: &'a mut Vec<Placed>,
}

impl Around<'_> {
    fn px(&self, units: f32) -> i32 {
        (units * self.scale).round() as i32
    }

    fn put(&mut self, rect: Rect, part: Part, target: Option<Target>) {
        let scale = self.scale;
        self.placed.push(Placed {
            rect,
            part,
            target,
            scale,
        });
    }

    fn words(&mut self, rect: Rect, words: &str, look: Look) {
        let words = Zeroizing::new(words.to_owned());
        let part = Part::Words(words, look, Tone::Muted, Align::Left);
        self.put(rect, part, None);
    }

    /// How wide it is up to what stands in the middle, whether that reaches down so far or not.
    fn beside(&self) -> i32 {
        self.middle.x - 3 * self.px(MARGIN) / 2
    }

    /// The same for what is no higher than this, at the bottom.
    fn room(&self, high: i32) -> i32 {
        match self.middle.bottom() > self.height - self.px(MARGIN) - high {
            true => self.beside(),
            false => self.width / 2 - 3 * self.px(MARGIN) / 2,
        }
    }

    /// The time and the date, as far as the card leaves room for them, and above them what must be known.
    fn time(&mut self, view: &View) {
        let (time, date, weekday) = &view.clock;
        let margin = self.px(MARGIN);
        let line = self.px(22.0);
        let room = self.room(self.px(86.0)).max(1);
        let style = Look::Date.style(self.scale);
        let is_large = self.text.width(Look::Clock.style(self.scale), time) as i32 <= room;
        // The time stands once: below itself there is the date, or as much of it as there is room for.
        let (date, most) = match is_large {
            true => ([date.clone(), weekday.clone()], 2),
            false => ([format!("{time}\n{date}"), time.clone()], 3),
        };
        let lines = date
            .iter()
            .filter_map(|words| self.text.whole_lines(style, words, room as f32))
            .find(|lines| lines.len() <= most)
            .unwrap_or_default();
        let mut top = self.height - margin - line * lines.len() as i32;
        for (index, words) in (0..).zip(lines) {
            let rect = Rect::new(margin, top + index * line, room, line);
            self.words(rect, &words, Look::Date);
        }
        if is_large {
            let high = self.px(64.0);
            top -= high;
            self.words(Rect::new(margin, top, room, high), time, Look::Clock);
        }
        if let Some(warning) = &view.warning {
            self.warning(warning, top - self.px(12.0));
        }
    }

    /// The warnings, above there; smaller where a word is too long.
    fn warning(&mut self, warning: &str, bottom: i32) {
        let (margin, beside, scale) = (self.px(MARGIN), self.beside(), self.scale);
        let mut lines = None;
        while lines.is_none() && self.scale > scale * WARNING_MIN {
            let style = Look::Label.style(self.scale);
            lines = self.text.whole_lines(style, warning, beside as f32);
            if lines.is_none() {
                self.scale *= 0.94;
            }
        }
        let lines = lines.unwrap_or_default();
        let line = self.px(19.0);
        let top = bottom - line * lines.len() as i32;
        for (index, words) in (0..).zip(lines) {
            let rect = Rect::new(margin, top + index * line, beside, line);
            self.words(rect, &words, Look::Label);
        }
        self.scale = scale;
    }

    /// The computer's name and how it is, at the top of the side where the buttons are.
    fn status(&mut self, view: &View) {
        let (margin, size, gap) = (self.px(MARGIN), self.px(20.0), self.px(8.0));
        let line = self.px(26.0);
        let room = match self.middle.y < margin + line * 3 {
            true => self.beside(),
            false => self.width / 2 - margin,
        };
        let right = self.width - margin;
        let style = Look::Date.style(self.scale);
        let mut y = margin;
        for (icon, words) in &view.status {
            let left = icon.map_or(0, |_| size + gap);
            // A name may be longer than there is room; what has an icon is understood without words.
            let words = match icon {
                Some(_) => Some(words.clone())
                    .filter(|words| self.text.width(style, words) as i32 <= room - left),
                None => Some(self.text.fit(style, words, room as f32)),
            };
            if let Some(icon) = icon {
                let rect = Rect::new(right - size, y + (line - size) / 2, size, size);
                self.put(rect, Part::Status(*icon), None);
            }
            if let Some(words) = words {
                let rect = Rect::new(right - room, y, room - left, line);
                let words = Zeroizing::new(words);
                let part = Part::Words(words, Look::Date, Tone::Muted, Align::Right);
                self.put(rect, part, None);
            }
            y += line;
        }
    }

    /// The buttons in the corner, on as many lines as it takes; the one that the open menu hangs on.
    fn buttons(&mut self, view: &View) -> Option<Rect> {
        let (margin, button, gap) = (self.px(MARGIN), self.px(BUTTON), self.px(GAP));
        let mut sized = Vec::new();
        for (target, corner) in &view.corner {
            let (part, wide) = match corner {
                Corner::Language => (Part::Corner(Icon::Globe), button),
                Corner::Access => (Part::Corner(Icon::Access), button),
                Corner::Appearance(dark) => {
                    let icon = if *dark { Icon::Sun } else { Icon::Moon };
                    (Part::Corner(icon), button)
                }
                Corner::Power => (Part::Corner(Icon::Power), button),
                Corner::Keyboard(name) => {
                    let style = Look::Label.style(self.scale);
                    let name = self.text.fit(style, name, button as f32 * 3.0);
                    let wide = self.text.width(style, &name) as i32 + self.px(26.0);
                    (Part::CornerWords(name), wide.max(button))
                }
            };
            sized.push((*target, part, wide));
        }
        let all: i32 = sized.iter().map(|(_, _, wide)| wide + gap).sum();
        let room = match all - gap <= self.room(button) {
            true => all,
            false => self.beside(),
        };
        let (mut right, mut bottom) = (self.width - margin, self.height - margin);
        let mut anchor = None;
        for (target, part, wide) in sized.into_iter().rev() {
            if right - wide < self.width - margin - room && right < self.width - margin {
                right = self.width - margin;
                bottom -= button + gap;
            }
            let rect = Rect::new(right - wide, bottom - button, wide, button);
            if view.menu.as_ref().is_some_and(|(on, _)| *on == target) {
                anchor = Some(rect);
            }
            self.put(rect, part, Some(target));
            right = rect.x - gap;
        }
        anchor
    }

    /// A menu above what it hangs on, in as many columns as it takes.
    fn menu(&mut self, entries: &[Entry], anchor: Rect) {
        let (margin, inset, entry) = (self.px(MARGIN), self.px(6.0), self.px(ENTRY).max(1));
        let style = Look::Body.style(self.scale);
        // A tick stands behind the chosen one.
        let around = self.px(28.0 + 26.0);
        let longest = entries
            .iter()
            .map(|(_, words, _)| self.text.width(style, words).ceil() as i32 + around)
            .max()
            .unwrap_or_default();
        let most = self.width - 2 * margin - 2 * inset;
        let wide = longest.max(self.px(ENTRY_WIDTH)).min(most);
        let count = entries.len() as i32;
        let rows = ((anchor.y - 2 * margin) / entry).max(1);
        let columns = (count + rows - 1) / rows;
        let rows = (count + columns - 1) / columns.max(1);
        let wide = wide.min(most / columns.max(1));
        let menu = Rect::new(
            (self.width - margin - columns * wide - 2 * inset).max(0),
            anchor.y - self.px(10.0) - rows * entry - 2 * inset,
            columns * wide + 2 * inset,
            rows * entry + 2 * inset,
        );
        self.put(menu, Part::Menu, None);
        for (index, (target, name, chosen)) in (0..).zip(entries) {
            let name = self.text.fit(style, name, (wide - around) as f32);
            let (column, row) = (index / rows.max(1), index % rows.max(1));
            let rect = Rect::new(
                menu.x + inset + column * wide,
                menu.y + inset + row * entry,
                wide,
                entry,
            );
            self.put(rect, Part::Entry(name, *chosen), Some(*target));
        }
    }
}
