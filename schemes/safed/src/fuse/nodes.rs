//! Which node an id of the kernel's means.
//!
//! What always holds here: an id means the same node from the first lookup to the last forget, also
//! after its session has ended; every reference the kernel has to a node of a volume is one `retain`
//! of that volume; a handle that outlives its mount (`name_to_handle_at`, NFS) finds the same node again or
//! none, as the id is paired with a generation that tells homes apart.
//!
//! ```text
//! 1              the root of the namespace
//! 2 … 5          .ctl, status, snapshots, public
//! 6              the root of the first session's home
//! 2^32 … 2^63-1  nodes of that home, by their own inode number: no table, no lock
//! 2^63 …         nodes of all other trees, by a table that counts the kernel's references
//! ```

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};

use fuser::Generation;
use parking_lot::Mutex;
use safeos_session::Ino;

use super::refresh::Asking;
use crate::daemon::{Tree, TreeKind};
use crate::namespace::Location;

pub const ROOT: u64 = 1;
pub const CONTROL: u64 = 2;
pub const STATUS: u64 = 3;
pub const SNAPSHOTS: u64 = 4;
pub const PUBLIC: u64 = 5;
const HOME: u64 = 6;
const OWN: std::ops::Range<u64> = 1 << 32..1 << 63;
const TABLE: u64 = 1 << 63;

struct Known {
    tree: Arc<Tree>,
    ino: Ino,
    count: u64,
}

/// The meaning of an id.
pub enum Node {
    /// A place of the namespace itself.
    Location(Location),
    /// A node of a tree.
    Inner(Arc<Tree>, Ino),
}

/// The ids in use.
pub struct Nodes {
    /// The first home of this mount. It keeps its place for good: a later session never gets ids
    /// that programs may still hold for this one.
    first: OnceLock<First>,
    table: Mutex<HashMap<u64, Known>>,
    /// For all trees but the first home: their ids mean something else at the next mount.
    others: Generation,
    /// The daemon's requests to its own mount.
    pub asking: Asking,
}

struct First {
    tree: Arc<Tree>,
    generation: Generation,
}

impl First {
    /// The time at which a home was made, to the nanosecond, tells it from others wherever it is opened.
    fn new(tree: &Arc<Tree>) -> Self {
        let made = tree.volume.attr(tree.root).map_or(0, |attr| attr.btime);
        Self {
            tree: Arc::clone(tree),
            // The kernel keeps 32 bits of it.
            generation: Generation(mix(made as u64) >> 32),
        }
    }
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            first: OnceLock::new(),
            table: Mutex::default(),
            others: Generation(RandomState::new().hash_one(TABLE) >> 32),
            asking: Asking::default(),
        }
    }
}

impl Nodes {
    /// The node of an id.
    pub fn find(&self, id: u64) -> Option<Node> {
        match id {
            ROOT => Some(Node::Location(Location::Root)),
            CONTROL => Some(Node::Location(Location::Control)),
            STATUS => Some(Node::Location(Location::Status)),
            SNAPSHOTS => Some(Node::Location(Location::Snapshots)),
            PUBLIC => Some(Node::Location(Location::Public)),
            HOME => {
                let tree = self.first()?;
                Some(Node::Inner(Arc::clone(tree), tree.root))
            }
            id if OWN.contains(&id) => Some(Node::Inner(Arc::clone(self.first()?), id)),
            id => {
                let table = self.table.lock();
                let known = table.get(&id)?;
                Some(Node::Inner(Arc::clone(&known.tree), known.ino))
            }
        }
    }

    /// The id of a place of the namespace that is no tree.
    pub fn place_id(place: &Location) -> Option<u64> {
        match place {
            Location::Root => Some(ROOT),
            Location::Control => Some(CONTROL),
            Location::Status => Some(STATUS),
            Location::Snapshots => Some(SNAPSHOTS),
            Location::Public => Some(PUBLIC),
            Location::Tree(_) => None,
        }
    }

