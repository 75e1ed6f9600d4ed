//! Nodes that both sides have.

use std::ops::ControlFlow;

use crate::Result;
use crate::item::{Ino, Inode, Key, Tag, Value};
use crate::read::Source;
use crate::tree::Tree;

use super::changes::Changes;

/// The items of a node, its entries apart.
pub(super) fn items_of(tree: &Tree, source: &dyn Source, ino: Ino) -> Result<Vec<(Key, Value)>> {
    let mut items = Vec::new();
    // Around the entries: a directory may have very many.
    for (from, to) in [
        (Key::inode(ino), Key::entry(ino, b"")),
        (Key::block(ino, 0), Key::after(ino, Tag::Block)),
    ] {
        tree.scan(source, &from, &to, &mut |key, value| {
            items.push((key.clone(), value.clone()));
            ControlFlow::Continue(())
        })?;
    }
    Ok(items)
}

/// Whether two states can be the same node, when the base does not have it.
pub(super) fn is_one_node(ours: &Inode, theirs: &Inode) -> bool {
    ours.kind == theirs.kind && ours.btime == theirs.btime
}

/// The nodes that both sides made, as each has them.
pub(super) fn made_by_both<'a>(
    o: &'a Changes,
    t: &'a Changes,
) -> impl Iterator<Item = (Ino, &'a Inode, &'a Inode)> {
    o.nodes.iter().filter_map(|(ino, own)| {
        match (&own.inode, t.nodes.get(ino).map(|node| &node.inode)) {
            (Some((None, Some(ours))), Some(Some((None, Some(theirs))))) => {
                Some((*ino, &**ours, &**theirs))
            }
            _ => None,
        }
    })
}
