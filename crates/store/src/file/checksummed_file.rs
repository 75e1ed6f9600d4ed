//! The engine's file, every block checked.
//!
//! What always holds here: the engine is given the bytes it wrote, or an error; never others. Left
//! alone it trusts its pages, and a flipped bit could make it panic, recurse without end or answer
//! wrongly. So each of its blocks has a checksum of its place and content, and its header (the
//! block it writes in place) is kept twice and written by turns, so a torn write leaves one whole.
//!
//! ```text
//! 0        header slot 0: block 0 (4096) | number of the write (8) | BLAKE3 of both (32) | zeros
//! 8192     header slot 1
//! 16384    groups, each: one block of 512 checksums (8 bytes), then up to 512 blocks
//! ```
//!
//! A checksum is the first 8 bytes of `BLAKE3(block number, little-endian ‖ block)`, never 0; 0
//! stands for a block that was never written, which the engine has no reason to read: so a stretch
//! of the file that was lost and reads as zeros is found too.
//!
//! Power loss: a checksum changes only with its block, and the engine writes only blocks that no
//! committed state refers to; so whichever of the two writes is lost, committed blocks fit theirs.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

const BLOCK: u64 = 4096;
const SLOT: u64 = 2 * BLOCK;
const GROUPS_AT: u64 = 2 * SLOT;
const PER_GROUP: u64 = 512;
const GROUP: u64 = (PER_GROUP + 1) * BLOCK;
/// How many groups' checksums are kept in memory: 4 MiB of them, for 2 GiB of records.
const GROUPS_CACHED_MAX: usize = 1024;

type Sums = Box<[u8; BLOCK as usize]>;

/// The first thing that went wrong below the engine, for a message better than the engine's.
pub(super) type Fault = Arc<Mutex<Option<(io::ErrorKind, String)>>>;

/// The file under the engine.
#[derive(Debug)]
pub(super) struct ChecksummedFile {
    file: File,
    state: Mutex<State>,
    fault: Fault,
    /// The content of the disk after each sync, for the tests of power loss.
    #[cfg(test)]
    synced: Option<Images>,
}

#[cfg(test)]
pub(super) type Images = Arc<Mutex<Vec<Vec<u8>>>>;

#[derive(Debug)]
struct State {
    /// Length as the engine sees it: a multiple of a block.
    len: u64,
    /// ChecksummedFile written since the last sync.
    unsynced: bool,
    header: Header,
    sums: HashMap<u64, Sums>,
}

#[derive(Debug, Clone)]
struct Header {
    block: [u8; BLOCK as usize],
    slot: u64,
    number: u64,
    /// Not known to be on the disk: then the other slot is, and this one is written again.
    unsynced: bool,
}

impl ChecksummedFile {
    /// An empty file, for a new engine.
    pub(super) fn create(file: File) -> io::Result<Self> {
        file.set_len(0)?;
        Ok(Self::with(file, 0, Header::none()))
    }

    /// A file that [`ChecksummedFile`] wrote.
    pub(super) fn open(file: File) -> io::Result<Self> {
        // The last writes of a killed process may not be on the disk yet; the next commit builds on them.
        file.sync_data()?;
        let len = engine_len(file.metadata()?.len());
        if len == 0 {
            return Err(damaged("it is too short"));
        }
        let slots = [read_slot(&file, 0), read_slot(&file, 1)];
        let header = slots
            .into_iter()
            .flatten()
            .max_by_key(|header| header.number)
            .ok_or_else(|| damaged("both copies of its header are spoilt"))?;
        Ok(Self::with(file, len, header))
    }

    fn with(file: File, len: u64, header: Header) -> Self {
        Self {
            file,
            state: Mutex::new(State {
                len,
                unsynced: false,
                header,
                sums: HashMap::new(),
            }),
            fault: Fault::default(),
            #[cfg(test)]
            synced: None,
        }
    }

    /// Where the first fault will be found.
    pub(super) fn fault(&self) -> Fault {
        self.fault.clone()
    }

