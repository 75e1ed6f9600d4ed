//! Nodes of two sessions with the same number. Sessions use ranges of their own, so it should not
//! happen; if it does, one node must not be taken for the other.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::Result;
use crate::batch::Batch;
use crate::item::{Ino, Key, ROOT, Tag, Value};
use crate::read::Source;
use crate::tree::Tree;

use super::both::{is_one_node, items_of, made_by_both};
use super::changes::Changes;
use super::naming::Naming;

/// Numbers that both sides gave to nodes of their own, with new ones for ours.
pub(super) fn collisions(
    o: &Changes,
    t: &Changes,
    naming: &mut dyn Naming,
) -> Result<BTreeMap<Ino, Ino>> {
    let mut numbers = BTreeMap::new();
    for (ino, ours, theirs) in made_by_both(o, t) {
        if ino != ROOT && !is_one_node(ours, theirs) {
            numbers.insert(ino, naming.fresh_ino()?);
        }
    }
    Ok(numbers)
}

/// Changes of ours that give these nodes their new numbers.
pub(super) fn renumber(
    ours: &Tree,
    source: &dyn Source,
    o: &Changes,
    numbers: &BTreeMap<Ino, Ino>,
) -> Result<Batch> {
    let new = |ino: Ino| numbers.get(&ino).copied().unwrap_or(ino);
    let mut batch = Batch::new();
    for (old, number) in numbers {
        for (key, value) in items_of(ours, source, *old)? {
            let mut to = key.clone();
            to.ino = *number;
            batch.push((key, None));
            let value = match value {
                Value::Inode(inode) => {
                    let mut inode = (*inode).clone();
                    inode.parent = new(inode.parent);
                    Value::Inode(Arc::new(inode))
                }
                other => other,
            };
            batch.push((to, Some(value)));
        }
        let mut entries = Vec::new();
        ours.scan(
            source,
            &Key::entry(*old, b""),
            &Key::after(*old, Tag::Entry),
            &mut |key, value| {
                if let Value::Entry { ino, kind } = value {
                    entries.push((key.clone(), *ino, *kind));
                }
                ControlFlow::Continue(())
            },
        )?;
        for (key, ino, kind) in entries {
            let to = Key::entry(*number, &key.name);
            batch.push((key, None));
            let ino_now = new(ino);
            batch.push((to, Some(Value::Entry { ino: ino_now, kind })));
            if ino_now == ino
                && let Some(Value::Inode(inode)) = ours.get(source, &Key::inode(ino))?
                && inode.parent == *old
            {
                let mut inode = (*inode).clone();
                inode.parent = *number;
                batch.push((Key::inode(ino), Some(Value::Inode(Arc::new(inode)))));
            }
        }
        for key in o.gained(*old) {
            if !numbers.contains_key(&key.ino)
                && let Some(Value::Entry { kind, .. }) = ours.get(source, key)?
            {
                let named = Value::Entry { ino: *number, kind };
                batch.push((key.clone(), Some(named)));
            }
        }
    }
    Ok(batch)
}
