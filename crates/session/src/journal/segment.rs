//! Segments: the files of a stage.
//!
//! What always holds here: a file under a segment's name has a whole header (written under another
//! name, synced, renamed, folder synced); no two frames are sealed with the same key and nonce.
//!
//! A segment is `NUMBER-ATTEMPT` in hexadecimal: a header of [`HEADER_LEN`] bytes (magic, salt, sealed
//! body), then frames: a length of 4 bytes, little-endian, and so many sealed bytes. A length of zero
//! or the end of the file is the end. The key is derived from the stage's key and the salt, the nonce
//! is the frame's place in the segment; so a frame opens nowhere but in its own place.
//!
//! Frames are counted over the life of the stage, and the header says which one is the segment's
//! first. It overrules earlier segments that hold more: they have frames whose sync failed or that
//! came after a torn one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use safeos_record::{Key, NONCE_LEN, TAG_LEN, random_bytes};

use super::disk::Disk;
use super::frame::PIECE_MAX;
use crate::disk::{failed, remove, sync_dir};
use crate::{Error, Result};

/// The longest base, in bytes.
pub(super) const BASE_MAX: usize = 256;
/// Length of a segment's header on the disk, in bytes.
pub(super) const HEADER_LEN: usize = 512;
/// So much is written as zeros ahead of the frames, in bytes. Syncing into blocks that have been
/// written before is many times faster than growing the file: nothing but data has to move.
pub(super) const AHEAD: usize = 1024 * 1024;

const MAGIC: &[u8; 8] = b"safstg1\n";
const SALT_LEN: usize = 32;
const BODY_AT: usize = MAGIC.len() + SALT_LEN;
const BODY_LEN: usize = HEADER_LEN - BODY_AT - TAG_LEN;
const CONTEXT: &str = "SafeOS 2026 stage segment v1";
const LEN_LEN: usize = 4;
/// The nonce of the header; no frame reaches it.
const HEADER_NONCE: [u8; NONCE_LEN] = [0xff; NONCE_LEN];

/// How many bytes a piece takes on the disk.
pub(super) fn on_disk_len(piece: &[u8]) -> u64 {
    (LEN_LEN + piece.len() + TAG_LEN) as u64
}

/// The header of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// The stage's identity.
    pub(super) id: [u8; 16],
    /// The segment's number.
    pub(super) number: u64,
    /// Counts the files of one number: more than one when a sync failed.
    pub(super) attempt: u32,
    /// The number of its first frame, over the life of the stage.
    pub(super) first: u64,
    /// The session's data in it.
    pub(super) base: Vec<u8>,
}

impl Header {
    fn seal(&self, key: &Key) -> Result<(Vec<u8>, Key)> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        let mut salt = [0; SALT_LEN];
        random_bytes(&mut salt).map_err(sealing)?;
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.attempt.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&(self.base.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&self.base);
        bytes.resize(BODY_AT + BODY_LEN, 0);
        let key = key.derive(CONTEXT, &salt);
        key.seal(HEADER_NONCE, MAGIC, &mut bytes, BODY_AT)
            .map_err(sealing)?;
        Ok((bytes, key))
    }

    /// `None` if these bytes are no header under this key.
    fn open(mut bytes: [u8; HEADER_LEN], key: &Key) -> Option<(Self, Key)> {
        let (magic, rest) = bytes.split_at_mut(MAGIC.len());
        if magic != MAGIC {
            return None;
        }
        let (salt, sealed) = rest.split_at_mut(SALT_LEN);
        let key = key.derive(CONTEXT, salt);
        let body: &[u8] = key.open(HEADER_NONCE, MAGIC, sealed).ok()?;
        let (id, body) = body.split_first_chunk()?;
        let (number, body) = body.split_first_chunk()?;
        let (attempt, body) = body.split_first_chunk()?;
        let (first, body) = body.split_first_chunk()?;
        let (base_len, body) = body.split_first_chunk()?;
        let header = Self {
            id: *id,
            number: u64::from_le_bytes(*number),
            attempt: u32::from_le_bytes(*attempt),
            first: u64::from_le_bytes(*first),
            base: body
                .get(..usize::from(u16::from_le_bytes(*base_len)))?
                .to_vec(),
        };
        Some((header, key))
    }

    fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{:016x}-{:08x}", self.number, self.attempt))
    }
}

