//! From a state to pixels: the picture is made once, and only what has changed is drawn again.
//!
//! What always holds here: after [`Painter::paint`] the frame shows the view, provided that nobody else drew on
//! it since the last time; a view that is the same touches nothing.

use std::collections::HashMap;
use std::rc::Rc;

use qrcodegen::{QrCode, QrCodeEcc};

use crate::canvas::Canvas;
use crate::draw::{Op, draw};
use crate::geometry::Rect;
use crate::icon::{self, Icon};
use crate::layout::{Layout, layout};
use crate::picture::picture;
use crate::text::{Glyph, Text};
use crate::theme::{Theme, rgb};
use crate::view::View;

/// Parts that are drawn one by one before they are taken together.
const PARTS_MAX: usize = 6;
/// The largest screen, in pixels: more than anybody has, less than memory.
const PIXELS_MAX: usize = 16 * 1024 * 8 * 1024;

/// The data that is kept between two pictures.
#[derive(Default)]
pub struct Painter {
    text: Text,
    icons: HashMap<(Icon, i32), Option<Rc<Glyph>>>,
    behind: Vec<u32>,
    made_for: Option<(i32, i32, Theme)>,
    shown: Vec<Op>,
    layout: Option<Layout>,
}

impl Painter {
    /// Nothing is drawn yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are letters for a text.
    pub fn can_show(&mut self, text: &str) -> bool {
        self.text.can_show(text)
    }

    /// How many texts were shortened since the last time this was asked.
    pub fn take_cuts(&mut self) -> usize {
        self.text.take_cuts()
    }

    /// The frame was lost: the next time everything is drawn.
    pub fn lose_frame(&mut self) {
        self.shown.clear();
    }

    /// Where everything stood the last time.
    pub const fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// The shapes to draw.
    pub fn ops(&mut self, view: &View, width: i32, height: i32) -> Vec<Op> {
        let layout = layout(view, &mut self.text, width, height);
        let ops = draw(
            view,
            &layout,
            &mut self.text,
            &Theme::of(view.dark, view.access.contrast),
        );
        self.layout = Some(layout);
        ops
    }

    /// Brings the frame, whose rows have `stride` pixels, up to date; the parts that have changed.
    pub fn paint(
        &mut self,
        frame: &mut [u32],
        stride: usize,
        (width, height): (i32, i32),
        view: &View,
    ) -> Vec<Rect> {
        if width <= 0 || height <= 0 || width as usize * height as usize > PIXELS_MAX {
            return Vec::new();
        }
        let ops = self.ops(view, width, height);
        let theme = Theme::of(view.dark, view.access.contrast);
        let wanted = Some((width, height, theme));
        let parts = if self.made_for == wanted && !self.shown.is_empty() {
            changed(&self.shown, &ops)
        } else {
            vec![Rect::new(0, 0, width, height)]
        };
        if self.made_for != wanted {
            self.behind = picture(width as usize, height as usize, &theme);
            self.made_for = wanted;
        }
        let screen = Rect::new(0, 0, width, height);
        let parts: Vec<Rect> = parts
            .into_iter()
            .map(|part| part.intersect(screen))
            .filter(|part| !part.is_empty())
            .collect();
        for part in &parts {
            let mut canvas = Canvas::new(frame, stride, width);
            canvas.clip(*part);
            self.draw(&mut canvas, &ops);
        }
        self.shown = ops;
        parts
    }

    /// Draws the picture and everything on it into the canvas' clip.
    pub fn draw(&mut self, canvas: &mut Canvas<'_>, ops: &[Op]) {
        let width = self.made_for.map_or(0, |(width, ..)| width.max(0));
        canvas.copy(&self.behind, width as usize);
        let part = canvas.clip_rect();
        for op in ops {
            if !op.bounds().intersect(part).is_empty() {
                self.op(canvas, op);
            }
        }
    }