    fn noting<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.fault
                .lock()
                .get_or_insert_with(|| (error.kind(), error.to_string()));
        }
        result
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.saturating_add(out.len() as u64);
        if end > self.state.lock().len {
            return Err(damaged("it is shorter than it was"));
        }
        let mut place = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let run = Run::at(place, rest.len());
            let (now, after) = std::mem::take(&mut rest).split_at_mut(run.len);
            match run.part {
                None => self.read_blocks(run.block, now)?,
                Some(part) => now.copy_from_slice(&self.block(run.block)?[part]),
            }
            rest = after;
            place += run.len as u64;
        }
        Ok(())
    }

    /// One block, checked.
    fn block(&self, block: u64) -> io::Result<[u8; BLOCK as usize]> {
        if block == 0 {
            return Ok(self.state.lock().header.block);
        }
        let mut bytes = [0; BLOCK as usize];
        self.read_blocks(block, &mut bytes)?;
        Ok(bytes)
    }

    /// Blocks from `first` on, all of one group, checked.
    fn read_blocks(&self, first: u64, out: &mut [u8]) -> io::Result<()> {
        let sums = {
            let mut state = self.state.lock();
            let count = out.len() / BLOCK as usize;
            let at = sum_at(first);
            let sums = state.sums(&self.file, group_of(first))?;
            sums[at..at + count * 8].to_vec()
        };
        self.file.read_exact_at(out, physical(first))?;
        for ((number, block), sum) in (first..)
            .zip(out.chunks_exact(BLOCK as usize))
            .zip(sums.chunks_exact(8))
        {
            let fits = sum == checksum(number, block);
            if !fits {
                return Err(damaged(&format!("its block {number} is spoilt")));
            }
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut place = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let run = Run::at(place, rest.len());
            let (now, after) = rest.split_at(run.len);
            match run.part {
                None => self.write_blocks(run.block, now)?,
                Some(part) => {
                    let mut bytes = self.block(run.block)?;
                    bytes[part].copy_from_slice(now);
                    if run.block == 0 {
                        self.write_header(&bytes)?;
                    } else {
                        self.write_blocks(run.block, &bytes)?;
                    }
                }
            }
            rest = after;
            place += run.len as u64;
        }
        Ok(())
    }

    /// Blocks from `first` on, all of one group, and their checksums.
    fn write_blocks(&self, first: u64, data: &[u8]) -> io::Result<()> {
        let fresh: Vec<u8> = (first..)
            .zip(data.chunks_exact(BLOCK as usize))
            .flat_map(|(number, block)| checksum(number, block))
            .collect();
        let mut state = self.state.lock();
        state.unsynced = true;
        let at = sum_at(first);
        let group = group_of(first);
        state.sums(&self.file, group)?[at..at + fresh.len()].copy_from_slice(&fresh);
        self.file.write_all_at(data, physical(first))?;
        self.file
            .write_all_at(&fresh, GROUPS_AT + group * GROUP + at as u64)
    }

    fn write_header(&self, block: &[u8; BLOCK as usize]) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.unsynced {
            // A header is only ever newer when the blocks it refers to are durable.
            self.sync_file()?;
            state.unsynced = false;
            state.header.unsynced = false;
        }
        let header = &mut state.header;
        if !header.unsynced {
            header.slot = 1 - header.slot;
        }
        header.block = *block;
        header.number = header.number.saturating_add(1);
        header.unsynced = true;
        let mut slot = [0; SLOT as usize];
        slot[..4096].copy_from_slice(block);
        slot[4096..4104].copy_from_slice(&header.number.to_le_bytes());
        let hash = blake3::hash(&slot[..4104]);
        slot[4104..4136].copy_from_slice(hash.as_bytes());
        self.file.write_all_at(&slot, header.slot * SLOT)
    }

    fn resize(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let blocks = len.div_ceil(BLOCK).max(1);
        if blocks * BLOCK < state.len {
            // Forget the checksums past the new end: should the file grow again, those blocks are new.
            let group = group_of(blocks);
            let at = sum_at(blocks);
            if at > 0 {
                let sums = state.sums(&self.file, group)?;
                sums[at..].fill(0);
                let zeros = sums[at..].to_vec();
                self.file
                    .write_all_at(&zeros, GROUPS_AT + group * GROUP + at as u64)?;
            }
            let kept = if at > 0 { group + 1 } else { group };
            state.sums.retain(|number, _| *number < kept);
        }
        state.unsynced = true;
        self.file.set_len(physical_len(blocks))?;
        state.len = blocks * BLOCK;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        self.sync_file()?;
        state.unsynced = false;
        state.header.unsynced = false;
        Ok(())
    }

    fn sync_file(&self) -> io::Result<()> {
        self.file.sync_data()?;
        #[cfg(test)]
        if let Some(images) = &self.synced {
            let mut image = vec![0; self.file.metadata()?.len() as usize];
            self.file.read_exact_at(&mut image, 0)?;
            images.lock().push(image);
        }
        Ok(())
    }
}

