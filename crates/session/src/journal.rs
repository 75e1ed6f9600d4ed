//! The stage: the local log of changes that are not published yet.
//!
//! What always holds here: frames that [`Stage::sync`] returned for are on the disk and come back from
//! [`Stage::open`], in the order in which they were appended; the frames that come back are the first ones
//! appended, never a frame that is altered, moved, repeated or after a gap. An appender only ever waits
//! for a short lock on memory, unless so much is waiting that it has to help writing. Frames stay in
//! memory until the disk has confirmed them, so a disk that fails (full, broken) loses nothing: the
//! next `sync` writes them again. So that they do not fill the memory, [`Stage::accept`] refuses more.
//!
//! The log is a folder of segments (see [`segment`]); a segment is closed when publishing begins and
//! forgotten when what it holds has been published.

mod disk;
mod event;
mod frame;
mod replay;
mod segment;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::lock::Mutex;
use safeos_record::Key;
use safeos_store::Reserve;

pub(crate) use self::event::Event;
use crate::disk::{failed, remove_all, sync_parent};
use crate::{Error, Result};

pub(crate) use frame::{Frame, OwnedFrame};

use disk::{Disk, RealDisk};
use segment::{BASE_MAX, Header};
use writer::{Item, Writer};

/// More than this waiting for the disk makes appenders help writing, in bytes.
const WAITING_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// After a failure appenders leave the disk alone for so long; `sync` tries at once.
const PAUSE: Duration = Duration::from_secs(1);

/// A place in all that was ever appended to one [`Stage`], in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Position(u64);

/// The stage of one session.
pub(crate) struct Stage {
    dir: PathBuf,
    id: [u8; 16],
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
    /// Up to where the disk has confirmed.
    durable: AtomicU64,
    /// Bytes of confirmed frames in segments that are not forgotten.
    on_disk: AtomicU64,
    failure: Mutex<Option<(Instant, Error)>>,
    damage: Option<String>,
    before: OnceLock<Before>,
    /// Why nothing can be written here at all.
    refusal: Option<Error>,
    left_over: Mutex<Option<LeftOver>>,
}

/// See [`Stage::replaces`].
struct LeftOver {
    dir: PathBuf,
    /// Bytes that are on the disk and not confirmed, since a crash would have the other stage read.
    held: u64,
}

/// See [`Stage::write_after`].
type Before = Box<dyn Fn() -> Result<()> + Send + Sync>;

/// Items that the writer has not taken yet.
struct Queue {
    items: VecDeque<Item>,
    /// Bytes appended in all.
    end: u64,
    /// The segment that appended frames belong to.
    number: u64,
}

impl Stage {
    /// Begins a stage in `dir`, which is made if it is not there. `base` (at most 256 bytes) is kept
    /// with the first segment. An error if there is a stage already. Where the disk is full it is a stage that has
    /// failed, and begins when there is room.
    pub(crate) fn create(
        dir: &Path,
        key: &Key,
        id: [u8; 16],
        base: &[u8],
        reserve: &Arc<Reserve>,
    ) -> Result<Self> {
        Self::create_on(Box::new(RealDisk(reserve.clone())), dir, key, id, base)
    }

    /// A stage that nothing can be written to, for a home that can only be read. `why` is what
    /// [`Stage::failure`] tells.
    pub(crate) fn refusing(dir: &Path, key: &Key, why: Error, reserve: &Arc<Reserve>) -> Self {
        let header = Header {
            id: [0; 16],
            number: 0,
            attempt: 0,
            first: 0,
            base: Vec::new(),
        };
        let disk = Box::new(RealDisk(reserve.clone()));
        let writer = Writer::new(disk, dir, key, header, Vec::new());
        Self {
            refusal: Some(why),
            ..Self::with(dir, [0; 16], writer, None)
        }
    }

    pub(crate) fn create_on(
        disk: Box<dyn Disk>,
        dir: &Path,
        key: &Key,
        id: [u8; 16],
        base: &[u8],
    ) -> Result<Self> {
        check_base(base)?;
        let found = segment::list(dir).map_err(|error| failed("read", dir, &error))?;
        if !found.is_empty() {
            return Err(Error::State(format!(
                "{} holds a stage already; it must be opened or destroyed first",
                dir.display()
            )));
        }
        let header = Header {
            id,
            number: 0,
            attempt: 0,
            first: 0,
            base: base.to_vec(),
        };
        let mut writer = Writer::new(disk, dir, key, header, Vec::new());
        let begun = writer.begin().map(drop);
        let stage = Self::with(dir, id, writer, None);
        match begun {
            Err(error @ Error::Full(_)) => *stage.failure.lock() = Some((Instant::now(), error)),
            begun => begun?,
        }
        Ok(stage)
    }

