//! A small file system over a tree: just enough of POSIX to make states that sessions could make.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use safeos_tree::{
    Batch, Block, Error, FileKind, Ino, Inode, Key, Merged, Naming, Node, ObjectRef, Owner, ROOT,
    Result, Source, Tag, Tree, Value, check, merge,
};

/// Trees here live in memory as a whole.
pub struct Nowhere;

impl Source for Nowhere {
    fn node(&self, _: &ObjectRef) -> Result<Arc<Node>> {
        Err(Error::Format("no node is stored in this test"))
    }
}

#[derive(Clone)]
pub struct World {
    pub tree: Tree,
    next: Ino,
    time: i128,
}

pub const SUFFIX: &str = "conflict, ana";

pub struct Names(pub Ino);

impl Naming for Names {
    fn fresh_ino(&mut self) -> Result<Ino> {
        self.0 += 1;
        Ok(self.0)
    }

    fn suffix(&self) -> String {
        SUFFIX.into()
    }
}

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            tree: Tree::new(),
            next: 100,
            time: 1_000,
        };
        let root = Inode {
            nlink: 2,
            parent: ROOT,
            ..world.inode(FileKind::Directory, ROOT)
        };
        world.apply(vec![put(ROOT, root)]);
        world
    }

    /// The same state on another computer, which makes other numbers and times.
    pub fn on(&self, computer: u64) -> Self {
        Self {
            tree: self.tree.clone(),
            next: 100 + (computer << 32),
            time: self.time + i128::from(computer) * 1_000_000,
        }
    }

    fn inode(&self, kind: FileKind, parent: Ino) -> Inode {
        Inode {
            kind,
            perm: 0o644,
            nlink: if kind == FileKind::Directory { 2 } else { 1 },
            uid: Owner::Person,
            gid: Owner::Person,
            rdev: 0,
            size: 0,
            allocated: 0,
            atime: self.time,
            mtime: self.time,
            ctime: self.time,
            btime: self.time,
            parent,
            target: Bytes::new(),
        }
    }

    pub fn apply(&mut self, batch: Batch) {
        self.tree.apply(&Nowhere, batch).unwrap();
        self.time += 1;
    }

    pub fn get(&self, ino: Ino) -> Option<Inode> {
        match self.tree.get(&Nowhere, &Key::inode(ino)).unwrap() {
            Some(Value::Inode(inode)) => Some((*inode).clone()),
            _ => None,
        }
    }

    pub fn entry(&self, dir: Ino, name: &[u8]) -> Option<(Ino, FileKind)> {
        match self.tree.get(&Nowhere, &Key::entry(dir, name)).unwrap() {
            Some(Value::Entry { ino, kind }) => Some((ino, kind)),
            _ => None,
        }
    }

    pub fn find(&self, path: &str) -> Option<(Ino, FileKind)> {
        let mut at = (ROOT, FileKind::Directory);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if at.1 != FileKind::Directory {
                return None;
            }
            at = self.entry(at.0, name.as_bytes())?;
        }
        Some(at)
    }

    /// Directory and name of a path whose directory is there.
    fn place(&self, path: &str) -> Option<(Ino, Vec<u8>)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.find(dir)? {
            (ino, FileKind::Directory) => Some((ino, name.as_bytes().to_vec())),
            _ => None,
        }
    }

    fn links(&self, ino: Ino, change: i32) -> (Key, Option<Value>) {
        let mut inode = self.get(ino).unwrap();
        inode.nlink = inode.nlink.checked_add_signed(change).unwrap();
        inode.ctime = self.time;
        put(ino, inode)
    }

    /// Makes something new at a free name.
    pub fn make(
        &mut self,
        path: &str,
        kind: FileKind,
        change: impl FnOnce(&mut Inode),
    ) -> Option<Ino> {
        let (dir, name) = self.place(path)?;
        if self.entry(dir, &name).is_some() {
            return None;
        }
        self.next += 1;
        let ino = self.next;
        let mut inode = self.inode(kind, dir);
        change(&mut inode);
        let mut batch = vec![put(ino, inode), name_of(dir, &name, Some((ino, kind)))];
        if kind == FileKind::Directory {
            batch.push(self.links(dir, 1));
        }
        self.apply(batch);
        Some(ino)
    }

    pub fn mkdir(&mut self, path: &str) -> Option<Ino> {
        self.make(path, FileKind::Directory, |inode| inode.perm = 0o755)
    }

    pub fn symlink(&mut self, path: &str, target: &str) -> Option<Ino> {
        self.make(path, FileKind::Symlink, |inode| {
            inode.target = Bytes::copy_from_slice(target.as_bytes());
            inode.size = target.len() as u64;
        })
    }

    /// Writes a file, made if it is not there.
    pub fn write(&mut self, path: &str, text: &str) -> Option<()> {
        let ino = match self.find(path) {
            Some((ino, FileKind::File)) => ino,
            Some(_) => return None,
            None => self.make(path, FileKind::File, |_| {})?,
        };
        self.write_block(ino, 0, text);
        Some(())
    }

    pub fn write_block(&mut self, ino: Ino, number: u64, text: &str) {
        let mut inode = self.get(ino).unwrap();
        let old = match self.tree.get(&Nowhere, &Key::block(ino, number)).unwrap() {
            Some(Value::Block(block)) => block.len() as u64,
            _ => 0,
        };
        let end = number * safeos_tree::BLOCK_BYTES as u64 + text.len() as u64;
        inode.allocated = inode.allocated - old + text.len() as u64;
        let has_later = inode.size > (number + 1) * safeos_tree::BLOCK_BYTES as u64;
        inode.size = if has_later { inode.size } else { end };
        inode.mtime = self.time;
        inode.ctime = self.time;
        let block = Value::Block(Block::Inline(Bytes::copy_from_slice(text.as_bytes())));
        self.apply(vec![
            put(ino, inode),
            (Key::block(ino, number), Some(block)),
        ]);
    }

    pub fn change(&mut self, path: &str, change: impl FnOnce(&mut Inode)) -> Option<()> {
        let (ino, _) = self.find(path)?;
        let mut inode = self.get(ino).unwrap();
        change(&mut inode);
        inode.ctime = self.time;
        self.apply(vec![put(ino, inode)]);
        Some(())
    }

    pub fn set_xattr(&mut self, path: &str, name: &str, value: Option<&str>) -> Option<()> {
        let (ino, _) = self.find(path)?;
        let value = value.map(|v| Value::Xattr(Bytes::copy_from_slice(v.as_bytes())));
        self.apply(vec![(Key::xattr(ino, name.as_bytes()), value)]);
        Some(())
    }

    pub fn xattr(&self, path: &str, name: &str) -> Option<String> {
        let (ino, _) = self.find(path)?;
        let key = Key::xattr(ino, name.as_bytes());
        match self.tree.get(&Nowhere, &key).unwrap() {
            Some(Value::Xattr(bytes)) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
            _ => None,
        }
    }

    pub fn link(&mut self, from: &str, to: &str) -> Option<()> {
        let (ino, kind) = self.find(from)?;
        let (dir, name) = self.place(to)?;
        if kind == FileKind::Directory || self.entry(dir, &name).is_some() {
            return None;
        }
        let (key, value) = self.links(ino, 1);
        let Some(Value::Inode(inode)) = value else {
            return None;
        };
        let mut inode = (*inode).clone();
        inode.parent = dir;
        let value = Some(Value::Inode(Arc::new(inode)));
        self.apply(vec![(key, value), name_of(dir, &name, Some((ino, kind)))]);
        Some(())
    }

    fn items(&self, ino: Ino) -> Vec<(Key, Value)> {
        let mut items = Vec::new();
        self.scan(&Key::inode(ino), &Key::inode(ino + 1), |key, value| {
            items.push((key.clone(), value.clone()));
        });
        items
    }

    pub fn scan(&self, from: &Key, to: &Key, mut visit: impl FnMut(&Key, &Value)) {
        self.tree
            .scan(&Nowhere, from, to, &mut |key, value| {
                visit(key, value);
                ControlFlow::Continue(())
            })
            .unwrap();
    }

    /// Takes a name away, with the node if it was its last; a directory must be empty.
    pub fn remove(&mut self, path: &str) -> Option<()> {
        let (dir, name) = self.place(path)?;
        let (ino, kind) = self.entry(dir, &name)?;
        let mut batch = vec![name_of(dir, &name, None)];
        if kind == FileKind::Directory {
            if self.items(ino).iter().any(|(key, _)| key.tag == Tag::Entry) {
                return None;
            }
            batch.push(self.links(dir, -1));
        }
        if kind == FileKind::Directory || self.get(ino).unwrap().nlink == 1 {
            batch.extend(self.items(ino).into_iter().map(|(key, _)| (key, None)));
        } else {
            batch.push(self.links(ino, -1));
        }
        self.apply(batch);
        Some(())
    }

    /// `rm -r`.
    pub fn remove_all(&mut self, path: &str) -> Option<()> {
        let (ino, kind) = self.find(path)?;
        if kind == FileKind::Directory {
            for (key, _) in self.items(ino) {
                if key.tag == Tag::Entry {
                    let name = String::from_utf8(key.name.to_vec()).unwrap();
                    self.remove_all(&format!("{path}/{name}"))?;
                }
            }
        }
        self.remove(path)
    }

    /// `rename(2)`.
    pub fn rename(&mut self, from: &str, to: &str) -> Option<()> {
        let (from_dir, from_name) = self.place(from)?;
        let (ino, kind) = self.entry(from_dir, &from_name)?;
        let (to_dir, to_name) = self.place(to)?;
        let mut at = to_dir;
        while kind == FileKind::Directory && at != ROOT {
            if at == ino {
                return None;
            }
            at = self.get(at)?.parent;
        }
        if let Some((there, there_kind)) = self.entry(to_dir, &to_name) {
            let directories = [kind, there_kind].map(|kind| kind == FileKind::Directory);
            if there == ino || directories[0] != directories[1] {
                return None;
            }
            self.remove(to)?;
        }
        self.apply(vec![name_of(from_dir, &from_name, None)]);
        self.apply(vec![name_of(to_dir, &to_name, Some((ino, kind)))]);
        let mut inode = self.get(ino).unwrap();
        inode.parent = to_dir;
        inode.ctime = self.time;
        self.apply(vec![put(ino, inode)]);
        if kind == FileKind::Directory {
            let batch = vec![self.links(from_dir, -1)];
            self.apply(batch);
            let batch = vec![self.links(to_dir, 1)];
            self.apply(batch);
        }
        Some(())
    }

    /// Saves as editors do: a new file that takes the old one's name.
    pub fn save(&mut self, path: &str, text: &str) {
        let temporary = format!("{path}.new");
        self.write(&temporary, text).unwrap();
        self.rename(&temporary, path).unwrap();
    }

    pub fn read(&self, path: &str) -> Option<String> {
        let (ino, kind) = self.find(path)?;
        (kind == FileKind::File).then(|| self.text(ino))
    }

    fn text(&self, ino: Ino) -> String {
        let mut text = String::new();
        for (_, value) in self.items(ino) {
            if let Value::Block(Block::Inline(bytes)) = value {
                text.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        }
        text
    }

    /// Every path with its node: `/` for directories, `->` and the target, or the content.
    pub fn list(&self) -> BTreeMap<String, String> {
        let mut list = BTreeMap::new();
        self.list_dir(ROOT, "", &mut list, &mut BTreeSet::new());
        list
    }

    fn list_dir(
        &self,
        dir: Ino,
        path: &str,
        list: &mut BTreeMap<String, String>,
        seen: &mut BTreeSet<Ino>,
    ) {
        assert!(seen.insert(dir), "{path} lies in itself");
        for (key, value) in self.items(dir) {
            let Value::Entry { ino, kind } = value else {
                continue;
            };
            let name = String::from_utf8(key.name.to_vec()).unwrap();
            let path = format!("{path}{name}");
            let what = match kind {
                FileKind::Directory => "/".to_owned(),
                FileKind::Symlink => {
                    let target = self.get(ino).unwrap().target;
                    format!("-> {}", String::from_utf8(target.to_vec()).unwrap())
                }
                _ => self.text(ino),
            };
            list.insert(path.clone(), what);
            if kind == FileKind::Directory {
                self.list_dir(ino, &format!("{path}/"), list, seen);
            }
        }
    }

    /// Every item, for comparison.
    pub fn all(&self) -> Vec<(Key, Value)> {
        let mut items = Vec::new();
        self.scan(&Key::inode(0), &Key::inode(Ino::MAX), |key, value| {
            items.push((key.clone(), value.clone()));
        });
        items
    }

    pub fn problems(&self) -> Vec<String> {
        let checked = check(&self.tree, &Nowhere, &mut |_, _, _| Ok(())).unwrap();
        let path = |path: &Option<Vec<u8>>| {
            path.as_ref()
                .map(|path| String::from_utf8_lossy(path).into_owned())
        };
        checked
            .problems
            .iter()
            .map(|problem| {
                format!(
                    "{:?} {:?}: {}",
                    problem.ino,
                    path(&problem.path),
                    problem.what
                )
            })
            .collect()
    }

    /// Merges `theirs` in, checks the result, and says what was noted: path, copy, kind.
    pub fn merge(&mut self, base: &Self, theirs: &Self) -> Vec<String> {
        for (name, world) in [("base", base), ("ours", &*self), ("theirs", theirs)] {
            assert_eq!(world.problems(), Vec::<String>::new(), "{name}");
        }
        let mut names = Names(self.next);
        let Merged { batch, conflicts } =
            merge(&base.tree, &self.tree, &theirs.tree, &Nowhere, &mut names).unwrap();
        self.next = names.0;
        self.apply(batch);
        assert_eq!(self.problems(), Vec::<String>::new(), "{:#?}", self.list());
        conflicts
            .iter()
            .map(|conflict| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                match &conflict.copy {
                    Some(copy) => {
                        format!(
                            "{} + {} {:?}",
                            text(&conflict.path),
                            text(copy),
                            conflict.kind
                        )
                    }
                    None => format!("{} {:?}", text(&conflict.path), conflict.kind),
                }
            })
            .collect()
    }
}

fn put(ino: Ino, inode: Inode) -> (Key, Option<Value>) {
    (Key::inode(ino), Some(Value::Inode(Arc::new(inode))))
}

fn name_of(dir: Ino, name: &[u8], to: Option<(Ino, FileKind)>) -> (Key, Option<Value>) {
    let value = to.map(|(ino, kind)| Value::Entry { ino, kind });
    (Key::entry(dir, name), value)
}
