//! Writing segments: one thread at a time.
//!
//! What always holds here: an item leaves `pending` only when the disk has confirmed it. Frames of a
//! segment whose sync has failed are written again into a new file before anything else: the system
//! may have thrown the failed pages away and call the next sync of the old file a success. A segment's file is made
//! when something is to be written into it, again and again if the disk does not take it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use safeos_record::Key;
use safeos_telemetry::failpoint;

use super::disk::Disk;
use super::segment::{Header, Name, Segment, on_disk_len};
use crate::disk::{failed, remove, sync_dir, sync_parent};
use crate::{Error, Result};

/// An item that waits for the disk.
pub(super) enum Item {
    /// A piece of a frame.
    Frame(Vec<u8>),
    /// Here a new segment begins.
    Cut {
        /// Its number.
        number: u64,
        /// Its base.
        base: Vec<u8>,
    },
}

/// A segment that is not written any more.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Bytes of its frames.
    pub(super) bytes: u64,
}

/// The segment that is being written, or the one that has no file yet.
enum Current {
    Open(Segment),
    Next(Header),
}

impl Closed {
    pub(super) fn of(name: &Name) -> Self {
        Self {
            number: name.number,
            path: name.path.clone(),
            bytes: 0,
        }
    }
}

/// Writes items into segments.
pub(super) struct Writer {
    disk: Box<dyn Disk>,
    dir: PathBuf,
    key: Key,
    current: Current,
    /// In the order of their numbers.
    closed: Vec<Closed>,
    pending: VecDeque<Item>,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn new(
        disk: Box<dyn Disk>,
        dir: &Path,
        key: &Key,
        first: Header,
        closed: Vec<Closed>,
    ) -> Self {
        Self {
            disk,
            dir: dir.to_owned(),
            key: key.clone(),
            current: Current::Next(first),
            closed,
            pending: VecDeque::new(),
            buffer: Vec::new(),
        }
    }

    /// The number of the segment that is being written.
    pub(super) fn number(&self) -> u64 {
        self.header().number
    }

    fn header(&self) -> &Header {
        match &self.current {
            Current::Open(segment) => &segment.header,
            Current::Next(header) => header,
        }
    }

    /// Takes over what was queued.
    pub(super) fn take(&mut self, items: &mut VecDeque<Item>) {
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, items);
        } else {
            self.pending.append(items);
        }
    }

    /// Makes the file of the segment that is being written, unless it is there.
    pub(super) fn begin(&mut self) -> Result<&mut Segment> {
        if let Current::Next(header) = &self.current {
            let header = header.clone();
            let begun = self.create(header)?;
            self.current = Current::Open(begun);
        }
        match &mut self.current {
            Current::Open(segment) => Ok(segment),
            Current::Next(_) => Err(Error::State("the stage has no segment".into())),
        }
    }

    fn create(&self, header: Header) -> Result<Segment> {
        if !self.dir.is_dir() {
            self.disk
                .make_dir(&self.dir)
                .and_then(|()| sync_parent(&self.dir))
                .map_err(|error| failed("create", &self.dir, &error))?;
        }
        Segment::create(&*self.disk, &self.dir, &self.key, header)
    }

    /// Writes everything pending and tells `confirmed` how many bytes the disk has confirmed.
    pub(super) fn write_out(&mut self, confirmed: &mut dyn FnMut(u64)) -> Result<()> {
        loop {
            match self.pending.front() {
                None => break,
                Some(Item::Cut { number, base }) => {
                    let header = Header {
                        number: *number,
                        attempt: 0,
                        base: base.clone(),
                        ..self.following()
                    };
                    self.follow(header)?;
                    self.pending.pop_front();
                }
                Some(Item::Frame(_)) => {
                    let bytes = self.write_frames()?;
                    confirmed(bytes);
                }
            }
        }
        // A burst must not hold its memory for ever.
        self.buffer.shrink_to(64 * 1024);
        self.pending.shrink_to(1024);
        Ok(())
    }

    /// Writes the frames up to the next cut; how many bytes they took.
    fn write_frames(&mut self) -> Result<u64> {
        if matches!(&self.current, Current::Open(segment) if segment.broken) {
            let header = self.following();
            self.follow(header)?;
        }
        self.begin()?;
        let Current::Open(current) = &mut self.current else {
            return Ok(0);
        };
        let pieces = || {
            self.pending.iter().map_while(|item| match item {
                Item::Frame(piece) => Some(piece),
                Item::Cut { .. } => None,
            })
        };
        let (count, bytes) = pieces().fold((0, 0), |(count, bytes), piece| {
            (count + 1, bytes + on_disk_len(piece))
        });
        current.write(&*self.disk, pieces(), &mut self.buffer)?;
        self.pending.drain(..count);
        Ok(bytes)
    }

    /// Skips the pending frames of segments up to `upto`, which are needed no more: frames appended after them
    /// go into a segment of their own. Returns their size in bytes; `None` if no later segment was begun.
    pub(super) fn skip(&mut self, upto: u64) -> Option<u64> {
        let cut = self
            .pending
            .iter()
            .position(|item| matches!(item, Item::Cut { number, .. } if *number > upto));
        let Some(Item::Cut { number, base }) = cut.and_then(|at| self.pending.get(at)) else {
            return None;
        };
        let next = Header {
            number: *number,
            attempt: 0,
            base: base.clone(),
            ..self.following()
        };
        let passed = self.pending.drain(..=cut.unwrap_or_default());
        let bytes = passed
            .map(|item| match item {
                Item::Frame(piece) => on_disk_len(&piece),
                Item::Cut { .. } => 0,
            })
            .sum();
        let old = std::mem::replace(&mut self.current, Current::Next(next));
        self.close(old);
        Some(bytes)
    }

    /// The header of another file for the current segment.
    fn following(&self) -> Header {
        match &self.current {
            Current::Open(segment) => Header {
                attempt: segment.header.attempt.saturating_add(1),
                first: segment.header.first + segment.frames,
                ..segment.header.clone()
            },
            Current::Next(header) => header.clone(),
        }
    }

    /// Goes on in a new file.
    fn follow(&mut self, header: Header) -> Result<()> {
        let next = self.create(header)?;
        let old = std::mem::replace(&mut self.current, Current::Open(next));
        self.close(old);
        Ok(())
    }

    fn close(&mut self, old: Current) {
        let Current::Open(old) = old else {
            return;
        };
        if old.broken && old.frames == 0 && remove(&old.path).is_ok() {
            return;
        }
        self.closed.push(Closed {
            number: old.header.number,
            bytes: old.bytes(),
            path: old.path,
        });
    }

    /// Removes closed segments with numbers up to `upto`, the oldest first, each one for good before
    /// the next: a crash leaves no gap. How many bytes of frames went.
    pub(super) fn forget(&mut self, upto: u64) -> (u64, Result<()>) {
        let mut bytes = 0;
        while let Some(closed) = self.closed.first()
            && closed.number <= upto
        {
            let path = &closed.path;
            failpoint!("journal: forgetting a segment");
            let removed = remove(path)
                .and_then(|()| sync_dir(&self.dir))
                .map_err(|error| failed("remove", path, &error));
            if let Err(error) = removed {
                return (bytes, Err::<(), Error>(error));
            }
            bytes += closed.bytes;
            self.closed.remove(0);
        }
        (bytes, Ok(()))
    }
}
