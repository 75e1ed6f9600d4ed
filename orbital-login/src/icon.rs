//! Icons: lines on a field of 24 by 24, drawn at any size.

use tiny_skia::{FillRule, LineCap, LineJoin, Mask, Path, PathBuilder, Stroke, Transform};

use crate::text::Glyph;

/// The icons.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Icon {
    /// Shows what is hidden.
    Eye,
    /// Hides it.
    EyeOff,
    /// Turns off.
    Power,
    /// To the light theme.
    Sun,
    /// To the dark one.
    Moon,
    /// A box's tick.
    Tick,
    /// Something is wrong.
    Warning,
    /// Something is right.
    Fine,
    /// Something is good to know.
    Info,
    /// Languages.
    Globe,
    /// The accessibility switches.
    Access,
    /// There is a network.
    Online,
    /// There is none.
    Offline,
    /// A battery that is so full, in quarters.
    Battery(u8),
    /// The keyboard.
    Keyboard,
    /// A key for capitals.
    Capitals,
    /// A key that removes.
    Erase,
    /// SafeOS's mark: a shield with a keyhole.
    Mark,
}

/// Draws an icon, `size` pixels high and wide.
pub fn draw(icon: Icon, size: i32) -> Option<Glyph> {
    let size = u32::try_from(size)
        .ok()
        .filter(|size| (1..=2048).contains(size))?;
    let mut mask = Mask::new(size, size)?;
    let scale = Transform::from_scale(size as f32 / 24.0, size as f32 / 24.0);
    let stroke = Stroke {
        width: if icon == Icon::Tick { 3.0 } else { 1.8 },
        line_cap: LineCap::Round,
        line_join: LineJoin::Round,
        ..Stroke::default()
    };
    for path in lines(icon).into_iter().flatten() {
        let outline = path.stroke(&stroke, size as f32 / 24.0)?;
        mask.fill_path(&outline, FillRule::Winding, true, scale);
    }
    for path in areas(icon).into_iter().flatten() {
        mask.fill_path(&path, FillRule::Winding, true, scale);
    }
    Some(Glyph {
        left: 0,
        top: 0,
        width: size as usize,
        coverage: mask.take(),
    })
}

fn path(build: impl FnOnce(&mut PathBuilder)) -> Option<Path> {
    let mut builder = PathBuilder::new();
    build(&mut builder);
    builder.finish()
}

fn line(x1: f32, y1: f32, x2: f32, y2: f32) -> Option<Path> {
    path(|p| {
        p.move_to(x1, y1);
        p.line_to(x2, y2);
    })
}

/// Waves that go out from a point.
fn waves() -> Vec<Option<Path>> {
    let wave = |width: f32, top: f32, y: f32| {
        path(|p| {
            p.move_to(12.0 - width, y);
            p.cubic_to(
                12.0 - width * 0.55,
                top,
                12.0 + width * 0.55,
                top,
                12.0 + width,
                y,
            );
        })
    };
    vec![
        wave(9.4, 3.6, 10.0),
        wave(5.8, 9.2, 13.6),
        path(|p| p.push_circle(12.0, 17.6, 1.0)),
    ]
}

fn eye() -> [Option<Path>; 2] {
    [
        path(|p| {
            p.move_to(2.5, 12.0);
            p.cubic_to(6.0, 6.0, 9.0, 5.2, 12.0, 5.2);
            p.cubic_to(15.0, 5.2, 18.0, 6.0, 21.5, 12.0);
            p.cubic_to(18.0, 18.0, 15.0, 18.8, 12.0, 18.8);
            p.cubic_to(9.0, 18.8, 6.0, 18.0, 2.5, 12.0);
            p.close();
        }),
        path(|p| p.push_circle(12.0, 12.0, 3.1)),
    ]
}

