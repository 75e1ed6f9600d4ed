//! Names compared with nodes: links, kinds, parents, and the way from the root.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::Result;
use crate::item::{FileKind, Ino, Inode, Key, ROOT, Tag, Value};
use crate::read::Source;
use crate::tree::Tree;

use super::report::{Checked, Problem, is_root};
use super::walk::{Gaps, walk};

/// Most room made ahead, in nodes: the tree's own total is not checked yet.
const CAPACITY_MAX: u64 = 1 << 20;
/// The longest way from the root that is followed for a path.
const DEPTH_MAX: usize = 100_000;

/// A directory entry: which node, in which directory.
#[derive(Clone, Copy)]
struct Name {
    ino: Ino,
    dir: Ino,
    kind: FileKind,
}

/// All directory entries, by the node they name.
pub(super) struct Named(Vec<Name>);

impl Named {
    pub(super) fn with_capacity(nodes: u64) -> Self {
        Self(Vec::with_capacity(nodes.min(CAPACITY_MAX) as usize))
    }

    pub(super) fn add(&mut self, ino: Ino, dir: Ino, kind: FileKind) {
        self.0.push(Name { ino, dir, kind });
    }

    pub(super) fn sort(&mut self) {
        self.0.sort_unstable_by_key(|name| (name.ino, name.dir));
    }

    fn of(&self, ino: Ino) -> &[Name] {
        let from = self.0.partition_point(|name| name.ino < ino);
        let len = self.0[from..].partition_point(|name| name.ino == ino);
        &self.0[from..from + len]
    }

    /// Gives problems the paths of their nodes. Each directory on the way is read once.
    pub(super) fn find_paths(
        &self,
        tree: &Tree,
        source: &dyn Source,
        problems: &mut [Problem],
    ) -> Result<()> {
        let mut wanted: BTreeMap<Ino, BTreeSet<Ino>> = BTreeMap::new();
        for problem in problems.iter() {
            let mut at = problem.ino;
            while let Some(ino) = at.filter(|ino| !is_root(*ino)) {
                let Some(name) = self.of(ino).first() else {
                    break;
                };
                if !wanted.entry(name.dir).or_default().insert(ino) {
                    break;
                }
                at = Some(name.dir);
            }
        }
        let mut found: HashMap<Ino, (Ino, Vec<u8>)> = HashMap::new();
        for (dir, inos) in &wanted {
            let from = Key::entry(*dir, b"");
            let to = Key::after(*dir, Tag::Entry);
            walk(tree, source, &from, Some(&to), &mut |seen| {
                if let Ok((key, Value::Entry { ino, .. })) = seen
                    && inos.contains(ino)
                {
                    found
                        .entry(*ino)
                        .or_insert_with(|| (*dir, key.name.to_vec()));
                }
                Ok(())
            })?;
        }
        for problem in problems {
            problem.path = problem.ino.and_then(|ino| path(&found, ino));
        }
        Ok(())
    }
}

fn path(found: &HashMap<Ino, (Ino, Vec<u8>)>, ino: Ino) -> Option<Vec<u8>> {
    let mut names: Vec<&[u8]> = Vec::new();
    let mut at = ino;
    while !is_root(at) {
        let (dir, name) = found.get(&at)?;
        names.push(name);
        at = *dir;
        if names.len() > DEPTH_MAX {
            return None;
        }
    }
    names.reverse();
    Some(names.join(&b'/'))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Unknown,
    /// On the way that is being followed.
    Asked,
    Root,
    Nowhere,
}

struct NodeRecord {
    ino: Ino,
    parent: Ino,
    nlink: u32,
    subdirectories: u32,
    /// `None`: the node itself cannot be read.
    kind: Option<FileKind>,
    reach: Reach,
}

/// All nodes, by number.
pub(super) struct Nodes(Vec<NodeRecord>);

impl Nodes {
    pub(super) fn with_capacity(nodes: u64) -> Self {
        Self(Vec::with_capacity(nodes.min(CAPACITY_MAX) as usize))
    }

    pub(super) fn add(&mut self, ino: Ino, inode: &Inode) {
        self.0.push(NodeRecord {
            ino,
            parent: inode.parent,
            nlink: inode.nlink,
            subdirectories: 0,
            kind: Some(inode.kind),
            reach: Reach::Unknown,
        });
    }

    pub(super) fn add_damaged(&mut self, ino: Ino) {
        self.0.push(NodeRecord {
            ino,
            parent: 0,
            nlink: 0,
            subdirectories: 0,
            kind: None,
            reach: Reach::Unknown,
        });
    }

    fn find(&self, ino: Ino) -> Option<usize> {
        self.0.binary_search_by_key(&ino, |node| node.ino).ok()
    }

