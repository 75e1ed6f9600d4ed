//! Bringing back what was: a part of an earlier state becomes a part of the home.
//!
//! What always holds here: until it is whole, what is brought back hangs under a node without a name, an
//! orphan; then one change gives it its name, and takes the name from what was there. Nothing is published
//! or merged meanwhile. So at every moment the home is a home with an orphan in it, and whatever ends this
//! early (an error, a crash, the person) leaves no trace: an orphan goes with everything under it.

use std::collections::HashMap;

use safeos_tree::{Batch, FileKind, Inode, Key, Value};

use crate::worktree::home::{Home, now, put_inode};
use crate::worktree::look::{Look, check_name};
use crate::worktree::owners::Owners;
use crate::{Change, Error, Ino, Progress, Result, Session, Step};

/// How many items are restored in one change.
const RESTORE_ITEMS: usize = 4096;

impl Session {
    /// Puts `path` as it was in a snapshot into the home at `to` (`None`: at `path` itself). What is
    /// there is replaced only with `replace`. Content is not stored again.
    pub fn restore(
        &self,
        snapshot: &str,
        path: &[u8],
        to: Option<&[u8]>,
        replace: bool,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.accompanied(progress, |told| {
            self.bring_back(snapshot, path, to, replace, told)
        })
    }

    fn bring_back(
        &self,
        snapshot: &str,
        path: &[u8],
        to: Option<&[u8]>,
        replace: bool,
        progress: &dyn Progress,
    ) -> Result<()> {
        let from = self.frozen(snapshot)?;
        let look = Look {
            tree: &from.tree,
            source: &**self.reader(),
        };
        let ino = look.walk(path)?;
        if ino == safeos_tree::ROOT {
            return Err(Error::Invalid("name a file or folder, not the whole home"));
        }
        let to = to.unwrap_or(path);
        let (dir, name) = split_path(to)?;
        // In this order, as whoever merges takes them.
        let _building = self.home.building.read();
        let _changing = self.home.growing()?;
        let dir = self.home.look(|look| look.walk(dir))?;
        if self.home.look(|look| look.entry(dir, name))?.is_some() && !replace {
            return Err(Error::Exists);
        }
        let top = self.home.number()?;
        let built = self
            .home
            .graft((look, &from.owners), ino, (top, dir), progress);
        let done = built.and_then(|links| self.home.adopt(top, links, dir, name, replace));
        self.tell(Change::Entry(dir, name.to_vec()));
        let left = match &done {
            Ok(replaced) => *replaced,
            Err(_) => Some(top),
        };
        if let Some(left) = left
            && let Err(error) = self.home.clear(left)
        {
            // It is never published, and is gone with the session.
            self.home
                .problems
                .add(format!("what was replaced could not be freed: {error}"));
        }
        done.map(drop)
    }
}

impl Home {
    /// Copies a node and everything under it from another tree of this home, as an orphan with the number `top` that
    /// is to be in the directory `dir`. How many links it will have.
    fn graft(
        &self,
        (from, owners): (Look<'_>, &Owners),
        ino: Ino,
        (top, dir): (Ino, Ino),
        progress: &dyn Progress,
    ) -> Result<u32> {
        let mut batch = Batch::new();
        let mut links = 1;
        let mut numbers: HashMap<Ino, Ino> = HashMap::from([(ino, top)]);
        // How many names a file has so far: links from outside what is restored do not count.
        let mut names: HashMap<Ino, u32> = HashMap::new();
        // Files with several names that are there already.
        let mut shared: HashMap<Ino, Inode> = HashMap::new();
        let mut waiting = vec![(ino, dir)];
        let mut done = 0;
        while let Some((old, parent)) = waiting.pop() {
            if progress.stopped() {
                return Err(Error::Stopped);
            }
            let new = numbers[&old];
            for (key, value) in from.items(old)? {
                let item = match value {
                    Value::Inode(inode) => {
                        let mut inode = inode.as_ref().clone();
                        inode.parent = parent;
                        inode.ctime = now();
                        owners.settle(from, &mut inode)?;
                        let directory = inode.kind == FileKind::Directory;
                        if new == top {
                            links = if directory { inode.nlink } else { 1 };
                            inode.nlink = 0;
                        } else if !directory {
                            let several = inode.nlink > 1;
                            inode.nlink = names.get(&new).copied().unwrap_or(1);
                            if several {
                                shared.insert(new, inode.clone());
                            }
                        }
                        batch.push(put_inode(new, inode));
                        continue;
                    }
                    Value::Entry { ino: child, kind } => {
                        let number = match numbers.get(&child) {
                            Some(number) => *number,
                            None => {
                                let number = self.number()?;
                                numbers.insert(child, number);
                                waiting.push((child, new));
                                number
                            }
                        };
                        if kind != FileKind::Directory {
                            let count = names.entry(number).or_insert(0);
                            *count += 1;
                            if let Some(inode) = shared.get_mut(&number) {
                                inode.nlink = *count;
                                batch.push(put_inode(number, inode.clone()));
                            }
                        }
                        Value::Entry { ino: number, kind }
                    }
                    other => other,
                };
                batch.push((Key { ino: new, ..key }, Some(item)));
            }
            done += 1;
            if batch.len() > RESTORE_ITEMS {
                progress.step(Step {
                    what: "restoring".into(),
                    done,
                    total: 0,
                    unit: "files".into(),
                });
                self.add(std::mem::take(&mut batch))?;
            }
        }
        self.add(batch)?;
        Ok(links)
    }

    fn add(&self, batch: Batch) -> Result<()> {
        self.change(|_| Ok((batch.clone(), ())))
    }

    /// Removes an orphan, a directory with everything that has a name in it only. Broken off, it leaves an orphan with
    /// the rest.
    pub(crate) fn clear(&self, top: Ino) -> Result<()> {
        // A list of folders, the inner ones last.
        let mut folders = Vec::new();
        match self.look(|look| look.inode(top)) {
            Ok(inode) if inode.kind == FileKind::Directory => folders.push(top),
            Ok(_) | Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
        let mut at = 0;
        while let Some(folder) = folders.get(at).copied() {
            folders.extend(self.look(|look| look.folders(folder))?);
            at += 1;
        }
        for folder in folders.into_iter().rev() {
            let entries = self.look(|look| look.entries(folder, None, usize::MAX))?;
            for (name, _) in entries {
                self.unname(folder, &name)?;
            }
        }
        self.dispose(Some(top))
    }
}

/// The folder and the last name of a path.
fn split_path(path: &[u8]) -> Result<(&[u8], &[u8])> {
    let end = path
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(0, |last| last + 1);
    let path = &path[..end];
    let start = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (dir, name) = path.split_at(start);
    check_name(name)?;
    Ok((dir, name))
}
