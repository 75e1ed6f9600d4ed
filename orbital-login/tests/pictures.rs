//! Pictures of every screen, compared with those that are checked in; and the contrast of every text on them.
//!
//! `SAFEOS_PICTURES=write` puts new ones in their place: look at them before they are committed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod screens;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use orbital_login::canvas::Canvas;
use orbital_login::draw::Op;
use orbital_login::geometry::Rect;
use orbital_login::language::Language;
use orbital_login::paint::Painter;
use orbital_login::settings::Access;
use orbital_login::state::State;
use orbital_login::text::{Face, Text};
use orbital_login::theme::contrast;
use orbital_login::view::view;

const SIZES: [(usize, usize); 4] = [(800, 600), (1280, 800), (3840, 2160), (640, 480)];
/// A small screen with small pixels, and how large everything is there.
const DENSE: ((usize, usize), u16) = ((1024, 600), 200);
/// The screens that there are pictures of there, in other languages and with high contrast.
const SOME: [&str; 3] = ["create", "remembered", "wrong"];
/// These languages, one of them written from right to left, and the font of the system that the pictures are drawn with.
const LANGUAGES: [(Language, Option<&str>); 3] = [
    (Language::German, None),
    (Language::Arabic, Some("DejaVuSans.ttf")),
    (Language::Japanese, Some("DroidSansFallbackFull.ttf")),
];
/// The width of a checked-in picture: enough to see everything, small enough to keep.
const KEPT_WIDTH: usize = 400;
/// Colours of checked-in pictures have so many steps, so that they stay small.
const COARSE: u8 = 0xf8;
/// How far the mean of a picture, and of any of its squares, may be off.
const MEAN_OFF: f64 = 2.0;
const SQUARE: usize = 8;
const SQUARE_OFF: f64 = 14.0;

type Picture = (usize, usize, Vec<u8>);

fn paint(painter: &mut Painter, state: &State, size: (usize, usize)) -> Vec<u32> {
    let mut frame = vec![0; size.0 * size.1];
    painter.lose_frame();
    let shape = (size.0 as i32, size.1 as i32);
    painter.paint(&mut frame, size.0, shape, &view(state));
    frame
}

/// Made smaller by taking means, and coarser.
fn kept((width, height): (usize, usize), frame: &[u32]) -> Picture {
    let kept_height = height * KEPT_WIDTH / width;
    let mut sums = vec![[0_u32; 4]; KEPT_WIDTH * kept_height];
    for (y, row) in frame.chunks_exact(width).enumerate() {
        let line = &mut sums[y * kept_height / height * KEPT_WIDTH..][..KEPT_WIDTH];
        for (x, pixel) in row.iter().enumerate() {
            let sum = &mut line[x * KEPT_WIDTH / width];
            for (part, shift) in sum.iter_mut().zip([16, 8, 0]) {
                *part += pixel >> shift & 0xff;
            }
            sum[3] += 1;
        }
    }
    let picture = sums
        .iter()
        .flat_map(|[r, g, b, count]| [r, g, b].map(|sum| (sum / count) as u8 & COARSE))
        .collect();
    (KEPT_WIDTH, kept_height, picture)
}

fn write(path: &Path, (width, height, pixels): &Picture) {
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), *width as u32, *height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    // Few colours in a pattern: they repeat themselves, and differ from their neighbours.
    encoder.set_filter(png::Filter::NoFilter);
    encoder
        .write_header()
        .unwrap()
        .write_image_data(pixels)
        .unwrap();
}

fn read(path: &Path) -> Picture {
    let file = File::open(path)
        .unwrap_or_else(|e| panic!("{}: {e}; SAFEOS_PICTURES=write makes it", path.display()));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width as usize, info.height as usize, pixels)
}

