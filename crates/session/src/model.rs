//! A volume in plain memory, simple enough to be seen right: the reference that property tests hold
//! the real tree against, and with which a front can be tested by itself.
//!
//! What always holds here: one lock around everything, every call is atomic; a directory's link
//! count is 2 plus its subdirectories; a node without names lives exactly as long as it is retained.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::lock::Mutex;

use crate::clock::now;
use crate::{
    Allocate, Attr, DirEntry, Error, FileKind, Ino, Nanos, NewNode, RenameMode, Result, Seek,
    SetAttr, Space, Volume, XattrMode,
};

/// Bytes of a block, which is a hole or data as a whole.
const BLOCK: u64 = 4096;
const NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 64 * 1024;
const FILE_SIZE_MAX: u64 = i64::MAX as u64;
const SET_GROUP_ID: u16 = 0o2000;

/// The root of every model volume; its other inode numbers follow.
const ROOT: Ino = 1 << 32;

enum Body {
    /// The blocks that are no holes, by number. Bytes past the end of the file are zero.
    File(BTreeMap<u64, Box<[u8]>>),
    Directory {
        entries: BTreeMap<Vec<u8>, Ino>,
        parent: Ino,
    },
    Symlink(Vec<u8>),
    Special,
}

struct Node {
    attr: Attr,
    body: Body,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    retained: u64,
}

struct State {
    nodes: BTreeMap<Ino, Node>,
    next: Ino,
}

/// A file tree in memory.
pub struct ModelVolume {
    state: Mutex<State>,
}

fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX {
        return Err(Error::NameTooLong);
    }
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0)
    {
        return Err(Error::Invalid("a name has 1 to 255 bytes, no / and no NUL"));
    }
    Ok(())
}

impl Node {
    fn touch(&mut self, at: Nanos) {
        self.attr.ctime = at;
    }

    fn modify(&mut self, at: Nanos) {
        self.attr.mtime = at;
        self.attr.ctime = at;
    }

    fn file(&self) -> Result<&BTreeMap<u64, Box<[u8]>>> {
        match &self.body {
            Body::File(blocks) => Ok(blocks),
            Body::Directory { .. } => Err(Error::IsDirectory),
            _ => Err(Error::Invalid("not a regular file")),
        }
    }

    fn file_mut(&mut self) -> Result<&mut BTreeMap<u64, Box<[u8]>>> {
        match &mut self.body {
            Body::File(blocks) => Ok(blocks),
            Body::Directory { .. } => Err(Error::IsDirectory),
            _ => Err(Error::Invalid("not a regular file")),
        }
    }

    fn entries(&self) -> Result<&BTreeMap<Vec<u8>, Ino>> {
        match &self.body {
            Body::Directory { entries, .. } => Ok(entries),
            _ => Err(Error::NotDirectory),
        }
    }

    fn entries_mut(&mut self) -> Result<&mut BTreeMap<Vec<u8>, Ino>> {
        match &mut self.body {
            Body::Directory { entries, .. } => Ok(entries),
            _ => Err(Error::NotDirectory),
        }
    }

    fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory { .. })
    }

    fn is_empty_directory(&self) -> bool {
        matches!(&self.body, Body::Directory { entries, .. } if entries.is_empty())
    }

    fn count_blocks(&mut self) {
        if let Body::File(blocks) = &self.body {
            self.attr.blocks = blocks.len() as u64 * (BLOCK / 512);
        }
    }

    /// Makes `[from, to)` zeros: whole blocks become holes, the rest is overwritten.
    fn clear(&mut self, from: u64, to: u64) -> Result<()> {
        let blocks = self.file_mut()?;
        let touched: Vec<u64> = match to.checked_sub(1) {
            Some(last) if from < to => blocks
                .range(from / BLOCK..=last / BLOCK)
                .map(|(number, _)| *number)
                .collect(),
            _ => Vec::new(),
        };
        for number in touched {
            let start = number * BLOCK;
            let a = from.max(start) - start;
            let b = (to - start).min(BLOCK);
            if a == 0 && b == BLOCK {
                blocks.remove(&number);
            } else if let Some(block) = blocks.get_mut(&number) {
                block[a as usize..b as usize].fill(0);
            }
        }
        self.count_blocks();
        Ok(())
    }

    fn set_size(&mut self, size: u64) -> Result<()> {
        if size > FILE_SIZE_MAX {
            return Err(Error::FileTooLarge);
        }
        if size < self.attr.size {
            self.clear(size, self.attr.size.next_multiple_of(BLOCK))?;
        } else {
            self.file_mut()?;
        }
        self.attr.size = size;
        Ok(())
    }

    fn read(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        let blocks = self.file()?;
        let end = self.attr.size.min(offset.saturating_add(len as u64));
        let mut at = offset;
        while at < end {
            let within = (at % BLOCK) as usize;
            let take = ((BLOCK as usize) - within).min((end - at) as usize);
            match blocks.get(&(at / BLOCK)) {
                Some(block) => out.extend_from_slice(&block[within..within + take]),
                None => out.resize(out.len() + take, 0),
            }
            at += take as u64;
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let end = offset
            .checked_add(data.len() as u64)
            .filter(|end| *end <= FILE_SIZE_MAX)
            .ok_or(Error::FileTooLarge)?;
        let blocks = self.file_mut()?;
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let within = (at % BLOCK) as usize;
            let (now, later) = rest.split_at(((BLOCK as usize) - within).min(rest.len()));
            let block = blocks
                .entry(at / BLOCK)
                .or_insert_with(|| vec![0; BLOCK as usize].into_boxed_slice());
            block[within..within + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            rest = later;
        }
        self.attr.size = self.attr.size.max(end);
        self.count_blocks();
        Ok(())
    }
}

impl State {
    fn node(&self, ino: Ino) -> Result<&Node> {
        self.nodes.get(&ino).ok_or(Error::NotFound)
    }

    fn node_mut(&mut self, ino: Ino) -> Result<&mut Node> {
        self.nodes.get_mut(&ino).ok_or(Error::NotFound)
    }

    fn child(&self, dir: Ino, name: &[u8]) -> Result<Ino> {
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        self.node(dir)?
            .entries()?
            .get(name)
            .copied()
            .ok_or(Error::NotFound)
    }

    /// A directory that can take a new name.
    fn living(&self, dir: Ino) -> Result<&Node> {
        let node = self.node(dir)?;
        node.entries()?;
        if node.attr.nlink == 0 {
            return Err(Error::NotFound);
        }
        Ok(node)
    }

    /// Whether `dir` is `above` or lies somewhere inside it.
    fn is_within(&self, mut dir: Ino, above: Ino) -> bool {
        loop {
            if dir == above {
                return true;
            }
            match self.nodes.get(&dir).map(|node| &node.body) {
                Some(Body::Directory { parent, .. }) if *parent != dir => dir = *parent,
                _ => return false,
            }
        }
    }

    /// Takes one name from a node that lost it.
    fn drop_name(&mut self, ino: Ino, at: Nanos) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.attr.nlink = if node.is_directory() {
                0
            } else {
                node.attr.nlink.saturating_sub(1)
            };
            node.touch(at);
        }
        self.forget_if_unused(ino);
    }

    fn forget_if_unused(&mut self, ino: Ino) {
        if let Entry::Occupied(node) = self.nodes.entry(ino)
            && node.get().attr.nlink == 0
            && node.get().retained == 0
        {
            node.remove();
        }
    }

    /// Makes what takes the name of a node that moves away.
    fn add_whiteout(&mut self, moved: Ino, at: Nanos) -> Result<Ino> {
        let ino = self.next;
        let attr = Attr {
            ino,
            kind: FileKind::CharDevice,
            perm: 0,
            nlink: 1,
            rdev: 0,
            size: 0,
            blocks: 0,
            atime: at,
            mtime: at,
            ctime: at,
            btime: at,
            ..self.node(moved)?.attr
        };
        self.next += 1;
        let node = Node {
            attr,
            body: Body::Special,
            xattrs: BTreeMap::new(),
            retained: 0,
        };
        self.nodes.insert(ino, node);
        Ok(ino)
    }

    fn add_links(&mut self, dir: Ino, change: i32) {
        if let Some(node) = self.nodes.get_mut(&dir) {
            node.attr.nlink = node.attr.nlink.saturating_add_signed(change);
        }
    }

    fn set_parent(&mut self, dir: Ino, to: Ino) {
        if let Some(Body::Directory { parent, .. }) =
            self.nodes.get_mut(&dir).map(|node| &mut node.body)
        {
            *parent = to;
        }
    }
}

