//! Nodes of the tree, in memory and as bytes.
//!
//! What always holds here: the items of a leaf and the children of a branch are sorted without
//! repetition, and a branch's child holds the keys from its own first key up to the next child's.
//!
//! A node as bytes: its kind; the packs it refers to, numbered; then its items or children. Pack number
//! 0 is the pack that the node itself is in, so that a node and its children can share one.

use std::sync::{Arc, OnceLock};

use safeos_record::Address;

use crate::codec::{Reader, Write};
use crate::item::{
    Key, RefReader, RefWriter, Value, read_key, read_place, read_value, write_key, write_place,
    write_value,
};
use crate::object_ref::ObjectRef;
use crate::pack::PackedObject;
use crate::{Error, Result};

/// A node heavier than this (in bytes as written, about) is split.
pub(crate) const NODE_BYTES_MAX: usize = 24 * 1024;
/// Two neighbours that together are lighter than this become one.
pub(crate) const NODE_BYTES_MIN: usize = NODE_BYTES_MAX / 3;
/// The tallest tree that is read. A branch has at least two children.
pub(crate) const HEIGHT_MAX: usize = 48;
/// Most packs that one node refers to.
const PACKS_MAX: usize = 65_536;

/// Where a child is.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    Stored(ObjectRef),
    Memory(Arc<Node>),
}

#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) first: Key,
    pub(crate) link: Link,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Leaf(Vec<(Key, Value)>),
    Branch(Vec<Child>),
}

/// A node of the tree.
#[derive(Debug)]
pub struct Node {
    pub(crate) body: Body,
    /// About how many bytes it takes when it is written.
    pub(crate) weight: usize,
    /// Where exactly these contents are stored, once they are.
    pub(crate) stored: OnceLock<ObjectRef>,
}

/// A copy is made to be changed: it is not stored.
impl Clone for Node {
    fn clone(&self) -> Self {
        Self {
            body: self.body.clone(),
            weight: self.weight,
            stored: OnceLock::new(),
        }
    }
}

pub(crate) fn item_weight(key: &Key, value: &Value) -> usize {
    key.weight() + value.weight()
}

pub(crate) fn child_weight(child: &Child) -> usize {
    child.first.weight() + 28
}

impl Node {
    pub(crate) fn leaf(items: Vec<(Key, Value)>) -> Self {
        let weight = items.iter().map(|(k, v)| item_weight(k, v)).sum();
        Self {
            body: Body::Leaf(items),
            weight,
            stored: OnceLock::new(),
        }
    }

    pub(crate) fn branch(children: Vec<Child>) -> Self {
        let weight = children.iter().map(child_weight).sum();
        Self {
            body: Body::Branch(children),
            weight,
            stored: OnceLock::new(),
        }
    }

