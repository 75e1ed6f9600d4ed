//! Random operations on a volume, by path, so that two volumes can be asked for the same.

use safeos_session::{
    Allocate, Error, FileKind, Ino, NewNode, RenameMode, Result, SetAttr, Volume, XattrMode,
};

/// Numbers that look random and are the same for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % end.max(1) as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        // Some of it compresses, some repeats, some is zeros.
        match self.below(4) {
            0 => vec![0; len],
            1 => vec![self.below(256) as u8; len],
            _ => (0..len).map(|_| self.below(256) as u8).collect(),
        }
    }
}

/// Names from the root.
pub type Path = Vec<u8>;

#[derive(Clone, Debug)]
pub enum Operation {
    Make(Path, FileKind),
    Write(Path, Option<u64>, Vec<u8>),
    Resize(Path, u64),
    Clear(Path, u64, u64, Allocate),
    Remove(Path),
    RemoveDirectory(Path),
    /// Removes the name of a file that is open, writes to it, reads it back, closes it.
    RemoveOpen(Path, Vec<u8>),
    Rename(Path, Path, RenameMode),
    Link(Path, Path),
    Mode(Path, u16),
    Time(Path, i128),
    Attribute(Path, Vec<u8>, Option<Vec<u8>>),
}

impl Operation {
    /// A random operation, which fits the present tree about half the time.
    pub fn random(random: &mut Random, there: &[Path]) -> Self {
        let old = |random: &mut Random| -> Path {
            if there.is_empty() || random.chance(5) {
                b"none".to_vec()
            } else {
                there[random.below(there.len())].clone()
            }
        };
        let new = |random: &mut Random| -> Path {
            let names: [&[u8]; 7] = [b"a", b"b", b"c", b"d", b"e", b"\xff\xfe", &[b'x'; 255]];
            let mut path = if random.chance(60) {
                old(random)
            } else {
                Vec::new()
            };
            if path.iter().filter(|byte| **byte == b'/').count() > 3 {
                path.clear();
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(names[random.below(names.len())]);
            path
        };
        let place = |random: &mut Random| match random.below(3) {
            0 => random.below(5000) as u64,
            1 => random.below(400_000) as u64,
            _ => (random.below(4) * 131_072) as u64,
        };
        let len = |random: &mut Random| match random.below(4) {
            0 => random.below(10),
            1 | 2 => random.below(9000),
            _ => random.below(300_000),
        };
        match random.below(40) {
            0..=5 => Self::Make(new(random), FileKind::File),
            6..=8 => Self::Make(new(random), FileKind::Directory),
            9 => Self::Make(new(random), FileKind::Symlink),
            10 => Self::Make(new(random), FileKind::Fifo),
            11..=20 => {
                let at = (!random.chance(30)).then(|| place(random));
                let len = len(random);
                Self::Write(old(random), at, random.bytes(len))
            }
            21..=23 => Self::Resize(old(random), place(random)),
            24 | 25 => {
                let what = [
                    Allocate::PunchHole,
                    Allocate::Zero { keep_size: true },
                    Allocate::Zero { keep_size: false },
                    Allocate::Reserve { keep_size: false },
                ];
                let len = 1 + len(random) as u64;
                Self::Clear(old(random), place(random), len, what[random.below(4)])
            }
            26 | 27 => Self::Remove(old(random)),
            28 => Self::RemoveDirectory(old(random)),
            29 => Self::RemoveOpen(old(random), random.bytes(1000)),
            30..=32 => {
                let to = if random.chance(50) {
                    old(random)
                } else {
                    new(random)
                };
                let mode = [
                    RenameMode::Replace,
                    RenameMode::NoReplace,
                    RenameMode::Exchange,
                    RenameMode::Whiteout { replace: true },
                    RenameMode::Whiteout { replace: false },
                ];
                Self::Rename(old(random), to, mode[random.below(5)])
            }
            33 | 34 => Self::Link(old(random), new(random)),
            35 | 36 => Self::Mode(old(random), random.below(0o1000) as u16),
            37 => Self::Time(old(random), random.below(1 << 40) as i128 * 1000),
            _ => {
                let name = vec![b'u', b'.', b'a' + random.below(3) as u8];
                let value = random.chance(70).then(|| random.bytes(100));
                Self::Attribute(old(random), name, value)
            }
        }
    }

    /// The file whose content or times it changes.
    pub fn changes_content_of(&self) -> Option<&Path> {
        match self {
            Self::Write(path, ..)
            | Self::Resize(path, _)
            | Self::Clear(path, ..)
            | Self::Time(path, _) => Some(path),
            _ => None,
        }
    }

    /// The paths it names.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Rename(from, to, _) | Self::Link(from, to) => vec![from, to],
            Self::Make(path, _)
            | Self::Write(path, ..)
            | Self::Resize(path, _)
            | Self::Clear(path, ..)
            | Self::Remove(path)
            | Self::RemoveDirectory(path)
            | Self::RemoveOpen(path, _)
            | Self::Mode(path, _)
            | Self::Time(path, _)
            | Self::Attribute(path, ..) => vec![path],
        }
    }

    /// Does it; the error's number if it cannot be done.
    pub fn apply(&self, volume: &dyn Volume) -> std::result::Result<(), i32> {
        self.try_apply(volume).map_err(|error| match error {
            Error::NotFound
            | Error::Exists
            | Error::NotDirectory
            | Error::IsDirectory
            | Error::NotEmpty
            | Error::Invalid(_)
            | Error::NotPermitted
            | Error::NoAttribute => error.errno(),
            other => panic!("{self:?}: {other:?}"),
        })
    }

    fn try_apply(&self, volume: &dyn Volume) -> Result<()> {
        match self {
            Self::Make(path, kind) => {
                let (dir, name) = parent(volume, path)?;
                let node = NewNode {
                    kind: *kind,
                    perm: if *kind == FileKind::Directory {
                        0o755
                    } else {
                        0o644
                    },
                    uid: 1000,
                    gid: 1000,
                    rdev: 0,
                    target: if *kind == FileKind::Symlink {
                        b"to"
                    } else {
                        b""
                    },
                };
                volume.create(dir, name, &node).map(drop)
            }
            Self::Write(path, at, data) => {
                volume.write(resolve(volume, path)?, *at, data).map(drop)
            }
            Self::Resize(path, size) => {
                let ino = resolve(volume, path)?;
                let change = SetAttr {
                    size: Some(*size),
                    ..SetAttr::default()
                };
                volume.set_attr(ino, &change).map(drop)
            }
            Self::Clear(path, at, len, what) => {
                volume.allocate(resolve(volume, path)?, *at, *len, *what)
            }
            Self::Remove(path) => {
                let (dir, name) = parent(volume, path)?;
                volume.unlink(dir, name)
            }
            Self::RemoveDirectory(path) => {
                let (dir, name) = parent(volume, path)?;
                volume.rmdir(dir, name)
            }
            Self::RemoveOpen(path, data) => {
                let ino = resolve(volume, path)?;
                let (dir, name) = parent(volume, path)?;
                volume.retain(ino);
                let outcome = volume.unlink(dir, name).and_then(|()| {
                    if volume.attr(ino)?.kind != FileKind::File {
                        return Ok(());
                    }
                    volume.write(ino, Some(3), data)?;
                    volume.sync(ino)?;
                    let mut back = Vec::new();
                    volume.read(ino, 3, data.len(), &mut back)?;
                    assert!(back == *data, "an open file without a name");
                    Ok(())
                });
                volume.release(ino, 1);
                outcome
            }
            Self::Rename(from, to, mode) => {
                let from = parent(volume, from)?;
                let to = parent(volume, to)?;
                volume.rename(from, to, *mode)
            }
            Self::Link(path, new) => {
                let ino = resolve(volume, path)?;
                let (dir, name) = parent(volume, new)?;
                volume.link(ino, dir, name).map(drop)
            }
            Self::Mode(path, perm) => {
                let change = SetAttr {
                    perm: Some(*perm),
                    ..SetAttr::default()
                };
                volume.set_attr(resolve(volume, path)?, &change).map(drop)
            }
            Self::Time(path, time) => {
                let change = SetAttr {
                    mtime: Some(*time),
                    ..SetAttr::default()
                };
                volume.set_attr(resolve(volume, path)?, &change).map(drop)
            }
            Self::Attribute(path, name, Some(value)) => {
                volume.set_xattr(resolve(volume, path)?, name, value, XattrMode::Any)
            }
            Self::Attribute(path, name, None) => volume.remove_xattr(resolve(volume, path)?, name),
        }
    }
}

