//! Text: shaped by HarfRust, its outlines read by skrifa, rasterised by tiny-skia.
//!
//! What always holds here: the fonts are in the program, so there is always text; a letter that they do not
//! have is taken from a font of the system, and is a box where that has none either. Drawn letters are kept, at most
//! [`KEPT_MAX`] of them; which ones says nothing about their order, so a password that was shown leaves its letters here, not
//! itself.

pub mod direction;
mod lines;
mod others;

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use self::others::Others;
use harfrust::{Buffer, Direction, Feature, Font, GlyphId, ShapeOptions, ShaperFont, Tag, shape};
use skrifa::{DrawMemory, PathSink, ScalerFont};
use tiny_skia::{FillRule, Mask, PathBuilder, Transform};

/// Letters kept at most.
const KEPT_MAX: usize = 4096;
/// Places between two pixels at which a letter may begin.
const FRACTIONS: f32 = 4.0;
/// The largest letter, in pixels.
const SIZE_MAX: f32 = 1024.0;

/// The fonts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Face {
    /// For what is read.
    Regular,
    /// For headings and buttons.
    Strong,
}

/// How a text looks.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Style {
    /// The font.
    pub face: Face,
    /// Its size in pixels.
    pub size: f32,
}

impl Style {
    /// The height of capitals, which is what centring goes by.
    pub fn capital(self) -> f32 {
        self.size * 0.714
    }
}

/// A letter as coverage, from its left upper corner.
pub struct Glyph {
    /// From the pen to the left edge.
    pub left: i32,
    /// From the base line up to the upper edge.
    pub top: i32,
    /// The width.
    pub width: usize,
    /// A byte a pixel.
    pub coverage: Vec<u8>,
}

/// Which of the fonts: one of the two of a face, or of the system's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Which {
    Own(Face),
    Other(usize),
}

/// Which font, the size's bits, the letter's number, and where between two pixels it begins.
type Key = (Which, u32, u32, u8);

/// A part of a text in one font and one direction: the font, where it is, and whether it runs from right to left.
type Run = (Which, Range<usize>, bool);

/// A letter of a text with its place.
struct Shaped {
    which: Which,
    id: u32,
    /// From the start of the text, and up from the base line.
    x: f32,
    y: f32,
    /// The left edge, and how far the pen moves.
    pen: f32,
    advance: f32,
    /// Where its characters begin in the text.
    start: usize,
    turned: bool,
}

/// The fonts and the letters drawn with them.
pub struct Text {
    fonts: [Option<Font>; 2],
    others: Others,
    /// Of characters that are not plain Latin: whether the fonts in the program have them, else which other has.
    homes: HashMap<(char, Face), Option<usize>>,
    glyphs: HashMap<Key, Option<Rc<Glyph>>>,
    buffer: Buffer,
    /// How many texts were shortened.
    cuts: usize,
}

impl Text {
    /// Reads the fonts.
    pub fn new() -> Self {
        let read = |bytes: &'static [u8]| Font::new(bytes, 0);
        Self {
            fonts: [read(notosans::REGULAR_TTF), read(notosans::BOLD_TTF)],
            others: Others::default(),
            homes: HashMap::new(),
            glyphs: HashMap::new(),
            buffer: Buffer::new(),
            cuts: 0,
        }
    }

    fn font(&self, which: Which) -> Option<&Font> {
        match which {
            Which::Own(Face::Regular) => self.fonts[0].as_ref(),
            Which::Own(Face::Strong) => self.fonts[1].as_ref(),
            Which::Other(number) => self.others.font(number),
        }
    }

    /// The font of the system that has a character which those of the program have not.
    fn home(&mut self, character: char, face: Face) -> Option<usize> {
        if let Some(home) = self.homes.get(&(character, face)) {
            return *home;
        }
        let is_own = (self.fonts.iter().flatten())
            .any(|font| font.charmap().map_unicode(character).is_some());
        let home = if is_own {
            None
        } else {
            self.others.with(character, face == Face::Strong)
        };
        if self.homes.len() >= KEPT_MAX {
            self.homes.clear();
        }
        self.homes.insert((character, face), home);
        home
    }

    /// The name of the system's font file that a character is taken from; `None`: it is not.
    pub fn font_file(&mut self, character: char) -> Option<String> {
        let home = self.home(character, Face::Regular)?;
        self.others.name(home).map(str::to_owned)
    }