    /// Every name has its node, and every node the names it says.
    pub(super) fn check_names(&mut self, named: &Named, gaps: &Gaps, checked: &mut Checked) {
        for name in &named.0 {
            if name.kind == FileKind::Directory
                && let Some(dir) = self.find(name.dir)
            {
                self.0[dir].subdirectories += 1;
            }
            let kind = match self.find(name.ino) {
                Some(node) => self.0[node].kind,
                None if gaps.cover(&Key::inode(name.ino)) => {
                    checked.report(
                        name.ino,
                        "its node cannot be read: the part of the tree that holds it is damaged",
                    );
                    continue;
                }
                None => {
                    checked.report(name.ino, "it is a name of a node that is not there");
                    continue;
                }
            };
            if is_root(name.ino) {
                checked.report(name.dir, "it has an entry for the root");
            } else if kind.is_some_and(|kind| kind != name.kind) {
                checked.report(name.ino, "its name says that it is of another kind");
            }
        }
        for node in &self.0 {
            let names = named.of(node.ino);
            let Some(kind) = node.kind else {
                continue;
            };
            if names.is_empty() && !is_root(node.ino) {
                if node.nlink == 0 {
                    checked.orphans += 1;
                } else if gaps.is_empty() {
                    checked.report(node.ino, "it is in no directory");
                } else {
                    checked.report(
                        node.ino,
                        "it is in no directory: its name may be in a part that cannot be read",
                    );
                }
                continue;
            }
            if kind == FileKind::Directory {
                node.check_directory(names, gaps, checked);
            } else if names.len() != node.nlink as usize
                // Names may be in a gap; more names than links are wrong in any case.
                && (gaps.is_empty() || names.len() > node.nlink as usize)
            {
                let (links, found) = (node.nlink, names.len());
                checked.report(
                    node.ino,
                    format!("it says that it has {links} names, it has {found}"),
                );
            }
        }
        match self.find(ROOT).map(|root| self.0[root].kind) {
            Some(None | Some(FileKind::Directory)) => {}
            Some(Some(_)) => checked.report(ROOT, "the root is no directory"),
            None if gaps.cover(&Key::inode(ROOT)) => {}
            None => checked.report(ROOT, "there is no root directory"),
        }
    }

    /// Every directory can be reached from the root.
    pub(super) fn check_reach(&mut self, named: &Named, gaps: &Gaps, checked: &mut Checked) {
        let mut way = Vec::new();
        for start in 0..self.0.len() {
            let node = &self.0[start];
            let orphan = node.nlink == 0 && named.of(node.ino).is_empty();
            if node.kind != Some(FileKind::Directory) || orphan {
                continue;
            }
            let mut at = Some(start);
            let reach = loop {
                let Some(index) = at else {
                    break Reach::Nowhere;
                };
                let node = &mut self.0[index];
                if is_root(node.ino) {
                    break Reach::Root;
                }
                match node.reach {
                    Reach::Unknown => {}
                    Reach::Asked => {
                        checked.report(node.ino, "it lies within itself");
                        break Reach::Nowhere;
                    }
                    known => break known,
                }
                node.reach = Reach::Asked;
                way.push(index);
                let ino = node.ino;
                at = match named.of(ino).first() {
                    Some(name) => match self.find(name.dir) {
                        Some(dir) => Some(dir),
                        // Reported as damaged already; its entries have a place.
                        None if gaps.cover(&Key::inode(name.dir)) => break Reach::Root,
                        None => None,
                    },
                    None if !gaps.is_empty() => break Reach::Root,
                    None => None,
                };
            };
            let lost = reach == Reach::Nowhere && !way.is_empty();
            if lost {
                checked.report(
                    self.0[start].ino,
                    "it cannot be reached from the root directory",
                );
            }
            for index in way.drain(..) {
                self.0[index].reach = reach;
            }
        }
    }
}

impl NodeRecord {
    fn check_directory(&self, names: &[Name], gaps: &Gaps, checked: &mut Checked) {
        let links = u64::from(self.subdirectories) + 2;
        if u64::from(self.nlink) != links
            && (!gaps.touch(self.ino) || u64::from(self.nlink) < links)
        {
            let nlink = self.nlink;
            checked.report(
                self.ino,
                format!("it says that it has {nlink} links, a directory with its subdirectories has {links}"),
            );
        }
        let parent = match names {
            [] => ROOT,
            [only] => only.dir,
            [_, _, ..] => {
                checked.report(self.ino, "it is a directory with more than one name");
                return;
            }
        };
        if self.parent != parent {
            checked.report(
                self.ino,
                format!(
                    "it says that it is in directory {}, it is in {parent}",
                    self.parent
                ),
            );
        }
    }
}