pub fn resolve(volume: &dyn Volume, path: &[u8]) -> Result<Ino> {
    let mut at = volume.root();
    for name in path.split(|byte| *byte == b'/') {
        at = volume.lookup(at, name)?.ino;
    }
    Ok(at)
}

fn parent<'a>(volume: &dyn Volume, path: &'a [u8]) -> Result<(Ino, &'a [u8])> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => Ok((resolve(volume, &path[..at])?, &path[at + 1..])),
        None => Ok((volume.root(), path)),
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |path: &Path| String::from_utf8_lossy(&path[..path.len().min(40)]).into_owned();
        match self {
            Self::Make(path, kind) => write!(f, "make {kind:?} {}", text(path)),
            Self::Write(path, at, data) => {
                write!(f, "write {} at {at:?}+{}", text(path), data.len())
            }
            Self::Resize(path, size) => write!(f, "resize {} to {size}", text(path)),
            Self::Clear(path, at, len, what) => write!(f, "{what:?} {} {at}+{len}", text(path)),
            Self::Remove(path) => write!(f, "remove {}", text(path)),
            Self::RemoveDirectory(path) => write!(f, "remove directory {}", text(path)),
            Self::RemoveOpen(path, _) => write!(f, "remove open {}", text(path)),
            Self::Rename(from, to, mode) => {
                write!(f, "rename {} {} {mode:?}", text(from), text(to))
            }
            Self::Link(path, new) => write!(f, "link {} {}", text(path), text(new)),
            Self::Mode(path, perm) => write!(f, "mode {} {perm:o}", text(path)),
            Self::Time(path, _) => write!(f, "time {}", text(path)),
            Self::Attribute(path, ..) => write!(f, "attribute {}", text(path)),
        }
    }
}