/// A file with a segment's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Name {
    pub(super) number: u64,
    pub(super) attempt: u32,
    pub(super) path: PathBuf,
}

impl Name {
    fn parse(path: PathBuf) -> Option<Self> {
        let (number, attempt) = path.file_name()?.to_str()?.split_once('-')?;
        if number.len() != 16 || attempt.len() != 8 {
            return None;
        }
        Some(Self {
            number: u64::from_str_radix(number, 16).ok()?,
            attempt: u32::from_str_radix(attempt, 16).ok()?,
            path,
        })
    }
}

/// The segments in a folder, in order. Files of a segment whose making was cut short are removed.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Name>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "new") {
            // Only space is lost when it stays.
            drop(remove(&path));
        } else {
            names.extend(Name::parse(path));
        }
    }
    names.sort();
    Ok(names)
}

/// A segment that is being written.
pub(super) struct Segment {
    pub(super) header: Header,
    pub(super) path: PathBuf,
    file: File,
    key: Key,
    /// Where the next frame goes: after everything the disk has confirmed.
    len: u64,
    /// Confirmed frames.
    pub(super) frames: u64,
    /// Where the zeros end that were written ahead.
    zeroed: u64,
    /// A sync has failed: the content of the file after `len` is not known.
    pub(super) broken: bool,
}

impl Segment {
    /// Makes a segment's file, durably.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, key: &Key, header: Header) -> Result<Self> {
        let path = header.path(dir);
        let incoming = path.with_extension("new");
        let (bytes, key) = header.seal(key)?;
        let written = (|| {
            let file = disk.create(&incoming)?;
            disk.write(&file, &bytes, 0)?;
            let zeroed = write_zeros(disk, &file, HEADER_LEN as u64);
            disk.sync(&file)?;
            fs::rename(&incoming, &path)?;
            sync_dir(dir)?;
            Ok((file, zeroed))
        })();
        match written {
            Ok((file, zeroed)) => Ok(Self {
                header,
                path,
                file,
                key,
                len: HEADER_LEN as u64,
                frames: 0,
                zeroed,
                broken: false,
            }),
            Err(error) => {
                // The error that counts is the first one.
                drop(remove(&incoming));
                Err(failed("write", &path, &error))
            }
        }
    }

    /// Writes pieces after what is confirmed and returns when the disk has confirmed them. On an error
    /// nothing has changed, except that the segment may be broken.
    pub(super) fn write<'a>(
        &mut self,
        disk: &dyn Disk,
        pieces: impl Iterator<Item = &'a Vec<u8>>,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        const RUN: usize = 4 * 1024 * 1024;
        let mut at = self.len;
        let mut frames = self.frames;
        let put = |buffer: &mut Vec<u8>, at: &mut u64| {
            disk.write(&self.file, buffer, *at).map_err(|error| {
                // On a full disk others need the space of a partial write. If it stays it is written over.
                drop(disk.cut(&self.file, self.zeroed.max(self.len)));
                failed("write", &self.path, &error)
            })?;
            *at += buffer.len() as u64;
            buffer.clear();
            Ok::<_, Error>(())
        };
        buffer.clear();
        for piece in pieces {
            // The same frame in the same place is the same bytes, should it be written again.
            seal(&self.key, frames, piece, buffer)?;
            frames += 1;
            if buffer.len() >= RUN {
                put(buffer, &mut at)?;
            }
        }
        put(buffer, &mut at)?;
        if at > self.zeroed {
            self.zeroed = write_zeros(disk, &self.file, at);
        }
        if let Err(error) = disk.sync(&self.file) {
            self.broken = true;
            return Err(failed("sync", &self.path, &error));
        }
        self.len = at;
        self.frames = frames;
        Ok(())
    }

    /// Bytes of confirmed frames.
    pub(super) fn bytes(&self) -> u64 {
        self.len - HEADER_LEN as u64
    }
}

