//! The tree: a copy-on-write B-tree of items.
//!
//! What always holds here: a clone of a tree is a snapshot that later changes of the original do not
//! touch; changing an item copies one path at most; nodes that were not changed since they were stored
//! stay known as stored. Nothing here waits for a store unless the [`Source`] that is given does.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use safeos_record::Address;

use crate::batch::Batch;
use crate::item::{Key, Value};
use crate::node::{
    Body, Child, HEIGHT_MAX, Link, NODE_BYTES_MAX, NODE_BYTES_MIN, Node, child_weight, item_weight,
};
use crate::object_ref::ObjectRef;
use crate::read::{Reader, Source};
use crate::{Error, Result};

/// How much after the start of a node, in its pack, may come along when it is fetched from afar, and how much before
/// it.
const AFTER_BYTES: u32 = 48 * 1024;
const BEFORE_BYTES: u32 = 16 * 1024;

/// How much a tree holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Nodes: files, directories and the rest.
    pub nodes: u64,
    /// Bytes of the blocks that are there.
    pub bytes: u64,
}

/// A tree of items.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(crate) root: Arc<Node>,
    pub(crate) totals: Totals,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::from_root(Node::leaf(Vec::new()), Totals::default())
    }

    /// A tree from its root node.
    pub fn from_root(root: Node, totals: Totals) -> Self {
        Self {
            root: Arc::new(root),
            totals,
        }
    }

    /// Whether the two are the same state, unchanged since one was cloned from the other.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }

    /// How much it holds.
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// The value at `key`.
    pub fn get(&self, source: &dyn Source, key: &Key) -> Result<Option<Value>> {
        fn find<'a>(node: &'a Node, key: &Key) -> Result<Option<Value>, (&'a [Child], usize)> {
            match &node.body {
                Body::Leaf(items) => Ok(items
                    .binary_search_by(|(probe, _)| probe.cmp(key))
                    .ok()
                    .map(|index| items[index].1.clone())),
                Body::Branch(children) => {
                    let index = child_for(children, key);
                    match &children[index].link {
                        Link::Memory(child) => find(child, key),
                        Link::Stored(_) => Err((children, index)),
                    }
                }
            }
        }
        let mut node;
        let mut next = find(&self.root, key);
        for _ in 0..HEIGHT_MAX {
            match next {
                Ok(value) => return Ok(value),
                Err((children, index)) => {
                    node = load_child(source, children, index)?;
                    next = find(&node, key);
                }
            }
        }
        Err(Error::Format("the tree is too tall"))
    }

    /// Visits the items from `from` up to but without `to`, in order, until told to stop.
    pub fn scan(
        &self,
        source: &dyn Source,
        from: &Key,
        to: &Key,
        visit: &mut dyn FnMut(&Key, &Value) -> ControlFlow<()>,
    ) -> Result<()> {
        scan(&self.root, source, from, to, visit, HEIGHT_MAX).map(|_| ())
    }

    /// Makes all changes of a batch, or none of them if a node is not to be had.
    pub fn apply(&mut self, source: &dyn Source, batch: Batch) -> Result<()> {
        for (key, _) in &batch {
            // Fetched nodes stay, so that the next try gets further.
            pin(&mut self.root, source, key, HEIGHT_MAX)?;
        }
        // A removal may take a leaf away; later items of the batch go into the neighbour then, which may
        // have to be fetched. Insertions alone stay on the paths that are in memory, and cannot fail.
        let before = batch
            .iter()
            .any(|(_, value)| value.is_none())
            .then(|| self.clone());
        let applied = self.apply_pinned(source, batch);
        if applied.is_err()
            && let Some(before) = before
        {
            *self = before;
        }
        applied
    }

    /// Makes the changes one by one, up to the first for which a node is not to be had.
    fn apply_pinned(&mut self, source: &dyn Source, batch: Batch) -> Result<()> {
        for (key, value) in batch {
            let added = totals_of(value.as_ref());
            let old = match value {
                Some(value) => {
                    let (old, split) = insert(&mut self.root, source, key, value)?;
                    self.grow(split);
                    old
                }
                None => {
                    let old = remove(&mut self.root, source, &key)?;
                    self.shrink();
                    old
                }
            };
            let removed = totals_of(old.as_ref());
            self.totals.nodes = (self.totals.nodes + added.nodes).saturating_sub(removed.nodes);
            self.totals.bytes = (self.totals.bytes + added.bytes).saturating_sub(removed.bytes);
        }
        Ok(())
    }

    fn grow(&mut self, split: Vec<Child>) {
        if split.is_empty() {
            return;
        }
        let first = first_key(&self.root);
        let old = std::mem::replace(&mut self.root, Arc::new(Node::leaf(Vec::new())));
        let mut children = vec![Child {
            first,
            link: Link::Memory(old),
        }];
        children.extend(split);
        self.root = Arc::new(Node::branch(children));
    }

    fn shrink(&mut self) {
        loop {
            let next = match &self.root.body {
                Body::Branch(children) => match children.as_slice() {
                    [] => Arc::new(Node::leaf(Vec::new())),
                    [
                        Child {
                            link: Link::Memory(only),
                            ..
                        },
                    ] => only.clone(),
                    _ => return,
                },
                Body::Leaf(_) => return,
            };
            self.root = next;
        }
    }

    /// Lets go of the nodes that are stored, so that only the cache of `reader` keeps them in memory.
    pub fn release_stored(&mut self, reader: &Reader) {
        release(&mut self.root, reader);
    }

    /// Takes nodes into memory that are stored in packs of which `lost` says so: they are sealed again with the next
    /// commit.
    pub fn store_again(
        &mut self,
        source: &dyn Source,
        lost: &dyn Fn(&Address) -> bool,
    ) -> Result<()> {
        store_again(&mut self.root, source, lost, HEIGHT_MAX).map(drop)
    }

    /// How many levels of branches stand over the leaves.
    pub(crate) fn height(&self, source: &dyn Source) -> Result<usize> {
        let mut node = self.root.clone();
        for height in 0..HEIGHT_MAX {
            let link = match &node.body {
                Body::Leaf(_) => return Ok(height),
                Body::Branch(children) => children[0].link.clone(),
            };
            node = load(source, &link)?;
        }
        Err(Error::Format("the tree is too tall"))
    }
}

