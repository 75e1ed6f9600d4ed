//! The files of a session on this computer, under `SAFE_STATE`: a folder for each home, `homes/ID`, and for
//! accounts that are remembered the files that find the home without the store, `accounts/POINTER`.
//!
//! What always holds here: the names say nothing (an ID is made from the home's key, the other is the
//! pointer's address), every byte is sealed, and one session at a time has a home's folder. These files are small;
//! where the disk is full the reserve, `reserve`, is spent on it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safeos_record::{Address, Chunk, Key, NONCE_LEN, Pointer, random_bytes};
use safeos_store::Reserve;

pub(crate) use crate::disk::failed;
use crate::disk::{is_full, replace};
use crate::journal::Stage;
use crate::sync::ancestry::State;
use crate::{Error, Nanos, Result};

/// The file that says what was seen last.
const SEEN: &str = "seen";
/// The file that has the state which the stage was begun on.
const STAGE_BASE: &str = "base";
const STAGE_BASE_CONTEXT: &str = "safeos 2026 stage base v1";
const FOLDER_CONTEXT: &str = "safeos 2026 state folder v1";
const SEEN_CONTEXT: &str = "safeos 2026 seen head v1";

/// A home's folder, held by this process.
pub(crate) struct Local {
    state: PathBuf,
    dir: PathBuf,
    reserve: Arc<Reserve>,
    /// Why nothing can be written into the folder.
    unwritable: Option<Error>,
    /// `None` only where there is no folder and none can be made.
    _lock: Option<File>,
}

/// The small sealed files in a home's folder.
#[derive(Clone)]
pub(crate) struct Files {
    dir: PathBuf,
    reserve: Arc<Reserve>,
}

/// The newest head this computer has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// It only grows, also across a change of password.
    pub(crate) counter: u64,
    pub(crate) head: Address,
    /// Its commit: a stage goes on from it, also where a store was put back and has lost it. Empty in files that
    /// earlier versions have written.
    pub(crate) commit: Vec<u8>,
}

impl Local {
    /// Takes the folder for one session. Where the disk is full, or can only be read, it is one to read from.
    pub(crate) fn open(state: &Path, home: &Key) -> Result<Self> {
        let id = Address(*home.derive(FOLDER_CONTEXT, &[]).expose());
        let dir = state.join("homes").join(id.to_string());
        let reserve = Arc::new(Reserve::of(state));
        let path = dir.join("lock");
        let made = reserve.spend(is_full, || make_private(&dir));
        let mut unwritable = None;
        let lock = match made.and_then(|()| {
            reserve.spend(is_full, || {
                private(OpenOptions::new().create(true).truncate(false).write(true)).open(&path)
            })
        }) {
            Ok(lock) => Some(lock),
            Err(error) => {
                let error = failed("use", &dir, &error);
                if !error.is_of_disk() {
                    return Err(error);
                }
                unwritable = Some(error);
                // Another session may have the folder all the same.
                File::open(&path).ok()
            }
        };
        match lock.as_ref().map_or(Ok(()), File::try_lock) {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(Error::InUse),
            // Where there are no locks one daemon serves everybody, which keeps the rule by itself.
            Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(fs::TryLockError::Error(error)) => return Err(failed("lock", &path, &error)),
        }
        reserve.keep();
        Ok(Self {
            state: state.to_owned(),
            dir,
            reserve,
            unwritable,
            _lock: lock,
        })
    }

    /// The folder as it would be then.
    #[cfg(all(test, not(feature = "shuttle")))]
    pub(crate) fn cannot_be_written(self, why: Error) -> Self {
        Self {
            unwritable: Some(why),
            ..self
        }
    }

    /// Why nothing can be written into the folder, if so.
    pub(crate) fn unwritable(&self) -> Option<&Error> {
        self.unwritable.as_ref()
    }

