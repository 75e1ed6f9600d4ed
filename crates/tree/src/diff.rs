//! Differences between two trees. Shared nodes are skipped, so the cost grows with the difference.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::Result;
use crate::item::{Key, Value};
use crate::node::{Body, Link, Node};
use crate::read::Source;
use crate::tree::{Tree, load};

/// Is told of a key and its value in the left and in the right tree.
pub type Visit<'a> = &'a mut dyn FnMut(&Key, Option<&Value>, Option<&Value>) -> Result<()>;

/// Visits every key whose value differs, in order, with the value in each tree.
pub fn diff(left: &Tree, right: &Tree, source: &dyn Source, visit: Visit<'_>) -> Result<()> {
    let mut a = Cursor::new(left, source)?;
    let mut b = Cursor::new(right, source)?;
    loop {
        let (order, levels) = match (a.place(), b.place()) {
            (None, None) => return Ok(()),
            (Some(_), None) => (Ordering::Less, Ordering::Equal),
            (None, Some(_)) => (Ordering::Greater, Ordering::Equal),
            (Some(left), Some(right)) => (left.0.cmp(right.0), left.1.cmp(&right.1)),
        };
        match order {
            Ordering::Less => {
                if !a.descend(source)? {
                    if let Some((key, value)) = a.item() {
                        visit(key, Some(value), None)?;
                    }
                    a.next();
                }
            }
            Ordering::Greater => {
                if !b.descend(source)? {
                    if let Some((key, value)) = b.item() {
                        visit(key, None, Some(value))?;
                    }
                    b.next();
                }
            }
            Ordering::Equal => match levels {
                Ordering::Greater => {
                    a.descend(source)?;
                }
                Ordering::Less => {
                    b.descend(source)?;
                }
                Ordering::Equal => {
                    if a.same_child(&b) {
                        a.next();
                        b.next();
                    } else if !a.descend(source)? {
                        if let (Some((key, left)), Some((_, right))) = (a.item(), b.item())
                            && left != right
                        {
                            visit(key, Some(left), Some(right))?;
                        }
                        a.next();
                        b.next();
                    } else {
                        b.descend(source)?;
                    }
                }
            },
        }
    }
}

/// A place in a tree: a child of a branch that was not entered yet, or an item of a leaf.
struct Cursor {
    stack: Vec<(Arc<Node>, usize)>,
    height: usize,
}

impl Cursor {
    fn new(tree: &Tree, source: &dyn Source) -> Result<Self> {
        let mut cursor = Self {
            stack: vec![(tree.root.clone(), 0)],
            height: tree.height(source)?,
        };
        cursor.settle();
        Ok(cursor)
    }

    /// Leaves the nodes whose end was reached.
    fn settle(&mut self) {
        while let Some((node, index)) = self.stack.last() {
            let len = match &node.body {
                Body::Leaf(items) => items.len(),
                Body::Branch(children) => children.len(),
            };
            if *index < len {
                return;
            }
            self.stack.pop();
            if let Some((_, index)) = self.stack.last_mut() {
                *index += 1;
            }
        }
    }

    fn next(&mut self) {
        if let Some((_, index)) = self.stack.last_mut() {
            *index += 1;
        }
        self.settle();
    }

    /// The first key here, and how high over the items it stands.
    fn place(&self) -> Option<(&Key, usize)> {
        let (node, index) = self.stack.last()?;
        match &node.body {
            Body::Leaf(items) => Some((&items[*index].0, 0)),
            Body::Branch(children) => {
                Some((&children[*index].first, self.height + 2 - self.stack.len()))
            }
        }
    }

    fn item(&self) -> Option<(&Key, &Value)> {
        let (node, index) = self.stack.last()?;
        match &node.body {
            Body::Leaf(items) => items.get(*index).map(|(key, value)| (key, value)),
            Body::Branch(_) => None,
        }
    }

    fn link(&self) -> Option<&Link> {
        let (node, index) = self.stack.last()?;
        match &node.body {
            Body::Leaf(_) => None,
            Body::Branch(children) => children.get(*index).map(|child| &child.link),
        }
    }

    fn same_child(&self, other: &Self) -> bool {
        let stored = |link: &Link| match link {
            Link::Stored(at) => Some(*at),
            Link::Memory(node) => node.stored.get().copied(),
        };
        match (self.link(), other.link()) {
            (Some(Link::Memory(a)), Some(Link::Memory(b))) if Arc::ptr_eq(a, b) => true,
            (Some(a), Some(b)) => matches!((stored(a), stored(b)), (Some(a), Some(b)) if a == b),
            _ => false,
        }
    }

    /// Enters the child here; `false` at an item.
    fn descend(&mut self, source: &dyn Source) -> Result<bool> {
        let Some(link) = self.link() else {
            return Ok(false);
        };
        let node = load(source, link)?;
        self.stack.push((node, 0));
        self.settle();
        Ok(true)
    }
}
