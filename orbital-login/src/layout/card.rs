//! The card: items from top to bottom.

use zeroize::Zeroizing;

use super::part::{Align, Look, Part, Placed};
use super::{notice, scroll};
use crate::geometry::Rect;
use crate::state::Target;
use crate::text::Text;
use crate::view::{Choice, Field, Hint, Item, Tone, View};

const WIDTH: f32 = 400.0;
const WIDE: f32 = 520.0;
const PADDING: f32 = 32.0;
/// Left free above and below.
const MARGIN: f32 = 12.0;
/// Left free at either side.
const BESIDE: f32 = 104.0;
/// However much there is on the card, of the scale that the screen is for.
const READABLE: f32 = 0.7;
/// However small the screen is.
const SCALE_MIN: f32 = 0.25;
/// The least room between two links.
const LINK_GAP: f32 = 18.0;
/// The notice below the card: how far below, how high at least, and how wide at most.
const NOTICE_GAP: f32 = 12.0;
const NOTICE: f32 = 104.0;
const NOTICE_WIDTH: f32 = 520.0;
/// The height of a person to choose.
const PERSON: f32 = 56.0;

/// Places the card in the middle, and a notice below it; their scale, and all that they may take up. The card stands where it
/// does whether there is a notice or not.
pub(super) fn place(
    view: &View,
    text: &mut Text,
    width: i32,
    height: i32,
    scale: f32,
) -> (Vec<Placed>, f32, Rect) {
    // Beside it there is room for the time and the corner's buttons.
    let most = width - 2 * (BESIDE * scale) as i32;
    let mut scale = scale;
    // Not so small that nobody can read it: then only a part of the card is shown.
    let wide = if view.wide { WIDE } else { WIDTH };
    let least = (scale * READABLE).min(most as f32 / wide).max(SCALE_MIN);
    // A card that is too high gets smaller; its lines break otherwise then, so this is repeated.
    for _ in 0..4 {
        let (_, card) = flow(view, text, width, scale);
        let room = height as f32 - 2.0 * MARGIN * scale - below(view, scale);
        if card.h as f32 <= room && card.w <= most || scale <= least {
            break;
        }
        let smaller = (room / card.h as f32).min(most as f32 / card.w as f32);
        scale = (scale * smaller * 0.99).max(least);
    }
    let (placed, card) = flow(view, text, width, scale);
    let room = height as f32 - 2.0 * MARGIN * scale - below(view, scale);
    let (placed, card) = scroll::shown(placed, card, room as i32, view, scale);
    let margin = (MARGIN * scale) as i32;
    let room = below(view, scale) as i32;
    let top = ((height - card.h) / 2)
        .min(height - margin - room - card.h)
        .max(0);
    let mut placed = down(placed, top);
    let mut all = Rect { y: top, ..card };
    if view.has_notices {
        let wide = notice_width(width, scale);
        let above = all.bottom() + (NOTICE_GAP * scale) as i32;
        let ground = Rect::new((width - wide) / 2, above, wide, height - margin - above);
        if let Some(notice) = &view.notice {
            notice::place(notice, text, scale, ground, &mut placed);
        }
        all = all.union(Rect {
            h: room.min(ground.h),
            ..ground
        });
    }
    (placed, scale, all)
}

/// The room that is kept below the card. Above the keyboard on the screen there is too little of it to keep any.
fn below(view: &View, scale: f32) -> f32 {
    if view.has_notices && (view.keys.is_empty() || view.notice.is_some()) {
        (NOTICE_GAP + NOTICE) * scale
    } else {
        0.0
    }
}

/// As wide as there is room beside the time.
fn notice_width(width: i32, scale: f32) -> i32 {
    let wide = if (width as f32) < 1100.0 * scale {
        WIDTH
    } else {
        NOTICE_WIDTH
    };
    ((wide * scale) as i32).min(width)
}

fn down(mut placed: Vec<Placed>, by: i32) -> Vec<Placed> {
    for one in &mut placed {
        one.rect.y += by;
    }
    placed
}

