//! Where everything stands: from the items to rectangles of pixels.
//!
//! What always holds here: the card fits on the screen at any size, if need be smaller than its scale says;
//! whatever can be done has a place that can be pointed at. Where a language is written from right to left, everything
//! stands as in a mirror.

mod card;
mod corner;
mod keys;
mod notice;
mod part;
mod scroll;

pub use part::{Align, Look, Part, Placed};

use crate::state::Target;
use crate::text::Text;
use crate::view::View;

/// Everything with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Layout {
    /// Pixels a unit, where the card does not need to be smaller.
    pub scale: f32,
    /// Pixels a unit on the card.
    pub card_scale: f32,
    /// From back to front.
    pub placed: Vec<Placed>,
    /// From here on things stand around the card.
    pub corner_from: usize,
}

impl Layout {
    /// The target at a pixel.
    pub fn hit(&self, x: i32, y: i32) -> Option<Target> {
        self.placed
            .iter()
            .rev()
            .find(|placed| {
                placed.rect.contains(x, y) && (placed.target.is_some() || placed.part == Part::Menu)
            })
            .and_then(|placed| placed.target)
    }
}

/// How much larger large text is.
const LARGE: f32 = 1.3;

/// The scale for a screen: one at the size of a laptop's, and as much larger as the screen is.
pub fn scale_for(width: i32, height: i32) -> f32 {
    let fits = (width as f32 / 1400.0).min(height as f32 / 860.0);
    ((fits * 4.0).floor() / 4.0).clamp(1.0, 8.0)
}

/// Places everything on a screen of this size.
pub fn layout(view: &View, text: &mut Text, width: i32, height: i32) -> Layout {
    let least = f32::from(view.percent) / 100.0;
    let own = scale_for(width, height);
    let wished = own.max(least) * if view.access.large { LARGE } else { 1.0 };
    // As far as the smallest screen that things are made for has room for it.
    let room = (width as f32 / 640.0).min(height as f32 / 480.0);
    let scale = wished.min(room).max(own);
    // Everything else stands above the keyboard.
    let (keys_scale, keys_height) = keys::size(view, height, scale);
    let above = height - keys_height;
    let (mut placed, card_scale, middle) = card::place(view, text, width, above, scale);
    let corner_from = placed.len();
    let corner_scale = scale.min(above as f32 / 280.0).max(0.25);
    corner::place(
        view,
        text,
        (width, above),
        corner_scale,
        middle,
        &mut placed,
    );
    if view.right_to_left {
        for one in &mut placed {
            one.rect.x = width - one.rect.right();
            if let Part::Words(.., align) = &mut one.part {
                *align = align.mirrored();
            }
        }
    }
    // The keys stand where they stand on every keyboard.
    keys::place(view, (width, above), keys_scale, &mut placed);
    Layout {
        scale,
        card_scale,
        placed,
        corner_from,
    }
}