fn lines(icon: Icon) -> Vec<Option<Path>> {
    match icon {
        Icon::Eye => eye().into(),
        Icon::EyeOff => {
            let mut paths = Vec::from(eye());
            paths.push(line(4.0, 20.0, 20.0, 4.0));
            paths
        }
        Icon::Power => vec![
            line(12.0, 3.2, 12.0, 11.5),
            path(|p| {
                p.move_to(6.9, 6.9);
                p.cubic_to(2.6, 11.2, 3.8, 20.2, 12.0, 20.2);
                p.cubic_to(20.2, 20.2, 21.4, 11.2, 17.1, 6.9);
            }),
        ],
        Icon::Sun => (0..8)
            .map(|step| {
                let (sin, cos) = (step as f32 * std::f32::consts::FRAC_PI_4).sin_cos();
                line(
                    12.0 + 7.4 * cos,
                    12.0 + 7.4 * sin,
                    12.0 + 9.6 * cos,
                    12.0 + 9.6 * sin,
                )
            })
            .chain([path(|p| p.push_circle(12.0, 12.0, 4.2))])
            .collect(),
        Icon::Moon => vec![path(|p| {
            p.move_to(20.0, 14.2);
            p.cubic_to(14.4, 16.6, 7.6, 11.2, 9.8, 4.0);
            p.cubic_to(1.2, 6.8, 2.2, 20.4, 11.8, 20.4);
            p.cubic_to(15.6, 20.4, 18.8, 18.0, 20.0, 14.2);
            p.close();
        })],
        Icon::Globe => vec![
            path(|p| p.push_circle(12.0, 12.0, 9.0)),
            line(3.0, 12.0, 21.0, 12.0),
            path(|p| {
                p.move_to(12.0, 3.0);
                p.cubic_to(6.8, 8.0, 6.8, 16.0, 12.0, 21.0);
                p.cubic_to(17.2, 16.0, 17.2, 8.0, 12.0, 3.0);
            }),
        ],
        Icon::Access => vec![
            path(|p| p.push_circle(12.0, 12.0, 9.2)),
            line(7.4, 9.6, 16.6, 9.6),
            line(12.0, 9.6, 12.0, 13.4),
            path(|p| {
                p.move_to(9.2, 17.8);
                p.line_to(12.0, 13.0);
                p.line_to(14.8, 17.8);
            }),
        ],
        Icon::Keyboard => vec![
            path(|p| {
                p.move_to(2.6, 6.4);
                p.line_to(21.4, 6.4);
                p.line_to(21.4, 17.6);
                p.line_to(2.6, 17.6);
                p.close();
            }),
            line(6.4, 10.2, 6.5, 10.2),
            line(10.2, 10.2, 10.3, 10.2),
            line(13.9, 10.2, 14.0, 10.2),
            line(17.6, 10.2, 17.7, 10.2),
            line(8.4, 14.0, 15.6, 14.0),
        ],
        Icon::Capitals => vec![path(|p| {
            p.move_to(12.0, 3.6);
            p.line_to(20.0, 12.4);
            p.line_to(15.4, 12.4);
            p.line_to(15.4, 19.8);
            p.line_to(8.6, 19.8);
            p.line_to(8.6, 12.4);
            p.line_to(4.0, 12.4);
            p.close();
        })],
        Icon::Erase => vec![
            path(|p| {
                p.move_to(2.6, 12.0);
                p.line_to(8.2, 5.6);
                p.line_to(21.4, 5.6);
                p.line_to(21.4, 18.4);
                p.line_to(8.2, 18.4);
                p.close();
            }),
            line(11.4, 9.2, 17.2, 14.8),
            line(17.2, 9.2, 11.4, 14.8),
        ],
        Icon::Online => waves(),
        Icon::Offline => {
            let mut paths = waves();
            paths.push(line(4.0, 20.0, 20.0, 4.0));
            paths
        }
        Icon::Battery(_) => vec![
            path(|p| {
                p.move_to(2.6, 7.6);
                p.line_to(19.0, 7.6);
                p.line_to(19.0, 16.4);
                p.line_to(2.6, 16.4);
                p.close();
            }),
            line(21.6, 10.8, 21.6, 13.2),
        ],
        Icon::Tick => vec![path(|p| {
            p.move_to(5.6, 12.6);
            p.line_to(10.2, 17.2);
            p.line_to(18.6, 7.4);
        })],
        Icon::Warning => vec![
            path(|p| p.push_circle(12.0, 12.0, 9.0)),
            line(12.0, 7.4, 12.0, 12.8),
            line(12.0, 16.4, 12.0, 16.5),
        ],
        Icon::Fine => vec![
            path(|p| p.push_circle(12.0, 12.0, 9.0)),
            path(|p| {
                p.move_to(7.8, 12.4);
                p.line_to(10.8, 15.3);
                p.line_to(16.2, 9.0);
            }),
        ],
        Icon::Info => vec![
            path(|p| p.push_circle(12.0, 12.0, 9.0)),
            line(12.0, 11.2, 12.0, 16.6),
            line(12.0, 7.5, 12.0, 7.6),
        ],
        Icon::Mark => vec![path(|p| {
            p.move_to(12.0, 2.4);
            p.cubic_to(14.6, 4.3, 17.4, 5.2, 20.4, 5.4);
            p.cubic_to(20.8, 13.0, 18.0, 18.8, 12.0, 21.6);
            p.cubic_to(6.0, 18.8, 3.2, 13.0, 3.6, 5.4);
            p.cubic_to(6.6, 5.2, 9.4, 4.3, 12.0, 2.4);
            p.close();
        })],
    }
}

fn areas(icon: Icon) -> Vec<Option<Path>> {
    if let Icon::Battery(quarters) = icon {
        let full = f32::from(quarters.min(4)) / 4.0;
        return vec![path(|p| {
            p.move_to(4.6, 9.6);
            p.line_to(4.6 + 12.4 * full, 9.6);
            p.line_to(4.6 + 12.4 * full, 14.4);
            p.line_to(4.6, 14.4);
            p.close();
        })];
    }
    if icon != Icon::Mark {
        return Vec::new();
    }
    vec![
        path(|p| p.push_circle(12.0, 10.4, 2.5)),
        path(|p| {
            p.move_to(11.2, 11.0);
            p.line_to(12.8, 11.0);
            p.line_to(13.8, 16.2);
            p.line_to(10.2, 16.2);
            p.close();
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_has_ink_and_stays_in_its_field() {
        for icon in [
            Icon::Eye,
            Icon::EyeOff,
            Icon::Power,
            Icon::Sun,
            Icon::Moon,
            Icon::Tick,
            Icon::Warning,
            Icon::Fine,
            Icon::Info,
            Icon::Globe,
            Icon::Access,
            Icon::Online,
            Icon::Offline,
            Icon::Battery(0),
            Icon::Battery(4),
            Icon::Keyboard,
            Icon::Capitals,
            Icon::Erase,
            Icon::Mark,
        ] {
            let glyph = draw(icon, 48).unwrap();
            let inked = glyph.coverage.iter().filter(|c| **c > 128).count();
            assert!(inked > 80, "{icon:?}");
            let border = (0..48).flat_map(|i| [i, 47 * 48 + i, i * 48, i * 48 + 47]);
            assert!(
                border.into_iter().all(|i| glyph.coverage[i] == 0),
                "{icon:?}"
            );
        }
        assert!(draw(Icon::Eye, 0).is_none());
        assert!(draw(Icon::Eye, -4).is_none());
    }
}