/// The card with its upper edge at 0.
fn flow(view: &View, text: &mut Text, width: i32, scale: f32) -> (Vec<Placed>, Rect) {
    let card_width = (if view.wide { WIDE } else { WIDTH } * scale) as i32;
    let padding = (PADDING * scale) as i32;
    let x = (width - card_width) / 2;
    let mut flow = Flow {
        text,
        scale,
        x: x + padding,
        width: card_width - 2 * padding,
        y: 28.0 * scale,
        right_to_left: view.right_to_left,
        placed: vec![Placed {
            rect: Rect::default(),
            part: Part::Card,
            target: None,
            scale,
        }],
    };
    for (index, item) in view.card.iter().enumerate() {
        if index > 0 {
            flow.y += flow.gap(&view.card[index - 1], item) * scale;
        }
        flow.item(item);
    }
    let card = Rect::new(x, 0, card_width, (flow.y + 28.0 * scale) as i32);
    let mut placed = flow.placed;
    placed[0].rect = card;
    (placed, card)
}

/// A link that fits on a line, and how wide it is.
type Link = (Target, String, i32);

struct Flow<'a> {
    text: &'a mut Text,
    scale: f32,
    x: i32,
    width: i32,
    y: f32,
    right_to_left: bool,
    placed: Vec<Placed>,
}

