//! Public trees: a part of a home for everybody who is given its address.
//!
//! A public tree is a home's format under a key of its own: its commit stands in a chunk (a salt of 16
//! bytes, then the sealed commit), and the address is that chunk's address and the key, 64 bytes in base
//! 32 without padding, in lower case.
//!
//! What always holds here: a server of a public tree may know its address, and with it its keys; so
//! each byte of it that is given out hangs on the address by hashes that were computed here: the commit's
//! chunk by its address, the objects by the hashes in their references.

use std::collections::HashMap;
use std::sync::Arc;

use safeos_record::{Address, Chunk, Key as Secret, random_bytes};
use safeos_store::Store;
use safeos_tree::{
    BLOCK_BYTES, Batch, Block, BlockPack, BlockPacker, Commit, FileKind, Inode, Key, Keys,
    ObjectKind, Owner, Plain, ROOT, Reader, Source, Tag, Tree, Value, is_inline, seal_tree, trim,
};

use crate::admin::inert::{self, Inert};
use crate::clock::precise;
use crate::packs::Packs;
use crate::worktree::frozen::Frozen;
use crate::worktree::home::put_inode;
use crate::worktree::owners::Owners;
use crate::worktree::root_inode;
use crate::worktree::tree_view::TreeView;
use crate::{Error, Ino, Progress, Result, Session, Step, Volume};

const COMMIT_CONTEXT: &str = "safeos 2026 public commit v1";
const SALT_LEN: usize = 16;
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Memory for reading a public tree, in bytes.
const MEMORY_BYTES_MAX: usize = 16 << 20;
/// How many items go into the tree at once.
const BATCH_ITEMS: usize = 4096;

impl Session {
    /// Publishes the file or folder at `path` in the home for everybody who is given the URL:
    /// `safe://ADDRESS`. A file stands alone in a folder then.
    pub fn publish_path(&self, path: &[u8], progress: &dyn Progress) -> Result<String> {
        self.sync
            .accompanied(progress, |told| self.publish_tree(path, told))
    }

    fn publish_tree(&self, path: &[u8], progress: &dyn Progress) -> Result<String> {
        self.sync.home().flush_all()?;
        let tree = self.sync.home().look(|look| Ok(look.tree.clone()))?;
        let look = TreeView {
            tree: &tree,
            source: &**self.reader(),
        };
        let ino = look.walk(path)?;
        let secret = Secret::random()?;
        let store = self.sync.home().packs().shared_store();
        let keys = Keys::of_public(&secret);
        let packs = Packs::new(store, None, keys.clone());
        let mut writer = Writer {
            from: look,
            reader: self.reader(),
            packs: &packs,
            keys: &keys,
            tree: Tree::new(),
            batch: Batch::new(),
            numbers: ROOT,
            progress,
            done: 0,
            packer: BlockPacker::new(&keys),
            packing: HashMap::new(),
            packed: 0,
        };
        writer.copy(ino, path)?;
        let tree = writer.finish()?;
        let root = seal_tree(&tree, &keys, &mut PublicSink(&packs))?;
        let commit = Commit {
            time: precise().max(0) as u64,
            computer: String::new(),
            parents: Vec::new(),
            stage: [0; 16],
            stage_segment: 0,
            added_bytes: packs.counted().1,
            totals: tree.totals(),
            root,
        };
        let mut salt = [0; SALT_LEN];
        random_bytes(&mut salt)?;
        let mut bytes = salt.to_vec();
        bytes.extend_from_slice(&commit.encode());
        secret
            .derive(COMMIT_CONTEXT, &salt)
            .seal([0; 12], &[], &mut bytes, SALT_LEN)?;
        let chunk = Chunk::new(bytes)?;
        packs.sync()?;
        packs.store().put_chunks(std::slice::from_ref(&chunk))?;
        packs.count(std::slice::from_ref(&chunk));
        self.sync.home().packs().count_others(packs.counted());
        Ok(format!(
            "safe://{}",
            write_address(&chunk.address(), &secret)
        ))
    }
}

/// Opens a published tree by its address (the part of `safe://ADDRESS` after the slashes). It is shown as root's.
pub fn open_public(store: &Arc<dyn Store>, address: &str) -> Result<Arc<dyn Volume>> {
    open_public_for(store, address, (0, 0))
}