/// How far two pictures are apart: the mean, and the mean of the worst square.
fn apart(a: &Picture, b: &Picture) -> (f64, f64) {
    assert_eq!((a.0, a.1), (b.0, b.1));
    let off = |x: usize, y: usize| -> f64 {
        let at = (y * a.0 + x) * 3;
        (at..at + 3)
            .map(|i| f64::from(a.2[i].abs_diff(b.2[i])))
            .sum::<f64>()
            / 3.0
    };
    let (mut sum, mut worst) = (0.0, 0.0_f64);
    for top in (0..a.1).step_by(SQUARE) {
        for left in (0..a.0).step_by(SQUARE) {
            let (right, bottom) = ((left + SQUARE).min(a.0), (top + SQUARE).min(a.1));
            let square: f64 = (top..bottom)
                .flat_map(|y| (left..right).map(move |x| (x, y)))
                .map(|(x, y)| off(x, y))
                .sum();
            sum += square;
            worst = worst.max(square / ((right - left) * (bottom - top)) as f64);
        }
    }
    (sum / (a.0 * a.1) as f64, worst)
}

/// A screen by the name of its picture, without its size.
type Shown = (String, State);

/// Everything that there are pictures of, as far as there are letters for it here.
fn shown(text: &mut Text) -> Vec<Shown> {
    let mut all = Vec::new();
    for (dark, word) in [(true, "dark"), (false, "light")] {
        let of = |language: Language, access: Access, more: &str, all: &mut Vec<Shown>| {
            let wanted = |name: &str| more.is_empty() || SOME.contains(&name);
            for (name, mut state) in screens::all(dark)
                .into_iter()
                .filter(|(name, _)| wanted(name))
            {
                state.language = language;
                state.access = access;
                all.push((format!("{name}-{word}{more}"), state));
            }
        };
        let plain = Access::default();
        of(Language::English, plain, "", &mut all);
        let contrast = Access {
            contrast: true,
            ..plain
        };
        of(Language::English, contrast, "-contrast", &mut all);
        for (language, font) in LANGUAGES {
            // Elsewhere it may be written in another font, or not at all; and colours are the same in every language.
            let letter = language.name().chars().next().unwrap();
            if dark && text.font_file(letter) == font.map(str::to_owned) {
                of(language, plain, &format!("-{}", language.code()), &mut all);
            }
        }
    }
    all
}

fn folder() -> PathBuf {
    PathBuf::from("tests/pictures")
}