impl ModelVolume {
    /// An empty tree whose root belongs to `uid` and `gid`.
    pub fn new(uid: u32, gid: u32) -> Self {
        let at = now();
        let root = Node {
            attr: Attr {
                ino: ROOT,
                kind: FileKind::Directory,
                perm: 0o755,
                nlink: 2,
                uid,
                gid,
                rdev: 0,
                size: 0,
                blocks: 0,
                atime: at,
                mtime: at,
                ctime: at,
                btime: at,
            },
            body: Body::Directory {
                entries: BTreeMap::new(),
                parent: ROOT,
            },
            xattrs: BTreeMap::new(),
            retained: 1,
        };
        Self {
            state: Mutex::new(State {
                nodes: BTreeMap::from([(ROOT, root)]),
                next: ROOT + 1,
            }),
        }
    }

    /// How many nodes there are, those without names too.
    pub fn node_count(&self) -> usize {
        self.state.lock().nodes.len()
    }
}

impl Volume for ModelVolume {
    fn root(&self) -> Ino {
        ROOT
    }

    fn lookup(&self, dir: Ino, name: &[u8]) -> Result<Attr> {
        let state = self.state.lock();
        Ok(state.node(state.child(dir, name)?)?.attr)
    }

    fn attr(&self, ino: Ino) -> Result<Attr> {
        Ok(self.state.lock().node(ino)?.attr)
    }

    fn parent(&self, dir: Ino) -> Result<Ino> {
        match self.state.lock().node(dir)?.body {
            Body::Directory { parent, .. } => Ok(parent),
            _ => Err(Error::NotDirectory),
        }
    }

    fn path(&self, ino: Ino) -> Result<Vec<u8>> {
        let state = self.state.lock();
        state.node(ino)?;
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut at = ino;
        while at != ROOT && seen.insert(at) {
            let (dir, name) = state
                .nodes
                .iter()
                .find_map(|(dir, node)| {
                    let entries = node.entries().ok()?;
                    let (name, _) = entries.iter().find(|(_, child)| **child == at)?;
                    Some((*dir, name.clone()))
                })
                .ok_or(Error::NotFound)?;
            names.push(name);
            at = dir;
        }
        names.reverse();
        Ok(names.join(&b'/'))
    }