    /// The id that a folder of the namespace lists a place under; nothing is kept under it.
    pub fn listed_id(&self, place: Option<&Location>) -> u64 {
        let known = match place {
            Some(Location::Tree(tree)) => self.own_id(tree, tree.root),
            Some(place) => Self::place_id(place),
            None => None,
        };
        // Any number but 0, which would hide the entry.
        known.unwrap_or(u64::MAX)
    }

    /// The id of a node without counting a reference.
    pub fn id(&self, tree: &Arc<Tree>, ino: Ino) -> u64 {
        match self.own_id(tree, ino) {
            Some(id) => id,
            None => Self::place_in(&self.table.lock(), tree, ino),
        }
    }

    /// The id of a node for the kernel to keep: counts one reference.
    pub fn retain(&self, tree: &Arc<Tree>, ino: Ino) -> u64 {
        let own = self.own_id(tree, ino);
        if own == Some(HOME) {
            // A root never goes away.
            return HOME;
        }
        tree.volume.retain(ino);
        if let Some(id) = own {
            return id;
        }
        let mut table = self.table.lock();
        let id = Self::place_in(&table, tree, ino);
        table
            .entry(id)
            .or_insert_with(|| Known {
                tree: Arc::clone(tree),
                ino,
                count: 0,
            })
            .count += 1;
        id
    }

    /// The kernel gives back `count` references.
    pub fn forget(&self, id: u64, count: u64) {
        let (tree, ino) = match id {
            ..=HOME => return,
            id if OWN.contains(&id) => match self.first() {
                Some(tree) => (Arc::clone(tree), id),
                None => return,
            },
            id => {
                let mut table = self.table.lock();
                let Some(known) = table.get_mut(&id) else {
                    return;
                };
                known.count = known.count.saturating_sub(count);
                let found = (Arc::clone(&known.tree), known.ino);
                if known.count == 0 {
                    table.remove(&id);
                }
                found
            }
        };
        tree.volume.release(ino, count);
    }

    /// The generation that goes with the ids of a tree's nodes.
    pub fn generation(&self, tree: &Tree) -> Generation {
        match self.first.get() {
            Some(first) if first.tree.key == tree.key => first.generation,
            _ => self.others,
        }
    }

    /// Makes a home the first of this mount, unless there is one.
    pub fn offer(&self, home: &Arc<Tree>) {
        if self.first.get().is_none() {
            // Made beforehand: it may wait for the store.
            let first = First::new(home);
            let _ = self.first.set(first);
        }
    }

    fn first(&self) -> Option<&Arc<Tree>> {
        self.first.get().map(|first| &first.tree)
    }

    /// The id of a node of the first home.
    fn own_id(&self, tree: &Arc<Tree>, ino: Ino) -> Option<u64> {
        if tree.kind != TreeKind::Home {
            return None;
        }
        self.offer(tree);
        if self.first().is_none_or(|first| first.key != tree.key) {
            None
        } else if ino == tree.root {
            Some(HOME)
        } else {
            OWN.contains(&ino).then_some(ino)
        }
    }

    /// Where a node is in the table, or would be. Derived from the node, so that it shows the same
    /// number again after it was forgotten.
    fn place_in(table: &HashMap<u64, Known>, tree: &Arc<Tree>, ino: Ino) -> u64 {
        let mut id =
            mix(ino ^ tree.key.rotate_left(40).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | TABLE;
        while let Some(known) = table.get(&id) {
            if known.tree.key == tree.key && known.ino == ino {
                break;
            }
            id = id.wrapping_add(1) | TABLE;
        }
        id
    }
}

/// Spreads what numbers differ in over all bits.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use safeos_session::model::ModelVolume;
    use safeos_session::{FileKind, NewNode, Volume};

    use super::*;

