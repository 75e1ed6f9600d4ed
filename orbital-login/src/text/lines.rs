//! Breaking a text into lines, where the Unicode Line Breaking Algorithm (UAX 14) lets it.

use unicode_linebreak::{BreakOpportunity, linebreaks};

use super::direction::of_line;
use super::{Style, Text};

impl Text {
    /// Breaks a text into lines no wider than `width`; a word that is too long is shortened.
    pub fn lines(&mut self, style: Style, text: &str, width: f32) -> Vec<String> {
        let lines = self.broken(style, text, width);
        lines
            .into_iter()
            .map(|line| self.fit(style, &line, width))
            .collect()
    }

    /// The same, if every word is short enough.
    pub fn whole_lines(&mut self, style: Style, text: &str, width: f32) -> Option<Vec<String>> {
        let lines = self.broken(style, text, width);
        let fits = lines.iter().all(|line| self.width(style, line) <= width);
        fits.then_some(lines)
    }

    fn broken(&mut self, style: Style, text: &str, width: f32) -> Vec<String> {
        let text = text.trim();
        // The lines after the first run in its direction.
        let mark = match of_line(text) {
            Some(true) => "\u{200f}",
            _ => "",
        };
        let mut lines: Vec<String> = Vec::new();
        let (mut start, mut end) = (0, 0);
        for (place, opportunity) in linebreaks(text) {
            let longer = text.get(start..place).unwrap_or_default();
            if end > start && self.width(style, longer.trim_end()) > width {
                lines.extend(text.get(start..end).map(|line| line.trim().to_owned()));
                start = end;
            }
            end = place;
            if opportunity == BreakOpportunity::Mandatory {
                lines.extend(text.get(start..end).map(|line| line.trim().to_owned()));
                start = end;
            }
        }
        lines.retain(|line| !line.is_empty());
        for line in lines.iter_mut().skip(1) {
            line.insert_str(0, mark);
        }
        lines
    }

    /// The text, or as much of it as fits, with “…” behind.
    pub fn fit(&mut self, style: Style, text: &str, width: f32) -> String {
        if self.width(style, text) <= width {
            return text.to_owned();
        }
        self.cuts += 1;
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

    /// How many texts were shortened since the last time this was asked.
    pub fn take_cuts(&mut self) -> usize {
        std::mem::take(&mut self.cuts)
    }
}
