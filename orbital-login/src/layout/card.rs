//! The card: items from top to bottom.

use zeroize::Zeroizing;

use super::part::{Align, Look, Part, Placed};
use crate::geometry::Rect;
use crate::state::Target;
use crate::text::Text;
use crate::user_error::{Mood, Notice};
use crate::view::{Field, Hint, Item, Tone, View};

const WIDTH: f32 = 400.0;
const WIDE: f32 = 520.0;
const PADDING: f32 = 32.0;
/// Left free above and below.
const MARGIN: f32 = 12.0;
/// However small the screen is.
const SCALE_MIN: f32 = 0.25;
/// The least room between two links.
const LINK_GAP: f32 = 18.0;
/// What stands below the card: how far below, how high at least, and how wide at most.
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
    let mut scale = scale;
    // What is too high gets smaller; lines break otherwise then, so a few times.
    for _ in 0..4 {
        let (_, card) = flow(view, text, width, scale);
        let room = height as f32 - 2.0 * MARGIN * scale - below(view, scale);
        if card.h as f32 <= room && card.w <= width || scale <= SCALE_MIN {
            break;
        }
        let smaller = (room / card.h as f32).min(width as f32 / card.w as f32);
        scale = (scale * smaller * 0.99).max(SCALE_MIN);
    }
    let (placed, card) = flow(view, text, width, scale);
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
            place_notice(notice, text, scale, ground, &mut placed);
        }
        all = all.union(Rect {
            h: room.min(ground.h),
            ..ground
        });
    }
    (placed, scale, all)
}

