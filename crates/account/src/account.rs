use std::sync::Arc;

use safeos_record::{Address, Chunk, FINAL_COUNTER, Key, Pointer, Target};
use safeos_store::{Error as StoreError, Kind, Store};

use crate::head::{self, Parts, damaged};
use crate::kdf::{Cost, Keys};
use crate::marker::{Marker, NOTHING};
use crate::name::Name;
use crate::packet::Packet;
use crate::records::{head_chunk, move_pointer, target};
use crate::{Error, Head, Result, SecretKey, Settings};

/// An account, opened. Holds keys (wiped when it is dropped) and no connection.
pub struct Account {
    pub(crate) given_name: String,
    pub(crate) name: Name,
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) home_key: Key,
    pub(crate) marker_cost: Cost,
}

impl Account {
    /// The name as it was given at sign-up.
    pub fn name(&self) -> &str {
        &self.given_name
    }

    /// The address of the account's pointer.
    pub fn address(&self) -> Address {
        self.keys.address
    }

    /// The master key: everything in the home is sealed under keys derived from it.
    pub const fn home_key(&self) -> &Key {
        &self.home_key
    }

    /// Publishes a commit in the place of `previous`: puts the head chunk, then moves the pointer.
    /// [`Error::HeadMoved`] if another computer was first. Calling it again after an error is safe.
    pub fn publish_head(&self, store: &dyn Store, commit: &[u8], previous: &Head) -> Result<Head> {
        self.publish_head_over(store, commit, previous, previous, 0)
    }

    /// The same in the place of `there` where it does not follow on the newest state known here, as after a store was
    /// put back: with the settings of `newest` and a counter above `counter`, so that no computer takes it for an older
    /// state.
    pub fn publish_head_over(
        &self,
        store: &dyn Store,
        commit: &[u8],
        newest: &Head,
        there: &Head,
        counter: u64,
    ) -> Result<Head> {
        let prepared = self.prepare_head(commit, newest, there, counter)?;
        store.put_chunks(std::slice::from_ref(prepared.chunk()))?;
        prepared.point(store)
    }

    /// The first part of [`Account::publish_head_over`], without the store. [`PreparedHead::point`] is the last one, once the
    /// store has the head's chunk and all that it leads to.
    pub fn prepare_head(
        &self,
        commit: &[u8],
        newest: &Head,
        there: &Head,
        counter: u64,
    ) -> Result<PreparedHead> {
        self.prepare(
            head::sealed_packet(&newest.chunk)?,
            commit.to_vec(),
            Some(there.counter()),
            there.counter().max(counter).saturating_add(1),
        )
    }

    /// The newest head on the store.
    pub fn fetch_head(&self, store: &dyn Store) -> Result<Head> {
        self.head_of(store, self.fetch_pointer(store)?)
    }

    /// The newest head if it is another than `known`: one look-up when it is not.
    pub fn fetch_head_after(&self, store: &dyn Store, known: &Head) -> Result<Option<Head>> {
        let pointer = self.fetch_pointer(store)?;
        if pointer.counter() == known.counter() && pointer.target() == known.pointer.target() {
            return Ok(None);
        }
        self.head_of(store, pointer).map(Some)
    }

    /// The same where the store has told of a newer pointer: without a look-up. One that is not newer is looked up.
    pub fn fetch_head_told(
        &self,
        store: &dyn Store,
        known: &Head,
        told: Option<Pointer>,
    ) -> Result<Option<Head>> {
        match told {
            Some(pointer)
                if pointer.address() == self.address() && pointer.counter() > known.counter() =>
            {
                // Its chunk may be gone since: a newer state has replaced it, or the store was put back.
                match self.head_of(store, pointer) {
                    Err(Error::Store(StoreError::Missing { .. })) => {
                        self.fetch_head_after(store, known)
                    }
                    head => head.map(Some),
                }
            }
            _ => self.fetch_head_after(store, known),
        }
    }

    /// The commit of a head chunk of this account, of any age and from before any change of password.
    pub fn open_head(&self, chunk: &Chunk) -> Result<Vec<u8>> {
        Parts::of(chunk.bytes())
            .and_then(|parts| parts.open_commit(&self.home_key))
            .map_err(damaged(chunk.address()))
    }

