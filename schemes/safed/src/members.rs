//! The members of a session: conversations that joined it, each for one program such as `safe run`.
//!
//! What always holds here: a bound session ends with the last conversation that joined it, also when its program
//! was killed; while that one signs out, no other joins.

use std::collections::HashMap;

use parking_lot::Mutex;

/// The members by session; sessions are known by the key of their home.
#[derive(Default)]
pub struct Members(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// The session of each conversation.
    joined: HashMap<u64, u64>,
    bound: HashMap<u64, Bound>,
}

/// A session that ends with its last member.
#[derive(Default)]
struct Bound {
    /// The last member signs out.
    leaving: bool,
}

impl Table {
    fn count(&self, session: u64) -> usize {
        self.joined
            .values()
            .filter(|other| **other == session)
            .count()
    }
}

impl Members {
    /// A conversation takes part; `false` if the session is about to end.
    pub fn join(&self, conversation: u64, session: u64, bound: bool) -> bool {
        let mut table = self.0.lock();
        if bound {
            table.bound.entry(session).or_default();
        }
        if table.bound.get(&session).is_some_and(|bound| bound.leaving) {
            return false;
        }
        table.joined.insert(conversation, session);
        true
    }

    /// Takes part no longer, unless the session would end with that: then it is this one's to sign out, which is
    /// answered by `true`.
    pub fn leave(&self, conversation: u64) -> bool {
        let mut table = self.0.lock();
        let Some(session) = table.joined.get(&conversation).copied() else {
            return false;
        };
        let alone = table.count(session) == 1;
        match table.bound.get_mut(&session) {
            Some(bound) if alone => {
                bound.leaving = true;
                true
            }
            _ => {
                table.joined.remove(&conversation);
                false
            }
        }
    }

    /// How many but this one take part.
    pub fn others(&self, conversation: u64, session: u64) -> usize {
        let table = self.0.lock();
        let own = table.joined.get(&conversation) == Some(&session);
        table.count(session) - usize::from(own)
    }

    /// A conversation was closed; the session that has to end with it.
    pub fn gone(&self, conversation: u64) -> Option<u64> {
        let mut table = self.0.lock();
        let session = table.joined.remove(&conversation)?;
        let last = table.count(session) == 0 && table.bound.contains_key(&session);
        last.then_some(session)
    }

    /// A session has ended.
    pub fn ended(&self, session: u64) {
        self.0.lock().bound.remove(&session);
    }

    /// Whether any conversation is open that takes part somewhere, or did until its session ended.
    pub fn are_there(&self) -> bool {
        !self.0.lock().joined.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_signs_out() {
        let members = Members::default();
        assert!(members.join(1, 7, true));
        assert!(members.join(2, 7, false));
        assert_eq!(members.others(1, 7), 1);
        assert_eq!(members.others(3, 7), 2);
        assert!(!members.leave(1));
        assert!(!members.leave(1), "only once");
        assert!(members.leave(2));
        assert!(!members.join(3, 7, false), "it is about to end");
        members.ended(7);
        assert_eq!(members.gone(2), None, "it has ended already");
        assert!(!members.are_there());
    }

    #[test]
    fn a_member_that_is_killed_leaves_too() {
        let members = Members::default();
        assert!(members.join(1, 7, true));
        assert!(members.join(2, 7, false));
        assert_eq!(members.gone(1), None);
        assert_eq!(members.gone(2), Some(7));
        assert_eq!(members.gone(2), None);
    }

    #[test]
    fn a_session_of_somebody_elses_stays() {
        let members = Members::default();
        assert!(members.join(1, 7, false));
        assert!(!members.leave(1));
        assert!(members.join(2, 7, false));
        assert_eq!(members.gone(2), None);
    }
}
