//! Going through a tree in order, around the nodes that cannot be read.

use std::sync::Arc;

use crate::item::{Ino, Key, Value};
use crate::node::{Body, HEIGHT_MAX, Node};
use crate::read::Source;
use crate::tree::{Tree, load};
use crate::{Error, Result};

/// A part of the tree that cannot be read: the keys from `from` up to but without `to`.
pub(super) struct Gap {
    pub(super) from: Key,
    pub(super) to: Option<Key>,
    pub(super) why: Error,
}

/// The gaps found so far, in order.
#[derive(Default)]
pub(super) struct Gaps(Vec<(Key, Option<Key>)>);

impl Gaps {
    pub(super) fn add(&mut self, gap: Gap) {
        self.0.push((gap.from, gap.to));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the item at `key` may be in a gap.
    pub(super) fn cover(&self, key: &Key) -> bool {
        let after = self.0.partition_point(|(from, _)| from <= key);
        self.0[..after]
            .last()
            .is_some_and(|(_, to)| to.as_ref().is_none_or(|to| key < to))
    }

    /// Whether any item of `ino` may be in a gap.
    pub(super) fn touch(&self, ino: Ino) -> bool {
        let start = Key::inode(ino);
        let end = Key::inode(ino.saturating_add(1));
        let before_end = self.0.partition_point(|(from, _)| *from < end);
        self.0[..before_end]
            .last()
            .is_some_and(|(_, to)| to.as_ref().is_none_or(|to| start < *to))
    }
}

/// An item on the way, or a gap.
pub(super) type Seen<'a> = Result<(&'a Key, &'a Value), Gap>;

/// Visits the items from `from` up to `to`, and the gaps between them. Nodes that break the tree's order
/// count as gaps.
pub(super) fn walk(
    tree: &Tree,
    source: &dyn Source,
    from: &Key,
    to: Option<&Key>,
    visit: &mut dyn FnMut(Seen<'_>) -> Result<()>,
) -> Result<()> {
    let mut walk = Walk {
        source,
        from,
        to,
        leaves_at: None,
        visit,
    };
    let lowest = Key::inode(0);
    walk.node(&tree.root, &lowest, None, 0)
}

struct Walk<'a, 'b> {
    source: &'a dyn Source,
    from: &'a Key,
    to: Option<&'a Key>,
    /// How deep the leaves are.
    leaves_at: Option<usize>,
    visit: &'b mut dyn FnMut(Seen<'_>) -> Result<()>,
}

impl Walk<'_, '_> {
    /// `lower` and `upper` are the bounds that the node's parent gives it.
    fn node(
        &mut self,
        node: &Arc<Node>,
        lower: &Key,
        upper: Option<&Key>,
        depth: usize,
    ) -> Result<()> {
        if let Some(why) = self.wrong(node, lower, upper, depth) {
            return (self.visit)(Err(Gap {
                from: lower.clone(),
                to: upper.cloned(),
                why: Error::Format(why),
            }));
        }
        match &node.body {
            Body::Leaf(items) => {
                for (key, value) in items {
                    if key >= self.from && self.to.is_none_or(|to| key < to) {
                        (self.visit)(Ok((key, value)))?;
                    }
                }
            }
            Body::Branch(children) => {
                for (index, child) in children.iter().enumerate() {
                    let next = children.get(index + 1).map(|next| &next.first).or(upper);
                    let ends_before = next.is_some_and(|next| next <= self.from);
                    let begins_after = self.to.is_some_and(|to| child.first >= *to);
                    if ends_before || begins_after {
                        continue;
                    }
                    match load(self.source, &child.link) {
                        Ok(below) => self.node(&below, &child.first, next, depth + 1)?,
                        Err(why) => (self.visit)(Err(Gap {
                            from: child.first.clone(),
                            to: next.cloned(),
                            why,
                        }))?,
                    }
                }
            }
        }
        Ok(())
    }

    fn wrong(
        &mut self,
        node: &Node,
        lower: &Key,
        upper: Option<&Key>,
        depth: usize,
    ) -> Option<&'static str> {
        if depth > HEIGHT_MAX {
            return Some("the tree is too tall");
        }
        let (first, last) = match &node.body {
            Body::Leaf(items) => {
                if *self.leaves_at.get_or_insert(depth) != depth {
                    return Some("the tree's leaves are not all at one level");
                }
                (
                    items.first().map(|(key, _)| key),
                    items.last().map(|(key, _)| key),
                )
            }
            Body::Branch(children) => (
                children.first().map(|child| &child.first),
                children.last().map(|child| &child.first),
            ),
        };
        let (Some(first), Some(last)) = (first, last) else {
            return (depth > 0).then_some("a node of the tree is empty");
        };
        if first < lower || upper.is_some_and(|upper| last >= upper) {
            return Some("a node stands at the wrong place of the tree");
        }
        None
    }
}