/// The same, shown as this user's and group's: whose it was where it comes from says nothing.
pub fn open_public_for(
    store: &Arc<dyn Store>,
    address: &str,
    viewer: (u32, u32),
) -> Result<Arc<dyn Volume>> {
    let (head, secret) = read_address(address).ok_or(Error::NotFound)?;
    let chunk = match store.get_chunk(&head) {
        Err(safeos_store::Error::Missing { .. }) => return Err(Error::NotFound),
        // Stores check this too; here everything hangs on it.
        other => Chunk::verify(head, other?.into_bytes()).map_err(|_| {
            Error::Damaged(format!(
                "the public tree {address} is not what was published"
            ))
        })?,
    };
    let damaged = || {
        Error::Damaged(format!(
            "the public tree {address} does not open: a letter of its address is wrong, or what the store has of it is damaged; compare the address with the one that was published"
        ))
    };
    let mut bytes = chunk.into_bytes().to_vec();
    let (salt, sealed) = bytes
        .split_first_chunk_mut::<SALT_LEN>()
        .ok_or_else(damaged)?;
    let commit = secret
        .derive(COMMIT_CONTEXT, &*salt)
        .open([0; 12], &[], sealed)
        .map_err(|_| damaged())?;
    let keys = Keys::of_public(&secret);
    let packs = Arc::new(Packs::new(store.clone(), None, keys.clone()));
    Ok(Arc::new(Inert(Arc::new(Frozen {
        tree: Commit::decode(commit)?.tree()?,
        reader: Arc::new(Reader::new(keys, packs, MEMORY_BYTES_MAX)),
        owners: Owners::of_public(viewer),
        ended: None,
    }))))
}

struct PublicSink<'a>(&'a Packs);

impl safeos_tree::PackSink for PublicSink<'_> {
    fn pack(&mut self, chunk: Chunk, _: &[safeos_tree::PackedObject]) -> safeos_tree::Result<()> {
        self.0.put_nodes(chunk)
    }
}

/// Copies a part of a home into a tree of its own.
struct Writer<'a> {
    from: TreeView<'a>,
    reader: &'a Reader,
    packs: &'a Packs,
    keys: &'a Keys,
    tree: Tree,
    batch: Batch,
    numbers: Ino,
    progress: &'a dyn Progress,
    done: u64,
    packer: BlockPacker<'a>,
    /// File, number and length of the blocks in the pack that is being filled, by a number of their own.
    packing: HashMap<u64, (Ino, u64, u32)>,
    packed: u64,
}

