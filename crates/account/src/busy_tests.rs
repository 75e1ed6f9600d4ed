//! Operations that close a recovery pointer while another computer publishes: retried, they come to an end and keep the
//! other's changes.

use std::sync::atomic::{AtomicUsize, Ordering};

use safeos_record::Pointer;
use safeos_store::{MemoryStore, Store, StoreHooks};

use crate::tests::{PASSWORD, code, login, secret, sign_in, sign_up};
use crate::{Account, Error, Head, RecoveryKey, Result};

const NEW: &str = "another horse";
const THEIRS: &[u8] = b"published meanwhile";

/// Nobody else uses the account here.
fn free(_: &Account) -> Result<()> {
    Ok(())
}

/// A store on which another computer publishes just before its `at`-th pointer is set.
struct Busy<'a> {
    inner: &'a MemoryStore,
    at: usize,
    sets: AtomicUsize,
    publish: &'a (dyn Fn() + Sync),
}

impl Busy<'_> {
    fn is_over(&self) -> bool {
        self.sets.load(Ordering::Relaxed) <= self.at
    }
}

impl StoreHooks for Busy<'_> {
    fn inner(&self) -> &dyn Store {
        self.inner
    }

    fn on_set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> safeos_store::Result<()> {
        if self.sets.fetch_add(1, Ordering::Relaxed) == self.at {
            (self.publish)();
        }
        self.inner.set_pointer(pointer, expected)
    }
}

/// The retry of a session: once more with the newest head, as long as that has moved.
fn until_done<T>(
    store: &dyn Store,
    account: &Account,
    mut way: impl FnMut(&Head) -> Result<T>,
) -> T {
    for _ in 0..4 {
        let head = account.fetch_head(store).unwrap();
        match way(&head) {
            Err(Error::HeadMoved { .. }) => {}
            done => return done.unwrap(),
        }
    }
    panic!("it does not come to an end")
}

/// Tries every moment at which the other computer may be faster.
fn at_every_moment(way: impl Fn(&dyn Store, &Account)) -> usize {
    for at in 0.. {
        let store = MemoryStore::default();
        let (account, _) = sign_up(&store, "ana", PASSWORD).unwrap();
        let (other, head) = sign_in(&store, "ana", PASSWORD).unwrap();
        let publish = || {
            // Where the recovery pointer is closed already, publishing fails.
            drop(other.publish_head(&store, THEIRS, &head));
        };
        let busy = Busy {
            inner: &store,
            at,
            sets: AtomicUsize::new(0),
            publish: &publish,
        };
        way(&busy, &account);
        if busy.is_over() {
            return at;
        }
    }
    0
}

#[test]
fn a_password_is_changed_while_another_computer_publishes() {
    let moments = at_every_moment(|store, account| {
        let new = account
            .new_password(&secret(PASSWORD), &secret(NEW))
            .unwrap();
        let (_, head) = until_done(store, account, |head| {
            account.set_password(store, &new, head)
        });
        assert_eq!(code(sign_in(store, "ana", PASSWORD)), "retired");
        let (_, found) = sign_in(store, "ana", NEW).unwrap();
        assert_eq!(found.commit(), head.commit());
        let other = store.get_chunk(&head.address()).unwrap();
        assert_eq!(account.open_head(&other).unwrap(), head.commit());
    });
    assert_eq!(moments, 2, "the new pointer, then the old one");
}

#[test]
fn a_sheet_is_made_while_another_computer_publishes() {
    let key = RecoveryKey::new([7; 16]);
    let moments = at_every_moment(|store, account| {
        until_done(store, account, |head| {
            account.set_recovery_key(store, &key, head)
        });
        let head = account.fetch_head(store).unwrap();
        account.check_recovery(store, &head).unwrap();
        let again = account.set_recovery_key(store, &key, &head).unwrap();
        assert_eq!(again.address(), head.address());
        Account::recover(store, &key, None, &secret(NEW), &free, &|_| ()).unwrap();
    });
    assert!(moments >= 2, "{moments}");
}

#[test]
fn an_account_is_recovered_while_another_computer_publishes() {
    let key = RecoveryKey::new([7; 16]);
    for at in 0..5 {
        let store = MemoryStore::default();
        let credentials = login("ana", PASSWORD).with_recovery_key(key.clone());
        credentials
            .sign_up(&store, |_| Ok::<_, Error>(b"first".to_vec()), &|_| ())
            .unwrap();
        let (other, head) = sign_in(&store, "ana", PASSWORD).unwrap();
        let publish = || drop(other.publish_head(&store, THEIRS, &head));
        let busy = Busy {
            inner: &store,
            at,
            sets: AtomicUsize::new(0),
            publish: &publish,
        };
        let found = Account::recover(&busy, &key, None, &secret(NEW), &free, &|_| ()).unwrap();
        assert_eq!(code(sign_in(&store, "ana", PASSWORD)), "retired");
        // At least what was there before the old recovery pointer closed.
        if !busy.is_over() && at < 3 {
            assert_eq!(found.head.commit(), THEIRS, "moment {at}");
        }
    }
}
