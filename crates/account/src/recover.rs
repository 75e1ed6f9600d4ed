//! Opening an account with its recovery key, and making or replacing that key.
//!
//! What always holds here: a recovery key opens an account only together with a new password, which is set before
//! anything else happens. Making another key closes the recovery pointer of the one before last; a crash between the
//! steps leaves both of the last two usable, and the same command finishes.

use std::sync::Arc;

use safeos_record::{Address, FINAL_COUNTER, Pointer};
use safeos_store::Store;

use crate::head::{self, Parts, damaged};
use crate::kdf::{self, Keys};
use crate::name::{Name, check_new_password, normal_password};
use crate::packet::{Packet, RecoveryKeys};
use crate::records::{head_chunk, target};
use crate::recovery::{Record, RecoveryPointer};
use crate::{Account, Error, Head, RecoveryKey, Result, Secret, SecretKey};

/// How often an account whose head moves is opened again.
const TRIES_MAX: usize = 32;

/// An account that was opened with its recovery key.
pub struct Recovered {
    /// Opened, under the new password.
    pub account: Account,
    /// Its newest state.
    pub head: Head,
    /// Where its pointer was under the forgotten password.
    pub before: Address,
}

impl Account {
    /// Opens the account of a recovery key and sets a new password, which closes the old one for good. A new password
    /// that is the old one just opens it. Nothing is set if the account is not called `name`, where one is given, or if
    /// it `may` not be used.
    pub fn recover<E: From<Error>>(
        store: &dyn Store,
        key: &RecoveryKey,
        name: Option<&str>,
        new: &Secret,
        may: &dyn Fn(&Self) -> Result<(), E>,
        step: &dyn Fn(&str),
    ) -> Result<Recovered, E> {
        check_new_password(new)?;
        let name = name
            .map(|typed| Name::parse(typed).map(|name| (typed, name)))
            .transpose()?;
        let mut derived = None;
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::open_anew(store, key, name.as_ref(), new, &mut derived, may, step) {
                // Another computer with an open session has published meanwhile.
                Err(Error::HeadMoved { .. }) if tries < TRIES_MAX => {}
                done => return done?,
            }
        }
    }

    /// One try of [`Account::recover`]. The keys of the new password stay in `derived` for the next: stretching it
    /// takes longer than everything else. The inner result is that of `may`.
    fn open_anew<E>(
        store: &dyn Store,
        key: &RecoveryKey,
        name: Option<&(&str, Name)>,
        new: &Secret,
        derived: &mut Option<Arc<Keys>>,
        may: &dyn Fn(&Self) -> Result<(), E>,
        step: &dyn Fn(&str),
    ) -> Result<Result<Recovered, E>> {
        step("finding the account");
        let Record { keys, secret_key } = RecoveryPointer::of(key).look(store)?;
        let mut opened = Vec::new();
        for (keys, pointer) in live(store, keys)? {
            step("opening the account");
            opened.push(Opened::of(store, keys, &pointer, secret_key.clone())?);
        }
        let mut opened = opened.into_iter();
        let Some(Opened {
            account,
            head,
            mut packet,
        }) = opened.next()
        else {
            return Err(Error::RecoveryKeyReplaced);
        };
        // A key that the account does not know of was replaced, or made by a command that did not end.
        packet.recovery = match packet.recovery.take() {
            Some(known) if known.has(key) => Some(known.led_by(key)),
            _ => return Err(Error::RecoveryKeyReplaced),
        };
        if let Some((typed, name)) = name
            && *name != account.name
        {
            return Err(Error::RecoveryKeyOfAnother(typed.trim().to_owned()));
        }
        if let Err(error) = may(&account) {
            return Ok(Err(error));
        }
        step("setting the new password");
        let keys = match derived {
            Some(keys) => keys.clone(),
            None => derived
                .insert(Arc::new(account.derive(&normal_password(new)?)?))
                .clone(),
        };
        // The remains of an interrupted change of password, unless they were used since.
        for other in opened.filter(|other| other.account.address() != keys.address) {
            let idle = other.head.counter() == other.packet.first_counter
                || other.head.counter() < packet.first_counter;
            if idle {
                other.account.retire(store, &other.head)?;
            }
        }
        let before = account.address();
        let (account, head) = if keys.address == before {
            (account, head)
        } else {
            account.move_to(store, keys, packet, &head)?
        };
        Ok(Ok(Recovered {
            account,
            head,
            before,
        }))
    }

    /// The secret key that is needed besides the password, if there is one.
    pub fn secret_key(&self) -> Option<Secret> {
        self.secret_key.as_ref().map(SecretKey::to_text)
    }

    /// Has a recovery key, which the person must have already, open an account that has none, or open it in the place
    /// of another one; `head` must be the newest. The new recovery pointer is opened first, the account told, and the
    /// old recovery pointer closed last: after an error the old key opens, and the same call finishes, also with
    /// another key.
    pub fn new_recovery_key(
        &self,
        store: &dyn Store,
        password: &Secret,
        key: &RecoveryKey,
        head: &Head,
    ) -> Result<Head> {
        self.check_password(password)?;
        self.set_recovery_key(store, key, head)
    }

    /// The same for a caller that has checked the password ([`Account::check_password`]). After
    /// [`Error::HeadMoved`] it may be called again with the newer head and the same key.
    pub fn set_recovery_key(
        &self,
        store: &dyn Store,
        key: &RecoveryKey,
        head: &Head,
    ) -> Result<Head> {
        let mut packet = self.packet(head)?;
        let before = packet.recovery.take();
        if before.as_ref().is_some_and(|keys| keys.current == *key) {
            // Done already; only the old recovery pointer may still be open.
            if let Some(replaced) = before.and_then(|keys| keys.replaced) {
                RecoveryPointer::of(&replaced).close(store)?;
            }
            return Ok(head.clone());
        }
        if let Some(replaced) = before.as_ref().and_then(|keys| keys.replaced.as_ref()) {
            RecoveryPointer::of(replaced).close(store)?;
        }
        let before = before.map(|keys| keys.current);
        if !RecoveryPointer::of(key).renew(store, &[&self.keys], self.secret_key.as_ref())? {
            return Err(Error::RecoveryKeyReplaced);
        }
        packet.recovery = Some(RecoveryKeys {
            current: key.clone(),
            replaced: before.clone(),
        });
        let sealed = head::seal_packet(&packet, &self.keys.packet)?;
        let counter = head.counter();
        let commit = head.commit.clone();
        let next = counter.saturating_add(1);
        let head = self.put_head(store, &sealed, commit, Some(counter), next)?;
        if let Some(before) = before {
            RecoveryPointer::of(&before).close(store)?;
        }
        Ok(head)
    }

    /// Has the recovery key open these keys too, before they hold; returns the new recovery part of the packet. The
    /// keys before stay in the record: they hold until the account is published under the new ones.
    pub(crate) fn renew_recovery(
        &self,
        store: &dyn Store,
        before: &Self,
        known: Option<RecoveryKeys>,
    ) -> Result<Option<RecoveryKeys>> {
        let Some(RecoveryKeys { current, replaced }) = known else {
            return Ok(None);
        };
        if let Some(replaced) = replaced {
            RecoveryPointer::of(&replaced).close(store)?;
        }
        let keys: [&Keys; 2] = [&self.keys, &before.keys];
        let open = RecoveryPointer::of(&current).renew(store, &keys, self.secret_key.as_ref())?;
        Ok(open.then_some(RecoveryKeys {
            current,
            replaced: None,
        }))
    }

    /// Copies the recovery record to another store the account is copied to.
    pub fn copy_recovery(&self, from: &dyn Store, to: &dyn Store, head: &Head) -> Result<()> {
        match self.packet(head)?.recovery {
            Some(known) => RecoveryPointer::of(&known.current).copy(from, to),
            None => Ok(()),
        }
    }

    /// Whether the recovery key of this state, if there is one, opens this account.
    pub fn check_recovery(&self, store: &dyn Store, head: &Head) -> Result<()> {
        let Some(known) = self.packet(head)?.recovery else {
            return Ok(());
        };
        let record = RecoveryPointer::of(&known.current).look(store)?;
        let ours = record
            .keys
            .iter()
            .any(|keys| keys.address == self.address());
        if ours {
            Ok(())
        } else {
            Err(Error::RecoveryKeyReplaced)
        }
    }
}