    /// Whether there are fonts for every letter of a text.
    pub fn can_show(&mut self, text: &str) -> bool {
        text.chars().all(|character| {
            self.home(character, Face::Regular).is_some()
                || (self.fonts.iter().flatten())
                    .all(|font| font.charmap().map_unicode(character).is_some())
        })
    }

    /// The parts of a text that are of one font and one direction each, from left to right.
    fn runs(&mut self, face: Face, text: &str) -> Vec<Run> {
        let own = Which::Own(face);
        if text.is_ascii() {
            return vec![(own, 0..text.len(), false)];
        }
        let mut runs = Vec::new();
        for (part, turned) in direction::parts(text) {
            let of_part = self.runs_of_part(face, text, part);
            let of_part = of_part.into_iter().map(|(which, at)| (which, at, turned));
            if turned {
                runs.extend(of_part.rev());
            } else {
                runs.extend(of_part);
            }
        }
        runs
    }

    /// The parts of one font each, in the order of the text.
    fn runs_of_part(
        &mut self,
        face: Face,
        text: &str,
        part: Range<usize>,
    ) -> Vec<(Which, Range<usize>)> {
        let own = Which::Own(face);
        let mut runs: Vec<(Which, Range<usize>)> = Vec::new();
        for (at, character) in text.get(part.clone()).unwrap_or_default().char_indices() {
            let (start, end) = (part.start + at, part.start + at + character.len_utf8());
            let which = match character.is_ascii() || direction::is_mark(character) {
                true => None,
                false => self.home(character, face),
            };
            // Characters that join letters, or stand between them, belong to them.
            let joins = which.is_none() && !character.is_alphanumeric();
            let which = which.map_or(own, Which::Other);
            match runs.last_mut() {
                Some((last, range)) if joins || *last == which => range.end = end,
                _ => runs.push((which, start..end)),
            }
        }
        runs
    }

    /// The letters of a text with their places, from left to right; the whole width.
    fn shape(&mut self, style: Style, text: &str) -> (Vec<Shaped>, f32) {
        let mut shaped = Vec::with_capacity(text.len());
        let mut pen = 0.0;
        for run in self.runs(style.face, text) {
            self.shape_run(style.size, text, run, &mut pen, &mut shaped);
        }
        (shaped, pen)
    }

    fn shape_run(
        &mut self,
        size: f32,
        text: &str,
        (which, range, turned): Run,
        pen: &mut f32,
        shaped: &mut Vec<Shaped>,
    ) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.reset();
        buffer.push_str(text.get(range.clone()).unwrap_or_default());
        buffer.set_direction(match turned {
            true => Direction::RightToLeft,
            false => Direction::LeftToRight,
        });
        buffer.guess_segment_properties();
        if let Some(font) = self.font(which) {
            let scale = size / f32::from(font.units_per_em().max(1));
            // Figures of one width: a clock and a key that stand still.
            let even = [Feature::new(Tag::new(b"tnum"), 1, ..)];
            let options = ShapeOptions::new().features(&even);
            if shape(&ShaperFont::new(font), &mut buffer, options).is_ok() {
                for (info, place) in buffer.glyph_infos().iter().zip(buffer.glyph_positions()) {
                    let (x, y) = (place.x_offset as f32, place.y_offset as f32);
                    let advance = place.x_advance as f32 * scale;
                    shaped.push(Shaped {
                        which,
                        id: info.glyph_id,
                        x: *pen + x * scale,
                        y: y * scale,
                        pen: *pen,
                        advance,
                        start: range.start + info.cluster as usize,
                        turned,
                    });
                    *pen += advance;
                }
            }
        }
        buffer.reset();
        self.buffer = buffer;
    }

    /// How wide a text is.
    pub fn width(&mut self, style: Style, text: &str) -> f32 {
        self.shape(style, text).1
    }

    /// Where the caret stands before the character of this number, from the left edge of the text; `turned`: how the line
    /// runs as long as no letter says so.
    pub fn caret(&mut self, style: Style, text: &str, before: usize, turned: bool) -> f32 {
        let (shaped, width) = self.shape(style, text);
        let turned = direction::of_line(text).unwrap_or(turned);
        let Some((at, _)) = text.char_indices().nth(before) else {
            return if turned { 0.0 } else { width };
        };
        // The letter that it is in, where several are drawn as one.
        let letter = (shaped.iter())
            .filter(|letter| letter.start <= at)
            .max_by_key(|letter| letter.start);
        match letter {
            Some(letter) if letter.turned => letter.pen + letter.advance,
            Some(letter) if letter.start < at => letter.pen + letter.advance,
            // Nothing but dots: they run as the line does.
            Some(letter) if turned && direction::of_line(text).is_none() => width - letter.pen,
            Some(letter) => letter.pen,
            None => 0.0,
        }
    }

    /// Hands out the letters of a text whose pen starts at `x` on the base line `y`: each with the pixel its
    /// left upper corner is at.
    pub fn glyphs(
        &mut self,
        style: Style,
        text: &str,
        x: f32,
        y: f32,
        mut each: impl FnMut(&Glyph, i32, i32),
    ) {
        for letter in self.shape(style, text).0 {
            let (which, id) = (letter.which, letter.id);
            let (x, y) = (x + letter.x, y - letter.y);
            let whole = x.floor();
            let fraction = ((x - whole) * FRACTIONS) as u8;
            let key = (which, style.size.to_bits(), id, fraction);
            if let Some(glyph) = self.glyph(key) {
                each(
                    &glyph,
                    whole as i32 + glyph.left,
                    y.round() as i32 - glyph.top,
                );
            }
        }
    }

    fn glyph(&mut self, key: Key) -> Option<Rc<Glyph>> {
        if let Some(glyph) = self.glyphs.get(&key) {
            return glyph.clone();
        }
        let glyph = self
            .font(key.0)
            .and_then(|font| rasterise(font, key))
            .map(Rc::new);
        if self.glyphs.len() >= KEPT_MAX {
            self.glyphs.clear();
        }
        self.glyphs.insert(key, glyph.clone());
        glyph
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}

