//! The picture behind everything: made, not loaded, at any size.
//!
//! What always holds here: the same size and theme give the same pixels everywhere; it is made once for a size
//! and then only copied.

use crate::theme::Theme;

/// A soft light: where (of the width and height), how far it reaches (of the height), its colour and strength.
type Glow = (f32, f32, f32, [f32; 3], f32);
/// A hill: its height (of the height), its waves (amplitude, length, shift), its colour and opacity.
type Hill = (f32, [(f32, f32, f32); 2], [f32; 3], f32);

struct Scene {
    top: [f32; 3],
    bottom: [f32; 3],
    glows: [Glow; 4],
    hills: [Hill; 4],
}

const DARK: Scene = Scene {
    top: [8.0, 12.0, 30.0],
    bottom: [30.0, 26.0, 66.0],
    glows: [
        (0.16, 0.78, 0.75, [16.0, 112.0, 128.0], 0.62),
        (0.84, 0.16, 0.80, [92.0, 56.0, 176.0], 0.55),
        (0.60, 0.96, 0.60, [176.0, 60.0, 110.0], 0.34),
        (0.34, 0.08, 0.55, [30.0, 60.0, 150.0], 0.50),
    ],
    hills: [
        (
            0.66,
            [(0.045, 0.90, 0.10), (0.018, 0.37, 0.60)],
            [34.0, 52.0, 112.0],
            0.34,
        ),
        (
            0.75,
            [(0.050, 0.75, 0.55), (0.016, 0.31, 0.20)],
            [24.0, 40.0, 92.0],
            0.46,
        ),
        (
            0.84,
            [(0.042, 1.05, 0.85), (0.014, 0.43, 0.35)],
            [15.0, 26.0, 64.0],
            0.62,
        ),
        (
            0.92,
            [(0.030, 0.66, 0.30), (0.010, 0.29, 0.75)],
            [8.0, 14.0, 38.0],
            0.80,
        ),
    ],
};

const LIGHT: Scene = Scene {
    top: [222.0, 234.0, 252.0],
    bottom: [248.0, 240.0, 244.0],
    glows: [
        (0.18, 0.30, 0.80, [176.0, 216.0, 255.0], 0.70),
        (0.82, 0.18, 0.75, [214.0, 200.0, 255.0], 0.70),
        (0.66, 0.62, 0.55, [255.0, 222.0, 206.0], 0.80),
        (0.30, 0.92, 0.60, [190.0, 236.0, 226.0], 0.60),
    ],
    hills: [
        (
            0.66,
            [(0.045, 0.90, 0.10), (0.018, 0.37, 0.60)],
            [186.0, 206.0, 244.0],
            0.42,
        ),
        (
            0.75,
            [(0.050, 0.75, 0.55), (0.016, 0.31, 0.20)],
            [168.0, 196.0, 240.0],
            0.44,
        ),
        (
            0.84,
            [(0.042, 1.05, 0.85), (0.014, 0.43, 0.35)],
            [190.0, 214.0, 248.0],
            0.56,
        ),
        (
            0.92,
            [(0.030, 0.66, 0.30), (0.010, 0.29, 0.75)],
            [214.0, 230.0, 252.0],
            0.78,
        ),
    ],
};

/// Pixels between two places where the glows are computed; they are soft, so between them is enough.
const STEP: usize = 16;

/// Makes the picture, row by row. With high contrast there is none, only its ground.
pub fn picture(width: usize, height: usize, theme: &Theme) -> Vec<u32> {
    let scene = if theme.dark { &DARK } else { &LIGHT };
    let [r, g, b] = theme.ground.rgb.map(u32::from);
    let mut pixels = vec![0xff00_0000 | r << 16 | g << 8 | b; width * height];
    if pixels.is_empty() || theme.contrast {
        return pixels;
    }
    let (columns, rows) = (width / STEP + 2, height / STEP + 2);
    let mut lights = Vec::with_capacity(columns * rows);
    for row in 0..rows {
        for column in 0..columns {
            let x = (column * STEP) as f32 / width as f32;
            let y = (row * STEP) as f32 / height as f32;
            lights.push(light(scene, x, y, width as f32 / height as f32));
        }
    }
    let tops: Vec<[f32; 4]> = (0..width)
        .map(|x| {
            scene
                .hills
                .map(|hill| hill_top(&hill, x as f32 / height as f32) * height as f32)
        })
        .collect();
    for (y, line) in pixels.chunks_exact_mut(width).enumerate() {
        let (row, dy) = (y / STEP, (y % STEP) as f32 / STEP as f32);
        for (x, pixel) in line.iter_mut().enumerate() {
            let (column, dx) = (x / STEP, (x % STEP) as f32 / STEP as f32);
            let at = row * columns + column;
            let mut colour = mix(
                mix(lights[at], lights[at + 1], dx),
                mix(lights[at + columns], lights[at + columns + 1], dx),
                dy,
            );
            for (top, hill) in tops[x].iter().zip(&scene.hills) {
                let below = (y as f32 + 0.5 - top).clamp(0.0, 1.0);
                if below > 0.0 {
                    // Denser at its edge than deep down, like mist.
                    let depth = ((y as f32 - top) / (height as f32 * 0.30)).clamp(0.0, 1.0);
                    colour = mix(colour, hill.2, below * hill.3 * (1.0 - 0.45 * depth));
                }
            }
            // Less than a step of brightness apart, neighbours differ by a pattern instead of in bands.
            let grain = GRAIN[y % 4][x % 4];
            let [r, g, b] = colour.map(|value| (value + grain).clamp(0.0, 255.0) as u32);
            *pixel = 0xff00_0000 | r << 16 | g << 8 | b;
        }
    }
    pixels
}

/// An ordered pattern of sixteen thresholds (Bayer's matrix).
const GRAIN: [[f32; 4]; 4] = [
    [0.03, 0.53, 0.16, 0.66],
    [0.78, 0.28, 0.91, 0.41],
    [0.22, 0.72, 0.09, 0.59],
    [0.97, 0.47, 0.84, 0.34],
];

fn mix(a: [f32; 3], b: [f32; 3], part: f32) -> [f32; 3] {
    [0, 1, 2].map(|index| a[index] + (b[index] - a[index]) * part)
}

fn light(scene: &Scene, x: f32, y: f32, aspect: f32) -> [f32; 3] {
    let mut colour = mix(scene.top, scene.bottom, y.clamp(0.0, 1.0));
    for (gx, gy, reach, glow, strength) in scene.glows {
        let (dx, dy) = ((x - gx) * aspect / reach, (y - gy) / reach);
        colour = mix(colour, glow, strength * (-2.2 * (dx * dx + dy * dy)).exp());
    }
    colour
}

/// Of the height; `x` is of the height too, so that hills keep their form.
fn hill_top(hill: &Hill, x: f32) -> f32 {
    hill.0
        - hill
            .1
            .iter()
            .map(|(amplitude, length, shift)| {
                amplitude * (std::f32::consts::TAU * (x / length + shift)).sin()
            })
            .sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_any_size() {
        for (width, height) in [(0, 0), (1, 1), (17, 3), (64, 48)] {
            let pixels = picture(width, height, &Theme::of(true, false));
            assert_eq!(pixels.len(), width * height);
            assert!(pixels.iter().all(|pixel| pixel >> 24 == 255));
        }
        let of = |dark, contrast| picture(64, 48, &Theme::of(dark, contrast));
        assert_ne!(of(true, false), of(false, false));
        assert!(of(true, true).iter().all(|pixel| *pixel == 0xff00_0000));
    }
}
