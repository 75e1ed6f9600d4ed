//! Commits, nodes, items, objects.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::bytes::Reader;
use crate::{Hash, Records, Result, chunk, derive, mac, open, open_page};

/// One state of a home.
pub struct Commit {
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// On which computer.
    pub computer: String,
    /// The head chunks before it.
    pub parents: Vec<Hash>,
    /// How many nodes it says to have.
    pub nodes: u64,
    /// How many bytes it says to have.
    pub bytes: u64,
    root: Vec<u8>,
}

impl Commit {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader(bytes);
        if reader.byte()? != 2 {
            return Err("the commit has an unknown version".into());
        }
        let time = reader.num()?;
        let computer = String::from_utf8_lossy(reader.bytes(64)?).into_owned();
        let count = reader.num()?;
        if count > 2 {
            return Err("a commit has too many parents".into());
        }
        let parents = (0..count).map(|_| reader.array()).collect::<Result<_>>()?;
        reader.take(16)?;
        let _segment = reader.num()?;
        let _added = reader.num()?;
        Ok(Self {
            time,
            computer,
            parents,
            nodes: reader.num()?,
            bytes: reader.num()?,
            root: reader.0.to_vec(),
        })
    }
}

/// The node at a path.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Entry {
    /// Kind and permission bits.
    pub mode: u32,
    /// Links.
    pub links: u32,
    /// Owner and group; `None`: the person.
    pub owner: (Option<u32>, Option<u32>),
    /// Size.
    pub size: u64,
    /// Access, modification, change, creation.
    pub times: [i128; 4],
    /// The target of a symbolic link.
    pub target: Vec<u8>,
    /// Attributes.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The content of a file.
    pub content: Vec<u8>,
}

#[derive(Clone)]
struct Reference {
    pack: Hash,
    offset: usize,
    len: usize,
    hash: [u8; 16],
}

#[derive(Default)]
struct Inode {
    entry: Entry,
    /// Owner and group as they stand there, and whether each is a number whatever the root folder says.
    numbers: [(u32, bool); 2],
    names: BTreeMap<Vec<u8>, u64>,
    blocks: BTreeMap<u64, (usize, Option<Reference>, Vec<u8>)>,
}

/// A tree that can be read.
pub struct Home {
    /// The commit it is the tree of.
    pub commit: Commit,
    hash_key: Hash,
    seal_key: Hash,
    directory_key: Hash,
    packs: RefCell<BTreeMap<Hash, Rc<Pack>>>,
}

/// A pack, and where its directory says that objects are.
struct Pack {
    bytes: Vec<u8>,
    places: BTreeSet<(usize, usize, [u8; 16])>,
}

type Items = BTreeMap<u64, Inode>;
/// Time and head chunk of commits.
type Snapshots = Vec<(u64, Hash)>;

impl Home {
    pub(crate) fn new(secret: &Hash, commit: Commit) -> Self {
        Self {
            commit,
            hash_key: derive(secret, "safeos 2026 object hash v2", b""),
            seal_key: derive(secret, "safeos 2026 object seal v2", b""),
            directory_key: derive(secret, "safeos 2026 pack directory v1", b""),
            packs: RefCell::default(),
        }
    }

    /// Everything in the tree, by path; the root's path is empty.
    pub fn list(&self, records: &dyn Records) -> Result<BTreeMap<Vec<u8>, Entry>> {
        let (items, _) = self.items(records)?;
        let early = early(items.get(&2).ok_or("there is no root directory")?)?;
        let mut list = BTreeMap::new();
        let mut waiting = vec![(2, Vec::new())];
        while let Some((ino, path)) = waiting.pop() {
            let inode = items.get(&ino).ok_or("an entry names no node")?;
            let mut entry = inode.entry.clone();
            entry.owner = (
                whose(inode.numbers[0], early[0]),
                whose(inode.numbers[1], early[1]),
            );
            entry.attributes.retain(|name, _| !name.contains(&0));
            if entry.mode >> 12 == 8 {
                let size = usize::try_from(entry.size).map_err(|e| e.to_string())?;
                entry.content = vec![0; size];
                for (number, (len, at, inline)) in &inode.blocks {
                    let content = match at {
                        Some(at) => self.object(records, 2, at)?,
                        None => inline.clone(),
                    };
                    if content.len() != *len {
                        return Err("a block has another length".into());
                    }
                    let start = *number as usize * 32_768;
                    entry
                        .content
                        .get_mut(start..start + len)
                        .ok_or("a block is beyond the end of its file")?
                        .copy_from_slice(&content);
                }
            }
            for (name, child) in &inode.names {
                let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                waiting.push((*child, [&path, slash, name].concat()));
            }
            if list.insert(path, entry).is_some() {
                return Err("a path is there twice".into());
            }
        }
        Ok(list)
    }