    /// The settings that a head carries.
    pub fn settings(&self, head: &Head) -> Result<Settings> {
        Ok(self.packet(head)?.settings)
    }

    /// Publishes other settings, with the commit of `previous`.
    pub fn set_settings(
        &self,
        store: &dyn Store,
        settings: &Settings,
        previous: &Head,
    ) -> Result<Head> {
        let packet = Packet {
            settings: settings.clone(),
            ..self.packet(previous)?
        };
        let sealed = head::seal_packet(&packet, &self.keys.packet)?;
        self.put_head(
            store,
            &sealed,
            previous.commit.clone(),
            Some(previous.counter()),
            previous.counter().saturating_add(1),
        )
    }

    /// Marks the name as in use on a store the account was copied to. Does nothing where it is marked or where
    /// records are paid for.
    pub fn mark_name(&self, store: &dyn Store) -> Result<()> {
        if !store.traits().paid {
            Marker::of(&self.name, self.marker_cost)?.set(store)?;
        }
        Ok(())
    }

    pub(crate) fn packet(&self, head: &Head) -> Result<Packet> {
        Parts::of(head.chunk.bytes())
            .and_then(|parts| parts.open_packet(&self.keys.packet))
            .map_err(damaged(head.address()))
    }

    /// Puts a head chunk and points at it with `counter`, if the counter on the store is `expected`.
    pub(crate) fn put_head(
        &self,
        store: &dyn Store,
        sealed_packet: &[u8],
        commit: Vec<u8>,
        expected: Option<u64>,
        counter: u64,
    ) -> Result<Head> {
        let prepared = self.prepare(sealed_packet, commit, expected, counter)?;
        store.put_chunks(std::slice::from_ref(prepared.chunk()))?;
        prepared.point(store)
    }

    fn prepare(
        &self,
        sealed_packet: &[u8],
        commit: Vec<u8>,
        expected: Option<u64>,
        counter: u64,
    ) -> Result<PreparedHead> {
        if counter == FINAL_COUNTER {
            return Err(Error::Retired);
        }
        let chunk = head::build(
            sealed_packet,
            &self.home_key,
            &self.address(),
            counter,
            &commit,
        )?;
        let pointer = Pointer::sign(&self.keys.owner, counter, Target::Chunk(chunk.address()))?;
        Ok(PreparedHead {
            head: Head {
                pointer,
                chunk,
                commit,
            },
            expected,
        })
    }

    /// Makes the pointer final: nothing opens by this password any more, and nothing ever will.
    pub(crate) fn retire(&self, store: &dyn Store, head: &Head) -> Result<()> {
        let last = Pointer::sign(&self.keys.owner, FINAL_COUNTER, NOTHING)?;
        move_pointer(store, last, Some(head.counter())).map(drop)
    }

    pub(crate) fn fetch_pointer(&self, store: &dyn Store) -> Result<Pointer> {
        let address = self.address();
        store.get_pointer(&address)?.ok_or_else(|| {
            StoreError::Missing {
                kind: Kind::Pointer,
                address,
            }
            .into()
        })
    }

    fn head_of(&self, store: &dyn Store, pointer: Pointer) -> Result<Head> {
        let chunk = head_chunk(store, target(&pointer)?)?;
        let commit = self.open_head(&chunk)?;
        Ok(Head {
            pointer,
            chunk,
            commit,
        })
    }
}

/// A head that the pointer does not lead to yet.
pub struct PreparedHead {
    head: Head,
    expected: Option<u64>,
}

impl PreparedHead {
    /// The chunk that the store is to have before the pointer moves.
    pub const fn chunk(&self) -> &Chunk {
        &self.head.chunk
    }

    /// Moves the pointer; [`Error::HeadMoved`] if another computer was first.
    pub fn point(self, store: &dyn Store) -> Result<Head> {
        let pointer = move_pointer(store, self.head.pointer, self.expected)?;
        Ok(Head {
            pointer,
            ..self.head
        })
    }
}
