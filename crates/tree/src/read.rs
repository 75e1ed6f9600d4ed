//! Reading nodes and blocks, with a cache in memory.

use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hashlink::LruCache;
use parking_lot::Mutex;

use safeos_record::MAX_CHUNK_SIZE;

use crate::item::{Block, Value};
use crate::node::{Body, Node};
use crate::object::{Keys, ObjectKind, Part, is_raw, open, open_run};
use crate::object_ref::ObjectRef;
use crate::{Error, Result};

/// Where sealed objects come from. May wait for the store.
pub trait Objects: Send + Sync {
    /// The sealed bytes that `at` refers to. They need not be checked.
    fn sealed(&self, at: &ObjectRef) -> Result<Vec<u8>>;

    /// The same for a few bytes of an object, at a random place.
    fn sealed_once(&self, at: &ObjectRef) -> Result<Vec<u8>> {
        self.sealed(at)
    }

    /// The same for a node, with the bytes `around` it that have its neighbours in the tree: they are likely to be
    /// asked for soon.
    fn sealed_node(&self, at: &ObjectRef, around: Range<u32>) -> Result<Vec<u8>> {
        let _ = around;
        self.sealed(at)
    }

    /// Is told of a node that was read: the others around it are likely to be asked for soon.
    fn near(&self, at: &ObjectRef) {
        let _ = at;
    }

    /// Is told that bytes from [`Objects::sealed`] do not open; they are asked for once more after this.
    fn suspect(&self, at: &ObjectRef) {
        let _ = at;
    }

    /// Is told of the blocks that a node refers to, so that the same content need not be stored again.
    fn learned(&self, blocks: &mut dyn Iterator<Item = ObjectRef>) {
        let _ = blocks;
    }
}

/// Where nodes come from.
pub trait Source {
    /// The node that `at` refers to.
    fn node(&self, at: &ObjectRef) -> Result<Arc<Node>>;

    /// The same for a child of a node; `around` tells which bytes of its pack have its neighbours too.
    fn child(&self, at: &ObjectRef, around: &dyn Fn() -> Range<u32>) -> Result<Arc<Node>> {
        let _ = around;
        self.node(at)
    }
}

/// Opens objects of one home and keeps the last used in memory.
pub struct Reader {
    keys: Keys,
    objects: Arc<dyn Objects>,
    nodes: Mutex<Weighted<ObjectRef, Arc<Node>>>,
    blocks: Mutex<Weighted<ObjectRef, Bytes>>,
    /// Blocks of which a part was read lately.
    parted: Mutex<LruCache<ObjectRef, ()>>,
    /// Nodes that were missed, and the bytes around them.
    around: Mutex<LruCache<ObjectRef, Range<u32>>>,
}

impl Reader {
    /// A reader that keeps at most about `memory_bytes_max` bytes.
    pub fn new(keys: Keys, objects: Arc<dyn Objects>, memory_bytes_max: usize) -> Self {
        Self {
            keys,
            objects,
            nodes: Mutex::new(Weighted::new(memory_bytes_max / 2)),
            blocks: Mutex::new(Weighted::new(memory_bytes_max / 2)),
            parted: Mutex::new(LruCache::new(PARTED_MAX)),
            around: Mutex::new(LruCache::new(AROUND_MAX)),
        }
    }

    /// Bytes of the nodes and blocks that are kept in memory.
    pub fn cached_bytes(&self) -> u64 {
        (self.nodes.lock().weight + self.blocks.lock().weight) as u64
    }

    /// The keys of the home.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The content of a block of `len` bytes.
    pub fn block(&self, at: &ObjectRef, len: usize) -> Result<Bytes> {
        if let Some(block) = self.blocks.lock().get(at) {
            return Ok(block);
        }
        let sealed = self.objects.sealed(at)?;
        self.open_block(at, len, sealed)
    }

    /// A range of a block of `len` bytes, or as much of it as the block has.
    ///
    /// A reader that reads here and there gets the pages asked for; a block of which more is wanted soon after is
    /// read and kept whole. A block of a public tree always is: only as a whole it can be held against its hash.
    pub fn block_part(&self, at: &ObjectRef, len: usize, range: Range<usize>) -> Result<Bytes> {
        let range = range.start.min(len)..range.end.min(len);
        if let Some(block) = self.blocks.lock().get(at) {
            return Ok(block.slice(range));
        }
        if self.keys.open_parts()
            && let Some(part) = Part::new(at, len, &range)
            && self.parted.lock().insert(*at, ()).is_none()
            && let Some(content) = part.open(
                &self.keys,
                ObjectKind::Block,
                self.objects.sealed_once(&part.at)?,
            )
        {
            return Ok(content);
        }
        // Also where the part does not open: the whole tells what is wrong, or repairs it.
        Ok(self.block(at, len)?.slice(range))
    }

