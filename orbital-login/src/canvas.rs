//! Drawing on pixels.
//!
//! What always holds here: nothing outside the clip is touched, and nothing outside the picture. A pixel is a
//! `u32` as the display has it: red in bits 16 to 23, green, blue; the highest byte is 255.

use std::rc::Rc;

use crate::geometry::Rect;
use crate::text::Glyph;
use crate::theme::Rgba;

/// A picture that is drawn on.
pub struct Canvas<'a> {
    pixels: &'a mut [u32],
    stride: usize,
    clip: Rect,
}

/// Lays a colour with the opacity `a` (0 to 256) over a pixel.
#[inline]
fn over(pixel: u32, colour: u32, a: u32) -> u32 {
    let b = 256 - a;
    let red_blue = ((colour & 0xff_00ff) * a + (pixel & 0xff_00ff) * b) >> 8;
    let green = ((colour & 0x00_ff00) * a + (pixel & 0x00_ff00) * b) >> 8;
    0xff00_0000 | (red_blue & 0xff_00ff) | (green & 0x00_ff00)
}

/// A colour as a pixel has it.
pub fn pixel(colour: Rgba) -> u32 {
    let [r, g, b] = colour.rgb;
    0xff00_0000 | u32::from(r) << 16 | u32::from(g) << 8 | u32::from(b)
}

/// 0 to 255 as 0 to 256.
const fn opacity(a: u8) -> u32 {
    a as u32 + (a as u32 >> 7)
}

impl<'a> Canvas<'a> {
    /// A picture of `width` columns of which each row has `stride` pixels; as many rows as there are.
    pub fn new(pixels: &'a mut [u32], stride: usize, width: i32) -> Self {
        let rows = pixels.len().checked_div(stride).unwrap_or(0);
        let width = width.clamp(0, i32::try_from(stride).unwrap_or(i32::MAX));
        let height = i32::try_from(rows).unwrap_or(i32::MAX);
        Self {
            pixels,
            stride,
            clip: Rect::new(0, 0, width, height),
        }
    }

    /// Draws only in this part from now on.
    pub fn clip(&mut self, to: Rect) {
        self.clip = self.clip.intersect(to);
    }

    /// Draws with a smaller clip for a moment.
    pub fn clipped(&mut self, to: Rect, draw: impl FnOnce(&mut Self)) {
        let before = self.clip;
        self.clip(to);
        draw(self);
        self.clip = before;
    }

    /// The rectangle that is drawn on.
    pub const fn clip_rect(&self) -> Rect {
        self.clip
    }

    /// The pixels of a row from `x` on, `w` of them, as far as they are in the clip; and the first one's column.
    fn row(&mut self, x: i32, y: i32, w: i32) -> Option<(&mut [u32], i32)> {
        let part = Rect::new(x, y, w, 1).intersect(self.clip);
        if part.is_empty() {
            return None;
        }
        let start = part.y as usize * self.stride + part.x as usize;
        let row = self.pixels.get_mut(start..start + part.w as usize)?;
        Some((row, part.x))
    }

    fn span(&mut self, x: i32, y: i32, w: i32, colour: Rgba) {
        let (ink, a) = (pixel(colour), opacity(colour.a));
        if let Some((row, _)) = self.row(x, y, w) {
            if a == 256 {
                row.fill(ink);
            } else {
                row.iter_mut()
                    .for_each(|pixel| *pixel = over(*pixel, ink, a));
            }
        }
    }

    fn dot(&mut self, x: i32, y: i32, colour: Rgba, coverage: f32) {
        let a = (opacity(colour.a) as f32 * coverage + 0.5) as u32;
        if let Some(([pixel_there], _)) = self.row(x, y, 1) {
            *pixel_there = over(*pixel_there, pixel(colour), a.min(256));
        }
    }

    /// Copies the same part of a picture of the same size.
    pub fn copy(&mut self, from: &[u32], from_stride: usize) {
        let part = self.clip;
        for y in part.y..part.bottom() {
            let start = y as usize * from_stride + part.x.max(0) as usize;
            if let (Some((row, _)), Some(from)) = (
                self.row(part.x, y, part.w),
                from.get(start..start + part.w.max(0) as usize),
            ) {
                row.copy_from_slice(&from[..row.len()]);
            }
        }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, rect: Rect, colour: Rgba) {
        let part = rect.intersect(self.clip);
        for y in part.y..part.bottom() {
            self.span(part.x, y, part.w, colour);
        }
    }