#[test]
fn every_screen_looks_as_it_did() {
    let writing = std::env::var_os("SAFEOS_PICTURES").is_some_and(|what| what == "write");
    if writing {
        fs::create_dir_all(folder()).unwrap();
    }
    let whole = std::env::var_os("SAFEOS_PICTURES_WHOLE").map(PathBuf::from);
    let mut wrong = Vec::new();
    let all = shown(&mut Text::new());
    let mut dense = shown(&mut Text::new());
    dense.retain(|(name, _)| SOME.iter().any(|some| *name == format!("{some}-dark")));
    for (name, state) in &mut dense {
        name.push_str("-dense");
        state.percent = DENSE.1;
    }
    let everywhere = SIZES.map(|size| (size, &all));
    for (size, all) in everywhere.into_iter().chain([(DENSE.0, &dense)]) {
        let mut painter = Painter::new();
        for (name, state) in all {
            let frame = paint(&mut painter, state, size);
            let name = format!("{name}-{}.png", size.1);
            if let Some(whole) = whole.as_ref().filter(|_| size != SIZES[2]) {
                let pixels = frame
                    .iter()
                    .flat_map(|p| [(p >> 16) as u8, (p >> 8) as u8, *p as u8])
                    .collect();
                write(&whole.join(&name), &(size.0, size.1, pixels));
            }
            let picture = kept(size, &frame);
            let path = folder().join(&name);
            if writing {
                write(&path, &picture);
            }
            let (mean, worst) = apart(&picture, &read(&path));
            if mean > MEAN_OFF || worst > SQUARE_OFF {
                let now = std::env::temp_dir().join(&name);
                write(&now, &picture);
                wrong.push(format!(
                    "{name}: {mean:.1} on the whole, {worst:.1} in a square: {}",
                    now.display()
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "other than checked in:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_changed_picture_is_noticed() {
    let size = SIZES[0];
    let mut painter = Painter::new();
    let screens = screens::all(true);
    let pictures: Vec<Picture> = screens[..4]
        .iter()
        .map(|(_, state)| kept(size, &paint(&mut painter, state, size)))
        .collect();
    for (index, a) in pictures.iter().enumerate() {
        for (other, b) in pictures.iter().enumerate() {
            let (mean, worst) = apart(a, b);
            assert_eq!(
                index == other,
                mean <= MEAN_OFF && worst <= SQUARE_OFF,
                "{index} {other}"
            );
        }
    }
}

#[test]
fn the_pictures_are_small() {
    let all: u64 = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(all < 3_300_000, "{all} bytes");
}

/// Text with less contrast to what it stands on than it must have: by its size and weight.
fn hard_to_read(
    painter: &mut Painter,
    text: &mut Text,
    (name, state): &Shown,
    size: (usize, usize),
    least_for: impl Fn(bool) -> f64,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut frame = paint(painter, state, size);
    let ops = painter.ops(&view(state), size.0 as i32, size.1 as i32);
    // The background of the texts.
    let without: Vec<Op> = ops
        .iter()
        .filter(|op| !matches!(op, Op::Text { .. } | Op::Caret(..)))
        .cloned()
        .collect();
    painter.draw(
        &mut Canvas::new(&mut frame, size.0, size.0 as i32),
        &without,
    );
    let mut texts = 0;
    for op in &ops {
        let Op::Text {
            at,
            style,
            colour,
            words,
            clip,
        } = op
        else {
            continue;
        };
        texts += 1;
        let wide = text.width(*style, words);
        let high = style.size as i32;
        let place = Rect::new(
            at.0 as i32,
            at.1 as i32 - high,
            wide as i32 + 1,
            high + high / 4,
        )
        .intersect(*clip)
        .intersect(Rect::new(0, 0, size.0 as i32, size.1 as i32));
        let large = style.size >= 24.0 || style.size >= 18.66 && style.face == Face::Strong;
        let least = (place.y..place.bottom())
            .flat_map(|y| (place.x..place.right()).map(move |x| (x, y)))
            .map(|(x, y)| frame[y as usize * size.0 + x as usize])
            .map(|p| [(p >> 16) as u8, (p >> 8) as u8, p as u8])
            .map(|ground| contrast(ground, colour.rgb))
            .fold(f64::MAX, f64::min);
        if least < least_for(large) {
            wrong.push(format!("{name} {size:?}: {least:.2} “{}”", words.as_str()));
        }
    }
    assert!(texts > 2, "{name} has no text");
    wrong
}

/// Every screen in both themes.
fn readable(access: Access, least_for: impl Fn(bool) -> f64) {
    let mut text = Text::new();
    let mut wrong = Vec::new();
    for size in [SIZES[0], SIZES[1]] {
        for dark in [true, false] {
            let mut painter = Painter::new();
            for (name, mut state) in screens::all(dark) {
                state.access = access;
                let one = (format!("{name} dark={dark}"), state);
                wrong.extend(hard_to_read(
                    &mut painter,
                    &mut text,
                    &one,
                    size,
                    &least_for,
                ));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(
        wrong.is_empty(),
        "too little contrast:\n{}",
        wrong.join("\n")
    );
}

/// WCAG 2.2 level AA: 4.5, and 3 for text of at least 24 pixels, or 18.66 if it is strong.
#[test]
fn every_text_can_be_read() {
    readable(Access::default(), |large| if large { 3.0 } else { 4.5 });
}

/// Level AAA: 7, here also for large text.
#[test]
fn with_high_contrast_every_text_has_it() {
    let contrast = Access {
        contrast: true,
        ..Access::default()
    };
    readable(contrast, |_| 7.0);
}

/// A picture drawn bit by bit is the same as one drawn at once.
#[test]
fn drawing_only_what_changed_gives_the_same() {
    let size = SIZES[0];
    let mut painter = Painter::new();
    let mut frame = vec![0; size.0 * size.1];
    for (name, state) in screens::all(true) {
        let shape = (size.0 as i32, size.1 as i32);
        painter.paint(&mut frame, size.0, shape, &view(&state));
        assert!(
            painter
                .paint(&mut frame, size.0, shape, &view(&state))
                .is_empty()
        );
        let whole = paint(&mut Painter::new(), &state, size);
        let differing = frame.iter().zip(&whole).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "{name}");
    }
}
