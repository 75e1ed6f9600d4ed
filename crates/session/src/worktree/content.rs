//! The content of files: the common part of reading and writing.

mod read;
mod write;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use safeos_tree::{BLOCK_BYTES, FileKind, Inode, ObjectRef, Source};

use crate::failure::Fault;
use crate::worktree::files::State;
use crate::worktree::home::Home;
use crate::worktree::tree_view::TreeView;
use crate::{Error, Ino, Result};

pub(crate) use read::read_frozen;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Why a call on a file has to start again with its locks given back.
enum Wait {
    Node(ObjectRef),
    Block(ObjectRef, usize),
    Failed(Error),
}

impl From<Fault> for Wait {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Missing(at) => Self::Node(at),
            Fault::Failed(error) => Self::Failed(error),
        }
    }
}

impl From<Error> for Wait {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Blocks that were fetched for this call.
type Fetched = HashMap<ObjectRef, Bytes>;

/// A file whose lock is held.
struct Open<'a> {
    home: &'a Home,
    ino: Ino,
    state: &'a mut State,
    fetched: &'a Fetched,
}
impl Home {
    /// Runs `call` with the file's lock held, as often as it takes.
    fn with_file<T>(
        &self,
        ino: Ino,
        mut call: impl FnMut(&mut Open<'_>) -> Result<T, Wait>,
    ) -> Result<T> {
        self.alive()?;
        let mut fetched = Fetched::new();
        loop {
            let file = self.files.get_or_make(ino);
            let mut state = file.state.lock();
            let loaded = if state.loaded {
                Ok(())
            } else {
                self.try_look(|look| regular(look, ino))
                    .map(|inode| state.load(&inode))
            };
            let answer = loaded.map_err(Wait::from).and_then(|()| {
                call(&mut Open {
                    home: self,
                    ino,
                    state: &mut state,
                    fetched: &fetched,
                })
            });
            drop(state);
            drop(file);
            match answer {
                Ok(answer) => return Ok(answer),
                Err(Wait::Node(at)) => {
                    self.reader.node(&at)?;
                }
                Err(Wait::Block(at, len)) => {
                    let block = self.reader.block(&at, len)?;
                    fetched.insert(at, block);
                }
                Err(Wait::Failed(error)) => {
                    self.files.tidy(ino, |state| !state.loaded);
                    return Err(error);
                }
            }
        }
    }

    pub(crate) fn try_look<T>(
        &self,
        look: impl FnOnce(TreeView<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        look(TreeView {
            tree: &self.work.read().tree,
            source: &self.reader.cached(),
        })
    }

    /// The inode with the state in memory.
    pub(crate) fn inode(&self, ino: Ino) -> Result<Inode> {
        let Some(file) = self.files.get(ino) else {
            return self.look(|look| Ok(look.inode(ino)?.as_ref().clone()));
        };
        loop {
            let answer = {
                let state = file.state.lock();
                self.alive()?;
                self.try_look(|look| Ok(state.overlay(&*look.inode(ino)?)))
            };
            match answer {
                Err(Fault::Missing(at)) => {
                    self.reader.node(&at)?;
                }
                other => return Ok(other?),
            }
        }
    }
}

/// The part of a block that the range `offset..end` of its file covers.
fn part(number: u64, offset: u64, end: u64) -> Range<usize> {
    let start = number * BLOCK;
    let from = offset.saturating_sub(start).min(BLOCK) as usize;
    let to = (end - start).min(BLOCK) as usize;
    from..to
}

fn regular(look: TreeView<'_>, ino: Ino) -> Result<Arc<Inode>, Fault> {
    let inode = look.inode(ino)?;
    match inode.kind {
        FileKind::File => Ok(inode),
        FileKind::Directory => Err(Error::IsDirectory.into()),
        _ => Err(Error::Invalid("only regular files have content").into()),
    }
}