    /// Fills a rectangle with round corners.
    pub fn round(&mut self, rect: Rect, radius: f32, colour: Rgba) {
        let radius = radius.min(rect.w as f32 / 2.0).min(rect.h as f32 / 2.0);
        let corner = radius.ceil() as i32;
        let part = rect.intersect(self.clip);
        for y in part.y..part.bottom() {
            let from_edge = (y - rect.y).min(rect.bottom() - 1 - y);
            if from_edge >= corner {
                self.span(rect.x, y, rect.w, colour);
                continue;
            }
            self.span(rect.x + corner, y, rect.w - 2 * corner, colour);
            let dy = radius - (from_edge as f32 + 0.5);
            for step in 0..corner {
                let dx = radius - (step as f32 + 0.5);
                let coverage = (radius - dx.hypot(dy) + 0.5).clamp(0.0, 1.0);
                if coverage > 0.0 {
                    self.dot(rect.x + step, y, colour, coverage);
                    self.dot(rect.right() - 1 - step, y, colour, coverage);
                }
            }
        }
    }

    /// Draws the edge of a rectangle with round corners, `width` wide, inside.
    pub fn ring(&mut self, rect: Rect, radius: f32, width: f32, colour: Rgba) {
        let radius = radius.min(rect.w as f32 / 2.0).min(rect.h as f32 / 2.0);
        let reach = (radius.max(width).ceil() as i32 + 1)
            .min(rect.w)
            .min(rect.h);
        let part = rect.intersect(self.clip);
        let (half_w, half_h) = (rect.w as f32 / 2.0, rect.h as f32 / 2.0);
        let coverage = |x: i32, y: i32| {
            // The distance to the edge, negative inside.
            let dx = ((x - rect.x) as f32 + 0.5 - half_w).abs() - (half_w - radius);
            let dy = ((y - rect.y) as f32 + 0.5 - half_h).abs() - (half_h - radius);
            let outside = dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - radius;
            (0.5 - outside).clamp(0.0, 1.0) - (0.5 - outside - width).clamp(0.0, 1.0)
        };
        let line = width.ceil() as i32;
        for y in part.y..part.bottom() {
            let from_edge = (y - rect.y).min(rect.bottom() - 1 - y);
            if from_edge < reach {
                for x in rect.x..(rect.x + reach) {
                    self.dot(x, y, colour, coverage(x, y));
                    let other = rect.right() - 1 - (x - rect.x);
                    if other >= rect.x + reach {
                        self.dot(other, y, colour, coverage(other, y));
                    }
                }
                if from_edge <= line {
                    for x in rect.x + reach..rect.right() - reach {
                        self.dot(x, y, colour, coverage(x, y));
                    }
                }
            } else {
                for step in 0..line {
                    let cover = (width - step as f32).clamp(0.0, 1.0);
                    self.dot(rect.x + step, y, colour, cover);
                    self.dot(rect.right() - 1 - step, y, colour, cover);
                }
            }
        }
    }

    /// Draws the shadow of a rectangle with round corners: `blur` wide, and not under the rectangle itself.
    pub fn shadow(&mut self, rect: Rect, radius: f32, blur: f32, colour: Rgba) {
        let around = rect.grow(blur as i32);
        let part = around.intersect(self.clip);
        let (ink, whole) = (pixel(colour), opacity(colour.a) as f32);
        // Falls off softly at both ends.
        let fall = |outside: f32| {
            let near = (1.0 - outside / blur).clamp(0.0, 1.0);
            (whole * near * near * (3.0 - 2.0 * near) * 0.6) as u32
        };
        // From the middle of a corner's circle outwards; beside the corners only one of the two counts.
        let (half_w, half_h) = (rect.w as f32 / 2.0, rect.h as f32 / 2.0);
        let across = |x: i32| ((x - rect.x) as f32 + 0.5 - half_w).abs() - (half_w - radius);
        let down = |y: i32| ((y - rect.y) as f32 + 0.5 - half_h).abs() - (half_h - radius);
        let corner = blur as i32 + radius.ceil() as i32;
        let inner = rect.grow(-(radius as i32) / 2);
        let sides: Vec<u32> = (0..corner)
            .map(|step| fall(across(around.x + step) - radius))
            .collect();
        for y in part.y..part.bottom() {
            let dy = down(y);
            if dy <= 0.0 {
                for (x, back) in [(around.x, false), (inner.right(), true)] {
                    let wide = inner.x - around.x;
                    if let Some((row, first)) = self.row(x, y, wide) {
                        for (x, there) in (first..).zip(row) {
                            let step = if back {
                                around.right() - 1 - x
                            } else {
                                x - around.x
                            };
                            let a = sides.get(step as usize).copied().unwrap_or(0);
                            *there = over(*there, ink, a);
                        }
                    }
                }
                continue;
            }
            let right = around.right() - corner;
            for x in [around.x, right] {
                if let Some((row, first)) = self.row(x, y, corner) {
                    for (x, there) in (first..).zip(row) {
                        let dx = across(x).max(0.0);
                        *there = over(*there, ink, fall((dx * dx + dy * dy).sqrt() - radius));
                    }
                }
            }
            let hidden = y >= inner.y && y < inner.bottom();
            let a = fall(dy - radius);
            if !hidden
                && let Some((row, _)) = self.row(around.x + corner, y, right - around.x - corner)
            {
                row.iter_mut()
                    .for_each(|there| *there = over(*there, ink, a));
            }
        }
    }

