//! When a synchronizer publishes, and the consequences.

use std::time::{Duration, Instant};

use safeos_account::{Account, Head};
use safeos_store::Store;

use crate::clock::precise;
use crate::sync::attempt::Told;
use crate::sync::publish::Known;
use crate::sync::publisher::Publisher;
use crate::sync::sync_base::SyncBase;
use crate::sync::synchronizer::Synchronizer;
use crate::{Error, Progress, Published, Result};

/// So long after the pointer was looked at a publish that nobody has asked for does not look again: no longer than it takes
/// by itself until it moves the pointer.
const FRESH: Duration = Duration::from_secs(3);
/// How often what changes the account's packet is tried again when other computers publish meanwhile.
const NEWEST_TRIES_MAX: usize = 32;

impl Synchronizer {
    /// Publishes everything written so far, after merging what other computers have published. A publish without
    /// progress ends with the failure that it meets, and is tried again in the background.
    pub(crate) fn publish(&self, progress: &dyn Progress) -> Result<Published> {
        let work = |told: &Told<'_>| self.publish_in_line(told);
        self.accompanied_or(progress, work, |error| self.not_published(error))
    }

    /// Takes note of a try that has failed.
    pub(crate) fn not_published(&self, error: &Error) {
        let problems = &self.home.problems();
        problems.solved("publishing");
        problems.add(format!("publishing: {error}"));
        self.backlog.failed(error, self.home.packs().counted().0);
    }

    /// The same without a waiting caller. `looked`: when the pointer was seen to be where this computer knows it to be.
    pub(crate) fn publish_quietly(
        &self,
        looked: Option<Instant>,
        progress: &dyn Progress,
    ) -> Result<Published> {
        self.unaccompanied(progress, |told| {
            let mut sync_base = self.sync_base(told)?;
            self.publish_from(&mut sync_base, |publisher, sync_base| {
                let is_fresh = looked.is_some_and(|when| when.elapsed() < FRESH);
                let known = if is_fresh {
                    Known::NotMoved
                } else {
                    Known::Told
                };
                publisher.publish_told(sync_base, known, told)
            })
        })
    }

    pub(crate) fn publish_in_line(&self, told: &Told<'_>) -> Result<Published> {
        let mut sync_base = self.sync_base(told)?;
        self.publish_from(&mut sync_base, |publisher, sync_base| {
            publisher.publish(sync_base, told)
        })
    }

    /// Publishes, in one of the publisher's ways, for the thread that holds the sync base.
    pub(crate) fn publish_from(
        &self,
        sync_base: &mut SyncBase,
        way: impl FnOnce(&Publisher<'_>, &mut SyncBase) -> Result<Published>,
    ) -> Result<Published> {
        self.home.alive()?;
        let began = precise();
        self.backlog.next_try(None);
        let publisher = Publisher::new(self, false);
        let published = way(&publisher, sync_base);
        let offline = matches!(&published, Err(error) if error.is_away());
        self.show(sync_base, offline)?;
        match &published {
            Ok(_) => {
                self.home.problems().solved("publishing");
                self.backlog.published(began);
                self.look_at_backlog(None);
            }
            Err(error) if error.is_stopped() => {}
            Err(error) => self.not_published(error),
        }
        published
    }

    /// Publishes, and does something with the newest head; again as long as other computers are faster.
    pub(crate) fn on_newest<T>(
        &self,
        sync_base: &mut SyncBase,
        progress: &dyn Progress,
        way: impl Fn(&Account, &dyn Store, &Head) -> safeos_account::Result<T>,
    ) -> Result<T> {
        let mut tries = 0;
        loop {
            tries += 1;
            self.publish_from(sync_base, |publisher, sync_base| {
                publisher.publish(sync_base, progress)
            })?;
            self.home.packs().hold()?;
            let account = self.account.read().clone();
            match way(&account, self.home.packs().store(), &sync_base.head) {
                Err(safeos_account::Error::HeadMoved { .. }) if tries < NEWEST_TRIES_MAX => {}
                done => return Ok(done?),
            }
        }
    }

    /// Keeps on this computer what is to be kept of a head.
    pub(crate) fn note(&self, head: &Head) -> Result<()> {
        Publisher::new(self, false).note(head)
    }

    /// Gives the lease back when everything under it is published: another computer may want to collect.
    pub(crate) fn rest(&self) {
        let given = self.unaccompanied(&(), |told| match self.lease.is_held() {
            true => self
                .sync_base_now(told)
                .map_or(Ok(()), |sync_base| self.rest_in(&sync_base)),
            false => Ok(()),
        });
        // It is tried again.
        drop(given);
    }

    pub(crate) fn rest_in(&self, sync_base: &SyncBase) -> Result<()> {
        let (home, lease) = (&self.home, &self.lease);
        let uses = lease.uses();
        // Some of it may be collected from now on.
        home.packs().forget_known();
        home.packs().unpublished().published();
        // Packs that were put before that are in the tree then.
        home.wait_for_flushes();
        let is_all_published = sync_base.apart.is_none()
            && home.stage().refusal().is_none()
            && home.changes() == sync_base.changes
            && home.is_flushed()
            && home.stage().bytes() == 0
            && !home.has_orphans();
        if !is_all_published {
            return Ok(());
        }
        home.packs().unpublished().published();
        home.packs().let_needless_go();
        if home.packs().waiting_bytes() == 0 {
            lease.release(uses)?;
        }
        Ok(())
    }
}
