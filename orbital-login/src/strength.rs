//! How hard a password is to guess.
//!
//! What always holds here: the estimate is for advice; what an account accepts is decided in
//! `crates/account`. Only the first [`CHARS_MAX`] characters are looked at, so that typing stays quick.

/// Longer passwords are not estimated further: they are strong by then, or repeat themselves.
const CHARS_MAX: usize = 72;

/// An estimate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strength {
    /// 0 (hopeless) to 4 (very strong).
    pub score: u8,
    /// In a few words: a text of `lang/`.
    pub id: &'static str,
}

/// Estimates a password of the account `name`.
pub fn estimate(password: &str, name: &str) -> Strength {
    let end = password
        .char_indices()
        .nth(CHARS_MAX)
        .map_or(password.len(), |(end, _)| end);
    let score =
        u8::from(zxcvbn::zxcvbn(&password[..end], &[name, "safeos", "safe", "redox"]).score());
    let id = match score {
        0 => "strength-0",
        1 => "strength-1",
        2 => "strength-2",
        3 => "strength-3",
        _ => "strength-4",
    };
    Strength { score, id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_weak_and_what_is_long_and_odd_is_strong() {
        assert_eq!(estimate("password", "ana").score, 0);
        assert!(estimate("ana12345", "ana").score <= 1);
        assert!(estimate("correct horse battery staple", "ana").score >= 3);
        assert_eq!(estimate("vK8#dTq2!mPz9wLr", "ana").score, 4);
    }

    #[test]
    fn a_very_long_one_takes_no_time() {
        let start = std::time::Instant::now();
        let _ = estimate(&"aB3$é".repeat(2000), "ana");
        assert!(start.elapsed().as_secs() < 2);
    }
}