    /// About how many bytes the node takes in memory.
    pub fn memory(&self) -> usize {
        let entries = match &self.body {
            Body::Leaf(items) => items.len() * 200,
            Body::Branch(children) => children.len() * 160,
        };
        entries + self.weight
    }

    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self.body, Body::Leaf(_))
    }

    /// Writes the node. `place` says where a child in memory was stored.
    pub(crate) fn encode(
        &self,
        place: &dyn Fn(&Arc<Node>) -> Option<ChildPlace>,
    ) -> Result<Vec<u8>> {
        let mut table = PackTable {
            own: None,
            packs: Vec::new(),
        };
        let mut body = Vec::with_capacity(self.weight + self.weight / 4);
        let kind = match &self.body {
            Body::Leaf(items) => {
                body.number(items.len() as u64);
                let mut previous = 0;
                for (key, value) in items {
                    write_key(key, previous, &mut body);
                    write_value(key, value, &mut table, &mut body);
                    previous = key.ino;
                }
                0
            }
            Body::Branch(children) => {
                body.number(children.len() as u64);
                let mut previous = 0;
                for child in children {
                    write_key(&child.first, previous, &mut body);
                    match &child.link {
                        Link::Stored(at) => table.write(at, &mut body),
                        Link::Memory(node) => {
                            match place(node).ok_or(Error::Format("a child is not stored"))? {
                                ChildPlace::Stored(at) => table.write(&at, &mut body),
                                ChildPlace::SamePack(place) => {
                                    body.number(0);
                                    write_place(&place.within(Address([0; 32])), &mut body);
                                }
                            }
                        }
                    }
                    previous = child.first.ino;
                }
                1
            }
        };
        let mut out = Vec::with_capacity(body.len() + 8 + table.packs.len() * 32);
        out.push(kind);
        out.number(table.packs.len() as u64);
        for pack in &table.packs {
            out.extend_from_slice(&pack.0);
        }
        out.extend_from_slice(&body);
        Ok(out)
    }

    /// Reads a node that came from `own_pack` (`None`: from a head chunk).
    pub fn decode(bytes: &[u8], own_pack: Option<Address>) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        let count = reader.count(32)?;
        if count > PACKS_MAX {
            return Err(Error::Format("a node refers to too many packs"));
        }
        let mut table = PackTable {
            own: own_pack,
            packs: Vec::with_capacity(count),
        };
        for _ in 0..count {
            table.packs.push(Address(reader.array()?));
        }
        let node = match kind {
            0 => {
                let count = reader.count(3)?;
                let mut items: Vec<(Key, Value)> = Vec::with_capacity(count.min(4096));
                for _ in 0..count {
                    let previous = items.last().map_or(0, |(key, _)| key.ino);
                    let key = read_key(previous, &mut reader)?;
                    if items.last().is_some_and(|(last, _)| *last >= key) {
                        return Err(Error::Format("a leaf's items are not sorted"));
                    }
                    let value = read_value(&key, &table, &mut reader)?;
                    items.push((key, value));
                }
                Self::leaf(items)
            }
            1 => {
                let count = reader.count(20)?;
                if count == 0 {
                    return Err(Error::Format("a branch has no children"));
                }
                let mut children: Vec<Child> = Vec::with_capacity(count.min(4096));
                for _ in 0..count {
                    let previous = children.last().map_or(0, |child| child.first.ino);
                    let first = read_key(previous, &mut reader)?;
                    if children.last().is_some_and(|last| last.first >= first) {
                        return Err(Error::Format("a branch's children are not sorted"));
                    }
                    let link = Link::Stored(table.read(&mut reader)?);
                    children.push(Child { first, link });
                }
                Self::branch(children)
            }
            _ => return Err(Error::Format("a node is of an unknown kind")),
        };
        reader.end()?;
        Ok(node)
    }
}

/// Where a child that is in memory went.
pub(crate) enum ChildPlace {
    Stored(ObjectRef),
    /// In the pack that its parent will be in too.
    SamePack(PackedObject),
}

struct PackTable {
    own: Option<Address>,
    packs: Vec<Address>,
}

impl RefWriter for PackTable {
    fn write(&mut self, at: &ObjectRef, out: &mut Vec<u8>) {
        // The newest packs are the likeliest; the table is short.
        let found = self.packs.iter().rposition(|pack| *pack == at.pack);
        let number = found.unwrap_or_else(|| {
            self.packs.push(at.pack);
            self.packs.len() - 1
        });
        out.number(number as u64 + 1);
        write_place(at, out);
    }
}

impl RefReader for PackTable {
    fn read(&self, reader: &mut Reader<'_>) -> Result<ObjectRef> {
        let pack = match reader.number()? {
            0 => self
                .own
                .ok_or(Error::Format("a head refers to its own pack"))?,
            number => *usize::try_from(number - 1)
                .ok()
                .and_then(|index| self.packs.get(index))
                .ok_or(Error::Format("a pack is not in the node's list"))?,
        };
        read_place(pack, reader)
    }
}