    fn read_link(&self, ino: Ino) -> Result<Vec<u8>> {
        match &self.state.lock().node(ino)?.body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(Error::Invalid("not a symbolic link")),
        }
    }

    fn read(&self, ino: Ino, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<()> {
        self.state.lock().node(ino)?.read(offset, len, out)
    }

    fn read_dir(&self, dir: Ino, after: Option<&[u8]>, limit: usize) -> Result<Vec<DirEntry>> {
        let state = self.state.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        state
            .node(dir)?
            .entries()?
            .range::<[u8], _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(name, ino)| {
                Ok(DirEntry {
                    name: name.clone(),
                    attr: state.node(*ino)?.attr,
                })
            })
            .collect()
    }

    fn seek(&self, ino: Ino, offset: u64, what: Seek) -> Result<u64> {
        let state = self.state.lock();
        let node = state.node(ino)?;
        let blocks = node.file()?;
        if offset >= node.attr.size {
            return Err(Error::NoData);
        }
        match what {
            Seek::Data => blocks
                .range(offset / BLOCK..)
                .next()
                .map(|(number, _)| offset.max(number * BLOCK))
                .filter(|at| *at < node.attr.size)
                .ok_or(Error::NoData),
            Seek::Hole => {
                let mut number = offset / BLOCK;
                while blocks.contains_key(&number) {
                    number += 1;
                }
                Ok(offset.max(number * BLOCK).min(node.attr.size))
            }
        }
    }

    fn xattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>> {
        let state = self.state.lock();
        let value = state.node(ino)?.xattrs.get(name);
        value.cloned().ok_or(Error::NoAttribute)
    }

    fn xattrs(&self, ino: Ino) -> Result<Vec<Vec<u8>>> {
        Ok(self
            .state
            .lock()
            .node(ino)?
            .xattrs
            .keys()
            .cloned()
            .collect())
    }

    fn space(&self) -> Result<Space> {
        Ok(Space {
            total: 1 << 40,
            free: 1 << 39,
            nodes: self.state.lock().nodes.len() as u64,
        })
    }

    fn retain(&self, ino: Ino) {
        if let Some(node) = self.state.lock().nodes.get_mut(&ino) {
            node.retained += 1;
        }
    }

    fn release(&self, ino: Ino, count: u64) {
        let mut state = self.state.lock();
        if let Some(node) = state.nodes.get_mut(&ino) {
            node.retained = node.retained.saturating_sub(count);
        }
        state.forget_if_unused(ino);
    }

    fn set_attr(&self, ino: Ino, change: &SetAttr) -> Result<Attr> {
        let mut state = self.state.lock();
        let node = state.node_mut(ino)?;
        if *change == SetAttr::default() {
            return Ok(node.attr);
        }
        let at = now();
        if let Some(size) = change.size {
            node.set_size(size)?;
            node.attr.mtime = at;
        }
        let attr = &mut node.attr;
        attr.perm = change.perm.map_or(attr.perm, |perm| perm & 0o7777);
        attr.uid = change.uid.unwrap_or(attr.uid);
        attr.gid = change.gid.unwrap_or(attr.gid);
        attr.atime = change.atime.unwrap_or(attr.atime);
        attr.mtime = change.mtime.unwrap_or(attr.mtime);
        attr.ctime = change.ctime.unwrap_or(at);
        Ok(*attr)
    }

    fn create(&self, dir: Ino, name: &[u8], node: &NewNode<'_>) -> Result<Attr> {
        check_name(name)?;
        let mut state = self.state.lock();
        let at = now();
        let ino = state.next;
        let parent = state.living(dir)?;
        if parent.entries()?.contains_key(name) {
            return Err(Error::Exists);
        }
        let directory = node.kind == FileKind::Directory;
        if directory && parent.attr.nlink == u32::MAX {
            return Err(Error::TooManyLinks);
        }
        let inherits = parent.attr.perm & SET_GROUP_ID != 0;
        let gid = if inherits { parent.attr.gid } else { node.gid };
        let mut perm = node.perm & 0o7777;
        if inherits && directory {
            perm |= SET_GROUP_ID;
        }
        let body = match node.kind {
            FileKind::File => Body::File(BTreeMap::new()),
            FileKind::Directory => Body::Directory {
                entries: BTreeMap::new(),
                parent: dir,
            },
            FileKind::Symlink if node.target.is_empty() => return Err(Error::NotFound),
            FileKind::Symlink => Body::Symlink(node.target.to_vec()),
            _ => Body::Special,
        };
        let size = match &body {
            Body::Symlink(target) => target.len() as u64,
            _ => 0,
        };
        let attr = Attr {
            ino,
            kind: node.kind,
            perm,
            nlink: if directory { 2 } else { 1 },
            uid: node.uid,
            gid,
            rdev: match node.kind {
                FileKind::CharDevice | FileKind::BlockDevice => node.rdev,
                _ => 0,
            },
            size,
            blocks: 0,
            atime: at,
            mtime: at,
            ctime: at,
            btime: at,
        };
        state.next += 1;
        state.nodes.insert(
            ino,
            Node {
                attr,
                body,
                xattrs: BTreeMap::new(),
                retained: 0,
            },
        );
        let parent = state.node_mut(dir)?;
        parent.entries_mut()?.insert(name.to_vec(), ino);
        parent.modify(at);
        if directory {
            parent.attr.nlink += 1;
        }
        Ok(attr)
    }

    fn link(&self, ino: Ino, dir: Ino, name: &[u8]) -> Result<Attr> {
        check_name(name)?;
        let mut state = self.state.lock();
        let at = now();
        let parent = state.living(dir)?;
        if parent.entries()?.contains_key(name) {
            return Err(Error::Exists);
        }
        let node = state.node_mut(ino)?;
        if node.is_directory() {
            return Err(Error::NotPermitted);
        }
        if node.attr.nlink == 0 {
            return Err(Error::NotFound);
        }
        node.attr.nlink = node.attr.nlink.checked_add(1).ok_or(Error::TooManyLinks)?;
        node.touch(at);
        let attr = node.attr;
        let parent = state.node_mut(dir)?;
        parent.entries_mut()?.insert(name.to_vec(), ino);
        parent.modify(at);
        Ok(attr)
    }

    fn unlink(&self, dir: Ino, name: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        let at = now();
        let ino = state.child(dir, name)?;
        if state.node(ino)?.is_directory() {
            return Err(Error::IsDirectory);
        }
        let parent = state.node_mut(dir)?;
        parent.entries_mut()?.remove(name);
        parent.modify(at);
        state.drop_name(ino, at);
        Ok(())
    }

    fn rmdir(&self, dir: Ino, name: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        let at = now();
        let ino = state.child(dir, name)?;
        let node = state.node(ino)?;
        if !node.is_directory() {
            return Err(Error::NotDirectory);
        }
        if !node.is_empty_directory() {
            return Err(Error::NotEmpty);
        }
        let parent = state.node_mut(dir)?;
        parent.entries_mut()?.remove(name);
        parent.modify(at);
        parent.attr.nlink -= 1;
        state.drop_name(ino, at);
        Ok(())
    }

    fn rename(&self, from: (Ino, &[u8]), to: (Ino, &[u8]), mode: RenameMode) -> Result<()> {
        check_name(from.1)?;
        check_name(to.1)?;
        let mut state = self.state.lock();
        let at = now();
        let moved = state.child(from.0, from.1)?;
        state.living(to.0)?;
        let moved_is_directory = state.node(moved)?.is_directory();
        if moved_is_directory && state.is_within(to.0, moved) {
            return Err(Error::Invalid("a directory cannot move into itself"));
        }
        let target = match state.child(to.0, to.1) {
            Ok(target) => Some(target),
            Err(Error::NotFound) => None,
            Err(other) => return Err(other),
        };
        let target_is_directory = match target {
            Some(target) => state.node(target)?.is_directory(),
            None => false,
        };
        match (mode, target) {
            (RenameMode::NoReplace | RenameMode::Whiteout { replace: false }, Some(_)) => {
                return Err(Error::Exists);
            }
            (RenameMode::Exchange, None) => return Err(Error::NotFound),
            (_, Some(target)) if target == moved => return Ok(()),
            (RenameMode::Exchange, Some(target)) => {
                if target_is_directory && state.is_within(from.0, target) {
                    return Err(Error::Invalid("a directory cannot move into itself"));
                }
            }
            (RenameMode::Replace | RenameMode::Whiteout { replace: true }, Some(target)) => {
                match (moved_is_directory, target_is_directory) {
                    (true, false) => return Err(Error::NotDirectory),
                    (false, true) => return Err(Error::IsDirectory),
                    _ => {}
                }
                if target_is_directory && !state.node(target)?.is_empty_directory() {
                    return Err(Error::NotEmpty);
                }
            }
            (_, None) => {}
        }

        let whiteout = match mode {
            RenameMode::Whiteout { .. } => Some(state.add_whiteout(moved, at)?),
            _ => None,
        };
        let left = match mode {
            RenameMode::Exchange => target,
            _ => whiteout,
        };
        let source = state.node_mut(from.0)?;
        match left {
            Some(left) => source.entries_mut()?.insert(from.1.to_vec(), left),
            None => source.entries_mut()?.remove(from.1),
        };
        source.modify(at);
        let destination = state.node_mut(to.0)?;
        destination.entries_mut()?.insert(to.1.to_vec(), moved);
        destination.modify(at);
        state.node_mut(moved)?.touch(at);
        if moved_is_directory {
            state.add_links(from.0, -1);
            state.add_links(to.0, 1);
            state.set_parent(moved, to.0);
        }
        if let Some(target) = target {
            if target_is_directory {
                state.add_links(to.0, -1);
            }
            if mode == RenameMode::Exchange {
                state.node_mut(target)?.touch(at);
                if target_is_directory {
                    state.add_links(from.0, 1);
                    state.set_parent(target, from.0);
                }
            } else {
                state.drop_name(target, at);
            }
        }
        Ok(())
    }

    fn write(&self, ino: Ino, offset: Option<u64>, data: &[u8]) -> Result<u64> {
        let mut state = self.state.lock();
        let node = state.node_mut(ino)?;
        node.file()?;
        let offset = offset.unwrap_or(node.attr.size);
        if !data.is_empty() {
            node.write(offset, data)?;
            node.modify(now());
        }
        Ok(offset)
    }

    fn write_back(&self, ino: Ino, offset: u64, data: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        let node = state.node_mut(ino)?;
        node.file()?;
        if !data.is_empty() {
            node.write(offset, data)?;
        }
        Ok(())
    }

    fn allocate(&self, ino: Ino, offset: u64, len: u64, what: Allocate) -> Result<()> {
        let mut state = self.state.lock();
        let node = state.node_mut(ino)?;
        node.file()?;
        if len == 0 {
            return Err(Error::Invalid("a range has at least one byte"));
        }
        let end = offset
            .checked_add(len)
            .filter(|end| *end <= FILE_SIZE_MAX)
            .ok_or(Error::FileTooLarge)?;
        let keep_size = match what {
            Allocate::PunchHole => {
                node.clear(offset, end)?;
                true
            }
            Allocate::Zero { keep_size } => {
                node.clear(offset, end)?;
                keep_size
            }
            Allocate::Reserve { keep_size } => keep_size,
        };
        if !keep_size && end > node.attr.size {
            node.set_size(end)?;
        }
        node.modify(now());
        Ok(())
    }

    fn set_xattr(&self, ino: Ino, name: &[u8], value: &[u8], mode: XattrMode) -> Result<()> {
        if name.is_empty() || name.len() > NAME_MAX || name.contains(&0) {
            return Err(Error::Invalid(
                "an attribute's name has 1 to 255 bytes, no NUL",
            ));
        }
        if value.len() > XATTR_VALUE_MAX {
            return Err(Error::ValueTooLarge);
        }
        let mut state = self.state.lock();
        let node = state.node_mut(ino)?;
        match (mode, node.xattrs.contains_key(name)) {
            (XattrMode::Create, true) => return Err(Error::Exists),
            (XattrMode::Replace, false) => return Err(Error::NoAttribute),
            _ => {}
        }
        node.xattrs.insert(name.to_vec(), value.to_vec());
        node.touch(now());
        Ok(())
    }

    fn remove_xattr(&self, ino: Ino, name: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        let node = state.node_mut(ino)?;
        node.xattrs.remove(name).ok_or(Error::NoAttribute)?;
        node.touch(now());
        Ok(())
    }
}
