//! Text: shaped by HarfRust, its outlines read by skrifa, rasterised by tiny-skia.
//!
//! What always holds here: the fonts are in the program, so there is always text; a letter that they do not
//! have is taken from a font of the system, and is a box where that has none either. Drawn letters are kept, at most
//! [`KEPT_MAX`] of them; which ones says nothing about their order, so a password that was shown leaves its letters here, not
//! itself.

mod others;

use std::collections::HashMap;
use std::rc::Rc;

use self::others::Others;
use harfrust::{Buffer, Feature, Font, GlyphId, ShapeOptions, ShaperFont, Tag, shape};
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

/// The fonts and the letters drawn with them.
pub struct Text {
    fonts: [Option<Font>; 2],
    others: Others,
    /// Of characters that are not plain Latin: whether the fonts in the program have them, else which other has.
    homes: HashMap<char, Option<usize>>,
    glyphs: HashMap<Key, Option<Rc<Glyph>>>,
    buffer: Buffer,
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
    fn home(&mut self, character: char) -> Option<usize> {
        if let Some(home) = self.homes.get(&character) {
            return *home;
        }
        let is_own = (self.fonts.iter().flatten())
            .any(|font| font.charmap().map_unicode(character).is_some());
        let home = if is_own {
            None
        } else {
            self.others.with(character)
        };
        if self.homes.len() >= KEPT_MAX {
            self.homes.clear();
        }
        self.homes.insert(character, home);
        home
    }

    /// The parts of a text that are of one font each, from left to right.
    fn runs<'a>(&mut self, face: Face, text: &'a str) -> Vec<(Which, &'a str)> {
        let own = Which::Own(face);
        if text.bytes().all(|byte| byte < 0x80) {
            return vec![(own, text)];
        }
        let mut runs: Vec<(Which, usize)> = Vec::new();
        for (at, character) in text.char_indices() {
            let which = match self.home(character) {
                Some(number) => Which::Other(number),
                // What joins letters, or stands between them, belongs to them.
                None if !character.is_alphanumeric() && !runs.is_empty() => continue,
                None => own,
            };
            if runs.last().is_none_or(|(last, _)| *last != which) {
                runs.push((which, at));
            }
        }
        let ends = runs.iter().skip(1).map(|(_, at)| *at).chain([text.len()]);
        let mut runs: Vec<_> = (runs.iter().zip(ends))
            .filter_map(|((which, at), end)| Some((*which, text.get(*at..end)?)))
            .collect();
        if text
            .chars()
            .find(|character| character.is_alphabetic())
            .is_some_and(others::is_from_the_right)
        {
            runs.reverse();
        }
        runs
    }

    /// Calls `each` with every letter's number and where its pen stands, from 0 on; the whole width.
    fn shape(
        &mut self,
        style: Style,
        text: &str,
        mut each: impl FnMut(Which, u32, f32, f32),
    ) -> f32 {
        let mut pen = 0.0;
        for (which, part) in self.runs(style.face, text) {
            self.shape_run((which, style.size), part, &mut pen, &mut each);
        }
        pen
    }

    fn shape_run(
        &mut self,
        (which, size): (Which, f32),
        text: &str,
        pen: &mut f32,
        each: &mut impl FnMut(Which, u32, f32, f32),
    ) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.reset();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        if let Some(font) = self.font(which) {
            let scale = size / f32::from(font.units_per_em().max(1));
            // Figures of one width: a clock and a key that stand still.
            let even = [Feature::new(Tag::new(b"tnum"), 1, ..)];
            let options = ShapeOptions::new().features(&even);
            if shape(&ShaperFont::new(font), &mut buffer, options).is_ok() {
                for (info, place) in buffer.glyph_infos().iter().zip(buffer.glyph_positions()) {
                    let (x, y) = (place.x_offset as f32, place.y_offset as f32);
                    each(which, info.glyph_id, *pen + x * scale, y * scale);
                    *pen += place.x_advance as f32 * scale;
                }
            }
        }
        buffer.reset();
        self.buffer = buffer;
    }

    /// How wide a text is.
    pub fn width(&mut self, style: Style, text: &str) -> f32 {
        self.shape(style, text, |_, _, _, _| ())
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
        let mut placed = Vec::new();
        self.shape(style, text, |which, id, dx, dy| {
            placed.push((which, id, x + dx, y - dy));
        });
        for (which, id, x, y) in placed {
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

    /// Breaks a text into lines no wider than `width`; a word that is too long stands alone.
    pub fn lines(&mut self, style: Style, text: &str, width: f32) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) => {
                    let longer = format!("{line} {word}");
                    if self.width(style, &longer) <= width {
                        *line = longer;
                    } else {
                        lines.push(word.to_owned());
                    }
                }
                None => lines.push(word.to_owned()),
            }
        }
        lines
            .into_iter()
            .map(|line| self.fit(style, &line, width))
            .collect()
    }

    /// The text, or as much of it as fits, with “…” behind.
    pub fn fit(&mut self, style: Style, text: &str, width: f32) -> String {
        if self.width(style, text) <= width {
            return text.to_owned();
        }
        let characters: Vec<char> = text.chars().collect();
        let (mut fits, mut over) = (0, characters.len());
        let shortened =
            |count: usize| -> String { characters[..count].iter().chain(&['…']).collect() };
        while over - fits > 1 {
            let middle = fits.midpoint(over);
            if self.width(style, &shortened(middle)) <= width {
                fits = middle;
            } else {
                over = middle;
            }
        }
        shortened(fits)
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
                text.shape(style, &letter.to_string(), |_, id, _, _| {
                    assert_ne!(id, 0, "{letter}")
                });
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