impl Flow<'_> {
    fn px(&self, units: f32) -> i32 {
        (units * self.scale).round() as i32
    }

    fn gap(&self, above: &Item, below: &Item) -> f32 {
        match (above, below) {
            (Item::Avatar(..) | Item::Mark, _) => 10.0,
            (Item::Title(_), Item::Text(..)) => 8.0,
            (Item::Title(_), _) => 16.0,
            (Item::Field(_), Item::Meter(..)) => 8.0,
            (Item::Progress(_), Item::Text(..)) => 10.0,
            (Item::Links(_), Item::Links(_)) => 0.0,
            (Item::Check(..), Item::Check(..)) => 8.0,
            (Item::Quiet(..), Item::Button(..)) => 10.0,
            (_, Item::Button(..)) => 16.0,
            (Item::Button(..), _) => 16.0,
            (Item::Where(..), Item::Choices(_)) => 8.0,
            (Item::Person(..), Item::Person(..) | Item::NoRows(_) | Item::Further(..)) => 4.0,
            (Item::Way(..), Item::Way(..)) => 2.0,
            (Item::NoRows(_), _) | (Item::Further(..), _) => 4.0,
            _ => 12.0,
        }
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

    /// A rectangle over the whole width, and the pen below it.
    fn row(&mut self, height: f32) -> Rect {
        let top = self.y.round() as i32;
        self.y += height * self.scale;
        Rect::new(self.x, top, self.width, self.y.round() as i32 - top)
    }

    fn words(&mut self, text: &str, look: Look, tone: Tone, align: Align, line: f32) {
        let style = look.style(self.scale);
        for part in self.text.lines(style, text, self.width as f32) {
            let rect = self.row(line);
            self.put(
                rect,
                Part::Words(Zeroizing::new(part), look, tone, align),
                None,
            );
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Avatar(initials, colour) => {
                let row = self.row(72.0);
                let rect = Rect::new(row.x + (row.w - row.h) / 2, row.y, row.h, row.h);
                self.put(
                    rect,
                    Part::Person(initials.clone(), *colour, Look::Initials),
                    None,
                );
            }
            Item::Mark => {
                let row = self.row(44.0);
                let rect = Rect::new(row.x + (row.w - row.h) / 2, row.y, row.h, row.h);
                self.put(rect, Part::Mark, None);
            }
            Item::Title(title) => {
                self.words(title, Look::Title, Tone::Plain, Align::Middle, 32.0);
            }
            Item::Text(tone, text) => self.words(text, Look::Body, *tone, Align::Middle, 20.0),
            Item::Field(field) => self.field(field),
            Item::Meter(score, words) => {
                let rect = self.row(4.0);
                self.put(rect, Part::Meter(*score), None);
                self.y += 4.0 * self.scale;
                self.words(words, Look::Small, Tone::Muted, Align::Left, 18.0);
            }
            Item::Check(target, words, ticked) => self.check(*target, words, *ticked),
            Item::Choices(choices) => self.choices(choices),
            Item::Button(target, words) => self.button(*target, words, true, 46.0),
            Item::Quiet(target, words) => self.button(*target, words, false, 42.0),
            Item::Links(links) => self.links(links),
            Item::Person(target, initials, colour, name, place) => {
                self.person(*target, (initials, *colour), name, place);
            }
            Item::Way(target, words, what) => self.way(*target, words, what),
            Item::Where(target, words, change) => self.place_line(*target, words, change),
            Item::NoRows(count) => {
                self.y += (PERSON + 4.0) * self.scale * *count as f32 - 4.0 * self.scale;
            }
            Item::Further(words) => {
                let row = self.row(20.0);
                let words = Zeroizing::new(words.clone());
                let part = Part::Words(words, Look::Small, Tone::Muted, Align::Middle);
                self.put(row, part, None);
            }
            Item::Progress(fraction) => {
                self.y += 6.0 * self.scale;
                let rect = self.row(6.0);
                self.put(rect, Part::Bar(*fraction), None);
            }
            Item::Code(code) => {
                let row = self.row(168.0);
                let rect = Rect::new(row.x + (row.w - row.h) / 2, row.y, row.h, row.h);
                self.put(rect, Part::Code(code.clone()), None);
            }
            Item::Key(key) => {
                // Two lines of three groups.
                let groups: Vec<&str> = key.split('-').collect();
                for line in groups.chunks(3) {
                    let rect = self.row(28.0);
                    let words = Zeroizing::new(line.join("  "));
                    let part = Part::Words(words, Look::Key, Tone::Plain, Align::Middle);
                    self.put(rect, part, None);
                }
            }
            Item::Words(words) => self.numbered(words),
            Item::Gap => self.y += 4.0 * self.scale,
        }
    }

    /// Words in three columns, numbered downwards.
    fn numbered(&mut self, words: &str) {
        const COLUMNS: usize = 3;
        let words: Vec<&str> = words.split(' ').collect();
        let rows = words.len().div_ceil(COLUMNS);
        for row in 0..rows {
            let line = self.row(24.0);
            for column in 0..COLUMNS {
                let place = column * rows + row;
                let Some(word) = words.get(place) else {
                    continue;
                };
                let left = line.x + line.w * column as i32 / COLUMNS as i32;
                let number = Rect::new(left, line.y, self.px(40.0), line.h);
                let text = Zeroizing::new(format!("{}.", place + 1));
                let part = Part::Words(text, Look::Body, Tone::Muted, Align::Middle);
                self.put(number, part, None);
                let rest = line.x + line.w * (column as i32 + 1) / COLUMNS as i32;
                let rect = Rect::new(number.right(), line.y, rest - number.right(), line.h);
                let text = Zeroizing::new((*word).to_owned());
                let part = Part::Words(text, Look::Button, Tone::Plain, Align::Left);
                self.put(rect, part, None);
            }
        }
    }

    fn field(&mut self, field: &Field) {
        let rect = self.row(20.0);
        let label = Part::Words(
            Zeroizing::new(field.label.clone()),
            Look::Label,
            Tone::Muted,
            Align::Left,
        );
        self.put(rect, label, None);
        if let Hint::Beside(Some((tone, hint))) = &field.hint {
            let label = self.text.width(Look::Label.style(self.scale), &field.label) as i32;
            let left = rect.x + label + self.px(12.0);
            let beside = Rect::new(left, rect.y, rect.right() - left, rect.h);
            let style = Look::Small.style(self.scale);
            let hint = self.text.fit(style, hint, beside.w as f32);
            let part = Part::Words(Zeroizing::new(hint), Look::Small, *tone, Align::Right);
            self.put(beside, part, None);
        }
        self.y += 2.0 * self.scale;
        let rect = self.row(44.0);
        let style = Look::Input.style(self.scale);
        let caret = self
            .text
            .caret(style, &field.text, field.caret, self.right_to_left)
            .round() as i32;
        let wide = self.text.width(style, &field.text).ceil() as i32;
        let button = if field.reveal.is_some() { rect.h } else { 0 };
        let room = rect.w - self.px(28.0) - button;
        let from_start = match self.right_to_left {
            true => wide - caret,
            false => caret,
        };
        self.put(
            rect,
            Part::Input {
                text: field.text.clone(),
                placeholder: field.placeholder.clone(),
                caret,
                wide,
                taken: field.taken,
                moved: (from_start - room).max(0),
            },
            Some(field.target),
        );
        if let Some(reveal) = field.reveal {
            let rect = Rect::new(rect.right() - button, rect.y, button, rect.h);
            self.put(rect, Part::Reveal(reveal), Some(Target::Reveal));
        }
        if let Hint::Below(hint) = &field.hint {
            self.y += 2.0 * self.scale;
            let room = self.row(36.0);
            let Some((tone, hint)) = hint else {
                return;
            };
            let style = Look::Small.style(self.scale);
            let mut rect = Rect {
                h: self.px(18.0),
                ..room
            };
            for line in self.text.lines(style, hint, rect.w as f32) {
                let part = Part::Words(Zeroizing::new(line), Look::Small, *tone, Align::Left);
                self.put(rect, part, None);
                rect.y += rect.h;
            }
        }
    }

    /// As many links on a line as have room, each line in the middle.
    fn links(&mut self, links: &[(Target, String)]) {
        let style = Look::Link.style(self.scale);
        let gap = self.px(LINK_GAP);
        let mut lines: Vec<(Vec<Link>, i32)> = Vec::new();
        for (target, words) in links {
            let words = self.text.fit(style, words, self.width as f32);
            let wide = self.text.width(style, &words).ceil() as i32;
            match lines.last_mut() {
                Some((line, sum)) if *sum + gap + wide <= self.width => {
                    *sum += gap + wide;
                    line.push((*target, words, wide));
                }
                _ => lines.push((vec![(*target, words, wide)], wide)),
            }
        }
        for (line, sum) in lines {
            let row = self.row(24.0);
            let mut x = row.x + (row.w - sum) / 2;
            for (target, words, wide) in line {
                let rect = Rect::new(x, row.y, wide, row.h);
                self.put(rect, Part::Link(words), Some(target));
                x += wide + gap;
            }
        }
    }

    /// A person to choose: large, and with the place where the account is kept.
    fn person(&mut self, target: Target, (initials, colour): (&str, u32), name: &str, place: &str) {
        let row = self.row(PERSON);
        self.put(row, Part::Row, Some(target));
        let (circle, inset) = (self.px(40.0), self.px(8.0));
        let round = Rect::new(row.x + inset, row.y + (row.h - circle) / 2, circle, circle);
        self.put(
            round,
            Part::Person(initials.to_owned(), colour, Look::InitialsSmall),
            None,
        );
        let left = round.right() + self.px(14.0);
        self.two_lines(
            Rect::new(left, row.y, row.right() - inset - left, row.h),
            (Look::Button, name),
            place,
        );
    }

    /// A way to choose, with what it is for.
    fn way(&mut self, target: Target, words: &str, what: &str) {
        let inset = self.px(12.0);
        let wide = (self.width - 2 * inset) as f32;
        let mut lines: Vec<(Look, Tone, String)> = Vec::new();
        for (look, tone, words) in [
            (Look::Button, Tone::Plain, words),
            (Look::Small, Tone::Muted, what),
        ] {
            let broken = self.text.lines(look.style(self.scale), words, wide);
            lines.extend(broken.into_iter().map(|line| (look, tone, line)));
        }
        let row = self.row(12.0 + 20.0 * lines.len() as f32);
        self.put(row, Part::Row, Some(target));
        let (half, mut y) = (self.px(20.0), row.y + self.px(6.0));
        for (look, tone, line) in lines {
            let part = Part::Words(Zeroizing::new(line), look, tone, Align::Left);
            let rect = Rect::new(row.x + inset, y, row.w - 2 * inset, half);
            self.put(rect, part, None);
            y += half;
        }
    }

    /// A box to tick, with what it is for beside it.
    fn check(&mut self, target: Target, words: &str, ticked: bool) {
        let (square, gap) = (self.px(22.0), self.px(10.0));
        let left = square + gap;
        let style = Look::Body.style(self.scale);
        let lines = self.text.lines(style, words, (self.width - left) as f32);
        let row = self.row(22.0 + 20.0 * lines.len().saturating_sub(1) as f32);
        self.put(row, Part::Tick(ticked, square), Some(target));
        let mut y = row.y;
        for line in lines {
            let rect = Rect::new(row.x + left, y, row.w - left, square);
            let part = Part::Words(Zeroizing::new(line), Look::Body, Tone::Plain, Align::Left);
            self.put(rect, part, None);
            y += self.px(20.0);
        }
    }

    /// Choices beside each other, or below each other where their words are too long for that.
    fn choices(&mut self, choices: &[Choice]) {
        let count = choices.len().max(1) as i32;
        let style = Look::Small.style(self.scale);
        let inset = self.px(8.0);
        let fits = choices.iter().all(|choice| {
            self.text.width(style, &choice.label) as i32 <= self.width / count - 2 * inset
        });
        let rows = if fits { 1 } else { count };
        let ground = self.row(36.0 * rows as f32);
        self.put(ground, Part::Choices, None);
        let columns = count / rows;
        for (index, choice) in (0..).zip(choices) {
            let (row, column) = (index / columns, index % columns);
            let (left, right) = (
                ground.w * column / columns,
                ground.w * (column + 1) / columns,
            );
            let (top, bottom) = (ground.h * row / rows, ground.h * (row + 1) / rows);
            let rect = Rect::new(ground.x + left, ground.y + top, right - left, bottom - top);
            let part = Part::Choice(choice.label.clone(), choice.chosen);
            self.put(rect, part, Some(choice.target));
        }
    }

    /// A button, as high as its words need.
    fn button(&mut self, target: Target, words: &str, matters: bool, height: f32) {
        let style = Look::Button.style(self.scale);
        let wide = self.width - self.px(24.0);
        let lines = self.text.lines(style, words, wide as f32);
        let more = lines.len().saturating_sub(1) as f32;
        let rect = self.row(height + 19.0 * more);
        self.put(rect, Part::Button(lines, matters), Some(target));
    }

    /// Two lines of text, the lower one in the background.
    fn two_lines(&mut self, rect: Rect, (look, upper): (Look, &str), lower: &str) {
        let half = self.px(20.0);
        let top = rect.y + (rect.h - 2 * half) / 2;
        for (y, look, tone, words) in [
            (top, look, Tone::Plain, upper),
            (top + half, Look::Small, Tone::Muted, lower),
        ] {
            let words = self.text.fit(look.style(self.scale), words, rect.w as f32);
            let part = Part::Words(Zeroizing::new(words), look, tone, Align::Left);
            self.put(Rect::new(rect.x, y, rect.w, half), part, None);
        }
    }

    /// Where something is, and beside it what changes that.
    fn place_line(&mut self, target: Target, words: &str, change: &str) {
        let style = Look::Link.style(self.scale);
        let wide = (self.text.width(style, change).ceil() as i32).min(self.width);
        let rest = (self.width - wide - self.px(LINK_GAP)).max(0);
        let lines = self.text.lines(style, words, rest as f32);
        let row = self.row(24.0 + 20.0 * lines.len().saturating_sub(1) as f32);
        let high = self.px(24.0);
        let link = Rect::new(row.right() - wide, row.y, wide, high);
        self.put(link, Part::Link(change.to_owned()), Some(target));
        let mut y = row.y;
        for line in lines {
            let part = Part::Words(Zeroizing::new(line), Look::Link, Tone::Muted, Align::Left);
            self.put(Rect::new(row.x, y, rest, high), part, None);
            y += self.px(20.0);
        }
    }
}
