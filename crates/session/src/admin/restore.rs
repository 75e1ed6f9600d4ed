//! Bringing back what was: a part of an earlier state becomes a part of the home.
//!
//! What always holds here: until it is whole, the restored node hangs under a node without a name, an
//! orphan; then one change gives it its name, and takes the name from the node that had it. Nothing is published
//! or merged meanwhile. So at every moment the home is a home with an orphan in it, and whatever ends this
//! early (an error, a crash, the person) leaves no trace: an orphan goes with everything under it.

use crate::worktree::tree_view::{TreeView, check_name};
use crate::{Change, Error, Progress, Result, Session};

impl Session {
    /// Restores `path` from a snapshot to `to` in the home (`None`: to `path` itself). An existing
    /// node is replaced only with `replace`. Content is not stored again.
    pub fn restore(
        &self,
        snapshot: &str,
        path: &[u8],
        to: Option<&[u8]>,
        replace: bool,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.sync.accompanied(progress, |told| {
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
        let look = TreeView {
            tree: &from.tree,
            source: &**self.reader(),
        };
        let ino = look.walk(path)?;
        if ino == safeos_tree::ROOT {
            return Err(Error::Invalid("name a file or folder, not the whole home"));
        }
        let to = to.unwrap_or(path);
        let (dir, name) = split_path(to)?;
        // In this order, as a merge takes them.
        let _building = self.sync.home().building();
        let _changing = self.sync.home().growing()?;
        let dir = self.sync.home().look(|look| look.walk(dir))?;
        if self
            .sync
            .home()
            .look(|look| look.entry(dir, name))?
            .is_some()
            && !replace
        {
            return Err(Error::Exists);
        }
        let top = self.sync.home().number()?;
        let built = self
            .sync
            .home()
            .graft((look, &from.owners), ino, (top, dir), progress);
        let done = built.and_then(|links| self.sync.home().adopt(top, links, dir, name, replace));
        self.sync.tell(Change::Entry(dir, name.to_vec()));
        let left = match &done {
            Ok(replaced) => *replaced,
            Err(_) => Some(top),
        };
        if let Some(left) = left
            && let Err(error) = self.sync.home().clear(left)
        {
            // It is never published, and is gone with the session.
            self.sync
                .home()
                .problems()
                .add(format!("the replaced files could not be freed: {error}"));
        }
        done.map(drop)
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
