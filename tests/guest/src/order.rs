//! Orders to the guest over the serial line, a line each: a number, a user, and the words of a command.
//!
//! ```text
//! order 7 1042 safe TAB status     to the guest
//! guest| 7 account      ana        what the command said, when it has ended
//! guest: done 7 0                  and its exit code, or why there is none
//! ```

/// A command for the guest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// Told back with the outcome.
    pub number: u32,
    /// Whom it runs as.
    pub uid: u32,
    /// The program and its arguments.
    pub words: Vec<String>,
}

const START: &str = "order ";

impl Order {
    /// As a line; nothing if a word cannot be said in one.
    pub fn line(&self) -> Option<String> {
        let is_plain = |word: &String| !word.is_empty() && !word.contains(char::is_control);
        (!self.words.is_empty() && self.words.iter().all(is_plain)).then(|| {
            let words = self.words.join("\t");
            format!("{START}{} {} {words}\n", self.number, self.uid)
        })
    }

    /// From a line; noise of the serial line is no order.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.trim().strip_prefix(START)?.splitn(3, ' ');
        Some(Self {
            number: parts.next()?.parse().ok()?,
            uid: parts.next()?.parse().ok()?,
            words: parts.next()?.split('\t').map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_comes_back_from_its_line() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let order = Order {
            number: 7,
            uid: 1042,
            words: words(&["safe", "login", "a name"]),
        };
        let line = order.line().unwrap();
        assert_eq!(Order::parse(&line), Some(order.clone()));
        assert_eq!(Order::parse("order 7 x safe"), None);
        assert_eq!(Order::parse("\u{1b}[6n"), None);
        for bad in [&[][..], &["a\nb"], &["a\tb"], &[""]] {
            let words = words(bad);
            assert_eq!(
                Order {
                    words,
                    ..order.clone()
                }
                .line(),
                None
            );
        }
    }
}
