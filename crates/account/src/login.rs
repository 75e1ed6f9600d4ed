//! From credentials to an account: sign up, sign in, open offline.
//!
//! What always holds here: a [`Login`] has stretched its password once, and signing in with the
//! default version looks up one pointer and one chunk, nothing else.

use std::sync::Arc;

use safeos_record::{Address, Chunk, Key, Pointer};
use safeos_store::Store;
use zeroize::Zeroizing;

use crate::head::{self, Parts, damaged};
use crate::kdf::{self, Cost, Keys};
use crate::marker::Marker;
use crate::name::{Name, check_new_password, normal_password};
use crate::packet::{Packet, RecoveryKeys};
use crate::records::{head_chunk, target};
use crate::recovery::RecoveryPointer;
use crate::{Account, Credentials, Error, Head, RecoveryKey, Result, Secret, SecretKey, Settings};

/// The counter of the first state of an account.
const FIRST_COUNTER: u64 = 1;

/// Credentials whose keys are derived: it knows the account's address and its keys.
pub struct Login {
    pub(crate) given_name: String,
    pub(crate) name: Name,
    pub(crate) secret_key: Option<SecretKey>,
    password: Secret,
    pub(crate) keys: Arc<Keys>,
    /// The versions not tried yet.
    others: &'static [Cost],
    /// A better version for which there was not enough memory.
    skipped: Option<Error>,
    pub(crate) marker_cost: Cost,
    /// For an account that is to be made.
    recovery_key: Option<RecoveryKey>,
    /// The settings in the packet of a new account.
    settings: Settings,
}

impl Login {
    /// Checks the credentials and stretches the password: 256 MiB and most of a second. Where that
    /// much memory cannot be had, the version for small memory is taken.
    pub fn derive(credentials: &Credentials) -> Result<Self> {
        Self::with_versions(credentials, kdf::VERSIONS, kdf::SMALL)
    }

    /// The same with the version for small memory (64 MiB), for an account that is to be made or
    /// was made on a small computer.
    pub fn derive_small(credentials: &Credentials) -> Result<Self> {
        Self::with_versions(credentials, &[kdf::SMALL], kdf::SMALL)
    }

    fn with_versions(
        credentials: &Credentials,
        versions: &'static [Cost],
        marker_cost: Cost,
    ) -> Result<Self> {
        let name = Name::parse(&credentials.name)?;
        let secret_key = credentials
            .secret_key
            .as_ref()
            .map(SecretKey::parse)
            .transpose()?;
        let (keys, others, skipped) =
            first_keys(versions, &name, &credentials.password, secret_key.as_ref())?;
        Ok(Self {
            given_name: credentials.name.trim().to_owned(),
            name,
            secret_key,
            password: credentials.password.clone(),
            keys: Arc::new(keys),
            others,
            skipped,
            marker_cost,
            recovery_key: None,
            settings: Settings::default(),
        })
    }

    /// The account that [`Login::sign_up`] makes opens by this key too.
    pub fn with_recovery_key(self, key: RecoveryKey) -> Self {
        Self {
            recovery_key: Some(key),
            ..self
        }
    }

    /// The same, for an account that is made with these settings.
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// The name as given.
    pub fn name(&self) -> &str {
        &self.given_name
    }

    /// Where the account's pointer is, if it was made with this version of the key derivation.
    pub fn address(&self) -> Address {
        self.keys.address
    }

    /// The same credentials under the next version of the key derivation; `None` after the last.
    /// [`Login::sign_in`] does this by itself; it is for callers that look for a remembered account.
    pub fn next(&self) -> Result<Option<Self>> {
        if self.others.is_empty() {
            return Ok(None);
        }
        let (keys, others, skipped) = first_keys(
            self.others,
            &self.name,
            &self.password,
            self.secret_key.as_ref(),
        )?;
        Ok(Some(Self {
            given_name: self.given_name.clone(),
            name: self.name.clone(),
            secret_key: self.secret_key.clone(),
            password: self.password.clone(),
            keys: Arc::new(keys),
            others,
            skipped: skipped.or_else(|| self.skipped.clone()),
            marker_cost: self.marker_cost,
            recovery_key: self.recovery_key.clone(),
            settings: self.settings.clone(),
        }))
    }

