//! The findings of a check.

use crate::item::{Ino, ROOT};

/// Most problems that are listed one by one.
const PROBLEMS_MAX: usize = 10_000;

/// Something that is not as it has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Which node it concerns, if one.
    pub ino: Option<Ino>,
    /// Its path in the home, without a slash before it, if there is one.
    pub path: Option<Vec<u8>>,
    /// The problem.
    pub what: String,
}

/// The result of a check.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Checked {
    /// The problems, in the order of inode numbers.
    pub problems: Vec<Problem>,
    /// How many further problems there are.
    pub more: u64,
    /// Nodes that could be read.
    pub nodes: u64,
    /// Nodes without a name: deleted while open.
    pub orphans: u64,
    /// Bytes of the blocks that are there.
    pub bytes: u64,
}

impl Checked {
    pub(super) fn report(&mut self, ino: impl Into<Option<Ino>>, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem {
                ino: ino.into(),
                path: None,
                what: what.into(),
            });
        } else {
            self.more += 1;
        }
    }
}

/// Whether the root is there is checked with the names; this is what it is called.
pub(super) const fn is_root(ino: Ino) -> bool {
    ino == ROOT
}
