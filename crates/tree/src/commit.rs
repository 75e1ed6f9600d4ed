//! Commits: one immutable state of a home.

use safeos_record::Address;

use crate::codec::{Reader, Write};
use crate::item::{COMPUTER_BYTES_MAX, read_text};
use crate::node::Node;
use crate::tree::{Totals, Tree};
use crate::{Error, Result};

/// In version 1 objects were sealed in one piece each; no release has written it.
const VERSION: u8 = 2;
/// Most parents of a commit: the one before, and the one merged.
const PARENTS_MAX: usize = 2;

/// One state of a home: the top of its tree, and where it comes from. It stands in a head chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// When it was made, in nanoseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The name of the computer that made it.
    pub computer: String,
    /// The head chunks it was made from.
    pub parents: Vec<Address>,
    /// The stage whose changes it contains.
    pub stage: [u8; 16],
    /// Up to which segment of that stage it contains them.
    pub stage_segment: u64,
    /// Bytes of the records it added.
    pub added_bytes: u64,
    /// How much the tree holds.
    pub totals: Totals,
    /// The root node, as [`seal_tree`](crate::seal_tree) gave it.
    pub root: Vec<u8>,
}

impl Commit {
    /// The commit as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.number(self.time);
        out.bytes(cut_text(&self.computer).as_bytes());
        out.number(self.parents.len() as u64);
        for parent in &self.parents {
            out.extend_from_slice(&parent.0);
        }
        out.extend_from_slice(&self.stage);
        out.number(self.stage_segment);
        out.number(self.added_bytes);
        out.number(self.totals.nodes);
        out.number(self.totals.bytes);
        out.extend_from_slice(&self.root);
        out
    }

    /// Reads a commit.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION => {}
            1 => {
                return Err(Error::Format(
                    "a commit of a preview; it is not read any more",
                ));
            }
            _ => return Err(Error::Format("a commit of a newer version; update SafeOS")),
        }
        let time = reader.number()?;
        let computer = read_text(&mut reader, COMPUTER_BYTES_MAX)?.to_owned();
        let count = reader.count(32)?;
        if count > PARENTS_MAX {
            return Err(Error::Format("a commit has too many parents"));
        }
        let parents = (0..count)
            .map(|_| reader.array().map(Address))
            .collect::<Result<_>>()?;
        Ok(Self {
            time,
            computer,
            parents,
            stage: reader.array()?,
            stage_segment: reader.number()?,
            added_bytes: reader.number()?,
            totals: Totals {
                nodes: reader.number()?,
                bytes: reader.number()?,
            },
            root: reader.take(reader.remaining())?.to_vec(),
        })
    }

    /// The tree that the commit holds.
    pub fn tree(&self) -> Result<Tree> {
        Ok(Tree::from_root(
            Node::decode(&self.root, None)?,
            self.totals,
        ))
    }
}

/// A computer's name, cut to the length that a commit keeps.
pub fn cut_text(name: &str) -> &str {
    let mut end = name.len().min(COMPUTER_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}