    /// The commits before this one.
    pub fn snapshots(&self, records: &dyn Records) -> Result<Snapshots> {
        Ok(self.items(records)?.1)
    }

    fn items(&self, records: &dyn Records) -> Result<(Items, Snapshots)> {
        let mut items = Items::new();
        let mut snapshots = Snapshots::new();
        self.node(records, &self.commit.root, None, &mut items, &mut snapshots)?;
        Ok((items, snapshots))
    }

    fn node(
        &self,
        records: &dyn Records,
        node: &[u8],
        own: Option<Hash>,
        items: &mut Items,
        snapshots: &mut Snapshots,
    ) -> Result<()> {
        let mut reader = Reader(node);
        let kind = reader.byte()?;
        let mut packs = vec![own];
        for _ in 0..reader.num()? {
            packs.push(Some(reader.array()?));
        }
        let mut ino = 0u64;
        for _ in 0..reader.num()? {
            ino += reader.num()?;
            let tag = reader.byte()?;
            let mut name = Vec::new();
            let mut number = 0;
            match tag {
                0 => {}
                1 | 2 => name = reader.bytes(255)?.to_vec(),
                3..=5 => number = reader.num()?,
                _ => return Err("an unknown tag".into()),
            }
            if kind == 1 {
                let at = reference(&mut reader, &packs)?;
                let child = self.object(records, 1, &at)?;
                self.node(records, &child, Some(at.pack), items, snapshots)?;
                continue;
            }
            match tag {
                0 => {
                    let (entry, numbers) = inode(&mut reader, items.get(&ino))?;
                    let inode = items.entry(ino).or_default();
                    (inode.entry, inode.numbers) = (entry, numbers);
                }
                1 => {
                    let value = reader.bytes(65_536)?.to_vec();
                    let inode = items.get_mut(&ino).ok_or("an attribute of no node")?;
                    inode.entry.attributes.insert(name, value);
                }
                2 => {
                    let child = reader.num()?;
                    reader.byte()?;
                    let inode = items.get_mut(&ino).ok_or("an entry of no node")?;
                    inode.names.insert(name, child);
                }
                3 => {
                    let len = reader.num32()? as usize;
                    let block = if len == 0 {
                        let inline = reader.bytes(128)?.to_vec();
                        (inline.len(), None, inline)
                    } else {
                        (len, Some(reference(&mut reader, &packs)?), Vec::new())
                    };
                    let inode = items.get_mut(&ino).ok_or("a block of no node")?;
                    inode.blocks.insert(number, block);
                }
                4 => {
                    snapshots.push((number, reader.array()?));
                    reader.bytes(64)?;
                    reader.num()?;
                }
                _ => {
                    reader.take(16)?;
                }
            }
        }
        reader.end()
    }

    fn object(&self, records: &dyn Records, kind: u8, at: &Reference) -> Result<Vec<u8>> {
        let pack = self.pack(records, &at.pack)?;
        if !pack.places.contains(&(at.offset, at.len, at.hash)) {
            return Err("an object is not in its pack's directory".into());
        }
        let sealed = pack
            .bytes
            .get(at.offset..at.offset + at.len)
            .ok_or("an object is beyond its pack")?;
        let key = mac(&self.seal_key, &[&[kind], &at.hash]);
        let (first, others) = sealed.split_at(sealed.len().min(1 + 4096 + 16));
        let mut body = open(&key, b"", first)?;
        if body.is_empty() {
            return Err("an object has no codec".into());
        }
        let codec = body.remove(0);
        for (number, page) in (1..).zip(others.chunks(4096 + 16)) {
            body.extend(open_page(&key, number, &[codec], page)?);
        }
        if mac(&self.hash_key, &[&body, &[codec, kind]])[..16] != at.hash {
            return Err("an object has another hash".into());
        }
        match codec {
            0 => Ok(body),
            1 => {
                let mut reader = Reader(&body);
                let len = reader.num()? as usize;
                lz4_flex::block::decompress(reader.0, len.min(262_144)).map_err(|e| e.to_string())
            }
            _ => Err("an object is of an unknown codec".into()),
        }
    }