    /// Appends what is wanted of blocks, in their order. Neighbours in a pack are read together.
    pub fn read(&self, mut wanted: &[Wanted], out: &mut Vec<u8>) -> Result<()> {
        while let Some(first) = wanted.first() {
            let run = wanted
                .windows(2)
                .take_while(|pair| follows(&pair[0], &pair[1]))
                .count()
                + 1;
            let (run, later) = wanted.split_at(run);
            wanted = later;
            if let [one] = run {
                let part = self.block_part(&one.at, one.len, one.range.clone())?;
                append_range(&part, 0..one.range.len(), out);
            } else if self.blocks.lock().contains(&first.at) {
                self.read_apart(run, out)?;
            } else if first.is_whole() {
                self.read_whole(run, out)?;
            } else {
                self.read_together(run, out)?;
            }
        }
        Ok(())
    }

    fn sealed_run(&self, run: &[Wanted]) -> Result<Vec<u8>> {
        let len = run.iter().map(|one| one.at.len).sum();
        self.objects.sealed(&ObjectRef { len, ..run[0].at })
    }

    /// Opens blocks where they were read to. A reader of that much in order keeps it itself, or does not need it
    /// again; copies in the cache would only cost.
    fn read_whole(&self, run: &[Wanted], out: &mut Vec<u8>) -> Result<()> {
        let mut sealed = self.sealed_run(run)?;
        let objects = run.iter().map(|one| &one.at);
        match open_run(&self.keys, ObjectKind::Block, objects, &mut sealed) {
            Ok(()) if out.is_empty() => *out = sealed,
            Ok(()) => out.extend_from_slice(&sealed),
            // One by one: that tells what is wrong, or repairs it.
            Err(_) => self.read_apart(run, out)?,
        }
        Ok(())
    }

    fn read_apart(&self, run: &[Wanted], out: &mut Vec<u8>) -> Result<()> {
        for one in run {
            append_range(&self.block(&one.at, one.len)?, one.range.clone(), out);
        }
        Ok(())
    }

    fn read_together(&self, run: &[Wanted], out: &mut Vec<u8>) -> Result<()> {
        let sealed = self.sealed_run(run)?;
        let mut rest = &sealed[..];
        for one in run {
            let (part, later) = rest
                .split_at_checked(one.at.len as usize)
                .ok_or(Error::Format(
                    "a read came back shorter than it was asked for",
                ))?;
            rest = later;
            let block = self.open_block(&one.at, one.len, part.to_vec())?;
            append_range(&block, one.range.clone(), out);
        }
        Ok(())
    }

    fn open_block(&self, at: &ObjectRef, len: usize, sealed: Vec<u8>) -> Result<Bytes> {
        let block = self.open(ObjectKind::Block, at, sealed)?;
        if block.len() != len {
            return Err(Error::Object {
                pack: at.pack,
                offset: at.offset,
                len: at.len,
                why: "its content has another length than its file says".to_owned(),
            });
        }
        self.blocks.lock().insert(*at, block.clone(), block.len());
        Ok(block)
    }

    /// Opens an object; asks once more when it was a copy that is damaged.
    fn open(&self, kind: ObjectKind, at: &ObjectRef, sealed: Vec<u8>) -> Result<Bytes> {
        open(&self.keys, kind, at, sealed).or_else(|_| {
            self.objects.suspect(at);
            open(&self.keys, kind, at, self.objects.sealed(at)?)
        })
    }

    /// Which bytes of its pack have a node and its neighbours, as far as that is known.
    pub fn around(&self, at: &ObjectRef) -> Range<u32> {
        let known = self.around.lock().get(at).cloned();
        known.unwrap_or(at.offset..at.offset.saturating_add(at.len))
    }

    /// Puts a node that was just stored into the cache.
    pub fn keep(&self, node: &Arc<Node>) {
        if let Some(at) = node.stored.get() {
            self.nodes.lock().insert(*at, node.clone(), node.memory());
        }
    }

