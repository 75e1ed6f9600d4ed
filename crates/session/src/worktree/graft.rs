//! Building a part of a home that has no name yet, and removing one.

use std::collections::HashMap;

use safeos_tree::{Batch, FileKind, Inode, Key, Value};

use crate::worktree::home::{Home, now, put_inode};
use crate::worktree::owners::Owners;
use crate::worktree::tree_view::TreeView;
use crate::{Error, Ino, Progress, Result, Step};

/// How many items are restored in one change.
const RESTORE_ITEMS: usize = 4096;

impl Home {
    /// Copies a node and everything under it from another tree of this home, as an orphan with the number `top` that
    /// is to be in the directory `dir`. How many links it will have.
    pub(crate) fn graft(
        &self,
        (from, owners): (TreeView<'_>, &Owners),
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
