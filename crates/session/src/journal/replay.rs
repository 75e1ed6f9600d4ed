//! Reading what an earlier session left.
//!
//! What always holds here: the frames given out are the first ones appended, each once, in
//! order, without a gap. Nothing on the disk is changed.

use std::path::Path;

use safeos_record::Key;

use super::event::Event;
use super::frame::{Joined, Joiner};
use super::segment::{self, Name, Reader};
use super::writer::Closed;
use crate::disk::failed;
use crate::{Error, Result};

/// The state of a stage after replay, to append to it.
pub(super) struct Found {
    pub(super) id: [u8; 16],
    pub(super) closed: Vec<Closed>,
    /// The number for the next segment: above all that have a file.
    pub(super) next_number: u64,
    /// The number of the next frame.
    pub(super) next_frame: u64,
    /// The base of the last segment that was read.
    pub(super) base: Vec<u8>,
    pub(super) damage: Option<String>,
}

/// Gives out everything; `None` if there is no stage.
pub(super) fn replay(
    dir: &Path,
    key: &Key,
    give: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<Option<Found>> {
    let names = segment::list(dir).map_err(|error| failed("read", dir, &error))?;
    let Some(last) = names.last() else {
        return Ok(None);
    };
    let next_number = last
        .number
        .checked_add(1)
        .ok_or_else(|| Error::State(format!("{} is no segment of a stage", last.path.display())))?;
    let mut closed: Vec<Closed> = names.iter().map(Closed::of).collect();
    let (mut readers, mut damage) = open_all(&names, key)?;
    // Frames after a lost beginning would be applied to the wrong base.
    let Some((0, first)) = readers.first() else {
        return Err(Error::Damaged(format!(
            "the changes that were not published cannot be read: {} is damaged or of another account",
            names[0].path.display()
        )));
    };
    let mut found = Found {
        id: first.header.id,
        closed: Vec::new(),
        next_number,
        next_frame: first.header.first,
        base: first.header.base.clone(),
        damage: None,
    };
    let limits = limits(&readers);
    let mut number = None;
    for ((at, reader), limit) in readers.iter_mut().zip(limits) {
        let header = reader.header.clone();
        if header.first > limit {
            continue;
        }
        if header.first != found.next_frame {
            damage.get_or_insert_with(|| unreadable(&names[*at]));
            break;
        }
        if number != Some(header.number) {
            number = Some(header.number);
            give(Event::Segment {
                id: header.id,
                number: header.number,
                base: header.base.clone(),
            })?;
        }
        found.base = header.base;
        let (frames, bytes) = read(reader, limit - header.first, give)?;
        found.next_frame += frames;
        closed[*at].bytes = bytes;
        reader.sync()?;
    }
    found.closed = closed;
    found.damage = damage;
    Ok(Some(found))
}

/// The segments whose headers open, with their places in `names`; and the message on others.
#[allow(clippy::type_complexity)]
fn open_all(names: &[Name], key: &Key) -> Result<(Vec<(usize, Reader)>, Option<String>)> {
    let mut readers: Vec<(usize, Reader)> = Vec::new();
    let mut damage = None;
    for (at, name) in names.iter().enumerate() {
        let reader = Reader::open(name, key)?.filter(|reader| {
            readers
                .first()
                .is_none_or(|(_, first)| first.header.id == reader.header.id)
        });
        match reader {
            Some(reader) => {
                readers.push((at, reader));
                damage = None;
            }
            // A segment that is followed by its replacement was met before and is not needed.
            None => damage = Some(unreadable(name)),
        }
    }
    Ok((readers, damage))
}

/// Up to which frame each segment counts: later segments overrule it.
fn limits(readers: &[(usize, Reader)]) -> Vec<u64> {
    let mut limit = u64::MAX;
    let mut limits: Vec<u64> = readers
        .iter()
        .rev()
        .map(|(_, reader)| {
            let own = limit;
            limit = limit.min(reader.header.first);
            own
        })
        .collect();
    limits.reverse();
    limits
}

/// Gives out the whole frames of a segment; how many pieces and bytes they were.
fn read(
    reader: &mut Reader,
    pieces_max: u64,
    give: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<(u64, u64)> {
    let mut joiner = Joiner::default();
    let (mut pieces, mut bytes) = (0, 0);
    let mut whole = (0, 0);
    while pieces < pieces_max {
        let Some((piece, len)) = reader.next()? else {
            break;
        };
        pieces += 1;
        bytes += len;
        match joiner.push(piece) {
            Joined::Frame(frame) => {
                give(Event::Frame(frame))?;
                whole = (pieces, bytes);
            }
            Joined::More => {}
            Joined::Wrong => break,
        }
    }
    Ok(whole)
}

fn unreadable(name: &Name) -> String {
    format!(
        "a part of the changes that were not published is damaged ({}); the changes before it were kept, those in and after it are lost",
        name.path.display()
    )
}