    /// The same nodes, but [`Error::NotCached`] instead of waiting: for use under a lock.
    pub const fn cached(&self) -> Cached<'_> {
        Cached(self)
    }
}

impl Source for Reader {
    fn node(&self, at: &ObjectRef) -> Result<Arc<Node>> {
        if let Some(node) = self.nodes.lock().get(at) {
            return Ok(node);
        }
        let sealed = self.objects.sealed_node(at, self.around(at))?;
        self.around.lock().remove(at);
        self.objects.near(at);
        let content = self.open(ObjectKind::Node, at, sealed)?;
        let node = Node::decode(&content, Some(at.pack)).map_err(|error| Error::Object {
            pack: at.pack,
            offset: at.offset,
            len: at.len,
            why: error.to_string(),
        })?;
        if let Body::Leaf(items) = &node.body {
            let mut blocks = items.iter().filter_map(|(_, value)| match value {
                Value::Block(Block::Stored { at, .. }) => Some(*at),
                _ => None,
            });
            self.objects.learned(&mut blocks);
        }
        let node = Arc::new(node);
        // A node fresh from the store is stored where it came from.
        let _ = node.stored.set(*at);
        self.keep(&node);
        Ok(node)
    }

    fn child(&self, at: &ObjectRef, around: &dyn Fn() -> Range<u32>) -> Result<Arc<Node>> {
        if let Some(node) = self.nodes.lock().get(at) {
            return Ok(node);
        }
        self.around.lock().insert(*at, around());
        self.node(at)
    }
}

/// See [`Reader::cached`].
pub struct Cached<'a>(&'a Reader);

impl Source for Cached<'_> {
    fn node(&self, at: &ObjectRef) -> Result<Arc<Node>> {
        self.0.nodes.lock().get(at).ok_or(Error::NotCached(*at))
    }

    fn child(&self, at: &ObjectRef, around: &dyn Fn() -> Range<u32>) -> Result<Arc<Node>> {
        self.node(at).inspect_err(|_| {
            // The caller that fetches it is told.
            self.0.around.lock().insert(*at, around());
        })
    }
}

/// Of how many nodes that were missed is known what is around them.
const AROUND_MAX: usize = 256;

/// Of how many blocks is known that a part was read: 32 MiB of content.
const PARTED_MAX: usize = 1024;

/// The wanted part of a block.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where it is.
    pub at: ObjectRef,
    /// Length of its content, in bytes.
    pub len: usize,
    /// Which of them; zeros beyond its end.
    pub range: Range<usize>,
}

impl Wanted {
    /// Whether it is the content from end to end, and the object holds it as it is.
    fn is_whole(&self) -> bool {
        self.range == (0..self.len) && is_raw(&self.at, self.len)
    }
}

/// Appends a range of a block's content, zeros where the content is shorter.
pub fn append_range(content: &[u8], range: Range<usize>, out: &mut Vec<u8>) {
    let end = out.len() + range.len();
    let there = range.start.min(content.len())..range.end.min(content.len());
    out.extend_from_slice(&content[there]);
    out.resize(end, 0);
}

/// Whether one block comes right after another in the same pack, and both may be read at once.
fn follows(one: &Wanted, next: &Wanted) -> bool {
    let (first, second) = (&one.at, &next.at);
    first.pack == second.pack
        && first.offset.checked_add(first.len) == Some(second.offset)
        && second.offset.saturating_add(second.len) <= MAX_CHUNK_SIZE as u32
        && one.is_whole() == next.is_whole()
}

/// The most recently used values, up to a weight.
struct Weighted<K, V> {
    values: LruCache<K, (V, usize)>,
    weight: usize,
    weight_max: usize,
}

impl<K: Hash + Eq, V: Clone> Weighted<K, V> {
    fn new(weight_max: usize) -> Self {
        Self {
            values: LruCache::new_unbounded(),
            weight: 0,
            weight_max,
        }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        self.values.get(key).map(|(value, _)| value.clone())
    }

    fn contains(&self, key: &K) -> bool {
        self.values.contains_key(key)
    }

    fn insert(&mut self, key: K, value: V, weight: usize) {
        self.weight += weight;
        if let Some((_, old)) = self.values.insert(key, (value, weight)) {
            self.weight -= old;
        }
        // The one just put stays, however heavy: it is about to be used.
        while self.weight > self.weight_max && self.values.len() > 1 {
            if let Some((_, (_, old))) = self.values.remove_lru() {
                self.weight -= old;
            }
        }
    }
}