    fn op(&mut self, canvas: &mut Canvas<'_>, op: &Op) {
        match op {
            Op::Shadow(rect, radius, blur, colour) => canvas.shadow(*rect, *radius, *blur, *colour),
            Op::Round(rect, radius, colour) => canvas.round(*rect, *radius, *colour),
            Op::Caret(rect, colour) => canvas.fill(*rect, *colour),
            Op::Ring(rect, radius, width, colour) => canvas.ring(*rect, *radius, *width, *colour),
            Op::Text {
                at: (x, y),
                style,
                colour,
                words,
                clip,
            } => canvas.clipped(*clip, |canvas| {
                self.text.glyphs(*style, words, *x, *y, |glyph, x, y| {
                    canvas.glyph(glyph, x, y, *colour);
                });
            }),
            Op::Icon(rect, icon, colour) => {
                let size = rect.w.min(rect.h);
                let kept = self.icons.entry((*icon, size));
                let glyph = kept.or_insert_with(|| icon::draw(*icon, size).map(Rc::new));
                if let Some(glyph) = glyph {
                    canvas.glyph(glyph, rect.x, rect.y, *colour);
                }
            }
            Op::Code(rect, text) => code(canvas, *rect, text),
        }
    }
}

/// Draws a QR code; a text that is too long for one leaves the ground empty.
fn code(canvas: &mut Canvas<'_>, rect: Rect, text: &str) {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else {
        return;
    };
    // Four empty modules around it, as readers want.
    let modules = code.size() + 8;
    let size = rect.w.min(rect.h);
    let each = size / modules;
    let (left, top) = (
        rect.x + (rect.w - each * modules) / 2,
        rect.y + (rect.h - each * modules) / 2,
    );
    for y in 0..code.size() {
        for x in 0..code.size() {
            if code.get_module(x, y) {
                let module = Rect::new(left + (x + 4) * each, top + (y + 4) * each, each, each);
                canvas.fill(module, rgb(0x0b_1020));
            }
        }
    }
}

/// The differences between two lists, as few rectangles.
fn changed(old: &[Op], new: &[Op]) -> Vec<Rect> {
    let same_start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same_start;
    let same_end = (old.iter().rev().zip(new.iter().rev()))
        .take(rest)
        .take_while(|(a, b)| a == b)
        .count();
    let (old, new) = (
        &old[same_start..old.len() - same_end],
        &new[same_start..new.len() - same_end],
    );
    let mut parts: Vec<Rect> = Vec::new();
    let mut add = |rect: Rect| {
        // Edges are soft: a pixel more.
        let mut rect = rect.grow(1);
        while let Some(index) = parts
            .iter()
            .position(|part| !part.intersect(rect).is_empty())
        {
            rect = rect.union(parts.swap_remove(index));
        }
        parts.push(rect);
        if parts.len() > PARTS_MAX {
            let all = parts.iter().copied().fold(Rect::default(), Rect::union);
            parts = vec![all];
        }
    };
    if old.len() == new.len() {
        for (a, b) in old.iter().zip(new).filter(|(a, b)| a != b) {
            add(a.bounds().union(b.bounds()));
        }
    } else {
        old.iter().chain(new).for_each(|op| add(op.bounds()));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: i32, colour: u32) -> Op {
        Op::Round(Rect::new(x, 0, 10, 10), 2.0, rgb(colour))
    }

    #[test]
    fn only_what_differs_is_drawn_again() {
        let old = [square(0, 1), square(50, 1), square(100, 1)];
        assert_eq!(changed(&old, &old), []);
        let new = [square(0, 1), square(50, 2), square(100, 1)];
        assert_eq!(changed(&old, &new), [Rect::new(49, -1, 12, 12)]);
        let moved = [square(20, 1), square(50, 1), square(90, 1)];
        assert_eq!(
            changed(&old, &moved),
            [Rect::new(-1, -1, 32, 12), Rect::new(89, -1, 22, 12)]
        );
        let shorter = [square(0, 1), square(100, 1)];
        assert_eq!(changed(&old, &shorter), [Rect::new(49, -1, 12, 12)]);
    }
}