/// An account opened by one pair of keys.
struct Opened {
    account: Account,
    head: Head,
    packet: Packet,
}

impl Opened {
    /// The account that these keys open.
    fn of(
        store: &dyn Store,
        keys: Keys,
        pointer: &Pointer,
        secret_key: Option<SecretKey>,
    ) -> Result<Self> {
        let chunk = head_chunk(store, target(pointer)?)?;
        let wrong = damaged(chunk.address());
        let parts = Parts::of(chunk.bytes()).map_err(&wrong)?;
        let packet = parts.open_packet(&keys.packet).map_err(&wrong)?;
        if packet.kdf_version != keys.cost.version {
            return Err(wrong("its packet belongs to another version"));
        }
        let commit = parts.open_commit(&packet.home_key).map_err(&wrong)?;
        let account = Account {
            given_name: packet.name.clone(),
            name: Name::parse(&packet.name)?,
            secret_key,
            keys: Arc::new(keys),
            home_key: packet.home_key.clone(),
            marker_cost: kdf::SMALL,
        };
        let head = Head {
            pointer: pointer.clone(),
            chunk,
            commit,
        };
        Ok(Self {
            account,
            head,
            packet,
        })
    }
}

/// The keys whose pointers are there and not final, the newest state first; of two as new, the one that holds longer.
fn live(store: &dyn Store, keys: Vec<Keys>) -> Result<Vec<(Keys, Pointer)>> {
    let mut live = Vec::new();
    for keys in keys {
        if let Some(pointer) = store.get_pointer(&keys.address)?
            && pointer.counter() != FINAL_COUNTER
        {
            live.push((keys, pointer));
        }
    }
    live.reverse();
    live.sort_by_key(|(_, pointer)| std::cmp::Reverse(pointer.counter()));
    Ok(live)
}

impl RecoveryKeys {
    /// The same with this one of them as the one that stays.
    fn led_by(self, key: &RecoveryKey) -> Self {
        match self.replaced {
            Some(replaced) if replaced == *key => Self {
                current: replaced,
                replaced: Some(self.current),
            },
            replaced => Self { replaced, ..self },
        }
    }
}
