//! Copying out of a published tree.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::destination::{Staging, cannot_write};
use super::finish::Finish;
use super::folder::{Folder, finish, next_data};
use super::seen::{Kind, Seen};
use super::source::{Source, stopped};
use super::walk::{Visit, Way};
use crate::failure::{Failure, Result};
use crate::progress::Progress;

const BUFFER_BYTES: usize = 1 << 20;
/// Zeros of this length, where a block of the disk may begin, are left out.
const PAGE: usize = 4096;

/// Copies into a folder that no other program knows yet.
pub struct Copier<'a> {
    staging: &'a Staging,
    /// Beside the way through the source.
    to: Way,
    /// Files with several names, by their number in the source: under which name the staging folder keeps one more.
    shared: HashMap<u64, OsString>,
    finish: Finish,
    buffer: Vec<u8>,
    done: u64,
    total: u64,
    progress: Progress,
}

impl<'a> Copier<'a> {
    pub fn new(staging: &'a Staging, total: u64, progress: Progress) -> Result<Self> {
        Ok(Self {
            staging,
            to: staging.tree()?,
            shared: HashMap::new(),
            finish: Finish::default(),
            buffer: vec![0; BUFFER_BYTES],
            done: 0,
            total,
            progress,
        })
    }

    /// Copies everything.
    pub fn copy(&mut self, source: Source) -> Result<Finish> {
        if let Source::Folder(_, seen) = &source {
            self.finish.top = Some(seen.clone());
        }
        source.visit(self)?;
        Ok(std::mem::take(&mut self.finish))
    }

    fn here(&self) -> Result<&Folder> {
        self.to.here().map_err(|e| self.cannot(&e))
    }

    fn cannot(&self, error: &io::Error) -> Failure {
        cannot_write(&self.staging.shown(), error)
    }

    fn content(&mut self, way: &Way, name: &OsStr, seen: &Seen) -> Result<()> {
        let unread = |e: &io::Error| {
            let path = way.shown(name);
            Failure::system(format!("{path} cannot be read from the store"), e)
        };
        let source = way.here().and_then(|here| here.file(name));
        let source = source.map_err(|e| unread(&e))?;
        let copy = self.here()?.make_file(name).map_err(|e| self.cannot(&e))?;
        let mut at = 0;
        while let Some((start, end)) = next_data(&source, at, seen.size).map_err(|e| unread(&e))? {
            at = start;
            while at < end {
                stopped()?;
                let len = usize::try_from(end - at).map_or(BUFFER_BYTES, |l| l.min(BUFFER_BYTES));
                let read = source
                    .read_at(&mut self.buffer[..len], at)
                    .map_err(|e| unread(&e))?;
                if read == 0 {
                    return Err(unread(&io::ErrorKind::UnexpectedEof.into()));
                }
                write(&copy, &self.buffer[..read], at).map_err(|e| self.cannot(&e))?;
                at += read as u64;
                self.done += read as u64;
                self.progress
                    .step("fetching", self.done, self.total, "bytes");
            }
        }
        copy.set_len(seen.size)
            .and_then(|()| finish(&copy, seen))
            .map_err(|e| self.cannot(&e))
    }

    /// Gives a file that is there already one more name; whether that could be done.
    fn name_again(&self, name: &OsStr, seen: &Seen) -> Result<bool> {
        let Some(kept) = self.shared.get(&seen.ino) else {
            return Ok(false);
        };
        let links = self.staging.links().map_err(|e| self.cannot(&e))?;
        Ok(links.name_again(kept, self.here()?, name).is_ok())
    }

    fn keep(&mut self, name: &OsStr, seen: &Seen) -> Result<()> {
        let kept = OsString::from(self.shared.len().to_string());
        let links = self.staging.links().map_err(|e| self.cannot(&e))?;
        // Where the disk knows no second names each is a file of its own.
        if self.here()?.name_again(name, &links, &kept).is_ok() {
            self.shared.insert(seen.ino, kept);
        }
        Ok(())
    }
}

impl Visit for Copier<'_> {
    fn enter(&mut self, _: &Way, name: &OsStr, _: &Seen) -> Result<()> {
        stopped()?;
        let made = self
            .here()?
            .make_folder(name)
            .and_then(|made| self.to.push(name.to_owned(), made));
        made.map_err(|e| self.cannot(&e))
    }

    fn other(&mut self, way: &Way, name: &OsStr, seen: &Seen) -> Result<()> {
        stopped()?;
        match seen.kind {
            Kind::Link => {
                let target = way.here().and_then(|here| here.target(name));
                let target = target.map_err(|e| {
                    let path = way.shown(name);
                    Failure::system(format!("{path} cannot be read from the store"), &e)
                })?;
                self.here()?
                    .make_link(&target, name)
                    .map_err(|e| self.cannot(&e))
            }
            Kind::File if seen.shared => {
                if !self.name_again(name, seen)? {
                    self.content(way, name, seen)?;
                    self.keep(name, seen)?;
                }
                Ok(())
            }
            Kind::File => self.content(way, name, seen),
            Kind::Special(_) | Kind::Folder => Ok(()),
        }
    }

    fn leave(&mut self, _: &Way, name: &OsStr, seen: &Seen) -> Result<()> {
        if self.to.depth() == 1 {
            self.finish.folders.push((name.to_owned(), seen.clone()));
        } else {
            self.here()?.finish(seen).map_err(|e| self.cannot(&e))?;
        }
        self.to.pop().map(drop).map_err(|e| self.cannot(&e))
    }
}

/// Writes the bytes that are not zeros: the rest stays a hole.
fn write(file: &File, data: &[u8], at: u64) -> io::Result<()> {
    let mut start = 0;
    while start < data.len() {
        // Up to where a page of the file ends.
        let until = |from: usize| {
            let within = ((at + from as u64) % PAGE as u64) as usize;
            (from + PAGE - within).min(data.len())
        };
        let mut end = start;
        while end < data.len() && data[end..until(end)].iter().any(|byte| *byte != 0) {
            end = until(end);
        }
        file.write_all_at(&data[start..end], at + start as u64)?;
        start = if end < data.len() { until(end) } else { end };
    }
    Ok(())
}
