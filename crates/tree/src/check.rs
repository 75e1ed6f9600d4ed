//! Whether a home's tree is what it has to be.
//!
//! What always holds here: damage never stops the check. A node of the tree that cannot be read is
//! one problem, its neighbours are looked at all the same, and consequences of the gap alone are not
//! reported again. Memory grows by about 60 bytes an inode; names are read again for the few paths that
//! problems need.

mod names;
mod report;
mod walk;

use crate::item::{BLOCK_BYTES, Block, FileKind, Ino, Inode, Key, Value};
use crate::read::Source;
use crate::tree::{Totals, Tree};
use crate::{Error, Result};
use names::{Named, Nodes};
pub use report::{Checked, Problem};
use walk::{Gap, Gaps, walk};

/// Is told of each block: inode, number, block. An error it returns is a problem of that file.
pub type VisitBlock<'a> = &'a mut dyn FnMut(Ino, u64, &Block) -> Result<()>;

/// Checks a home's tree. `visit_block` may read the blocks too. It fails only if the store is away.
pub fn check(tree: &Tree, source: &dyn Source, visit_block: VisitBlock<'_>) -> Result<Checked> {
    let mut pass = Pass {
        checked: Checked::default(),
        nodes: Nodes::with_capacity(tree.totals().nodes),
        named: Named::with_capacity(tree.totals().nodes),
        gaps: Gaps::default(),
        current: None,
        visit_block,
    };
    walk(tree, source, &Key::inode(0), None, &mut |seen| match seen {
        Ok((key, value)) => pass.item(key, value),
        Err(gap) => pass.gap(gap),
    })?;
    pass.leave();
    let Pass {
        mut checked,
        mut nodes,
        mut named,
        gaps,
        ..
    } = pass;
    named.sort();
    nodes.check_names(&named, &gaps, &mut checked);
    nodes.check_reach(&named, &gaps, &mut checked);
    if gaps.is_empty() {
        let found = Totals {
            nodes: checked.nodes,
            bytes: checked.bytes,
        };
        if found != tree.totals() {
            checked.report(
                None,
                format!(
                    "the commit says {} nodes and {} bytes, there are {} nodes and {} bytes",
                    tree.totals().nodes,
                    tree.totals().bytes,
                    found.nodes,
                    found.bytes
                ),
            );
        }
    }
    checked.problems.sort_by_key(|problem| problem.ino);
    named.find_paths(tree, source, &mut checked.problems)?;
    Ok(checked)
}

/// Whether a name can stand in a directory.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= crate::NAME_BYTES_MAX
        && !name.contains(&b'/')
        && !name.contains(&0)
}

/// Errors that say that nothing can be known now, as opposed to that something is damaged.
fn is_away(error: &Error) -> bool {
    match error {
        Error::NotCached(_) => true,
        Error::Store(error) => error.retry(),
        _ => false,
    }
}

/// The inode whose items are being seen.
struct Current {
    ino: Ino,
    inode: Option<std::sync::Arc<Inode>>,
    bytes: u64,
    damaged_blocks: u64,
    first_damage: String,
}

struct Pass<'a> {
    checked: Checked,
    nodes: Nodes,
    named: Named,
    gaps: Gaps,
    current: Option<Current>,
    visit_block: VisitBlock<'a>,
}

