//! The tree: how a home is kept.
//!
//! A home is one copy-on-write B-tree of [items](Value): inodes, directory entries, blocks of content,
//! attributes. Its nodes and the blocks of its files are objects, sealed one by one and stored together
//! in packs. A [`Commit`] is one state of it.
//!
//! Imports go down: `merge`, `check` → `diff`, `seal`, `commit` → `tree` → `read`, `node` → `item` → `object`, `pack` →
//! `codec`.

#![forbid(unsafe_code)]

mod batch;
mod check;
mod codec;
mod commit;
mod diff;
mod error;
mod item;
mod merge;
mod node;
mod object;
mod object_ref;
mod pack;
mod read;
mod references;
mod seal;
mod tree;

pub use batch::{Batch, decode_batch, encode_batch};
pub use check::{Checked, Problem, VisitBlock, check};
pub use commit::{Commit, cut_text};
pub use diff::diff;
pub use error::{Error, Result};
pub use item::{
    BLOCK_BYTES, Block, FileKind, INLINE_BYTES_MAX, Ino, Inode, Key, NAME_BYTES_MAX, Nanos, Owner,
    ROOT, SnapshotItem, TARGET_BYTES_MAX, Tag, Value, XATTR_BYTES_MAX,
};
pub use merge::{Conflict, ConflictKind, Merged, Naming, conflict_name, merge};
pub use node::Node;
pub use object::{Keys, OBJECT_BYTES_MAX, ObjectKind, Plain, open};
pub use object_ref::{ObjectHash, ObjectRef};
pub use pack::{PackWriter, PackedObject, directory};
pub use read::{Cached, Objects, Reader, Source, Wanted, append_range};
pub use references::references;
pub use seal::{BlockPack, BlockPacker, PackSink, is_inline, seal_tree, trim};
pub use tree::{Totals, Tree};