/// An outline on its way to tiny-skia: up is down there, and the fraction of a pixel is added.
struct Outline {
    path: PathBuilder,
    dx: f32,
}

impl PathSink for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(x + self.dx, -y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(x + self.dx, -y);
    }
    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        self.path.quad_to(cx + self.dx, -cy, x + self.dx, -y);
    }
    fn curve_to(&mut self, ax: f32, ay: f32, bx: f32, by: f32, x: f32, y: f32) {
        let dx = self.dx;
        self.path.cubic_to(ax + dx, -ay, bx + dx, -by, x + dx, -y);
    }
    fn close(&mut self) {
        self.path.close();
    }
}

fn rasterise(font: &Font, (_, size, id, fraction): Key) -> Option<Glyph> {
    let size = f32::from_bits(size);
    if !(size > 0.0 && size <= SIZE_MAX) {
        return None;
    }
    let scaler = ScalerFont::unhinted(font.clone(), Some(size));
    let mut outline = Outline {
        path: PathBuilder::new(),
        dx: f32::from(fraction) / FRACTIONS,
    };
    scaler
        .outline(GlyphId::new(id))?
        .draw(DrawMemory::Scratch, &mut outline)
        .ok()?;
    let path = outline.path.finish()?;
    let bounds = path.bounds();
    let (left, top) = (bounds.left().floor(), bounds.top().floor());
    let width = (bounds.right().ceil() - left).max(1.0);
    let height = (bounds.bottom().ceil() - top).max(1.0);
    if width > 2.0 * SIZE_MAX || height > 2.0 * SIZE_MAX {
        return None;
    }
    let mut mask = Mask::new(width as u32, height as u32)?;
    let into = Transform::from_translate(-left, -top);
    mask.fill_path(&path, FillRule::Winding, true, into);
    Some(Glyph {
        left: left as i32,
        top: -top as i32,
        width: mask.width() as usize,
        coverage: mask.take(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style {
        face: Face::Regular,
        size: 16.0,
    };

    #[test]
    fn text_is_shaped_and_drawn() {
        let mut text = Text::new();
        assert!(text.fonts.iter().all(Option::is_some));
        assert!(text.width(STYLE, "AV") < text.width(STYLE, "A") + text.width(STYLE, "V"));
        // Composed and decomposed letters look the same.
        let composed = text.width(STYLE, "é");
        assert!((text.width(STYLE, "e\u{301}") - composed).abs() < 0.01);
        let mut inked = 0;
        text.glyphs(STYLE, "Ana", 3.3, 20.0, |glyph, _, _| {
            assert_eq!(glyph.coverage.len() % glyph.width, 0);
            inked += usize::from(glyph.coverage.iter().any(|c| *c > 200));
        });
        assert_eq!(inked, 3);
        // No such letter in the fonts: a box, no nothing.
        let mut boxes = 0;
        text.glyphs(STYLE, "日", 0.0, 20.0, |_, _, _| boxes += 1);
        assert_eq!(boxes, 1);
    }

    #[test]
    fn every_letter_of_these_alphabets_is_there() {
        let letters = ('!'..='~')
            .chain('¡'..='ſ')
            .chain('Α'..='Ω')
            .chain('α'..='ω');
        let letters = letters.chain('Ѐ'..='џ').chain("…–—•“”’·ăłßțẞΐ".chars());
        let mut text = Text::new();
        for face in [Face::Regular, Face::Strong] {
            for letter in letters
                .clone()
                .filter(|letter| letter.is_alphabetic() || letter.is_ascii())
            {
                let style = Style { face, size: 16.0 };
                for shaped in text.shape(style, &letter.to_string()).0 {
                    assert_ne!(shaped.id, 0, "{letter}");
                }
            }
        }
    }

    #[test]
    fn lines_fit() {
        let mut text = Text::new();
        let long = "Type it again; Caps Lock and the keyboard layout matter. Donaudampfschifffahrtsgesellschaft";
        let lines = text.lines(STYLE, long, 150.0);
        assert!(lines.len() > 3);
        for line in &lines {
            assert!(text.width(STYLE, line) <= 150.0, "{line}");
        }
        assert!(text.fit(STYLE, long, 100.0).ends_with('…'));
        assert_eq!(text.fit(STYLE, "Ana", 100.0), "Ana");
        assert_eq!(text.lines(STYLE, "", 100.0), Vec::<String>::new());
    }

    #[test]
    fn the_caret_stands_where_the_next_letter_goes() {
        let mut text = Text::new();
        let width = text.width(STYLE, "ana");
        assert_eq!(text.caret(STYLE, "ana", 0, false), 0.0);
        assert_eq!(text.caret(STYLE, "ana", 3, true), width);
        let first = text.width(STYLE, "a");
        assert!((text.caret(STYLE, "ana", 1, true) - first).abs() < 0.01);
        // From right to left.
        let width = text.width(STYLE, "שלום");
        assert_eq!(text.caret(STYLE, "שלום", 0, false), width);
        assert_eq!(text.caret(STYLE, "שלום", 4, false), 0.0);
        // Dots run as the screen does.
        let width = text.width(STYLE, "••");
        assert_eq!(text.caret(STYLE, "••", 2, true), 0.0);
        assert_eq!(text.caret(STYLE, "••", 0, true), width);
        assert_eq!(text.caret(STYLE, "••", 2, false), width);
        assert_eq!(text.caret(STYLE, "", 0, true), 0.0);
    }

    #[test]
    fn lines_break_where_their_script_lets_them() {
        let mut text = Text::new();
        let chinese = "此帐户已在这台计算机上登录，可能在终端中。请先在那里注销，然后重试。";
        let lines = text.lines(STYLE, chinese, 150.0);
        assert!(lines.len() > 2, "{lines:?}");
        assert_eq!(lines.concat(), chinese);
        assert!(!lines.iter().any(|line| line.starts_with(['，', '。'])));
        // Each line of a text from right to left runs so, whatever it begins with.
        let lines = text.lines(STYLE, "שלום לך SafeOS SafeOS SafeOS SafeOS", 90.0);
        let turned = |line: &String| direction::of_line(line) == Some(true);
        assert!(lines.len() > 2 && lines.iter().all(turned), "{lines:?}");
        assert_eq!(text.take_cuts(), 0);
    }

    #[test]
    fn no_more_letters_are_kept_than_the_limit() {
        let mut text = Text::new();
        for size in 0..600 {
            let style = Style {
                size: 10.0 + size as f32 / 100.0,
                ..STYLE
            };
            text.glyphs(style, "abcdefghij", 0.0, 0.0, |_, _, _| ());
            assert!(text.glyphs.len() <= KEPT_MAX);
        }
    }
}
