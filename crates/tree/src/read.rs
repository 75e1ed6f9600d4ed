//! Reading nodes and blocks, with a cache in memory.

use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hashlink::LruCache;
use parking_lot::Mutex;

use crate::item::{Block, Value};
use crate::node::{Body, Node};
use crate::object::{Keys, ObjectKind, ObjectRef, Part, open};
use crate::{Error, Result};

/// Where sealed objects come from. May wait for the store.
pub trait Objects: Send + Sync {
    /// The sealed bytes that `at` refers to. They need not be checked.
    fn sealed(&self, at: &ObjectRef) -> Result<Vec<u8>>;

    /// Is told that what [`Objects::sealed`] gave does not open; it is asked once more after this.
    fn suspect(&self, at: &ObjectRef) {
        let _ = at;
    }

    /// Is told of a block that a node refers to, so that the same content need not be stored again.
    fn learned(&self, at: &ObjectRef) {
        let _ = at;
    }
}

/// Where nodes come from.
pub trait Source {
    /// The node that `at` refers to.
    fn node(&self, at: &ObjectRef) -> Result<Arc<Node>>;
}

/// Opens objects of one home and keeps the last used in memory.
pub struct Reader {
    keys: Keys,
    objects: Arc<dyn Objects>,
    nodes: Mutex<Weighted<ObjectRef, Arc<Node>>>,
    blocks: Mutex<Weighted<ObjectRef, Bytes>>,
    /// Blocks of which a part was read lately.
    parted: Mutex<LruCache<ObjectRef, ()>>,
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
        }
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
    /// Who reads here and there gets the pages asked for; a block of which more is wanted soon after is
    /// read and kept whole.
    pub fn block_part(&self, at: &ObjectRef, len: usize, range: Range<usize>) -> Result<Bytes> {
        let range = range.start.min(len)..range.end.min(len);
        if let Some(block) = self.blocks.lock().get(at) {
            return Ok(block.slice(range));
        }
        if let Some(part) = Part::new(at, len, &range)
            && self.parted.lock().insert(*at, ()).is_none()
            && let Some(content) = part.open(
                &self.keys,
                ObjectKind::Block,
                self.objects.sealed(&part.at)?,
            )
        {
            return Ok(content);
        }
        // Also where the part does not open: the whole tells what is wrong, or repairs it.
        Ok(self.block(at, len)?.slice(range))
    }

    /// The contents of several blocks, each with its length. Neighbours in a pack are read together.
    pub fn blocks(&self, wanted: &[(ObjectRef, usize)]) -> Result<Vec<Bytes>> {
        let mut blocks = Vec::with_capacity(wanted.len());
        while let Some((first, _)) = wanted.get(blocks.len()) {
            let rest = &wanted[blocks.len()..];
            let run = rest
                .windows(2)
                .take_while(|pair| follows(&pair[0].0, &pair[1].0))
                .count()
                + 1;
            if run == 1 || self.blocks.lock().contains(first) {
                blocks.push(self.block(first, rest[0].1)?);
                continue;
            }
            let len = rest[..run].iter().map(|(at, _)| at.len).sum();
            let sealed = self.objects.sealed(&ObjectRef { len, ..*first })?;
            for (at, len) in &rest[..run] {
                let start = (at.offset - first.offset) as usize;
                let part = sealed
                    .get(start..start + at.len as usize)
                    .ok_or(Error::Format(
                        "a read came back shorter than it was asked for",
                    ))?;
                blocks.push(self.open_block(at, *len, part.to_vec())?);
            }
        }
        Ok(blocks)
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
        let sealed = self.objects.sealed(at)?;
        let content = self.open(ObjectKind::Node, at, sealed)?;
        let node = Node::decode(&content, Some(at.pack)).map_err(|error| Error::Object {
            pack: at.pack,
            offset: at.offset,
            len: at.len,
            why: error.to_string(),
        })?;
        if let Body::Leaf(items) = &node.body {
            for (_, value) in items {
                if let Value::Block(Block::Stored { at, .. }) = value {
                    self.objects.learned(at);
                }
            }
        }
        let node = Arc::new(node);
        // A node fresh from the store is stored where it came from.
        let _ = node.stored.set(*at);
        self.keep(&node);
        Ok(node)
    }
}

/// See [`Reader::cached`].
pub struct Cached<'a>(&'a Reader);

impl Source for Cached<'_> {
    fn node(&self, at: &ObjectRef) -> Result<Arc<Node>> {
        self.0.nodes.lock().get(at).ok_or(Error::NotCached(*at))
    }
}

/// Of how many blocks is known that a part was read: 32 MiB of content.
const PARTED_MAX: usize = 1024;
/// How many bytes of a pack are read at once at most.
const RUN_BYTES_MAX: u32 = 1 << 20;

/// Whether one object comes right after another in the same pack, and both may be read at once.
fn follows(first: &ObjectRef, second: &ObjectRef) -> bool {
    first.pack == second.pack
        && first.offset.checked_add(first.len) == Some(second.offset)
        && first.len.saturating_add(second.len) < RUN_BYTES_MAX
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
        // The one just put stays, however heavy: somebody is about to use it.
        while self.weight > self.weight_max && self.values.len() > 1 {
            if let Some((_, (_, old))) = self.values.remove_lru() {
                self.weight -= old;
            }
        }
    }
}
