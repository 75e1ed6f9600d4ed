//! How everything looks: from places to shapes and texts with colours.
//!
//! What always holds here: a list of [`Op`]s says all there is to see, from back to front, and drawing it
//! twice gives the same pixels; so what differs between two lists is what has to be drawn again.

mod part;

use zeroize::Zeroizing;

use crate::geometry::Rect;
use crate::icon::Icon;
use crate::layout::{Align, Layout, Look};
use crate::text::{Style, Text};
use crate::theme::{Rgba, Theme};
use crate::view::View;

/// Something drawn.
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// A soft shadow around a rectangle: radius, width.
    Shadow(Rect, f32, f32, Rgba),
    /// A rectangle with round corners.
    Round(Rect, f32, Rgba),
    /// Its edge: radius, width.
    Ring(Rect, f32, f32, Rgba),
    /// The caret of a field.
    Caret(Rect, Rgba),
    /// A text.
    Text {
        /// The pen's place on the base line.
        at: (f32, f32),
        /// Font and size.
        style: Style,
        /// The colour.
        colour: Rgba,
        /// The words.
        words: Zeroizing<String>,
        /// Nothing is drawn outside.
        clip: Rect,
    },
    /// An icon.
    Icon(Rect, Icon, Rgba),
    /// A code to photograph.
    Code(Rect, Zeroizing<String>),
}

impl Op {
    /// Nothing is drawn outside.
    pub fn bounds(&self) -> Rect {
        match self {
            Self::Shadow(rect, _, blur, _) => rect.grow(*blur as i32 + 1),
            Self::Round(rect, ..)
            | Self::Ring(rect, ..)
            | Self::Caret(rect, _)
            | Self::Icon(rect, ..)
            | Self::Code(rect, _) => *rect,
            Self::Text { clip, .. } => *clip,
        }
    }
}

/// The shapes to draw.
pub fn draw(view: &View, layout: &Layout, text: &mut Text, theme: &Theme) -> Vec<Op> {
    let mut pen = Pen {
        ops: Vec::with_capacity(layout.placed.len() * 2),
        text,
        theme,
        view,
        scale: layout.card_scale,
    };
    // A part that is out of sight has no size.
    for placed in layout.placed.iter().filter(|one| !one.rect.is_empty()) {
        pen.scale = placed.scale;
        pen.part(placed);
    }
    pen.ops
}

struct Pen<'a> {
    ops: Vec<Op>,
    text: &'a mut Text,
    theme: &'a Theme,
    view: &'a View,
    scale: f32,
}

impl Pen<'_> {
    fn px(&self, units: f32) -> f32 {
        units * self.scale
    }

    fn round(&mut self, rect: Rect, radius: f32, colour: Rgba) {
        let radius = self.px(radius);
        self.ops.push(Op::Round(rect, radius, colour));
    }

    fn ring(&mut self, rect: Rect, radius: f32, width: f32, colour: Rgba) {
        let (radius, width) = (self.px(radius), self.px(width).max(1.0));
        self.ops.push(Op::Ring(rect, radius, width, colour));
    }

    /// A rectangle that begins where a line does, so far in and so wide.
    fn at_start(&self, rect: Rect, inset: i32, wide: i32) -> Rect {
        let x = match self.view.right_to_left {
            true => rect.right() - inset - wide,
            false => rect.x + inset,
        };
        Rect { x, w: wide, ..rect }
    }

    /// Where a line begins.
    fn start(&self) -> Align {
        match self.view.right_to_left {
            true => Align::Right,
            false => Align::Left,
        }
    }

    /// A line of text, centred in height by its capitals.
    fn words(&mut self, rect: Rect, words: &str, look: Look, colour: Rgba, align: Align) {
        if words.is_empty() {
            return;
        }
        let style = look.style(self.scale);
        let mut x = rect.x as f32;
        let left = |text: &mut Text| (rect.w as f32 - text.width(style, words)).max(0.0);
        match align {
            Align::Left => {}
            Align::Middle => x += left(self.text) / 2.0,
            Align::Right => x += left(self.text),
        }
        let y = (rect.y as f32 + (rect.h as f32 + style.capital()) / 2.0).round();
        self.ops.push(Op::Text {
            at: (x, y),
            style,
            colour,
            words: Zeroizing::new(words.to_owned()),
            clip: rect.grow(self.px(3.0) as i32),
        });
    }
}
