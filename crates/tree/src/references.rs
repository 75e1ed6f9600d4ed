//! Which objects a tree refers to, for checks and collections.

use std::collections::HashSet;

use crate::item::{Block, Value};
use crate::node::{Body, HEIGHT_MAX, Link, Node};
use crate::object::ObjectKind;
use crate::object_ref::ObjectRef;
use crate::read::Source;
use crate::tree::{Tree, load};
use crate::{Error, Result};

/// Visits every object that a tree refers to and that is not in `seen` yet, nodes before what they refer
/// to. A node that cannot be had is told to `failed`, and the rest is visited all the same.
pub fn references(
    tree: &Tree,
    source: &dyn Source,
    seen: &mut HashSet<ObjectRef>,
    visit: &mut dyn FnMut(ObjectKind, &ObjectRef) -> Result<()>,
    failed: &mut dyn FnMut(&ObjectRef, Error) -> Result<()>,
) -> Result<()> {
    walk(&tree.root, source, seen, visit, failed, HEIGHT_MAX)
}

fn walk(
    node: &Node,
    source: &dyn Source,
    seen: &mut HashSet<ObjectRef>,
    visit: &mut dyn FnMut(ObjectKind, &ObjectRef) -> Result<()>,
    failed: &mut dyn FnMut(&ObjectRef, Error) -> Result<()>,
    height_left: usize,
) -> Result<()> {
    match &node.body {
        Body::Leaf(items) => {
            for (_, value) in items {
                if let Value::Block(Block::Stored { at, .. }) = value
                    && seen.insert(*at)
                {
                    visit(ObjectKind::Block, at)?;
                }
            }
        }
        Body::Branch(children) => {
            let height_left = height_left
                .checked_sub(1)
                .ok_or(Error::Format("the tree is too tall"))?;
            for child in children {
                if let Link::Stored(at) = &child.link {
                    if !seen.insert(*at) {
                        continue;
                    }
                    visit(ObjectKind::Node, at)?;
                }
                match load(source, &child.link) {
                    Ok(node) => walk(&node, source, seen, visit, failed, height_left)?,
                    Err(error) => {
                        if let Link::Stored(at) = &child.link {
                            failed(at, error)?;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}