/// Writes zeros from `at` on; where they end. When the disk has no room for them the frames may still
/// have it.
fn write_zeros(disk: &dyn Disk, file: &File, at: u64) -> u64 {
    static ZEROS: [u8; AHEAD] = [0; AHEAD];
    match disk.write_ahead(file, &ZEROS, at) {
        Ok(()) => at + AHEAD as u64,
        Err(_) => at,
    }
}

fn seal(key: &Key, frame: u64, piece: &[u8], buffer: &mut Vec<u8>) -> Result<()> {
    buffer.extend_from_slice(&((piece.len() + TAG_LEN) as u32).to_le_bytes());
    let from = buffer.len();
    buffer.extend_from_slice(piece);
    key.seal(nonce(frame), &[], buffer, from).map_err(sealing)
}

fn nonce(frame: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&frame.to_le_bytes());
    nonce
}

fn sealing(error: safeos_record::Error) -> Error {
    Error::State(format!("the stage cannot be encrypted: {error}"))
}

/// A segment that is being read.
pub(super) struct Reader {
    pub(super) header: Header,
    path: PathBuf,
    file: BufReader<File>,
    key: Key,
    frames: u64,
    buffer: Vec<u8>,
}

impl Reader {
    /// Opens a segment; `None` if its header is damaged or sealed under another key.
    pub(super) fn open(name: &Name, key: &Key) -> Result<Option<Self>> {
        let wrong = |error: &io::Error| failed("read", &name.path, error);
        // For writing, as some systems sync no other; on a disk that can only be read it is as durable as it gets.
        let mut options = OpenOptions::new();
        let mut file = match options.read(true).write(true).open(&name.path) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                File::open(&name.path)
            }
            opened => opened,
        }
        .map_err(|error| wrong(&error))?;
        let mut bytes = [0; HEADER_LEN];
        match file.read_exact(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            done => done.map_err(|error| wrong(&error))?,
        }
        let opened = Header::open(bytes, key)
            .filter(|(header, _)| (header.number, header.attempt) == (name.number, name.attempt));
        Ok(opened.map(|(header, key)| Self {
            header,
            path: name.path.clone(),
            file: BufReader::with_capacity(256 * 1024, file),
            key,
            frames: 0,
            buffer: Vec::new(),
        }))
    }

    /// The next piece and how many bytes it takes; `None` at the end, and where a piece is torn or
    /// does not open. An error only if the disk cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], u64)>> {
        let mut len = [0; LEN_LEN];
        if !self.fill_len(&mut len)? {
            return Ok(None);
        }
        let len = u32::from_le_bytes(len) as usize;
        if !(TAG_LEN + 1..=TAG_LEN + PIECE_MAX).contains(&len) {
            return Ok(None);
        }
        self.buffer.resize(len, 0);
        if !fill(&mut self.file, &mut self.buffer)
            .map_err(|error| failed("read", &self.path, &error))?
        {
            return Ok(None);
        }
        let nonce = nonce(self.frames);
        self.frames += 1;
        Ok(self
            .key
            .open(nonce, &[], &mut self.buffer)
            .ok()
            .map(|piece| (&*piece, (LEN_LEN + len) as u64)))
    }

    fn fill_len(&mut self, len: &mut [u8; LEN_LEN]) -> Result<bool> {
        fill(&mut self.file, len).map_err(|error| failed("read", &self.path, &error))
    }

    /// Makes what was read durable: it may have been in memory only when its writer died.
    pub(super) fn sync(&self) -> Result<()> {
        self.file
            .get_ref()
            .sync_data()
            .map_err(|error| failed("sync", &self.path, &error))
    }
}

/// Whether the file had so many bytes.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        done => done.map(|()| true),
    }
}
