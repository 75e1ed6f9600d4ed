//! Which name goes where: the rules of a merge for names and directories.

use std::collections::BTreeSet;

use crate::item::{Ino, Key, NAME_BYTES_MAX, ROOT};
use crate::{Error, Result};

use super::changes::Named;
use super::naming::conflict_name;
use super::{ConflictKind, Contest, Merge, Noted};

impl Merge<'_> {
    /// Decides all names of the result.
    pub(super) fn place_names(&mut self) -> Result<()> {
        self.take_theirs()?;
        self.undo_double_moves()?;
        self.settle_contests()?;
        self.keep_changed_files()?;
        self.names.used.extend(
            self.o
                .names
                .iter()
                .filter(|(_, (_, now))| now.is_some())
                .map(|(key, _)| key.ino),
        );
        loop {
            self.bring_back_directories()?;
            if !self.undo_one_cycle()? {
                return Ok(());
            }
        }
    }

    /// Every name that theirs changed becomes theirs, unless it was only removed and ours put something
    /// else there.
    fn take_theirs(&mut self) -> Result<()> {
        for (key, (_, theirs)) in &self.t.names {
            let Some((_, ours)) = self.o.names.get(key) else {
                self.names.set(key, *theirs)?;
                continue;
            };
            if ours == theirs {
                continue;
            }
            let Some(theirs) = *theirs else {
                continue;
            };
            self.names.set(key, Some(theirs))?;
            if let Some(ours) = *ours {
                self.contests.push(Contest {
                    at: key.clone(),
                    ours,
                    theirs,
                });
            }
        }
        Ok(())
    }

    /// A node that both sides moved goes where theirs moved it. A directory has one name in any case; a file
    /// keeps further names that ours gave it.
    fn undo_double_moves(&mut self) -> Result<()> {
        for ino in self.t.gained.keys() {
            let Some(named) = self.t.named(*ino) else {
                continue;
            };
            let mut left = if named.is_directory() {
                usize::MAX
            } else {
                self.moved_by_both(*ino)
            };
            for key in self.o.gained(*ino) {
                let free_before = self
                    .o
                    .names
                    .get(key)
                    .is_some_and(|(base, _)| base.is_none());
                if left > 0
                    && (named.is_directory() || free_before)
                    && self.names.get(key)? == Some(named)
                    && self.t.at(key, &self.o) != Some(named)
                {
                    self.names.set(key, None)?;
                    left -= 1;
                }
            }
        }
        Ok(())
    }

    /// How many names of the base both sides took from a node.
    fn moved_by_both(&self, ino: Ino) -> usize {
        let theirs = self.t.lost(ino);
        self.o
            .lost(ino)
            .iter()
            .filter(|key| theirs.contains(key))
            .count()
    }

    /// Finds places for nodes that had to give their name to something of theirs.
    fn settle_contests(&mut self) -> Result<()> {
        while let Some(Contest { at, ours, theirs }) = self.contests.pop() {
            if self.names.get(&at)? != Some(theirs) {
                // The winner has gone elsewhere meanwhile.
                self.offer(&at, ours)?;
                continue;
            }
            if ours.is_directory() {
                if self.names.lives(ours.ino)? {
                    continue;
                }
                if theirs.is_directory() && !self.theirs_has(ours.ino)? {
                    self.join(ours.ino, theirs.ino)?;
                    continue;
                }
            } else {
                let moved_by_theirs =
                    !self.t.gained(ours.ino).is_empty() && self.moved_by_both(ours.ino) > 0;
                if moved_by_theirs && self.names.lives(ours.ino)? {
                    continue;
                }
                if self.is_same(ours, theirs)? {
                    self.same.insert(ours.ino);
                    continue;
                }
            }
            let copy = self.place_beside(&at, ours)?;
            self.note(at, Some(copy), ConflictKind::SameName);
        }
        Ok(())
    }

    /// Gives something a free conflict name beside `at`.
    pub(super) fn place_beside(&mut self, at: &Key, named: Named) -> Result<Key> {
        let suffix = self.naming.suffix();
        let mut number = 1;
        loop {
            let name = conflict_name(&at.name, &suffix, number);
            debug_assert!(name.len() <= NAME_BYTES_MAX);
            let key = Key::entry(at.ino, &name);
            match self.names.get(&key)? {
                None => {
                    self.names.set(&key, Some(named))?;
                    return Ok(key);
                }
                Some(there) if there == named => return Ok(key),
                Some(_) => number += 1,
            }
        }
    }

    /// Makes one directory of two: the entries of ours go into theirs.
    fn join(&mut self, ours: Ino, theirs: Ino) -> Result<()> {
        self.joined.insert(ours, theirs);
        for (key, named) in self.names.entries(ours)? {
            self.names.set(&key, None)?;
            let to = Key::entry(theirs, &key.name);
            self.offer(&to, named)?;
        }
        Ok(())
    }

    /// Puts something of ours at a name, if theirs has nothing else there.
    fn offer(&mut self, at: &Key, ours: Named) -> Result<()> {
        let at = self.place_of(at);
        match self.names.get(&at)? {
            None => self.names.set(&at, Some(ours)),
            Some(there) if there == ours => Ok(()),
            Some(theirs) => {
                self.contests.push(Contest { at, ours, theirs });
                Ok(())
            }
        }
    }

    /// Puts something of theirs at its name; our node there has to give way.
    fn claim(&mut self, at: &Key, theirs: Named) -> Result<()> {
        let at = self.place_of(at);
        let there = self.names.get(&at)?;
        if there == Some(theirs) {
            return Ok(());
        }
        self.names.set(&at, Some(theirs))?;
        if let Some(ours) = there {
            self.contests.push(Contest { at, ours, theirs });
        }
        Ok(())
    }

    /// The same name in the directory that its directory has become one with.
    fn place_of(&self, at: &Key) -> Key {
        Key::entry(self.became(at.ino), &at.name)
    }

    /// The directory that `dir` has become one with, or itself.
    fn became(&self, mut dir: Ino) -> Ino {
        for _ in 0..=self.joined.len() {
            match self.joined.get(&dir) {
                Some(next) => dir = *next,
                None => break,
            }
        }
        dir
    }

    /// Gives a file the names again that one side took from it, where they are free.
    fn put_back(&mut self, keys: &[Key], named: Named) -> Result<()> {
        for key in keys {
            let at = self.place_of(key);
            if self.names.get(&at)?.is_none() {
                self.names.set(&at, Some(named))?;
                self.note(at, None, ConflictKind::Restored);
            }
        }
        Ok(())
    }

    /// A file that one side removed and the other changed stays, and one that both sides have.
    fn keep_changed_files(&mut self) -> Result<()> {
        // Removed by theirs, changed by ours.
        for ino in self.t.lost.keys().copied().collect::<Vec<_>>() {
            let Some(named) = self.t.named(ino).filter(|named| !named.is_directory()) else {
                continue;
            };
            if self.names.lives(ino)? || self.same.contains(&ino) || !self.o.matter(ino) {
                continue;
            }
            let keys: Vec<Key> = self
                .t
                .lost(ino)
                .iter()
                .filter(|key| self.o.at(key, &self.t) == Some(named))
                .cloned()
                .collect();
            self.put_back(&keys, named)?;
            if let Some(key) = keys.first()
                && !self.names.lives(ino)?
            {
                self.offer(key, named)?;
                self.settle_contests()?;
            }
        }
        // Removed by ours, changed by theirs. Or each side took the names that the other left it.
        for ino in self.o.lost.keys().copied().collect::<Vec<_>>() {
            let Some(named) = self.o.named(ino).filter(|named| !named.is_directory()) else {
                continue;
            };
            let on_both = self.ours_has(ino)? && self.theirs_has(ino)?;
            if self.names.lives(ino)? || !(on_both || self.t.matter(ino)) {
                continue;
            }
            let keys: Vec<Key> = self
                .o
                .lost(ino)
                .iter()
                .filter(|key| self.t.at(key, &self.o) == Some(named))
                .cloned()
                .collect();
            self.put_back(&keys, named)?;
            if let Some(key) = keys.first()
                && !self.names.lives(ino)?
            {
                let at = self.place_of(key);
                match self.names.get(&at)? {
                    Some(ours) if self.is_same(ours, named)? => {}
                    _ => {
                        self.claim(key, named)?;
                        self.settle_contests()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A directory that one side removed comes back if something is to be in it.
    fn bring_back_directories(&mut self) -> Result<()> {
        while let Some(dir) = self.names.used.pop_first() {
            let dir = self.became(dir);
            if self.names.lives(dir)? {
                continue;
            }
            let named = Named {
                ino: dir,
                kind: crate::FileKind::Directory,
            };
            let theirs_at = self
                .o
                .lost(dir)
                .iter()
                .find(|key| self.t.at(key, &self.o) == Some(named))
                .cloned();
            let ours_at = self
                .t
                .lost(dir)
                .iter()
                .find(|key| self.o.at(key, &self.t) == Some(named))
                .cloned();
            match (theirs_at, ours_at) {
                (Some(key), _) => {
                    self.claim(&key, named)?;
                    let at = self.place_of(&key);
                    self.note(at, None, ConflictKind::Restored);
                }
                (None, Some(key)) => {
                    self.offer(&key, named)?;
                    let at = self.place_of(&key);
                    if self.names.get(&at)? == Some(named) {
                        self.note(at, None, ConflictKind::Restored);
                    }
                }
                (None, None) => {
                    // Cannot be, since every directory has one name on each side that has it; but
                    // what is in it must not be lost over that.
                    let at = Key::entry(ROOT, format!("directory {dir}").as_bytes());
                    let copy = self.place_beside(&at, named)?;
                    self.note(at, Some(copy), ConflictKind::Restored);
                }
            }
            self.settle_contests()?;
        }
        Ok(())
    }

    /// Finds a directory that ours moved into itself, as the result has it, and moves it back. In every
    /// circle is one: theirs has none, so not all of its directories are where theirs has them. Nothing takes
    /// one from there again, so this comes to an end.
    fn undo_one_cycle(&mut self) -> Result<bool> {
        for (ino, keys) in &self.o.lost {
            let Some(named) = self.o.named(*ino).filter(|named| named.is_directory()) else {
                continue;
            };
            let Some(home) = keys
                .iter()
                .find(|key| self.t.at(key, &self.o) == Some(named))
            else {
                continue;
            };
            // A directory that ours removed has come back to where theirs has it: others of its circle were moved.
            if self.names.get(&self.place_of(home))? == Some(named)
                || !self.names.lives(*ino)?
                || !self.is_in_itself(*ino)?
            {
                continue;
            }
            let home = home.clone();
            let wrong: Vec<Key> = self
                .names
                .given(*ino)
                .chain(self.o.gained(*ino))
                .filter(|key| **key != home)
                .cloned()
                .collect();
            for key in wrong {
                if self.names.get(&key)? == Some(named) {
                    self.names.set(&key, None)?;
                }
            }
            self.claim(&home, named)?;
            let at = self.place_of(&home);
            self.note(at, None, ConflictKind::MoveUndone);
            self.settle_contests()?;
            return Ok(true);
        }
        Ok(false)
    }

    fn is_in_itself(&self, dir: Ino) -> Result<bool> {
        let mut seen = BTreeSet::new();
        let mut at = dir;
        while at != ROOT && seen.insert(at) {
            match self.names.holder(at)? {
                Some(holder) if holder == dir => return Ok(true),
                Some(holder) => at = holder,
                None => break,
            }
        }
        Ok(false)
    }

    fn ours_has(&self, ino: Ino) -> Result<bool> {
        Ok(self.names.inode(ino)?.is_some_and(|inode| inode.nlink > 0))
    }

    fn theirs_has(&self, ino: Ino) -> Result<bool> {
        let inode = super::names::inode(self.theirs, self.source, ino)?;
        Ok(inode.is_some_and(|inode| inode.nlink > 0))
    }

    pub(super) fn note(&mut self, at: Key, copy: Option<Key>, kind: ConflictKind) {
        self.noted.push(Noted { at, copy, kind });
    }

    /// An error for a state that one of the two trees must have been damaged for.
    pub(super) fn torn() -> Error {
        Error::Format("a name stands for a node that neither side has")
    }
}
