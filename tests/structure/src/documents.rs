//! The files that a document names, and how wide its lines are.

use std::path::{Path, PathBuf};

/// The endings by which a word is taken for the name of a file.
const ENDINGS: &[&str] = &[".rs", ".md", ".sh", ".toml", ".c", ".py"];

/// The names of files in a document that are not there, each with its line's number.
///
/// A file is named from the workspace's root, from the document's own folder, or from a folder that the same section
/// or the same fenced diagram names (a word that is a folder from the root, as `crates/session/src`).
pub fn missing(root: &Path, document: &Path, text: &str) -> Vec<String> {
    let mut missing = Vec::new();
    let beside = root.join(document.parent().unwrap_or(Path::new("")));
    for (first_line, section) in sections(text) {
        let folders = folders(root, section);
        for (number, line) in section.lines().enumerate() {
            for name in words(line).filter(|name| is_file_name(name)) {
                let mut places = [root, beside.as_path()]
                    .into_iter()
                    .chain(folders.iter().map(PathBuf::as_path));
                if !places.any(|place| place.join(name).is_file()) {
                    missing.push(format!(
                        "{}:{}: {name}",
                        document.display(),
                        first_line + number
                    ));
                }
            }
        }
    }
    missing
}

/// The names of files in a document.
pub fn named(text: &str) -> Vec<&str> {
    text.lines()
        .flat_map(words)
        .filter(|name| is_file_name(name))
        .collect()
}

/// The widest line of a paragraph, in characters.
pub const WIDTH: usize = 100;

/// The lines of paragraphs and lists that are wider than [`WIDTH`] and could be broken, by their numbers. Tables and
/// fenced text are as wide as they need to be.
pub fn too_wide(text: &str) -> Vec<usize> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        let is_prose = !fenced && !fence && !line.trim_start().starts_with('|');
        if is_prose && line.chars().count() > WIDTH && has_break(line) {
            found.push(number + 1);
        }
    }
    found
}

/// Whether a line has a space to break it at: not in code, nor after the mark of a list.
fn has_break(line: &str) -> bool {
    let text = line
        .trim_start()
        .trim_start_matches(['-', '*'])
        .trim_start();
    let parts = text.split('`').enumerate();
    let mut prose = parts.filter(|(number, _)| number % 2 == 0);
    prose.any(|(_, part)| part.contains(' '))
}

/// The document in parts that start with a heading or end with a fence, each with the number of its first line.
fn sections(text: &str) -> Vec<(usize, &str)> {
    let mut sections = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    let mut fenced = false;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let fence = line.starts_with("```");
        if at > start && !fenced && (fence || line.starts_with('#')) {
            sections.push((start_line, &text[start..at]));
            (start, start_line) = (at, number + 1);
        }
        fenced ^= fence;
        at += line.len();
    }
    sections.push((start_line, &text[start..]));
    sections
}

fn folders(root: &Path, section: &str) -> Vec<PathBuf> {
    section
        .lines()
        .flat_map(words)
        .filter(|word| word.contains('/') || root.join(word).join("Cargo.toml").is_file())
        .map(|word| root.join(word.trim_end_matches('/')))
        .filter(|folder| folder.is_dir())
        .flat_map(|folder| [folder.join("src"), folder])
        .collect()
}

/// The words of a line: runs of characters of paths.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || "_-./".contains(c)))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| !word.is_empty())
}

fn is_file_name(word: &str) -> bool {
    ENDINGS.iter().any(|ending| {
        word.strip_suffix(ending)
            .is_some_and(|stem| !stem.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_found_and_a_folder_holds_for_its_section() {
        let text = "# One\n`lib.rs` in `tests/structure/src`, `Cargo.toml`\n\n# Two\nand `lib.rs`, `x/none.rs`.\n\
                    ```\n cli/src   main.rs, gone.rs\n```\n";
        let found = missing(&crate::root(), Path::new("docs/invented.md"), text);
        let expected = ["5: lib.rs", "5: x/none.rs", "7: gone.rs"];
        assert_eq!(found, expected.map(|one| format!("docs/invented.md:{one}")));
        assert_eq!(named(text).len(), 6);
    }

    #[test]
    fn a_wide_line_is_found_unless_it_cannot_be_broken() {
        let wide = "word ".repeat(30);
        let code = format!("- `{wide}`");
        let text = format!("{wide}\n| {wide} |\n```\n{wide}\n```\n{code}\n{code} and\n");
        assert_eq!(too_wide(&text), [1, 7]);
    }
}