impl State {
    /// The checksums of a group.
    fn sums(&mut self, file: &File, group: u64) -> io::Result<&mut Sums> {
        if self.sums.len() >= GROUPS_CACHED_MAX && !self.sums.contains_key(&group) {
            self.sums.clear();
        }
        match self.sums.entry(group) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                let mut sums = Box::new([0; BLOCK as usize]);
                file.read_exact_at(sums.as_mut_slice(), GROUPS_AT + group * GROUP)?;
                Ok(place.insert(sums))
            }
        }
    }
}

impl Header {
    fn none() -> Self {
        Self {
            block: [0; BLOCK as usize],
            slot: 1,
            number: 0,
            unsynced: false,
        }
    }
}

impl StorageBackend for ChecksummedFile {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.noting(self.read_at(offset, out))
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.noting(self.resize(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.noting(self.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.noting(self.write_at(offset, data))
    }
}

/// What is read or written at once: whole blocks of one group, or a part of a block. The header is always alone.
struct Run {
    block: u64,
    /// The part of the block; `None`: all of it, and perhaps of blocks after it.
    part: Option<Range<usize>>,
    len: usize,
}

impl Run {
    /// From this place on, of this length at most.
    fn at(place: u64, len_max: usize) -> Self {
        let block = place / BLOCK;
        let inside = place % BLOCK;
        let whole = len_max as u64 / BLOCK;
        if inside == 0 && whole > 0 && block > 0 {
            let blocks = whole.min(PER_GROUP - (block - 1) % PER_GROUP);
            return Self {
                block,
                part: None,
                len: (blocks * BLOCK) as usize,
            };
        }
        let len = len_max.min((BLOCK - inside) as usize);
        let inside = inside as usize;
        Self {
            block,
            part: Some(inside..inside + len),
            len,
        }
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn group_of(block: u64) -> u64 {
    block.saturating_sub(1) / PER_GROUP
}

/// Where in its group's checksum block the checksum of a block stands.
fn sum_at(block: u64) -> usize {
    (block.saturating_sub(1) % PER_GROUP * 8) as usize
}

fn physical(block: u64) -> u64 {
    let index = block.saturating_sub(1);
    GROUPS_AT + index / PER_GROUP * GROUP + (index % PER_GROUP + 1) * BLOCK
}

/// How long the file is that holds so many blocks, the header among them.
fn physical_len(blocks: u64) -> u64 {
    if blocks <= 1 {
        GROUPS_AT
    } else {
        physical(blocks - 1) + BLOCK
    }
}

/// The length the engine sees of a file of this length; bytes that do not make a block are left out.
fn engine_len(physical_len: u64) -> u64 {
    let Some(groups) = physical_len.checked_sub(GROUPS_AT) else {
        return 0;
    };
    let in_last = (groups % GROUP / BLOCK).saturating_sub(1);
    (1 + groups / GROUP * PER_GROUP + in_last) * BLOCK
}

fn checksum(number: u64, block: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(block);
    let mut sum = [0; 8];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    if sum == [0; 8] { [1; 8] } else { sum }
}

/// A header slot, if it is whole.
fn read_slot(file: &File, slot: u64) -> Option<Header> {
    let mut bytes = [0; SLOT as usize];
    file.read_exact_at(&mut bytes, slot * SLOT).ok()?;
    let hash = blake3::hash(&bytes[..4104]);
    if bytes[4104..4136] != *hash.as_bytes() {
        return None;
    }
    let mut block = [0; BLOCK as usize];
    block.copy_from_slice(&bytes[..4096]);
    Some(Header {
        block,
        slot,
        number: u64::from_le_bytes(bytes[4096..4104].try_into().ok()?),
        unsynced: false,
    })
}

#[cfg(test)]
mod tests;