pub(crate) fn load(source: &dyn Source, link: &Link) -> Result<Arc<Node>> {
    match link {
        Link::Memory(node) => Ok(node.clone()),
        Link::Stored(at) => source.node(at),
    }
}

/// One of the children of a node; where it has to be fetched, with those around it.
fn load_child(source: &dyn Source, children: &[Child], index: usize) -> Result<Arc<Node>> {
    match &children[index].link {
        Link::Memory(node) => Ok(node.clone()),
        Link::Stored(at) => source.child(at, &|| around(children, index, at)),
    }
}

/// The bytes of a pack that have a child and its neighbours, of which more are those that come after it: what was made
/// later.
fn around(children: &[Child], index: usize, at: &ObjectRef) -> Range<u32> {
    let mut range = at.offset..at.offset.saturating_add(at.len);
    let in_pack = |child: &Child| match &child.link {
        Link::Stored(other) if other.pack == at.pack => {
            Some(other.offset..other.offset.checked_add(other.len)?)
        }
        _ => None,
    };
    for next in children[index + 1..].iter().map_while(in_pack) {
        if next.start != range.end || next.end - at.offset > AFTER_BYTES {
            break;
        }
        range.end = next.end;
    }
    for before in children[..index].iter().rev().map_while(in_pack) {
        if before.end != range.start || at.offset - before.start > BEFORE_BYTES {
            break;
        }
        range.start = before.start;
    }
    range
}

/// Whether something was taken into memory at or under the node, which counts as changed then.
fn store_again(
    node: &mut Arc<Node>,
    source: &dyn Source,
    lost: &dyn Fn(&Address) -> bool,
    height_left: usize,
) -> Result<bool> {
    let mut changed = node.stored.get().is_some_and(|at| lost(&at.pack));
    if let Body::Branch(children) = &node.body {
        let height_left = lower(height_left)?;
        let mut fresh = Vec::new();
        for (index, child) in children.iter().enumerate() {
            let mut below = load(source, &child.link)?;
            let is_lost = matches!(&child.link, Link::Stored(at) if lost(&at.pack));
            if store_again(&mut below, source, lost, height_left)? || is_lost {
                fresh.push((index, below));
            }
        }
        if !fresh.is_empty() {
            changed = true;
            if let Body::Branch(children) = &mut to_change(node).body {
                for (index, mut below) in fresh {
                    to_change(&mut below);
                    children[index].link = Link::Memory(below);
                }
            }
        }
    }
    if changed {
        to_change(node);
    }
    Ok(changed)
}