    fn tree(key: u64, kind: TreeKind) -> Arc<Tree> {
        let volume = Arc::new(ModelVolume::new(0, 0));
        Arc::new(Tree {
            key,
            kind,
            root: volume.root(),
            volume,
        })
    }

    fn file(tree: &Tree, name: &[u8]) -> Ino {
        let node = NewNode::new(FileKind::File, 0o644, (0, 0));
        tree.volume.create(tree.root, name, &node).unwrap().ino
    }

    fn found(nodes: &Nodes, id: u64) -> Option<(u64, Ino)> {
        match nodes.find(id) {
            Some(Node::Inner(tree, ino)) => Some((tree.key, ino)),
            _ => None,
        }
    }

    #[test]
    fn the_first_home_keeps_its_numbers() {
        let nodes = Nodes::default();
        let home = tree(1, TreeKind::Home);
        let ino = file(&home, b"a");
        assert_eq!(nodes.retain(&home, home.root), HOME);
        assert_eq!(nodes.retain(&home, ino), ino);
        assert_eq!(found(&nodes, HOME), Some((1, home.root)));
        assert_eq!(found(&nodes, ino), Some((1, ino)));
    }

    #[test]
    fn a_second_home_and_a_snapshot_never_share_ids_with_the_first() {
        let nodes = Nodes::default();
        let trees = [
            tree(1, TreeKind::Home),
            tree(2, TreeKind::Home),
            tree(3, TreeKind::Snapshot),
        ];
        let mut ids = std::collections::HashSet::new();
        for tree in &trees {
            let ino = file(tree, b"a");
            for ino in [tree.root, ino] {
                let id = nodes.retain(tree, ino);
                assert!(ids.insert(id));
                assert_eq!(id, nodes.id(tree, ino));
                assert_eq!(found(&nodes, id), Some((tree.key, ino)));
            }
        }
    }

    #[test]
    fn a_node_lives_until_its_last_reference_is_forgotten() {
        for kind in [TreeKind::Home, TreeKind::Snapshot] {
            let nodes = Nodes::default();
            let tree = tree(1, kind);
            let ino = file(&tree, b"a");
            let id = nodes.retain(&tree, ino);
            assert_eq!(nodes.retain(&tree, ino), id);
            tree.volume.unlink(tree.root, b"a").unwrap();
            nodes.forget(id, 1);
            assert!(tree.volume.attr(ino).is_ok());
            nodes.forget(id, 1);
            assert!(tree.volume.attr(ino).is_err());
            if kind == TreeKind::Snapshot {
                assert!(nodes.find(id).is_none());
            }
        }
    }

    #[test]
    fn a_home_has_one_generation_and_other_trees_have_another_at_each_mount() {
        let home = tree(1, TreeKind::Home);
        let generation = |home: &Arc<Tree>| {
            let nodes = Nodes::default();
            nodes.retain(home, home.root);
            nodes.generation(home)
        };
        assert_eq!(generation(&home), generation(&home));
        assert!(generation(&home).0 <= u32::MAX.into());
        let later = loop {
            let later = tree(1, TreeKind::Home);
            if later.volume.attr(later.root).unwrap().btime
                != home.volume.attr(home.root).unwrap().btime
            {
                break later;
            }
        };
        assert_ne!(generation(&home), generation(&later));

        let nodes = [Nodes::default(), Nodes::default()];
        let snapshot = tree(2, TreeKind::Snapshot);
        assert_ne!(
            nodes[0].generation(&snapshot),
            nodes[1].generation(&snapshot)
        );
        nodes[0].offer(&home);
        nodes[0].offer(&later);
        assert_eq!(nodes[0].generation(&home), generation(&home));
    }

    #[test]
    fn ids_nobody_gave_out_are_unknown() {
        let nodes = Nodes::default();
        for id in [0, 6, 7, 1 << 32, 1 << 63, u64::MAX] {
            assert!(nodes.find(id).is_none());
            nodes.forget(id, 3);
        }
    }
}