impl Writer<'_> {
    fn copy(&mut self, ino: Ino, path: &[u8]) -> Result<()> {
        let inode = self.from.inode(ino)?;
        if inode.kind == FileKind::Directory {
            return self.node(ino, ROOT, ROOT);
        }
        let name = path
            .rsplit(|byte| *byte == b'/')
            .find(|name| !name.is_empty());
        let mut root = root_inode();
        root.perm = 0o755;
        self.batch.push(put_inode(ROOT, root));
        let child = self.number();
        self.entry(
            ROOT,
            name.unwrap_or(b"file"),
            child,
            inert::kind(inode.kind),
        );
        self.node(ino, child, ROOT)
    }

    fn number(&mut self) -> Ino {
        self.numbers += 1;
        self.numbers
    }

    fn entry(&mut self, dir: Ino, name: &[u8], ino: Ino, kind: FileKind) {
        self.batch
            .push((Key::entry(dir, name), Some(Value::Entry { ino, kind })));
    }

    /// Copies a node and, of a folder, everything in it. Depth goes on a list, not on the stack.
    fn node(&mut self, ino: Ino, new: Ino, parent: Ino) -> Result<()> {
        let mut waiting = vec![(ino, new, parent)];
        // Nodes with several names: the new number, and how many names are published. Others do not count.
        let mut links: HashMap<Ino, (Ino, u32)> = HashMap::new();
        let mut several = Vec::new();
        while let Some((ino, new, parent)) = waiting.pop() {
            if self.progress.stopped() {
                return Err(Error::Stopped);
            }
            let mut inode: Inode = self.from.inode(ino)?.as_ref().clone();
            inode.parent = parent;
            inert::disarm(&mut inode);
            (inode.uid, inode.gid) = (Owner::Person, Owner::Person);
            if inode.kind == FileKind::Directory {
                for (name, child) in self.from.entries(ino, None, usize::MAX)? {
                    let found = self.from.inode(child)?;
                    let number = match links.get_mut(&child) {
                        Some((number, count)) => {
                            *count += 1;
                            *number
                        }
                        None => {
                            let number = self.number();
                            waiting.push((child, number, new));
                            if found.kind != FileKind::Directory && found.nlink > 1 {
                                links.insert(child, (number, 1));
                            }
                            number
                        }
                    };
                    self.entry(new, &name, number, inert::kind(found.kind));
                }
            } else if inode.kind == FileKind::File {
                self.content(ino, new)?;
            }
            for (key, value) in self.from.items(ino)? {
                if key.tag == Tag::Xattr && inert::is_harmless(&key.name) {
                    self.batch.push((Key::xattr(new, &key.name), Some(value)));
                }
            }
            if inode.kind != FileKind::Directory && inode.nlink > 1 {
                several.push((ino, new, inode.clone()));
            }
            self.batch.push(put_inode(new, inode));
            if self.batch.len() > BATCH_ITEMS {
                self.apply()?;
            }
        }
        for (ino, new, mut inode) in several {
            inode.nlink = links.get(&ino).map_or(1, |(_, count)| *count);
            self.batch.push(put_inode(new, inode));
        }
        Ok(())
    }

    fn content(&mut self, ino: Ino, new: Ino) -> Result<()> {
        let size = self.from.inode(ino)?.size;
        for (number, block) in self.from.blocks(ino, 0, u64::MAX)? {
            let content = match &block {
                Block::Inline(bytes) => bytes.clone(),
                Block::Stored { at, len } => self.reader.block(at, *len as usize)?,
            };
            let within = size.saturating_sub(number.saturating_mul(BLOCK_BYTES as u64));
            let content = trim(&content[..content.len().min(within as usize)]);
            self.done += content.len() as u64;
            self.progress.step(Step {
                what: "publishing".into(),
                done: self.done,
                total: 0,
                unit: "bytes".into(),
            });
            if is_inline(content.len()) {
                if !content.is_empty() {
                    let block = Block::Inline(bytes::Bytes::copy_from_slice(content));
                    self.batch
                        .push((Key::block(new, number), Some(Value::Block(block))));
                }
                continue;
            }
            let plain = Plain::new(self.keys, ObjectKind::Block, content)?;
            let len = content.len() as u32;
            if let Some(at) = self.packs.find(&plain.hash()) {
                self.stored(new, number, at, len);
                continue;
            }
            self.packed += 1;
            self.packing.insert(self.packed, (new, number, len));
            let full = self.packer.add(self.packed, plain)?;
            self.pack(full)?;
        }
        Ok(())
    }

    fn stored(&mut self, ino: Ino, number: u64, at: safeos_tree::ObjectRef, len: u32) {
        let block = Block::Stored { at, len };
        self.batch
            .push((Key::block(ino, number), Some(Value::Block(block))));
    }

    /// Stores a pack that is full; the numbers in it are those of `packing`.
    fn pack(&mut self, full: Option<BlockPack>) -> Result<()> {
        let Some(pack) = full else {
            return Ok(());
        };
        for (packed, at) in pack.blocks() {
            if let Some((ino, number, len)) = self.packing.remove(&packed) {
                self.stored(ino, number, at, len);
            }
        }
        self.packs.put(vec![(pack.chunk, pack.places)])
    }

    fn apply(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        Ok(self.tree.apply(&Whole, batch)?)
    }

    fn finish(mut self) -> Result<Tree> {
        let last = self.packer.finish()?;
        self.pack(last)?;
        self.apply()?;
        Ok(self.tree)
    }
}

/// The new tree is in memory as a whole.
struct Whole;

impl Source for Whole {
    fn node(&self, at: &safeos_tree::ObjectRef) -> safeos_tree::Result<Arc<safeos_tree::Node>> {
        Err(safeos_tree::Error::NotCached(*at))
    }
}

fn write_address(head: &Address, secret: &Secret) -> String {
    let bytes = [head.0, *secret.expose()].concat();
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut count) = (0u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(DIGITS[(bits >> count & 31) as usize]));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        text.push(char::from(DIGITS[(bits << (5 - count) & 31) as usize]));
    }
    text
}

fn read_address(text: &str) -> Option<(Address, Secret)> {
    let text = text.strip_prefix("safe://").unwrap_or(text);
    if text.len() != 103 {
        return None;
    }
    let mut bytes = Vec::with_capacity(64);
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.bytes() {
        let digit = digit.to_ascii_lowercase();
        let value = DIGITS.iter().position(|known| *known == digit)? as u32;
        bits = bits << 5 | value;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    if bits != 0 {
        return None;
    }
    let (head, secret) = bytes.split_first_chunk::<32>()?;
    Some((Address(*head), Secret::new(secret.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        let (head, secret) = (Address([0xa7; 32]), Secret::new([0x3c; 32]));
        let text = write_address(&head, &secret);
        assert_eq!(text.len(), 103);
        let (again, key) = read_address(&text.to_uppercase()).unwrap();
        assert_eq!((again, key == secret), (head, true));
        assert!(read_address(&text[1..]).is_none());
        assert!(read_address(&text.replace(text.chars().next().unwrap(), "1")).is_none());
    }
}