    /// Makes the account: a random home key, the packet, and the head with the commit that
    /// `first_commit` gives for it (and whose other records it has put). Refuses a name that is in use.
    pub fn sign_up<E: From<Error>>(
        &self,
        store: &dyn Store,
        first_commit: impl FnOnce(&Account) -> Result<Vec<u8>, E>,
        step: &dyn Fn(&str),
    ) -> Result<(Account, Head), E> {
        let marker = self.claim(store, step)?;

        let packet = Packet {
            kdf_version: self.keys.cost.version,
            first_counter: FIRST_COUNTER,
            home_key: Key::random().map_err(Error::from)?,
            name: self.given_name.clone(),
            settings: self.settings.clone(),
            recovery: self.recovery_key.clone().map(|current| RecoveryKeys {
                current,
                replaced: None,
            }),
        };
        let account = self.account(&packet);
        step("making the home");
        let commit = first_commit(&account)?;
        step("publishing the account");
        Ok(self.settle(store, account, &packet, commit, marker)?)
    }

    /// Sees that the name is free; the marker to be set, on a store that has markers.
    fn claim(&self, store: &dyn Store, step: &dyn Fn(&str)) -> Result<Option<Marker>> {
        self.name.check_new()?;
        check_new_password(&self.password)?;
        step("looking whether the name is free");
        let taken = || Err(Error::NameTaken(self.given_name.clone()));
        let marker = if store.traits().paid {
            None
        } else {
            Some(Marker::of(&self.name, self.marker_cost)?)
        };
        if store.get_pointer(&self.address())?.is_some() {
            // A sign-up that was interrupted at its last step has left its name unmarked.
            if let Some(marker) = marker {
                marker.set(store)?;
            }
            return taken();
        }
        match marker {
            Some(marker) if marker.is_set(store)? => taken(),
            marker => Ok(marker),
        }
    }

    /// Puts the recovery record, the first head, then the pointer, then the marker: interrupted anywhere, either
    /// nothing is there that opens or an account that does, by every key it has.
    fn settle(
        &self,
        store: &dyn Store,
        account: Account,
        packet: &Packet,
        commit: Vec<u8>,
        marker: Option<Marker>,
    ) -> Result<(Account, Head)> {
        let recovery = self.recovery_key.as_ref().map(RecoveryPointer::of);
        if let Some(recovery) = &recovery {
            recovery.renew(store, &[&self.keys], self.secret_key.as_ref())?;
        }
        let settled = self.settle_head(store, account, packet, commit, marker);
        if let (Some(recovery), Err(Error::NameTaken(_))) = (recovery, &settled) {
            recovery.close(store)?;
        }
        settled
    }

    fn settle_head(
        &self,
        store: &dyn Store,
        account: Account,
        packet: &Packet,
        commit: Vec<u8>,
        marker: Option<Marker>,
    ) -> Result<(Account, Head)> {
        let taken = || Error::NameTaken(self.given_name.clone());
        let sealed = head::seal_packet(packet, &self.keys.packet)?;
        let head = account
            .put_head(store, &sealed, commit, None, FIRST_COUNTER)
            .map_err(|error| match error {
                Error::HeadMoved { .. } | Error::Retired => taken(),
                other => other,
            })?;
        if let Some(marker) = marker
            && !marker.set(store)?
        {
            // Another computer took the name while the home was made: two accounts must not share it.
            account.retire(store, &head)?;
            return Err(taken());
        }
        Ok((account, head))
    }