/// The room that is kept below the card.
fn below(view: &View, scale: f32) -> f32 {
    if view.has_notices {
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

/// Places a notice: a title and what it offers, and its sentences below, as many lines of them as there is room.
fn place_notice(
    notice: &Notice,
    text: &mut Text,
    scale: f32,
    room: Rect,
    placed: &mut Vec<Placed>,
) {
    let px = |units: f32| (units * scale).round() as i32;
    let tone = match notice.mood {
        Mood::Wrong => Tone::Wrong,
        Mood::Plain => Tone::Plain,
        Mood::Good => Tone::Good,
    };
    let ground = placed.len();
    let mut put = |rect, part, target| placed.push(Placed { rect, part, target });
    put(Rect::default(), Part::Notice(notice.mood), None);
    let (left, right) = (room.x + px(44.0), room.right() - px(14.0));
    let top = room.y + px(8.0);
    let mut end = right;
    if let Some(next) = notice.next {
        let style = Look::Label.style(scale);
        let wide = (text.width(style, next.label()).ceil() as i32 + px(24.0)).min(right - left);
        let rect = Rect::new(right - wide, top, wide, px(28.0));
        end = rect.x - px(8.0);
        put(
            rect,
            Part::SmallButton(next.label().to_owned()),
            Some(Target::Next),
        );
    }
    let mut words = |look: Look, words: &str, rect: Rect| {
        put(
            rect,
            Part::Words(Zeroizing::new(words.to_owned()), look, tone, Align::Left),
            None,
        );
    };
    let title = text.fit(Look::Label.style(scale), &notice.title, (end - left) as f32);
    words(
        Look::Label,
        &title,
        Rect::new(left, top, end - left, px(28.0)),
    );
    let (line, mut y) = (px(18.0), top + px(30.0));
    let style = Look::Small.style(scale);
    let lines = text.lines(style, &notice.text, (right - left) as f32);
    let fitting = ((room.bottom() - px(10.0) - y) / line.max(1)).max(1) as usize;
    let cut = lines.len() > fitting;
    for (index, one) in lines.iter().take(fitting).enumerate() {
        let rect = Rect::new(left, y, right - left, line);
        if cut && index + 1 == fitting {
            // There is more of it than there is room.
            let more = text.fit(style, &format!("{one} …"), rect.w as f32);
            words(Look::Small, &more, rect);
        } else {
            words(Look::Small, one, rect);
        }
        y += line;
    }
    placed[ground].rect = Rect {
        h: y + px(10.0) - room.y,
        ..room
    };
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
        placed: vec![Placed {
            rect: Rect::default(),
            part: Part::Card,
            target: None,
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
        self.placed.push(Placed { rect, part, target });
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
                let style = Look::Title.style(self.scale);
                let title = self.text.fit(style, title, self.width as f32);
                let rect = self.row(32.0);
                let part = Part::Words(
                    Zeroizing::new(title),
                    Look::Title,
                    Tone::Plain,
                    Align::Middle,
                );
                self.put(rect, part, None);
            }
            Item::Text(tone, text) => self.words(text, Look::Body, *tone, Align::Middle, 20.0),
            Item::Field(field) => self.field(field),
            Item::Meter(score, words) => {
                let rect = self.row(4.0);
                self.put(rect, Part::Meter(*score), None);
                self.y += 4.0 * self.scale;
                self.words(words, Look::Small, Tone::Muted, Align::Left, 18.0);
            }
            Item::Check(target, words, ticked) => {
                let row = self.row(22.0);
                let tick = Rect::new(row.x, row.y, row.h, row.h);
                self.put(row, Part::Tick(*ticked), Some(*target));
                let left = tick.right() + self.px(10.0);
                let rect = Rect::new(left, row.y, row.right() - left, row.h);
                let fitting = self
                    .text
                    .fit(Look::Body.style(self.scale), words, rect.w as f32);
                let part = Part::Words(
                    Zeroizing::new(fitting),
                    Look::Body,
                    Tone::Plain,
                    Align::Left,
                );
                self.put(rect, part, None);
            }
            Item::Choices(choices) => {
                let row = self.row(36.0);
                self.put(row, Part::Choices, None);
                let count = choices.len().max(1) as i32;
                for (index, choice) in (0..).zip(choices) {
                    let left = row.x + row.w * index / count;
                    let right = row.x + row.w * (index + 1) / count;
                    self.put(
                        Rect::new(left, row.y, right - left, row.h),
                        Part::Choice(choice.label, choice.chosen),
                        Some(choice.target),
                    );
                }
            }
            Item::Button(target, words) => {
                let rect = self.row(46.0);
                self.put(rect, Part::Button(words.clone(), true), Some(*target));
            }
            Item::Quiet(target, words) => {
                let rect = self.row(42.0);
                self.put(rect, Part::Button(words.clone(), false), Some(*target));
            }
            Item::Links(links) => self.links(links),
            Item::Person(target, initials, colour, name, place) => {
                self.person(*target, (initials, *colour), name, place);
            }
            Item::Way(target, words, what) => self.way(*target, words, what),
            Item::Where(target, words, change) => self.place_line(*target, words, change),
            Item::NoRows(count) => {
                self.y += (PERSON + 4.0) * self.scale * *count as f32 - 4.0 * self.scale;
            }
            Item::Further(above, below) => self.further(*above, *below),
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
            Zeroizing::new(field.label.to_owned()),
            Look::Label,
            Tone::Muted,
            Align::Left,
        );
        self.put(rect, label, None);
        if let Hint::Beside(Some((tone, hint))) = &field.hint {
            let label = self.text.width(Look::Label.style(self.scale), field.label) as i32;
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
        let before: Zeroizing<String> =
            Zeroizing::new(field.text.chars().take(field.caret).collect());
        let caret = self.text.width(style, &before).round() as i32;
        let button = if field.reveal.is_some() { rect.h } else { 0 };
        let room = rect.w - self.px(28.0) - button;
        let taken = match field.taken {
            true => self.text.width(style, &field.text).ceil() as i32,
            false => 0,
        };
        self.put(
            rect,
            Part::Input {
                text: field.text.clone(),
                placeholder: field.placeholder,
                caret,
                taken,
                moved: (caret - room).max(0),
            },
            Some(field.target),
        );
        if let Some(reveal) = field.reveal {
            let rect = Rect::new(rect.right() - button, rect.y, button, rect.h);
            self.put(rect, Part::Reveal(reveal), Some(Target::Reveal));
        }
        if let Hint::Below(hint) = &field.hint {
            self.y += 2.0 * self.scale;
            let rect = self.row(18.0);
            if let Some((tone, hint)) = hint {
                let style = Look::Small.style(self.scale);
                let hint = self.text.fit(style, hint, rect.w as f32);
                let part = Part::Words(Zeroizing::new(hint), Look::Small, *tone, Align::Left);
                self.put(rect, part, None);
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
        let row = self.row(52.0);
        self.put(row, Part::Row, Some(target));
        let inset = self.px(12.0);
        self.two_lines(
            Rect::new(row.x + inset, row.y, row.w - 2 * inset, row.h),
            (Look::Button, words),
            what,
        );
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

    /// Where something is, as much of it as there is room for, and what changes that.
    fn place_line(&mut self, target: Target, words: &str, change: &str) {
        let row = self.row(24.0);
        let style = Look::Link.style(self.scale);
        let wide = (self.text.width(style, change).ceil() as i32).min(row.w);
        let link = Rect::new(row.right() - wide, row.y, wide, row.h);
        self.put(link, Part::Link(change.to_owned()), Some(target));
        let rest = (row.w - wide - self.px(LINK_GAP)).max(0);
        let words = self.text.fit(style, words, rest as f32);
        let part = Part::Words(Zeroizing::new(words), Look::Link, Tone::Muted, Align::Left);
        self.put(Rect { w: rest, ..row }, part, None);
    }

    /// How many more there are.
    fn further(&mut self, above: usize, below: usize) {
        let row = self.row(20.0);
        let words = match (above, below) {
            (0, 0) => String::new(),
            (above, 0) => format!("↑ {above} more"),
            (0, below) => format!("↓ {below} more"),
            (above, below) => format!("↑ {above} more   ↓ {below} more"),
        };
        let part = Part::Words(
            Zeroizing::new(words),
            Look::Small,
            Tone::Muted,
            Align::Middle,
        );
        self.put(row, part, None);
    }
}
