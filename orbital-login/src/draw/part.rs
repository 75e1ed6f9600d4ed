//! How each part looks.

use super::{Op, Pen};
use crate::geometry::Rect;
use crate::icon::Icon;
use crate::layout::{Align, Look, Part, Placed};
use crate::theme::{Rgba, rgb};
use crate::user_error::Mood;
use crate::view::Tone;

const CARD_RADIUS: f32 = 18.0;
const BOX_RADIUS: f32 = 10.0;
/// Pictures in which the bar of an unknown length crosses once.
const CROSSING: u32 = 48;

impl Pen<'_> {
    pub(super) fn part(&mut self, placed: &Placed) {
        let (rect, theme) = (placed.rect, *self.theme);
        let focused = placed.target == Some(self.view.focus);
        let hovered = placed.target.is_some() && placed.target == self.view.hover;
        match &placed.part {
            Part::Card => self.sheet(rect, CARD_RADIUS, 48.0, theme.card),
            Part::Menu => self.sheet(
                rect,
                12.0,
                28.0,
                Rgba {
                    a: theme.card.a.max(250),
                    ..theme.card
                },
            ),
            Part::Person(initials, colour, look) => {
                self.ops
                    .push(Op::Round(rect, rect.h as f32 / 2.0, theme.person(*colour)));
                self.words(rect, initials, *look, rgb(0xff_ffff), Align::Middle);
            }
            Part::Mark => self.ops.push(Op::Icon(rect, Icon::Mark, theme.link)),
            Part::Words(words, look, tone, align) => {
                let colour = match (look, tone) {
                    (Look::Clock | Look::Date, _) => theme.on_picture,
                    (_, Tone::Plain) => theme.text,
                    (_, Tone::Muted) => theme.muted,
                    (_, Tone::Wrong) => theme.wrong,
                    (_, Tone::Good) => theme.good,
                };
                self.words(rect, words, *look, colour, *align);
            }
            Part::Input {
                text,
                placeholder,
                caret,
                wide,
                taken,
                moved,
            } => {
                self.round(rect, BOX_RADIUS, theme.field);
                if focused {
                    self.ring(rect, BOX_RADIUS, 2.0, theme.ring);
                } else {
                    self.ring(rect, BOX_RADIUS, 1.0, theme.field_edge);
                }
                let words = (text.as_str(), placeholder.as_str());
                let spans = (*caret, *wide, *taken);
                self.input(rect, words, spans, *moved, focused);
            }
            Part::Reveal(shows) => {
                let icon = if *shows { Icon::Eye } else { Icon::EyeOff };
                let inner = rect.grow(-(self.px(5.0) as i32));
                self.lit(inner, 7.0, focused, hovered);
                let inset = rect.h / 2 - self.px(10.0) as i32;
                self.ops
                    .push(Op::Icon(rect.grow(-inset), icon, theme.muted));
            }
            Part::Meter(score) => self.meter(rect, *score),
            Part::Tick(ticked, size) => {
                let square = Rect {
                    h: *size,
                    ..self.at_start(rect, 0, *size)
                };
                if *ticked {
                    self.round(square, 6.0, theme.accent);
                    let inset = self.px(3.0) as i32;
                    self.ops
                        .push(Op::Icon(square.grow(-inset), Icon::Tick, theme.on_accent));
                } else {
                    self.round(square, 6.0, if hovered { theme.hover } else { theme.field });
                    self.ring(square, 6.0, 1.0, theme.field_edge);
                }
                if focused {
                    self.focus_around(square, 6.0);
                }
            }
            Part::Choices => {
                self.round(rect, BOX_RADIUS, theme.field);
                self.ring(rect, BOX_RADIUS, 1.0, theme.field_edge);
            }
            Part::Choice(words, chosen) => {
                let inner = rect.grow(-(self.px(3.0) as i32));
                if *chosen {
                    self.round(inner, 8.0, theme.chosen);
                } else if hovered {
                    self.round(inner, 8.0, theme.hover);
                }
                if focused {
                    self.ring(inner, 8.0, 2.0, theme.ring);
                }
                self.words(rect, words, Look::Small, theme.text, Align::Middle);
            }
            Part::Button(words, matters) => {
                let down = placed.target.is_some() && placed.target == self.view.pressed;
                self.button(rect, words, *matters, (focused, hovered, down));
            }
            Part::Link(words) => {
                let around = rect.grow(self.px(5.0) as i32);
                self.lit(around, 7.0, focused, hovered);
                self.words(rect, words, Look::Link, theme.link, self.start());
            }
            Part::Notice(mood) => self.notice(rect, *mood),
            Part::Row => self.lit(rect, BOX_RADIUS, focused, hovered),
            Part::SmallButton(words) => {
                self.round(rect, 7.0, if hovered { theme.hover } else { theme.field });
                self.ring(rect, 7.0, 1.0, theme.field_edge);
                if focused {
                    self.focus_around(rect, 7.0);
                }
                self.words(rect, words, Look::Label, theme.text, Align::Middle);
            }
            Part::Bar(fraction) => self.bar(rect, *fraction),
            Part::Code(code) => {
                self.round(rect, 12.0, rgb(0xff_ffff));
                self.ops.push(Op::Code(rect, code.clone()));
            }
            Part::Corner(icon) => {
                self.corner(rect, focused, hovered);
                let inset = rect.h / 2 - self.px(10.0) as i32;
                self.ops
                    .push(Op::Icon(rect.grow(-inset), *icon, theme.on_picture));
            }
            Part::Key(words) => {
                self.key(rect, (hovered, self.view.pressed == placed.target));
                self.words(rect, words, Look::Input, theme.text, Align::Middle);
            }
            Part::IconKey(icon, on) => {
                self.key(rect, (hovered || *on, self.view.pressed == placed.target));
                let size = self.px(22.0) as i32;
                let at = Rect::new(
                    rect.x + (rect.w - size) / 2,
                    rect.y + (rect.h - size) / 2,
                    size,
                    size,
                );
                self.ops.push(Op::Icon(at, *icon, theme.text));
            }
            Part::Status(icon) => self.ops.push(Op::Icon(rect, *icon, theme.on_picture)),
            Part::CornerWords(words) => {
                self.corner(rect, focused, hovered);
                self.words(rect, words, Look::Label, theme.on_picture, Align::Middle);
            }
            Part::Entry(words, chosen) => {
                if *chosen {
                    self.round(rect, 8.0, theme.hover);
                }
                self.lit(rect, 8.0, focused, hovered);
                let (inset, size) = (self.px(14.0) as i32, self.px(16.0) as i32);
                let inner = self.at_start(rect, inset, rect.w - 2 * inset);
                self.words(inner, words, Look::Body, theme.text, self.start());
                if *chosen {
                    let at = self.at_start(rect, rect.w - inset - size, size);
                    let at = Rect {
                        y: rect.y + (rect.h - size) / 2,
                        h: size,
                        ..at
                    };
                    self.ops.push(Op::Icon(at, Icon::Tick, theme.text));
                }
            }
        }
    }

    /// A card with its shadow and edge.
    fn sheet(&mut self, rect: Rect, radius: f32, blur: f32, colour: Rgba) {
        let theme = *self.theme;
        let lower = Rect {
            y: rect.y + self.px(8.0) as i32,
            ..rect
        };
        self.ops.push(Op::Shadow(
            lower,
            self.px(radius),
            self.px(blur),
            theme.shadow,
        ));
        self.round(rect, radius, colour);
        self.ring(rect, radius, 1.0, theme.edge);
    }

    /// The part that the pointer or the keyboard is on.
    fn lit(&mut self, rect: Rect, radius: f32, focused: bool, hovered: bool) {
        if hovered {
            self.round(rect, radius, self.theme.hover);
        }
        if focused {
            self.ring(rect, radius, 2.0, self.theme.ring);
        }
    }

    fn focus_around(&mut self, rect: Rect, radius: f32) {
        let by = self.px(3.0);
        self.ring(rect.grow(by as i32), radius + 3.0, 2.0, self.theme.ring);
    }

    fn corner(&mut self, rect: Rect, focused: bool, hovered: bool) {
        let radius = 12.0;
        self.round(rect, radius, self.theme.corner);
        if self.theme.contrast {
            self.ring(rect, radius, 1.0, self.theme.edge);
        }
        self.lit(rect, radius, focused, hovered);
    }

    /// The ground of a key.
    fn key(&mut self, rect: Rect, (lit, down): (bool, bool)) {
        let theme = *self.theme;
        self.round(rect, BOX_RADIUS, theme.card);
        self.ring(rect, BOX_RADIUS, 1.0, theme.field_edge);
        if lit {
            self.round(rect, BOX_RADIUS, theme.hover);
        }
        if down {
            self.ring(rect, BOX_RADIUS, 2.0, theme.ring);
        }
    }

    fn input(
        &mut self,
        rect: Rect,
        (text, placeholder): (&str, &str),
        (caret, wide, taken): (i32, i32, bool),
        moved: i32,
        focused: bool,
    ) {
        let theme = *self.theme;
        let side = self.px(14.0) as i32;
        let inner = Rect {
            x: rect.x + side,
            w: rect.w - 2 * side,
            ..rect
        };
        let style = Look::Input.style(self.scale);
        let y = (rect.y as f32 + (rect.h as f32 + style.capital()) / 2.0).round();
        let (words, colour, wide) = if text.is_empty() {
            let wide = self.text.width(style, placeholder).ceil() as i32;
            (placeholder, theme.muted, wide)
        } else {
            (text, theme.text, wide)
        };
        // The left edge of the text.
        let left = match self.view.right_to_left {
            true => inner.right() - wide + moved,
            false => inner.x - moved,
        };
        if taken {
            let high = self.px(26.0) as i32;
            let ground = Rect::new(left, rect.y + (rect.h - high) / 2, wide, high);
            self.round(ground.intersect(inner), 3.0, theme.chosen);
        }
        if !words.is_empty() {
            self.ops.push(Op::Text {
                at: (left as f32, y),
                style,
                colour,
                words: words.to_owned().into(),
                clip: inner.grow(self.px(2.0) as i32),
            });
        }
        if focused {
            let thick = self.px(2.0).max(1.0) as i32;
            let high = self.px(22.0) as i32;
            // A field with nothing in it begins where its text will.
            let edge = match (text.is_empty(), self.view.right_to_left) {
                (true, true) => inner.right() - thick,
                (true, false) => inner.x,
                _ => left + caret,
            };
            let line = Rect::new(edge, rect.y + (rect.h - high) / 2, thick, high);
            self.ops.push(Op::Caret(line, theme.ring));
        }
    }

    fn meter(&mut self, rect: Rect, score: Option<u8>) {
        let theme = *self.theme;
        let lit = match score {
            None | Some(0 | 1) => theme.wrong,
            Some(2) => theme.muted,
            _ => theme.good,
        };
        let gap = self.px(6.0) as i32;
        let each = (rect.w - 3 * gap) / 4;
        for index in 0..4 {
            let bar = self.at_start(rect, index * (each + gap), each);
            let on = score.is_some_and(|score| index < i32::from(score.max(1)));
            self.round(bar, 2.0, if on { lit } else { theme.field_edge });
        }
    }

    fn button(
        &mut self,
        rect: Rect,
        lines: &[String],
        matters: bool,
        (focused, hovered, down): (bool, bool, bool),
    ) {
        let theme = *self.theme;
        let rect = if down {
            Rect {
                y: rect.y + self.px(1.0) as i32,
                ..rect
            }
        } else {
            rect
        };
        if matters {
            let ground = if hovered {
                theme.accent_hover
            } else {
                theme.accent
            };
            self.round(rect, BOX_RADIUS, ground);
        } else {
            self.round(
                rect,
                BOX_RADIUS,
                if hovered { theme.hover } else { theme.field },
            );
            self.ring(rect, BOX_RADIUS, 1.0, theme.field_edge);
        }
        let ink = if matters { theme.on_accent } else { theme.text };
        let high = self.px(19.0) as i32;
        let top = rect.y + (rect.h - high * lines.len() as i32) / 2;
        for (index, words) in (0..).zip(lines) {
            let line = Rect {
                y: top + index * high,
                h: high,
                ..rect
            };
            self.words(line, words, Look::Button, ink, Align::Middle);
        }
        if focused {
            self.focus_around(rect, BOX_RADIUS);
        }
    }

    fn notice(&mut self, rect: Rect, mood: Mood) {
        let theme = *self.theme;
        let (ground, ink, icon) = match mood {
            Mood::Good => (theme.good_ground, theme.good, Icon::Fine),
            Mood::Plain => (theme.field, theme.muted, Icon::Info),
            Mood::Wrong => (theme.wrong_ground, theme.wrong, Icon::Warning),
        };
        // It stands on the picture.
        self.sheet(rect, 12.0, 20.0, theme.card);
        self.round(rect, 12.0, ground);
        let size = self.px(20.0) as i32;
        let at = Rect {
            y: rect.y + self.px(12.0) as i32,
            h: size,
            ..self.at_start(rect, self.px(12.0) as i32, size)
        };
        self.ops.push(Op::Icon(at, icon, ink));
    }

    fn bar(&mut self, rect: Rect, fraction: Option<f32>) {
        let theme = *self.theme;
        self.round(rect, 3.0, theme.field_edge);
        let (from, to) = match fraction {
            Some(fraction) => (0.0, fraction.clamp(0.02, 1.0)),
            // Not known, and nothing moves.
            None if self.view.access.calm => (0.35, 0.65),
            None => {
                // There and back, slower at the ends.
                let phase = (self.view.tick % CROSSING) as f32 / CROSSING as f32;
                let place = (1.0 - (phase * std::f32::consts::TAU).cos()) / 2.0;
                (place * 0.7, place * 0.7 + 0.3)
            }
        };
        let wide = rect.w as f32;
        let lit = self.at_start(rect, (from * wide) as i32, ((to - from) * wide) as i32);
        let ink = if theme.dark { theme.ring } else { theme.accent };
        self.round(lit, 3.0, ink);
    }
}