    /// Opens the account: two look-ups, whatever the size of the home (more only for an account of another version, and
    /// to tell a wrong password from an unknown name).
    pub fn sign_in(&self, store: &dyn Store, step: &dyn Fn(&str)) -> Result<(Account, Head)> {
        step("finding the account");
        if let Some(pointer) = store.get_pointer(&self.address())? {
            step("opening the account");
            return self.fetch(store, &pointer);
        }
        if let Some(next) = self.next()? {
            return next.sign_in(store, step);
        }
        if let Some(error) = &self.skipped {
            return Err(error.clone());
        }
        if store.traits().paid {
            // Without markers the two cannot be told apart.
            return Err(Error::WrongOrUnknown(self.given_name.clone()));
        }
        let known = Marker::of(&self.name, self.marker_cost)?.is_set(store)?;
        Err(if known {
            Error::WrongPassword(self.given_name.clone())
        } else {
            Error::UnknownName(self.given_name.clone())
        })
    }

    fn account(&self, packet: &Packet) -> Account {
        Account {
            given_name: packet.name.clone(),
            name: self.name.clone(),
            secret_key: self.secret_key.clone(),
            keys: Arc::clone(&self.keys),
            home_key: packet.home_key.clone(),
            marker_cost: self.marker_cost,
        }
    }

    fn fetch(&self, store: &dyn Store, pointer: &Pointer) -> Result<(Account, Head)> {
        let address = target(pointer)?;
        let chunk = head_chunk(store, address)?;
        self.open(pointer, &chunk)
    }

    /// Opens an account from its pointer and head chunk alone, as a computer that remembers it has them.
    pub fn open(&self, pointer: &Pointer, chunk: &Chunk) -> Result<(Account, Head)> {
        let address = target(pointer)?;
        let wrong = damaged(address);
        if pointer.address() != self.address() {
            return Err(wrong("its pointer belongs to another account"));
        }
        if chunk.address() != address {
            return Err(wrong("its pointer points at another chunk"));
        }
        let parts = Parts::of(chunk.bytes()).map_err(&wrong)?;
        let packet = parts.open_packet(&self.keys.packet).map_err(&wrong)?;
        if packet.kdf_version != self.keys.cost.version {
            return Err(wrong("its packet belongs to another version"));
        }
        let commit = parts.open_commit(&packet.home_key).map_err(&wrong)?;
        let head = Head {
            pointer: pointer.clone(),
            chunk: chunk.clone(),
            commit,
        };
        Ok((self.account(&packet), head))
    }
}

/// The keys of the first version for which there is enough memory, the versions after it, and why one was skipped.
fn first_keys(
    versions: &'static [Cost],
    name: &Name,
    password: &Secret,
    secret_key: Option<&SecretKey>,
) -> Result<(Keys, &'static [Cost], Option<Error>)> {
    let password: Zeroizing<String> = normal_password(password)?;
    let mut skipped = None;
    let mut rest = versions;
    while let Some((cost, others)) = rest.split_first() {
        match Keys::derive(*cost, name, &password, secret_key) {
            Ok(keys) => return Ok((keys, others, skipped)),
            // The memory that most accounts take is reported, where not even the least can be had.
            Err(error @ Error::NoMemory { .. }) => {
                skipped.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
        rest = others;
    }
    Err(skipped.unwrap_or(Error::NoMemory {
        mebibytes: 0,
        free: None,
    }))
}

#[cfg(test)]
impl Login {
    /// With keys that cost nothing.
    pub(crate) fn cheap(name: &str, password: &str) -> Result<Self> {
        Self::cheap_with(name, password, None)
    }

    /// The same with a secret key.
    pub(crate) fn cheap_with(
        name: &str,
        password: &str,
        secret_key: Option<Secret>,
    ) -> Result<Self> {
        let credentials = Credentials {
            name: name.to_owned(),
            password: Secret::new(password.to_owned()),
            secret_key,
        };
        Self::with_versions(&credentials, kdf::tests::CHEAP_VERSIONS, kdf::tests::CHEAP)
    }
}