    /// Draws a letter or an icon with its left upper corner here.
    pub fn glyph(&mut self, glyph: &Glyph, x: i32, y: i32, colour: Rgba) {
        let (ink, whole) = (pixel(colour), opacity(colour.a));
        let width = glyph.width as i32;
        for (y, coverage) in (y..).zip(glyph.coverage.chunks_exact(glyph.width.max(1))) {
            if let Some((row, first)) = self.row(x, y, width) {
                let from = (first - x) as usize;
                for (there, cover) in row.iter_mut().zip(&coverage[from..]) {
                    if *cover > 0 {
                        *there = over(*there, ink, (whole * opacity(*cover)) >> 8);
                    }
                }
            }
        }
    }
}

/// Icons and codes are drawn like letters.
pub type Shape = Rc<Glyph>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::{rgb, rgba};

    #[test]
    fn what_covers_covers_and_half_is_half() {
        assert_eq!(over(0xff11_2233, 0xff44_5566, 256), 0xff44_5566);
        assert_eq!(over(0xff11_2233, 0xff44_5566, 0), 0xff11_2233);
        assert_eq!(over(0xff00_0000, 0xffff_ffff, 128), 0xff7f_7f7f);
    }

    #[test]
    fn nothing_outside_the_clip_is_touched() {
        let mut pixels = vec![7; 40 * 30];
        let mut canvas = Canvas::new(&mut pixels, 40, 38);
        let clip = Rect::new(5, 6, 20, 10);
        canvas.clip(clip);
        let glyph = Glyph {
            left: 0,
            top: 0,
            width: 60,
            coverage: vec![255; 60 * 60],
        };
        canvas.glyph(&glyph, -5, -7, rgb(1));
        for rect in [
            Rect::new(-10, -10, 100, 100),
            Rect::new(3, 3, 8, 8),
            Rect::new(24, 15, 50, 1),
            Rect::new(0, 0, 0, 0),
            Rect::new(9, 9, -3, 5),
        ] {
            canvas.fill(rect, rgba(2, 100));
            canvas.round(rect, 6.0, rgb(3));
            canvas.ring(rect, 6.0, 2.0, rgb(4));
            canvas.shadow(rect, 6.0, 9.0, rgb(5));
        }
        canvas.copy(&vec![9; 40 * 30], 40);
        for (index, pixel) in pixels.iter().enumerate() {
            let inside = clip.contains(index as i32 % 40, index as i32 / 40);
            assert_eq!(*pixel != 7, inside, "{index}");
        }
    }

    #[test]
    fn corners_are_round_and_even() {
        let mut pixels = vec![0xff00_0000; 32 * 32];
        let mut canvas = Canvas::new(&mut pixels, 32, 32);
        canvas.round(Rect::new(4, 4, 24, 24), 8.0, rgb(0xff_ffff));
        let at = |x: usize, y: usize| pixels[y * 32 + x] & 0xff;
        assert_eq!((at(4, 4), at(15, 4), at(15, 15)), (0, 255, 255));
        for (x, y) in (4..16).flat_map(|x| (4..16).map(move |y| (x, y))) {
            assert_eq!(at(x, y), at(31 - x, y));
            assert_eq!(at(x, y), at(x, 31 - y));
            assert_eq!(at(x, y), at(y, x));
        }
    }
}
