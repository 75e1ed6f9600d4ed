//! Sealing: the way of blocks and nodes into packs.

use std::collections::HashMap;
use std::sync::Arc;

use safeos_record::Chunk;

use crate::Result;
use crate::item::INLINE_BYTES_MAX;
use crate::node::{Body, ChildPlace, Link, Node};
use crate::object::{Keys, ObjectKind, Plain};
use crate::object_ref::ObjectRef;
use crate::pack::{PackWriter, PackedObject};
use crate::tree::Tree;

/// Takes finished packs: stores them, or keeps them until they are.
pub trait PackSink {
    /// Takes a pack and where each object is in it. When this returns, the pack is safe to refer to.
    fn pack(&mut self, chunk: Chunk, places: &[PackedObject]) -> Result<()>;
}

/// Seals the nodes of `tree` that are not stored yet and gives the root's bytes, which go into the head
/// chunk. Children come before their parents, as many as fit in one pack together.
pub fn seal_tree(tree: &Tree, keys: &Keys, sink: &mut dyn PackSink) -> Result<Vec<u8>> {
    let mut sealer = Sealer {
        keys,
        sink,
        writer: PackWriter::new(),
        pending: HashMap::new(),
    };
    sealer.children(&tree.root)?;
    // The head chunk is no pack, so the root can only refer to packs that are finished.
    sealer.finish()?;
    sealer.encode(&tree.root)
}

struct Sealer<'a> {
    keys: &'a Keys,
    sink: &'a mut dyn PackSink,
    writer: PackWriter,
    /// Nodes in the pack that is being written, by where they are in memory.
    pending: HashMap<*const Node, (Arc<Node>, PackedObject)>,
}

impl Sealer<'_> {
    fn children(&mut self, node: &Node) -> Result<()> {
        if let Body::Branch(children) = &node.body {
            for child in children {
                if let Link::Memory(child) = &child.link {
                    self.node(child)?;
                }
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &Arc<Node>) -> Result<()> {
        if node.stored.get().is_some() || self.pending.contains_key(&Arc::as_ptr(node)) {
            return Ok(());
        }
        self.children(node)?;
        let mut content = self.encode(node)?;
        let mut plain = Plain::new(self.keys, ObjectKind::Node, &content)?;
        if !self.writer.fits(plain.sealed_len()) {
            self.finish()?;
            // Its children are no longer in the same pack.
            content = self.encode(node)?;
            plain = Plain::new(self.keys, ObjectKind::Node, &content)?;
        }
        let place = self.writer.add(self.keys, plain)?;
        self.pending
            .insert(Arc::as_ptr(node), (node.clone(), place));
        Ok(())
    }

    fn encode(&self, node: &Node) -> Result<Vec<u8>> {
        node.encode(&|child| match child.stored.get() {
            Some(at) => Some(ChildPlace::Stored(*at)),
            None => {
                let (_, place) = self.pending.get(&Arc::as_ptr(child))?;
                Some(ChildPlace::SamePack(*place))
            }
        })
    }

    fn finish(&mut self) -> Result<()> {
        if self.writer.is_empty() {
            return Ok(());
        }
        let (chunk, places) = std::mem::take(&mut self.writer).finish(self.keys)?;
        let address = chunk.address();
        self.sink.pack(chunk, &places)?;
        for (node, place) in std::mem::take(&mut self.pending).into_values() {
            let _ = node.stored.set(place.within(address));
        }
        Ok(())
    }
}

/// A block's content as the tree keeps it: up to its last byte that is not zero.
pub fn trim(content: &[u8]) -> &[u8] {
    let len = content
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    &content[..len]
}

/// Collects blocks into packs.
///
/// A block's place is known only when its pack is finished, so [`BlockPacker::add`] hands out numbers and
/// the packs that are finished say which numbers they hold.
pub struct BlockPacker<'a> {
    keys: &'a Keys,
    writer: PackWriter,
    numbers: Vec<u64>,
}

/// A finished pack of blocks.
pub struct BlockPack {
    /// The pack.
    pub chunk: Chunk,
    /// Where each object is.
    pub places: Vec<PackedObject>,
    /// The number of each, as it was given.
    pub numbers: Vec<u64>,
}

impl BlockPack {
    /// Number and reference of each block.
    pub fn blocks(&self) -> impl Iterator<Item = (u64, ObjectRef)> + '_ {
        let address = self.chunk.address();
        self.numbers
            .iter()
            .zip(&self.places)
            .map(move |(number, place)| (*number, place.within(address)))
    }
}

impl<'a> BlockPacker<'a> {
    /// Nothing packed yet.
    pub fn new(keys: &'a Keys) -> Self {
        Self {
            keys,
            writer: PackWriter::new(),
            numbers: Vec::new(),
        }
    }

    /// Adds a block under a number of the caller's; the pack before it if that had to be finished.
    pub fn add(&mut self, number: u64, plain: Plain<'_>) -> Result<Option<BlockPack>> {
        let finished = if self.writer.fits(plain.sealed_len()) {
            None
        } else {
            self.finish()?
        };
        self.writer.add(self.keys, plain)?;
        self.numbers.push(number);
        Ok(finished)
    }

    /// The last pack, if anything is in it.
    pub fn finish(&mut self) -> Result<Option<BlockPack>> {
        if self.writer.is_empty() {
            return Ok(None);
        }
        let (chunk, places) = std::mem::take(&mut self.writer).finish(self.keys)?;
        Ok(Some(BlockPack {
            chunk,
            places,
            numbers: std::mem::take(&mut self.numbers),
        }))
    }
}

/// Whether content of this length is kept in the tree itself.
pub const fn is_inline(len: usize) -> bool {
    len <= INLINE_BYTES_MAX
}
