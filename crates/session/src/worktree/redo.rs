//! Making again what an earlier session has logged.

use std::collections::HashMap;

use safeos_tree::{Batch, Tag, Value};

use crate::Result;
use crate::worktree::home::Home;

impl Home {
    /// Makes a batch of an earlier session, and takes from memory what it replaces.
    pub(crate) fn redo(&self, batch: Batch) -> Result<()> {
        let mut sizes = HashMap::new();
        for (key, value) in &batch {
            match (key.tag, value) {
                (Tag::Block, _) => self.forget_block(key.ino, key.number),
                (Tag::Inode, None) => self.files.drop_file(key.ino),
                (Tag::Inode, Some(Value::Inode(inode))) => {
                    sizes.insert(key.ino, inode.size);
                }
                _ => {}
            }
        }
        // The content comes before the length that follows it, in this stage as in the other: where a file
        // was cut and has grown again, a replay of this one must find it short too.
        for ino in sizes.keys() {
            self.log_file(*ino)?;
        }
        self.change(|_| Ok((batch.clone(), ())))?;
        for (ino, size) in sizes {
            self.cut_memory(ino, size);
        }
        Ok(())
    }
}
