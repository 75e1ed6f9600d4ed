//! Fonts of the system, for scripts that the program's own fonts do not have.
//!
//! What always holds here: nothing is read before a character needs it; how many files are looked at, and how large they are,
//! is bounded; a system without fonts is none that has to be told.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use harfrust::Font;

/// Where fonts are.
const FOLDERS: [&str; 3] = ["/usr/share/fonts", "/usr/local/share/fonts", "/ui/fonts"];
/// Folders in folders.
const DEPTH_MAX: usize = 4;
/// Files that are known of at most.
const FILES_MAX: usize = 4000;
/// Files that are read for one character at most.
const READ_MAX: usize = 24;
/// The largest file that is read.
const BYTES_MAX: u64 = 64 << 20;
/// Fonts that are kept at most.
const FONTS_MAX: usize = 12;
/// Characters that no font has, as far as that is remembered.
const MISSING_MAX: usize = 1024;

/// The fonts.
#[derive(Default)]
pub(super) struct Others {
    files: Option<Vec<PathBuf>>,
    /// With the names of their files, and whether they are for what is strong.
    fonts: Vec<(Font, String, bool)>,
    missing: HashSet<(char, bool)>,
}

impl Others {
    /// One of those that were found.
    pub(super) fn font(&self, number: usize) -> Option<&Font> {
        self.fonts.get(number).map(|(font, ..)| font)
    }

    /// The name of its file.
    pub(super) fn name(&self, number: usize) -> Option<&str> {
        self.fonts.get(number).map(|(_, name, _)| name.as_str())
    }

    /// The number of a font that has this character: of a bold one for what is strong, where there is one.
    pub(super) fn with(&mut self, character: char, strong: bool) -> Option<usize> {
        if strong && let Some(number) = self.with_weight(character, true) {
            return Some(number);
        }
        self.with_weight(character, false)
    }

    fn with_weight(&mut self, character: char, strong: bool) -> Option<usize> {
        let has = |font: &Font| font.charmap().map_unicode(character).is_some();
        let known = |(font, _, weight): &(Font, String, bool)| *weight == strong && has(font);
        if let Some(number) = self.fonts.iter().position(known) {
            return Some(number);
        }
        if self.missing.contains(&(character, strong)) || self.fonts.len() >= FONTS_MAX {
            return None;
        }
        let files = self.files.get_or_insert_with(|| {
            let mut files = Vec::new();
            for folder in FOLDERS {
                list(Path::new(folder), DEPTH_MAX, &mut files);
            }
            files
        });
        let mut order: Vec<(usize, &PathBuf)> = files
            .iter()
            .filter(|file| !strong || is_bold(file))
            .map(|file| (rank(file, character), file))
            .collect();
        order.sort();
        let found = order
            .into_iter()
            .take(READ_MAX)
            .filter_map(|(_, file)| Some((read(file)?, file)))
            .find(|(font, _)| has(font));
        if let Some((font, file)) = found {
            let name = file.file_name().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            self.fonts.push((font, name, strong));
            return Some(self.fonts.len() - 1);
        }
        if self.missing.len() < MISSING_MAX {
            self.missing.insert((character, strong));
        }
        None
    }
}

/// By its name.
fn is_bold(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().to_lowercase().contains("bold")
}

/// The fonts in a folder and those below it.
fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if files.len() >= FILES_MAX {
            return;
        }
        let path = entry.path();
        let is_font = path
            .extension()
            .and_then(|end| end.to_str())
            .is_some_and(|end| matches!(end.to_ascii_lowercase().as_str(), "ttf" | "otf" | "ttc"));
        if is_font {
            files.push(path);
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&path, depth - 1, files);
        }
    }
}

fn read(file: &Path) -> Option<Font> {
    let small = fs::metadata(file)
        .is_ok_and(|found| found.is_file() && (1..=BYTES_MAX).contains(&found.len()));
    let bytes = small.then(|| fs::read(file).ok()).flatten()?;
    Font::new(bytes, 0)
}

/// How likely a file has a character: less is more. By the names that such fonts have.
fn rank(file: &Path, character: char) -> usize {
    let hints: &[&str] = match character {
        '\u{590}'..='\u{5ff}' | '\u{fb1d}'..='\u{fb4f}' => &["hebrew", "dejavusans", "freesans"],
        '\u{600}'..='\u{8ff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' => {
            &["arabic", "dejavusans", "kacst", "amiri"]
        }
        '\u{1100}'..='\u{11ff}'
        | '\u{2e80}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff00}'..='\u{ffef}'
        | '\u{20000}'..='\u{3ffff}' => &[
            "cjk", "wqy", "fallback", "ipag", "gothic", "uming", "nanum", "unifont",
        ],
        _ => &["noto", "dejavusans", "freesans"],
    };
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let hint = hints
        .iter()
        .position(|hint| name.contains(hint))
        .unwrap_or(hints.len());
    // Plain ones before those that are bold, slanted, narrow or of one width.
    let plain = [
        "bold",
        "italic",
        "oblique",
        "condensed",
        "mono",
        "serif",
        "light",
        "black",
    ];
    let odd = plain.iter().filter(|word| name.contains(*word)).count();
    hint * 10 + odd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_font_is_read_first() {
        let rank = |name: &str, character| rank(Path::new(name), character);
        assert!(rank("/f/NotoSansHebrew-Regular.ttf", 'ש') < rank("/f/DejaVuSans.ttf", 'ש'));
        assert!(rank("/f/DejaVuSans.ttf", 'ש') < rank("/f/DejaVuSans-Bold.ttf", 'ש'));
        assert!(rank("/f/NotoSansCJK-Regular.ttc", '日') < rank("/f/DejaVuSans.ttf", '日'));
    }

    #[test]
    fn what_is_no_font_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/x.ttf");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"no font").unwrap();
        let mut files = Vec::new();
        list(folder.path(), DEPTH_MAX, &mut files);
        assert_eq!(files, std::slice::from_ref(&path));
        assert!(read(&path).is_none() && read(folder.path()).is_none());
        let mut others = Others {
            files: Some(files),
            ..Others::default()
        };
        assert_eq!(others.with('ש', true), None);
        assert!(others.missing.contains(&('ש', false)));
        // One that has it.
        let path = folder.path().join("own.ttf");
        fs::write(&path, notosans::REGULAR_TTF).unwrap();
        others.files = Some(vec![path]);
        assert_eq!(others.with('a', true), Some(0));
        assert!(others.font(0).is_some() && others.font(1).is_none());
    }
}
