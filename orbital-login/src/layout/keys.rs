//! The keyboard on the screen: over its whole width, at the bottom.

use super::part::{Part, Placed};
use crate::geometry::Rect;
use crate::view::{Cap, Key, View};

/// The height of a key, and what is free around it.
const KEY: f32 = 46.0;
const GAP: f32 = 6.0;
const MARGIN: f32 = 12.0;
/// The keys are no wider than this.
const WIDE: f32 = 72.0;
/// Of the screen, at most.
const MOST: f32 = 0.36;

/// The scale of the keys, and how high all of them are.
pub(super) fn size(view: &View, height: i32, scale: f32) -> (f32, i32) {
    if view.keys.is_empty() {
        return (scale, 0);
    }
    let rows = view.keys.len() as f32;
    let units = rows * (KEY + GAP) + 2.0 * MARGIN - GAP;
    let scale = scale.min(height as f32 * MOST / units);
    (scale, (units * scale).ceil() as i32)
}

/// Places them below `top`.
pub(super) fn place(view: &View, (width, top): (i32, i32), scale: f32, placed: &mut Vec<Placed>) {
    let px = |units: f32| (units * scale).round() as i32;
    let widest = view.keys.iter().map(|row| units(row)).fold(1.0, f32::max);
    let (margin, gap) = (px(MARGIN), px(GAP));
    let each = ((width - 2 * margin) as f32 / widest).min(WIDE * scale);
    let mut y = top + margin;
    for row in &view.keys {
        let mut x = (width as f32 - units(row) * each) / 2.0;
        for key in row {
            let next = x + key.wide * each;
            let rect = Rect::new(
                x.round() as i32 + gap / 2,
                y,
                next.round() as i32 - x.round() as i32 - gap,
                px(KEY),
            );
            let part = match &key.cap {
                Cap::Words(words) => Part::Key(words.clone()),
                Cap::Icon(icon, on) => Part::IconKey(*icon, *on),
            };
            placed.push(Placed {
                rect,
                part,
                target: Some(key.target),
                scale,
            });
            x = next;
        }
        y += px(KEY) + gap;
    }
}

fn units(row: &[Key]) -> f32 {
    row.iter().map(|key| key.wide).sum()
}