    fn pack(&self, records: &dyn Records, address: &Hash) -> Result<Rc<Pack>> {
        if let Some(pack) = self.packs.borrow().get(address) {
            return Ok(Rc::clone(pack));
        }
        let bytes = chunk(records, address)?;
        let (rest, len) = bytes.split_last_chunk::<4>().ok_or("a short pack")?;
        let (rest, salt) = rest.split_last_chunk::<16>().ok_or("a short pack")?;
        let start = rest
            .len()
            .checked_sub(u32::from_le_bytes(*len) as usize)
            .ok_or("a short pack")?;
        let plain = open(&mac(&self.directory_key, &[salt]), b"", &rest[start..])?;
        let mut reader = Reader(&plain);
        let mut offset = 0;
        let mut places = BTreeSet::new();
        for _ in 0..reader.num()? {
            let hash = reader.array()?;
            let len = reader.num32()? as usize;
            places.insert((offset, len, hash));
            offset += len;
        }
        reader.end()?;
        let pack = Rc::new(Pack { bytes, places });
        self.packs.borrow_mut().insert(*address, Rc::clone(&pack));
        Ok(pack)
    }
}

fn reference(reader: &mut Reader<'_>, packs: &[Option<Hash>]) -> Result<Reference> {
    let number = reader.num()? as usize;
    let pack = packs.get(number).ok_or("a pack is not in the list")?;
    Ok(Reference {
        pack: pack.ok_or("a root refers to its own pack")?,
        offset: reader.num32()? as usize,
        len: reader.num32()? as usize,
        hash: reader.array()?,
    })
}

/// The number that stands for the person.
const PERSON: u32 = u32::MAX;

fn whose((number, only_number): (u32, bool), early: u32) -> Option<u32> {
    let person = number == PERSON || number == early && !only_number;
    (!person).then_some(number)
}

/// The owner and the group that are the person too where an earlier program has written them.
fn early(root: &Inode) -> Result<[u32; 2]> {
    let Some(value) = root.entry.attributes.get(&b"\0early"[..]) else {
        return Ok(root.numbers.map(|(number, only_number)| match only_number {
            true => PERSON,
            false => number,
        }));
    };
    let numbers = <[u8; 8]>::try_from(&value[..]).map_err(|e| e.to_string())?;
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| numbers[at + byte]));
    Ok([number(0), number(4)])
}

fn inode(reader: &mut Reader<'_>, there: Option<&Inode>) -> Result<(Entry, [(u32, bool); 2])> {
    if there.is_some_and(|inode| inode.entry != Entry::default()) {
        return Err("a node is there twice".into());
    }
    let mode = reader.num32()?;
    let links = reader.num32()?;
    let (owner, group) = (reader.num32()?, reader.num32()?);
    let _device = reader.num32()?;
    let size = reader.num()?;
    let _allocated = reader.num()?;
    let same = reader.byte()?;
    let atime = time(reader)?;
    let mut times = [atime; 4];
    for place in 0..3 {
        if same >> place & 1 == 0 {
            times[place + 1] = time(reader)?;
        }
    }
    let _parent = reader.snum()?;
    let entry = Entry {
        mode,
        links,
        size,
        times,
        target: reader.bytes(4095)?.to_vec(),
        ..Entry::default()
    };
    Ok((
        entry,
        [(owner, same >> 3 & 1 == 1), (group, same >> 4 & 1 == 1)],
    ))
}

fn time(reader: &mut Reader<'_>) -> Result<i128> {
    let seconds = i128::from(reader.snum()?);
    Ok(seconds * 1_000_000_000 + i128::from(reader.num()?))
}
