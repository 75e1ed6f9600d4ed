//! Changing the password.
//!
//! What always holds here: the recovery record, if there is one, learns the new keys first, then the account is
//! published under the new password, then the old pointer is made final. A crash before the last leaves both passwords
//! usable (or the old one alone), the recovery key opens what they open, and the same command finishes the change.

use std::sync::Arc;

use safeos_record::FINAL_COUNTER;
use safeos_store::Store;

use crate::head::{self, Parts, damaged};
use crate::kdf::Keys;
use crate::name::{check_new_password, normal_password};
use crate::packet::Packet;
use crate::records::{head_chunk, target};
use crate::{Account, Error, Head, Result, Secret};

/// A new password of one account, stretched. That takes seconds, in which the head may move; setting it does not.
pub struct NewPassword(Arc<Keys>);

impl Account {
    /// Publishes `head` under a new password and retires the old one for good. `head` must be the newest:
    /// [`Error::HeadMoved`]. The home key and so everything already stored stays the same.
    pub fn change_password(
        &self,
        store: &dyn Store,
        old: &Secret,
        new: &Secret,
        head: &Head,
    ) -> Result<(Self, Head)> {
        self.set_password(store, &self.new_password(old, new)?, head)
    }

    /// The first half of [`Account::change_password`], which asks no store: checks both passwords and stretches them.
    pub fn new_password(&self, old: &Secret, new: &Secret) -> Result<NewPassword> {
        check_new_password(new)?;
        self.check_password(old)?;
        let new = normal_password(new)?;
        if *normal_password(old)? == *new {
            return Err(Error::PasswordUsed);
        }
        Ok(NewPassword(Arc::new(self.derive(&new)?)))
    }

    /// The second half: a few calls of the store. After [`Error::HeadMoved`] it may be called again with the newer
    /// head, as often as it takes.
    pub fn set_password(
        &self,
        store: &dyn Store,
        new: &NewPassword,
        head: &Head,
    ) -> Result<(Self, Head)> {
        let packet = self.packet(head)?;
        let now = self.fetch_pointer(store)?;
        target(&now)?;
        if now.counter() != head.counter() || now.target() != head.pointer.target() {
            return Err(Error::HeadMoved {
                current: Some(now.counter()),
            });
        }

        self.move_to(store, new.0.clone(), packet, head)
    }

    /// Refuses any password but the one that holds.
    pub fn check_password(&self, typed: &Secret) -> Result<()> {
        let wrong = || Error::WrongPassword(self.given_name.clone());
        let typed = normal_password(typed).map_err(|_| wrong())?;
        if self.derive(&typed)?.address == self.address() {
            Ok(())
        } else {
            Err(wrong())
        }
    }

    /// Publishes the newest head under other keys, and closes what these keys open.
    pub(crate) fn move_to(
        &self,
        store: &dyn Store,
        keys: Arc<Keys>,
        packet: Packet,
        head: &Head,
    ) -> Result<(Self, Head)> {
        let successor = Self {
            given_name: self.given_name.clone(),
            name: self.name.clone(),
            secret_key: self.secret_key.clone(),
            keys,
            home_key: self.home_key.clone(),
            marker_cost: self.marker_cost,
        };
        let new_head = successor.move_in(store, self, packet, head)?;
        self.retire(store, head)?;
        Ok((successor, new_head))
    }

    pub(crate) fn derive(&self, password: &str) -> Result<Keys> {
        Keys::derive(
            self.keys.cost,
            &self.name,
            password,
            self.secret_key.as_ref(),
        )
    }

    /// Publishes the packet and the commit of `head` at this (new) address, or finds that an interrupted change has
    /// done so.
    fn move_in(
        &self,
        store: &dyn Store,
        before: &Self,
        mut packet: Packet,
        head: &Head,
    ) -> Result<Head> {
        let expected = match store.get_pointer(&self.address())? {
            None => None,
            Some(pointer) if pointer.counter() == FINAL_COUNTER => return Err(Error::PasswordUsed),
            Some(pointer) => {
                let chunk = head_chunk(store, target(&pointer)?)?;
                let wrong = damaged(chunk.address());
                let parts = Parts::of(chunk.bytes()).map_err(&wrong)?;
                let there = parts.open_packet(&self.keys.packet).map_err(&wrong)?;
                if there.home_key != self.home_key {
                    return Err(Error::NameTaken(self.given_name.clone()));
                }
                let commit = parts.open_commit(&self.home_key).map_err(&wrong)?;
                if commit == head.commit && pointer.counter() > head.counter() {
                    return Ok(Head {
                        pointer,
                        chunk,
                        commit,
                    });
                }
                // The remains of an interrupted change are replaced, as long as they are unused. Else
                // nothing of theirs may be overwritten.
                if pointer.counter() != there.first_counter {
                    return Err(Error::PasswordInUse);
                }
                Some(pointer.counter())
            }
        };
        // The counter goes on from the old pointer's, so that it orders all states of an account.
        let counter = head.counter().max(expected.unwrap_or(0)).saturating_add(1);
        packet.first_counter = counter;
        packet.recovery = self.renew_recovery(store, before, packet.recovery)?;
        let sealed = head::seal_packet(&packet, &self.keys.packet)?;
        self.put_head(store, &sealed, head.commit.clone(), expected, counter)
    }
}