impl Pass<'_> {
    fn gap(&mut self, gap: Gap) -> Result<()> {
        if is_away(&gap.why) {
            return Err(gap.why);
        }
        let what = match &gap.to {
            Some(to) if to.ino == gap.from.ino => {
                format!(
                    "a part of it cannot be read ({}): {}",
                    kind_of(&gap.from),
                    gap.why
                )
            }
            Some(to) => format!(
                "a part of the tree cannot be read, with what belongs to the nodes {} to {}: {}",
                gap.from.ino, to.ino, gap.why
            ),
            None => format!(
                "the last part of the tree cannot be read, from node {}: {}",
                gap.from.ino, gap.why
            ),
        };
        self.checked.report(gap.from.ino, what);
        self.gaps.add(gap);
        Ok(())
    }

    fn item(&mut self, key: &Key, value: &Value) -> Result<()> {
        if key.ino == 0 {
            if !matches!(value, Value::Snapshot(_) | Value::Range(_)) {
                self.checked
                    .report(None, "an item of a node has the number 0");
            }
            return Ok(());
        }
        if self.current.as_ref().is_none_or(|now| now.ino != key.ino) {
            self.leave();
            self.enter(key.ino, value);
        }
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let kind = current.inode.as_ref().map(|inode| inode.kind);
        let not = |expected| kind.is_some_and(|kind| kind != expected);
        match value {
            Value::Inode(_) => {}
            Value::Xattr(_) => {
                if key.name.is_empty() {
                    self.checked
                        .report(key.ino, "it has an attribute without a name");
                }
            }
            Value::Entry { ino, kind } => {
                if not(FileKind::Directory) {
                    self.checked
                        .report(key.ino, "it has entries but is no directory");
                }
                if !is_name(&key.name) {
                    let name = String::from_utf8_lossy(&key.name);
                    self.checked.report(
                        key.ino,
                        format!("it has an entry that is no name: {name:?}"),
                    );
                }
                self.named.add(*ino, key.ino, *kind);
            }
            Value::Block(block) => {
                if not(FileKind::File) {
                    self.checked
                        .report(key.ino, "it has content but is no file");
                }
                let size = current.inode.as_ref().map(|inode| inode.size);
                self.block(key, block, size)?;
            }
            Value::Snapshot(_) | Value::Range(_) => {
                self.checked
                    .report(key.ino, "an item of the home stands at a node");
            }
        }
        Ok(())
    }

    fn block(&mut self, key: &Key, block: &Block, size: Option<u64>) -> Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        current.bytes = current.bytes.saturating_add(block.len() as u64);
        let start = key.number.checked_mul(BLOCK_BYTES as u64);
        if block.len() > BLOCK_BYTES {
            self.checked
                .report(key.ino, format!("its block {} is too long", key.number));
        }
        if let Some(size) = size {
            match start {
                Some(start) if start < size => {
                    if start + block.len() as u64 > size {
                        self.checked.report(
                            key.ino,
                            format!("its last block holds bytes beyond its end, {size}"),
                        );
                    }
                }
                _ => self.checked.report(
                    key.ino,
                    format!("its block {} is beyond its end, {size}", key.number),
                ),
            }
        }
        match (self.visit_block)(key.ino, key.number, block) {
            Ok(()) => Ok(()),
            Err(error) if is_away(&error) => Err(error),
            Err(error) => {
                if current.damaged_blocks == 0 {
                    current.first_damage = format!("at byte {}: {error}", start.unwrap_or(0));
                }
                current.damaged_blocks += 1;
                Ok(())
            }
        }
    }

    fn enter(&mut self, ino: Ino, value: &Value) {
        let inode = match value {
            Value::Inode(inode) => Some(inode.clone()),
            _ => None,
        };
        match &inode {
            Some(inode) => {
                self.checked.nodes += 1;
                if (inode.kind == FileKind::Symlink) == inode.target.is_empty() {
                    self.checked.report(
                        ino,
                        if inode.target.is_empty() {
                            "it is a symbolic link without a target"
                        } else {
                            "it has a link's target but is no symbolic link"
                        },
                    );
                }
                self.nodes.add(ino, inode);
            }
            None => {
                if !self.gaps.cover(&Key::inode(ino)) {
                    self.checked
                        .report(ino, "there are items of a node that is not there");
                }
                self.nodes.add_damaged(ino);
            }
        }
        self.current = Some(Current {
            ino,
            inode,
            bytes: 0,
            damaged_blocks: 0,
            first_damage: String::new(),
        });
    }

    /// Ends the inode whose items were seen last.
    fn leave(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        self.checked.bytes = self.checked.bytes.saturating_add(current.bytes);
        if current.damaged_blocks > 0 {
            let what = format!(
                "{} of its blocks cannot be read, the first {}",
                current.damaged_blocks, current.first_damage
            );
            self.checked.report(current.ino, what);
        }
        if let Some(inode) = current.inode
            && inode.allocated != current.bytes
            && !self.gaps.touch(current.ino)
        {
            let what = format!(
                "it says that {} bytes are there, there are {}",
                inode.allocated, current.bytes
            );
            self.checked.report(current.ino, what);
        }
    }
}

fn kind_of(key: &Key) -> &'static str {
    match key.tag {
        crate::Tag::Inode => "the node itself",
        crate::Tag::Xattr => "attributes",
        crate::Tag::Entry => "names in it",
        crate::Tag::Block => "content",
        crate::Tag::Snapshot | crate::Tag::Range => "the home's records",
    }
}