/// The child that holds `key`, if any does.
fn child_for(children: &[Child], key: &Key) -> usize {
    children
        .partition_point(|child| child.first <= *key)
        .saturating_sub(1)
}

fn first_key(node: &Node) -> Key {
    match &node.body {
        Body::Leaf(items) => items.first().map(|(key, _)| key.clone()),
        Body::Branch(children) => children.first().map(|child| child.first.clone()),
    }
    .unwrap_or_else(|| Key::inode(0))
}

fn totals_of(value: Option<&Value>) -> Totals {
    match value {
        Some(Value::Inode(inode)) => Totals {
            nodes: 1,
            bytes: inode.allocated,
        },
        _ => Totals::default(),
    }
}

fn scan(
    node: &Node,
    source: &dyn Source,
    from: &Key,
    to: &Key,
    visit: &mut dyn FnMut(&Key, &Value) -> ControlFlow<()>,
    height_left: usize,
) -> Result<ControlFlow<()>> {
    match &node.body {
        Body::Leaf(items) => {
            let start = items.partition_point(|(key, _)| key < from);
            for (key, value) in &items[start..] {
                if key >= to || visit(key, value).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Body::Branch(children) => {
            let height_left = lower(height_left)?;
            for index in child_for(children, from)..children.len() {
                if children[index].first >= *to {
                    return Ok(ControlFlow::Break(()));
                }
                let node = load_child(source, children, index)?;
                if scan(&node, source, from, to, visit, height_left)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn lower(height_left: usize) -> Result<usize> {
    height_left
        .checked_sub(1)
        .ok_or(Error::Format("the tree is too tall"))
}

/// The node, to be changed: a copy if others hold it too, and no longer known as stored.
fn to_change(node: &mut Arc<Node>) -> &mut Node {
    let node = Arc::make_mut(node);
    node.stored.take();
    node
}

/// The node that a child is, in memory from now on.
fn in_memory<'a>(link: &'a mut Link, source: &dyn Source) -> Result<&'a mut Arc<Node>> {
    if let Link::Stored(at) = link {
        *link = Link::Memory(source.node(at)?);
    }
    match link {
        Link::Memory(node) => Ok(node),
        Link::Stored(_) => Err(Error::Format("a path to be changed is not in memory")),
    }
}

/// Brings the path to `key` into memory.
fn pin(node: &mut Arc<Node>, source: &dyn Source, key: &Key, height_left: usize) -> Result<()> {
    let Body::Branch(children) = &node.body else {
        return Ok(());
    };
    let height_left = lower(height_left)?;
    let index = child_for(children, key);
    let loaded = match &children[index].link {
        Link::Stored(at) => Some(source.node(at)?),
        Link::Memory(_) => None,
    };
    let Body::Branch(children) = &mut to_change(node).body else {
        return Ok(());
    };
    if let Some(loaded) = loaded {
        children[index].link = Link::Memory(loaded);
    }
    match &mut children[index].link {
        Link::Memory(child) => pin(child, source, key, height_left),
        Link::Stored(_) => Ok(()),
    }
}

/// Puts an item in: the value that was there, and new right-hand neighbours of `node`.
fn insert(
    node: &mut Arc<Node>,
    source: &dyn Source,
    key: Key,
    value: Value,
) -> Result<(Option<Value>, Vec<Child>)> {
    let node = to_change(node);
    let (old, appended) = match &mut node.body {
        Body::Leaf(items) => {
            node.weight += item_weight(&key, &value);
            match items.binary_search_by(|(probe, _)| probe.cmp(&key)) {
                Ok(index) => {
                    node.weight -= item_weight(&key, &items[index].1);
                    let old = std::mem::replace(&mut items[index].1, value);
                    (Some(old), false)
                }
                Err(index) => {
                    let appended = index == items.len();
                    items.insert(index, (key, value));
                    (None, appended)
                }
            }
        }
        Body::Branch(children) => {
            let index = child_for(children, &key);
            let child = &mut children[index];
            if key < child.first {
                node.weight += key.weight();
                node.weight -= child.first.weight();
                child.first = key.clone();
            }
            let below = in_memory(&mut child.link, source)?;
            let (old, split) = insert(below, source, key, value)?;
            node.weight += split.iter().map(child_weight).sum::<usize>();
            let appended = index + 1 == children.len();
            children.splice(index + 1..index + 1, split);
            (old, appended)
        }
    };
    Ok((old, split(node, appended)))
}

/// Cuts a node that has become too heavy. One that grows at its end is left nearly full, since the next
/// keys will come after it too.
fn split(node: &mut Node, appended: bool) -> Vec<Child> {
    let mut right = Vec::new();
    while node.weight > NODE_BYTES_MAX {
        let part = if appended {
            node.weight * 9 / 10
        } else {
            node.weight / 2
        };
        let new = match &mut node.body {
            Body::Leaf(items) if items.len() > 1 => {
                let at = cut(
                    items.iter().map(|(k, v)| item_weight(k, v)),
                    part,
                    items.len(),
                );
                Node::leaf(items.split_off(at))
            }
            Body::Branch(children) if children.len() > 3 => {
                let at = cut(children.iter().map(child_weight), part, children.len());
                Node::branch(children.split_off(at))
            }
            _ => break,
        };
        node.weight -= new.weight;
        let mut new = Arc::new(new);
        let further = split(Arc::make_mut(&mut new), false);
        let mut pieces = vec![Child {
            first: first_key(&new),
            link: Link::Memory(new),
        }];
        pieces.extend(further);
        pieces.append(&mut right);
        right = pieces;
    }
    right
}

/// After how many entries about `part` of the weight is reached, leaving something on both sides.
fn cut(weights: impl Iterator<Item = usize>, part: usize, len: usize) -> usize {
    let mut sum = 0;
    let count = weights
        .take_while(|weight| {
            sum += weight;
            sum <= part
        })
        .count();
    count.clamp(1, len - 1)
}

/// Takes an item out.
fn remove(node: &mut Arc<Node>, source: &dyn Source, key: &Key) -> Result<Option<Value>> {
    let node = to_change(node);
    match &mut node.body {
        Body::Leaf(items) => Ok(items
            .binary_search_by(|(probe, _)| probe.cmp(key))
            .ok()
            .map(|index| {
                let (key, value) = items.remove(index);
                node.weight -= item_weight(&key, &value);
                value
            })),
        Body::Branch(children) => {
            let index = child_for(children, key);
            let below = in_memory(&mut children[index].link, source)?;
            let old = remove(below, source, key)?;
            if old.is_some() {
                join(children, index);
                node.weight = children.iter().map(child_weight).sum();
            }
            Ok(old)
        }
    }
}

/// After a removal: takes out a child that has become empty, and joins a light one with a neighbour that
/// is in memory.
fn join(children: &mut Vec<Child>, index: usize) {
    let Link::Memory(child) = &children[index].link else {
        return;
    };
    let empty = match &child.body {
        Body::Leaf(items) => items.is_empty(),
        Body::Branch(below) => below.is_empty(),
    };
    if empty {
        children.remove(index);
        return;
    }
    if child.weight >= NODE_BYTES_MIN {
        return;
    }
    let fits = |left: usize| match children.get(left..left + 2) {
        Some(
            [
                Child {
                    link: Link::Memory(a),
                    ..
                },
                Child {
                    link: Link::Memory(b),
                    ..
                },
            ],
        ) => a.weight + b.weight < NODE_BYTES_MAX / 2 && a.is_leaf() == b.is_leaf(),
        _ => false,
    };
    let left = if fits(index) {
        index
    } else if index > 0 && fits(index - 1) {
        index - 1
    } else {
        return;
    };
    let Link::Memory(right) = children.remove(left + 1).link else {
        return;
    };
    let Link::Memory(node) = &mut children[left].link else {
        return;
    };
    let node = to_change(node);
    match (&mut node.body, &right.body) {
        (Body::Leaf(items), Body::Leaf(more)) => items.extend_from_slice(more),
        (Body::Branch(below), Body::Branch(more)) => below.extend_from_slice(more),
        _ => {}
    }
    node.weight += right.weight;
}

fn release(node: &mut Arc<Node>, reader: &Reader) {
    let Some(node) = Arc::get_mut(node) else {
        return;
    };
    let Body::Branch(children) = &mut node.body else {
        return;
    };
    for child in children {
        if let Link::Memory(below) = &mut child.link {
            match below.stored.get().copied() {
                Some(at) => {
                    reader.keep(below);
                    child.link = Link::Stored(at);
                }
                None => release(below, reader),
            }
        }
    }
}
