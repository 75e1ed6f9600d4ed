//! Messages of programs, as sentences.

/// A message as a sentence: with a capital and a full stop, on one line.
pub fn sentence(message: &str) -> String {
    let clean: String = message
        .chars()
        .take(600)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let clean = clean.trim();
    let mut characters = clean.chars();
    let mut text: String = characters
        .next()
        .map(|first| first.to_uppercase().collect())
        .unwrap_or_default();
    text.push_str(characters.as_str());
    if !text.is_empty() && !text.ends_with(['.', '!', '?', '…']) {
        text.push('.');
    }
    text
}
