//! Writing segments: one thread at a time.
//!
//! What always holds here: an item leaves `pending` only when the disk has confirmed it. Frames of a
//! segment whose sync has failed are written again into a new file before anything else: the system
//! may have thrown the failed pages away and call the next sync of the old file a success.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use safeos_record::Key;

use super::disk::Disk;
use super::segment::{Header, Name, Segment, on_disk_len};
use crate::disk::{failed, remove, sync_dir};
use crate::{Error, Result};

/// What waits for the disk.
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
    current: Segment,
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
        current: Segment,
        closed: Vec<Closed>,
    ) -> Self {
        Self {
            disk,
            dir: dir.to_owned(),
            key: key.clone(),
            current,
            closed,
            pending: VecDeque::new(),
            buffer: Vec::new(),
        }
    }

    /// The number of the segment that is being written.
    pub(super) fn number(&self) -> u64 {
        self.current.header.number
    }

    /// Takes over what was queued.
    pub(super) fn take(&mut self, items: &mut VecDeque<Item>) {
        if self.pending.is_empty() {
            std::mem::swap(&mut self.pending, items);
        } else {
            self.pending.append(items);
        }
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
        if self.current.broken {
            let header = self.following();
            self.follow(header)?;
        }
        let pieces = || {
            self.pending.iter().map_while(|item| match item {
                Item::Frame(piece) => Some(piece),
                Item::Cut { .. } => None,
            })
        };
        let (count, bytes) = pieces().fold((0, 0), |(count, bytes), piece| {
            (count + 1, bytes + on_disk_len(piece))
        });
        self.current
            .write(&*self.disk, pieces(), &mut self.buffer)?;
        self.pending.drain(..count);
        Ok(bytes)
    }

    /// The header of another file for the current segment.
    fn following(&self) -> Header {
        let header = &self.current.header;
        Header {
            attempt: header.attempt.saturating_add(1),
            first: header.first + self.current.frames,
            ..header.clone()
        }
    }

    /// Goes on in a new file.
    fn follow(&mut self, header: Header) -> Result<()> {
        let next = Segment::create(&*self.disk, &self.dir, &self.key, header)?;
        let old = std::mem::replace(&mut self.current, next);
        if old.broken && old.frames == 0 && remove(&old.path).is_ok() {
            return Ok(());
        }
        self.closed.push(Closed {
            number: old.header.number,
            bytes: old.bytes(),
            path: old.path,
        });
        Ok(())
    }

    /// Removes closed segments with numbers up to `upto`, the oldest first, each one for good before
    /// the next: what a crash leaves has no gap. How many bytes of frames went.
    pub(super) fn forget(&mut self, upto: u64) -> (u64, Result<()>) {
        let mut bytes = 0;
        while let Some(closed) = self.closed.first()
            && closed.number <= upto
        {
            let path = &closed.path;
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