    /// The reserve on the disk.
    pub(crate) fn reserve(&self) -> &Arc<Reserve> {
        &self.reserve
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn stage(&self) -> PathBuf {
        self.path("stage")
    }

    /// Where a stage is put while it is read again.
    pub(crate) fn old_stage(&self) -> PathBuf {
        self.path("stage.old")
    }

    /// Whether an interrupted session has left one.
    pub(crate) fn has_stage(&self) -> bool {
        self.stage().exists() || self.old_stage().exists()
    }

    /// The time of the oldest changes that an interrupted session has left, as far as the disk says.
    pub(crate) fn waits_since(&self) -> Option<Nanos> {
        let pinned = self.packs().join("pinned");
        [self.stage(), self.old_stage(), pinned]
            .iter()
            .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten())
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                let time = metadata.created().or_else(|_| metadata.modified()).ok()?;
                let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
                Some(since.as_nanos() as Nanos)
            })
            .min()
    }

    pub(crate) fn packs(&self) -> PathBuf {
        self.path("packs")
    }

    /// Puts the stage where [`Local::old_stage`] says.
    pub(crate) fn set_stage_aside(&self) -> Result<()> {
        let (from, to) = (self.stage(), self.old_stage());
        fs::rename(&from, &to).map_err(|error| failed("rename", &from, &error))
    }

    pub(crate) fn seen(&self, home: &Key) -> Result<Option<Seen>> {
        let Some(plain) = self.files().read_sealed(SEEN, SEEN_CONTEXT, home)? else {
            return Ok(None);
        };
        let damaged = || self.files().damaged(SEEN);
        let (counter, rest) = plain.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (head, commit) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        Ok(Some(Seen {
            counter: u64::from_le_bytes(*counter),
            head: Address(*head),
            commit: commit.to_vec(),
        }))
    }

    pub(crate) fn set_seen(&self, home: &Key, seen: &Seen) -> Result<()> {
        let mut plain = seen.counter.to_le_bytes().to_vec();
        plain.extend_from_slice(&seen.head.0);
        plain.extend_from_slice(&seen.commit);
        self.files().write_sealed(SEEN, SEEN_CONTEXT, home, &plain)
    }

    /// Keeps the state that a stage is begun on, where that is not the newest: the store may lose it.
    pub(crate) fn keep_stage_base(&self, home: &Key, base: &State) -> Result<()> {
        let plain = [&base.address.0[..], &base.bytes].concat();
        self.files()
            .write_sealed(STAGE_BASE, STAGE_BASE_CONTEXT, home, &plain)
    }

    /// The state that [`Local::keep_stage_base`] has kept.
    pub(crate) fn stage_base(&self, home: &Key) -> Result<Option<State>> {
        let Some(plain) = self
            .files()
            .read_sealed(STAGE_BASE, STAGE_BASE_CONTEXT, home)?
        else {
            return Ok(None);
        };
        let (address, bytes) = plain
            .split_first_chunk::<32>()
            .ok_or_else(|| self.files().damaged(STAGE_BASE))?;
        State::read(Address(*address), bytes.to_vec()).map(Some)
    }

    /// The small files of this home.
    pub(crate) fn files(&self) -> Files {
        Files {
            dir: self.dir.clone(),
            reserve: self.reserve.clone(),
        }
    }

    /// Keeps a head for signing in without the store.
    pub(crate) fn remember(&self, pointer: &Pointer, head: &Chunk) -> Result<()> {
        let dir = folder(&self.state, &pointer.address());
        self.reserve
            .spend(is_full, || make_private(&dir))
            .map_err(|error| failed("make", &dir, &error))?;
        self.replace(&dir.join("head"), head.bytes())?;
        self.replace(&dir.join("pointer"), pointer.as_bytes())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.reserve
            .spend(is_full, || replace(path, bytes))
            .map_err(|error| failed("write", path, &error))
    }

    /// Forgets the head that was kept for an account.
    pub(crate) fn forget(&self, account: &Address) -> Result<()> {
        forget(&self.state, account)
    }

    /// Removes the files that are only needed while a session is open. With `forget` also the cache, with `wipe`
    /// also the note of the newest state seen.
    pub(crate) fn clean(&self, forget: bool, wipe: bool) -> Result<()> {
        Stage::destroy(&self.stage())?;
        Stage::destroy(&self.old_stage())?;
        self.files().remove(STAGE_BASE)?;
        if forget {
            clear(&self.packs())?;
        }
        if wipe {
            // The lock goes with the folder; another session that waits for it makes its own.
            clear(&self.dir)?;
            // With the last home. If another is being opened, that one takes it again.
            let homes = self.state.join("homes");
            if fs::read_dir(homes).is_ok_and(|mut homes| homes.next().is_none()) {
                clear(&self.state.join("reserve"))?;
            }
        }
        Ok(())
    }
}

impl Files {
    /// The content of a sealed file of this home; `None` where there is none.
    pub(crate) fn read_sealed(
        &self,
        name: &str,
        context: &str,
        home: &Key,
    ) -> Result<Option<Vec<u8>>> {
        let path = self.dir.join(name);
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let (nonce, sealed) = bytes
            .split_first_chunk_mut::<NONCE_LEN>()
            .ok_or_else(|| self.damaged(name))?;
        let plain = home
            .derive(context, &[])
            .open(*nonce, &[], sealed)
            .map_err(|_| self.damaged(name))?;
        Ok(Some(plain.to_vec()))
    }

    /// Replaces a file of this home in one step.
    pub(crate) fn write_sealed(
        &self,
        name: &str,
        context: &str,
        home: &Key,
        plain: &[u8],
    ) -> Result<()> {
        let mut nonce = [0; NONCE_LEN];
        random_bytes(&mut nonce)?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(plain);
        home.derive(context, &[])
            .seal(nonce, &[], &mut bytes, NONCE_LEN)?;
        let path = self.dir.join(name);
        self.reserve
            .spend(is_full, || replace(&path, &bytes))
            .map_err(|error| failed("write", &path, &error))
    }

    /// Removes a file of this home.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        clear(&self.dir.join(name))
    }

    fn damaged(&self, name: &str) -> Error {
        Error::State(format!(
            "{} is damaged; remove it if nobody can have changed it on purpose",
            self.dir.join(name).display()
        ))
    }
}

fn clear(path: &Path) -> Result<()> {
    remove(path).map_err(|error| failed("remove", path, &error))
}

/// Forgets the head that was kept for an account.
pub(crate) fn forget(state: &Path, account: &Address) -> Result<()> {
    clear(&folder(state, account))
}

/// The head that a remembered account was left with, if it is there.
pub(crate) fn remembered(state: &Path, account: &Address) -> Option<(Pointer, Chunk)> {
    let dir = folder(state, account);
    let pointer = Pointer::parse(&fs::read(dir.join("pointer")).ok()?).ok()?;
    let head = Chunk::new(fs::read(dir.join("head")).ok()?).ok()?;
    Some((pointer, head))
}

/// Whether any account is remembered here: whose it is, its name does not say.
pub(crate) fn remembers_any(state: &Path) -> bool {
    fs::read_dir(state.join("accounts")).is_ok_and(|mut found| found.next().is_some())
}

fn folder(state: &Path, account: &Address) -> PathBuf {
    state.join("accounts").join(account.to_string())
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn make_private(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
