//! The card: items from top to bottom.

use zeroize::Zeroizing;

use super::{Align, Look, Part, Placed};
use crate::geometry::Rect;
use crate::state::Target;
use crate::text::Text;
use crate::trouble::Notice;
use crate::view::{Field, Item, Tone, View};

const WIDTH: f32 = 400.0;
const WIDE: f32 = 520.0;
const PADDING: f32 = 32.0;
/// Left free above and below.
const MARGIN: f32 = 12.0;
/// However small the screen is.
const SCALE_MIN: f32 = 0.25;
/// The least room between two links.
const LINK_GAP: f32 = 18.0;

/// Places the card in the middle; its scale.
pub(super) fn place(
    view: &View,
    text: &mut Text,
    width: i32,
    height: i32,
    scale: f32,
) -> (Vec<Placed>, f32) {
    let mut scale = scale;
    // What is too high gets smaller; lines break otherwise then, so a few times.
    for _ in 0..4 {
        let (placed, card) = flow(view, text, width, scale);
        let room = height as f32 - 2.0 * MARGIN * scale;
        if card.h as f32 <= room && card.w <= width || scale <= SCALE_MIN {
            return (down(placed, (height - card.h) / 2), scale);
        }
        let smaller = (room / card.h as f32).min(width as f32 / card.w as f32);
        scale = (scale * smaller * 0.99).max(SCALE_MIN);
    }
    let (placed, card) = flow(view, text, width, scale);
    (down(placed, (height - card.h) / 2), scale)
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
            (Item::Progress(_), Item::Text(..)) | (Item::Links(_), Item::Links(_)) => 10.0,
            (Item::Check(..), Item::Check(..)) => 8.0,
            (_, Item::Button(..)) => 16.0,
            (Item::Button(..), _) => 16.0,
            (Item::Links(_), Item::Choices(_)) => 8.0,
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
            Item::People(people) => self.people(people),
            Item::Notice(notice) => self.notice(notice),
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
        self.y += 2.0 * self.scale;
        let rect = self.row(44.0);
        let style = Look::Input.style(self.scale);
        let before: Zeroizing<String> =
            Zeroizing::new(field.text.chars().take(field.caret).collect());
        let caret = self.text.width(style, &before).round() as i32;
        let button = if field.reveal.is_some() { rect.h } else { 0 };
        let room = rect.w - self.px(28.0) - button;
        self.put(
            rect,
            Part::Input {
                text: field.text.clone(),
                placeholder: field.placeholder,
                caret,
                moved: (caret - room).max(0),
            },
            Some(field.target),
        );
        if let Some(reveal) = field.reveal {
            let rect = Rect::new(rect.right() - button, rect.y, button, rect.h);
            self.put(rect, Part::Reveal(reveal), Some(Target::Reveal));
        }
        if let Some((tone, hint)) = &field.hint {
            self.y += 4.0 * self.scale;
            self.words(hint, Look::Small, *tone, Align::Left, 18.0);
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

    fn people(&mut self, people: &[(Target, String, u32, String)]) {
        let row = self.row(62.0);
        let each = self.px(80.0).min(row.w / people.len().max(1) as i32);
        let circle = self.px(40.0);
        let mut x = row.x + (row.w - each * people.len() as i32) / 2;
        for (target, initials, colour, name) in people {
            let rect = Rect::new(x + (each - circle) / 2, row.y, circle, circle);
            self.put(
                Rect::new(x, row.y, each, row.h),
                Part::Link(String::new()),
                Some(*target),
            );
            self.put(
                rect,
                Part::Person(initials.clone(), *colour, Look::InitialsSmall),
                None,
            );
            let style = Look::Small.style(self.scale);
            let name = self.text.fit(style, name, each as f32 * 0.96);
            let rect = Rect::new(x, rect.bottom(), each, row.bottom() - rect.bottom());
            let part = Part::Words(
                Zeroizing::new(name),
                Look::Small,
                Tone::Muted,
                Align::Middle,
            );
            self.put(rect, part, None);
            x += each;
        }
    }

    fn notice(&mut self, notice: &Notice) {
        let index = self.placed.len();
        let top = self.y.round() as i32;
        self.put(Rect::default(), Part::Notice(notice.calm), None);
        let tone = if notice.calm { Tone::Good } else { Tone::Wrong };
        let (x, width) = (self.x, self.width);
        let ground = Rect::new(x, top, width, 0);
        // Room for the icon at the left.
        self.x += self.px(44.0);
        self.width -= self.px(44.0 + 14.0);
        self.y += 12.0 * self.scale;
        self.words(&notice.title, Look::Label, tone, Align::Left, 20.0);
        self.words(&notice.text, Look::Small, tone, Align::Left, 18.0);
        if let Some(next) = notice.next {
            self.y += 4.0 * self.scale;
            let style = Look::Link.style(self.scale);
            let row = self.row(24.0);
            let wide = self.text.width(style, next.label()).ceil() as i32;
            self.put(
                Rect::new(row.x, row.y, wide.min(row.w), row.h),
                Part::Link(next.label().to_owned()),
                Some(Target::Next),
            );
        }
        self.y += 12.0 * self.scale;
        (self.x, self.width) = (x, width);
        self.placed[index].rect = Rect {
            h: self.y.round() as i32 - top,
            ..ground
        };
    }
}