    /// Opens what an earlier session left and continues in a new segment, when something is appended. `replay` is
    /// called for every segment and every whole frame in order; at the first frame that is torn or does not open it
    /// ends, and everything before stays. `None` if there is no stage.
    pub(crate) fn open(
        dir: &Path,
        key: &Key,
        reserve: &Arc<Reserve>,
        replay: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<Option<Self>> {
        Self::open_on(Box::new(RealDisk(reserve.clone())), dir, key, replay)
    }

    fn open_on(
        disk: Box<dyn Disk>,
        dir: &Path,
        key: &Key,
        replay: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<Option<Self>> {
        let Some(found) = replay::replay(dir, key, replay)? else {
            return Ok(None);
        };
        let header = Header {
            id: found.id,
            number: found.next_number,
            attempt: 0,
            first: found.next_frame,
            base: found.base,
        };
        let on_disk = found.closed.iter().map(|closed| closed.bytes).sum();
        let writer = Writer::new(disk, dir, key, header, found.closed);
        let stage = Self::with(dir, found.id, writer, found.damage);
        stage.on_disk.store(on_disk, Ordering::Release);
        Ok(Some(stage))
    }

    fn with(dir: &Path, id: [u8; 16], writer: Writer, damage: Option<String>) -> Self {
        Self {
            dir: dir.to_owned(),
            id,
            queue: Mutex::new(Queue {
                items: VecDeque::new(),
                end: 0,
                number: writer.number(),
            }),
            writer: Mutex::new(writer),
            durable: AtomicU64::new(0),
            on_disk: AtomicU64::new(0),
            failure: Mutex::new(None),
            damage,
            before: OnceLock::new(),
            refusal: None,
            left_over: Mutex::new(None),
        }
    }

    /// Has the stage in `dir`, of which this one says everything again, removed when what was appended until now is on
    /// the disk or published. A crash before that has the other one read again, so nothing counts as durable here
    /// before.
    pub(crate) fn replaces(&self, dir: &Path) {
        *self.left_over.lock() = Some(LeftOver {
            dir: dir.to_owned(),
            held: 0,
        });
    }

    /// Why nothing can be changed, where a home can only be read.
    pub(crate) fn refusal(&self) -> Option<&Error> {
        self.refusal.as_ref()
    }

    /// Whether more can be taken: an error when the disk does not take what is appended and `times` as much waits for
    /// it as may.
    pub(crate) fn accept(&self, times: u64) -> Result<()> {
        if let Some(error) = &self.refusal {
            return Err(error.clone());
        }
        if self.waiting() <= WAITING_BYTES_MAX * times {
            return Ok(());
        }
        let failed = match &*self.failure.lock() {
            Some((when, error)) if when.elapsed() < PAUSE => Err(error.clone()),
            _ => Ok(()),
        };
        failed.and_then(|()| self.sync(self.end()))
    }

    /// Bytes that are not on the disk.
    fn waiting(&self) -> u64 {
        let end = self.queue.lock().end;
        end.saturating_sub(self.durable.load(Ordering::Acquire))
    }

    /// Has `before` make durable what frames refer to, each time before frames that were appended until
    /// then reach the disk. If it fails they do not.
    pub(crate) fn write_after(&self, before: impl Fn() -> Result<()> + Send + Sync + 'static) {
        // Set once, by the maker of the home.
        let _ = self.before.set(Box::new(before));
    }

    /// The identity that the stage was created with.
    pub(crate) fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Damage that [`Stage::open`] found beyond the torn end that a crash leaves: a line for
    /// people.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Why the disk did not take what was appended last, until it has taken it.
    pub(crate) fn failure(&self) -> Option<Error> {
        if self.refusal.is_some() {
            return self.refusal.clone();
        }
        self.failure.lock().as_ref().map(|(_, error)| error.clone())
    }

    /// Appends in memory. Only when more than 64 MiB are waiting for the disk the caller writes them
    /// out itself; if the disk refuses, [`Stage::sync`] says so.
    pub(crate) fn append(&self, frame: Frame<'_>) -> Position {
        if self.refusal.is_some() {
            // Nothing is changed here but by merging what is published.
            return Position(0);
        }
        let pieces = frame::pieces(frame);
        let bytes: u64 = pieces.iter().map(|piece| segment::on_disk_len(piece)).sum();
        let end = {
            let mut queue = self.queue.lock();
            queue.items.extend(pieces.into_iter().map(Item::Frame));
            queue.end += bytes;
            queue.end
        };
        if end.saturating_sub(self.durable.load(Ordering::Acquire)) > WAITING_BYTES_MAX
            && !self.failed_lately()
        {
            // The error is kept, and every later call that asks whether this is durable returns it.
            drop(self.sync(Position(end)));
        }
        Position(end)
    }

    /// Waits until everything up to `upto` is on the disk. Several callers share one write.
    pub(crate) fn sync(&self, upto: Position) -> Result<()> {
        let upto = upto.0.min(self.queue.lock().end);
        if self.durable.load(Ordering::Acquire) >= upto {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        if self.durable.load(Ordering::Acquire) >= upto {
            return Ok(());
        }
        self.write_out(&mut writer)
    }

    /// The end of everything appended.
    pub(crate) fn end(&self) -> Position {
        Position(self.queue.lock().end)
    }

    /// Makes later appends go into a new segment; returns the number of the one that ends here. Only
    /// memory, for a caller that holds a lock so that nothing is appended meanwhile;
    /// [`Stage::complete`] does the rest.
    pub(crate) fn cut(&self, base: &[u8]) -> Result<u64> {
        check_base(base)?;
        let mut queue = self.queue.lock();
        let closed = queue.number;
        if self.refusal.is_some() {
            return Ok(closed);
        }
        queue.number = closed
            .checked_add(1)
            .ok_or_else(|| Error::State("the stage has no segment numbers left".into()))?;
        let number = queue.number;
        queue.items.push_back(Item::Cut {
            number,
            base: base.to_vec(),
        });
        Ok(closed)
    }

    /// Waits until a segment that was cut off is complete on the disk and its follower is there.
    pub(crate) fn complete(&self, closed: u64) -> Result<()> {
        let mut writer = self.writer.lock();
        if writer.number() > closed || self.refusal.is_some() {
            return Ok(());
        }
        self.write_out(&mut writer)
    }

    /// Both in one.
    #[cfg(test)]
    fn rotate(&self, base: &[u8]) -> Result<u64> {
        let closed = self.cut(base)?;
        self.complete(closed)?;
        Ok(closed)
    }

    /// Forgets the segments with numbers up to `upto`: their frames are published. Those that the disk did not take are
    /// passed over, so that a stage on a full disk goes on in the room that they had.
    pub(crate) fn forget(&self, upto: u64) -> Result<()> {
        if self.refusal.is_some() {
            return Ok(());
        }
        let mut writer = self.writer.lock();
        self.remove_left_over()?;
        let mut skipped = None;
        if writer.number() <= upto {
            writer.take(&mut self.queue.lock().items);
            skipped = writer.skip(upto);
            self.durable
                .fetch_add(skipped.unwrap_or(0), Ordering::AcqRel);
        }
        let (bytes, outcome) = writer.forget(upto);
        self.on_disk.fetch_sub(bytes, Ordering::AcqRel);
        if skipped.is_some() {
            // Frames appended from now on may have room. If not, every call that asks whether they are durable fails.
            drop(self.write_out(&mut writer));
        }
        outcome
    }

    /// Bytes of frames on the disk and waiting for it.
    pub(crate) fn bytes(&self) -> u64 {
        self.on_disk.load(Ordering::Acquire) + self.waiting()
    }

    /// Removes a stage with everything in it, in one step: a crash leaves all of it or nothing that
    /// counts as a stage (what it leaves goes with the next call).
    pub(crate) fn destroy(dir: &Path) -> Result<()> {
        let mut gone = dir.as_os_str().to_owned();
        gone.push(".gone");
        let gone = PathBuf::from(gone);
        let remove = || {
            remove_all(&gone)?;
            match fs::rename(dir, &gone) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                done => done?,
            }
            sync_parent(dir)?;
            remove_all(&gone)
        };
        remove().map_err(|error| failed("remove", dir, &error))
    }

    /// Writes everything that is queued.
    fn write_out(&self, writer: &mut Writer) -> Result<()> {
        writer.take(&mut self.queue.lock().items);
        let ready = self.before.get().map_or(Ok(()), |before| before());
        let outcome = ready
            .and_then(|()| {
                writer.write_out(&mut |bytes| {
                    self.on_disk.fetch_add(bytes, Ordering::AcqRel);
                    match &mut *self.left_over.lock() {
                        Some(left_over) => left_over.held += bytes,
                        None => drop(self.durable.fetch_add(bytes, Ordering::AcqRel)),
                    }
                })
            })
            .and_then(|()| self.remove_left_over())
            .map_err(|error| match error {
                // The home is not read-only: its disk has failed.
                Error::StateReadOnly(why) => Error::State(why),
                error => error,
            });
        *self.failure.lock() = outcome
            .as_ref()
            .err()
            .map(|error| (Instant::now(), error.clone()));
        outcome
    }

    /// Removes the stage that this one replaces; its frames are durable in this one then.
    fn remove_left_over(&self) -> Result<()> {
        let mut left_over = self.left_over.lock();
        if let Some(LeftOver { dir, held }) = &*left_over {
            Self::destroy(dir)?;
            self.durable.fetch_add(*held, Ordering::AcqRel);
            *left_over = None;
        }
        Ok(())
    }

    fn failed_lately(&self) -> bool {
        let failure = self.failure.lock();
        matches!(&*failure, Some((when, _)) if when.elapsed() < PAUSE)
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

fn check_base(base: &[u8]) -> Result<()> {
    if base.len() > BASE_MAX {
        return Err(Error::Invalid("a stage's base is at most 256 bytes"));
    }
    Ok(())
}
