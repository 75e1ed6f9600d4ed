//! The recovery pointer: opened, renewed, replaced, and interrupted at every call.

use safeos_record::FINAL_COUNTER;
use safeos_store::{MemoryStore, Method, Store};

use crate::recovery::RecoveryPointer;
use crate::tests::{Interrupted, PASSWORD, change, code, login, secret, sign_in, sign_up};
use crate::{Account, Error, Head, Recovered, RecoveryKey, Result};

const NEW: &str = "a new password";
const FIRST: &[u8] = b"first commit";

fn sign_up_with(store: &dyn Store, key: &RecoveryKey) -> Result<(Account, Head)> {
    login("Ana", PASSWORD)
        .with_recovery_key(key.clone())
        .sign_up(store, |_| Ok::<_, Error>(FIRST.to_vec()), &|_| ())
}

/// Nobody else uses the account here.
fn free(_: &Account) -> Result<()> {
    Ok(())
}

fn recover(store: &dyn Store, key: &RecoveryKey, new: &str) -> Result<Recovered> {
    Account::recover(store, key, None, &secret(new), &free, &|_| ())
}

fn key() -> RecoveryKey {
    RecoveryKey::generate().unwrap()
}

#[test]
fn the_key_alone_opens_the_account_and_sets_a_password() {
    let store = MemoryStore::default();
    let key = key();
    let (made, head) = sign_up_with(&store, &key).unwrap();
    let head = made.publish_head(&store, b"second", &head).unwrap();

    assert_eq!(
        code(recover(&store, &RecoveryKey::generate().unwrap(), NEW).map(drop)),
        "unknown_recovery_key"
    );
    assert_eq!(
        code(recover(&store, &key, "short").map(drop)),
        "weak_password"
    );
    sign_in(&store, "ana", PASSWORD).unwrap();

    let named = |name| {
        let found = Account::recover(&store, &key, Some(name), &secret(PASSWORD), &free, &|_| ());
        code(found.map(drop))
    };
    assert_eq!(named("bob"), "recovery_key_of_another");
    assert_eq!(named("a/b"), "bad_name");
    assert_eq!(named(" ANA"), "ok");

    let found = recover(&store, &key, NEW).unwrap();
    assert_eq!(found.account.name(), "Ana");
    assert_eq!(found.before, made.address());
    assert_eq!(found.head.commit(), b"second");
    assert!(found.head.counter() > head.counter());
    assert!(found.account.home_key() == made.home_key());
    assert_eq!(code(sign_in(&store, "ana", PASSWORD)), "retired");
    let (again, head) = sign_in(&store, "ana", NEW).unwrap();
    again.check_recovery(&store, &head).unwrap();

    // It goes on opening the account; the password that holds just opens it.
    let same = recover(&store, &key, NEW).unwrap();
    assert_eq!(same.account.address(), again.address());
    recover(&store, &key, "a third password").unwrap();
    assert_eq!(code(sign_in(&store, "ana", NEW)), "retired");
}

#[test]
fn a_change_of_password_renews_it_and_publishing_does_not_touch_it() {
    let store = MemoryStore::default();
    let key = key();
    let (account, head) = sign_up_with(&store, &key).unwrap();
    let recovery = RecoveryPointer::of(&key);
    let counter = |store: &MemoryStore| {
        store
            .get_pointer(&recovery.address())
            .unwrap()
            .unwrap()
            .counter()
    };
    let head = account.publish_head(&store, b"second", &head).unwrap();
    let head = account
        .set_settings(&store, &account.settings(&head).unwrap(), &head)
        .unwrap();
    assert_eq!(counter(&store), 1);
    let (account, head) = change(&store, &account, PASSWORD, NEW, &head).unwrap();
    assert_eq!(counter(&store), 2);
    account.check_recovery(&store, &head).unwrap();
    let found = recover(&store, &key, "a third password").unwrap();
    assert_eq!(found.head.commit(), b"second");
    assert_eq!(code(sign_in(&store, "ana", NEW)), "retired");
}

#[test]
fn an_account_without_one_gets_one_and_a_replaced_one_is_closed() {
    let store = MemoryStore::default();
    let (account, head) = sign_up(&store, "ana", PASSWORD).unwrap();
    account.check_recovery(&store, &head).unwrap();
    assert_eq!(
        code(
            account
                .new_recovery_key(&store, &secret("wrong horse"), &key(), &head)
                .map(drop)
        ),
        "wrong_password"
    );
    let (first, second) = (key(), key());
    let head = account
        .new_recovery_key(&store, &secret(PASSWORD), &first, &head)
        .unwrap();
    assert_eq!(head.commit(), FIRST);
    let head = account
        .new_recovery_key(&store, &secret(PASSWORD), &second, &head)
        .unwrap();
    let head = account
        .new_recovery_key(&store, &secret(PASSWORD), &second, &head)
        .unwrap();
    // A recovery key that was replaced is closed for good.
    let again = account.new_recovery_key(&store, &secret(PASSWORD), &first, &head);
    assert_eq!(code(again.map(drop)), "recovery_key_replaced");
    assert_eq!(
        code(recover(&store, &first, NEW).map(drop)),
        "recovery_key_replaced"
    );
    account.check_recovery(&store, &head).unwrap();
    recover(&store, &second, NEW).unwrap();
    sign_in(&store, "ana", NEW).unwrap();
}

#[test]
fn the_secret_key_stays_needed_and_comes_along() {
    let store = MemoryStore::default();
    let key = key();
    let two = crate::SecretKey::generate().unwrap();
    let login = crate::Login::cheap_with("ana", PASSWORD, Some(two.to_text())).unwrap();
    login
        .with_recovery_key(key.clone())
        .sign_up(&store, |_| Ok::<_, Error>(FIRST.to_vec()), &|_| ())
        .unwrap();
    let found = recover(&store, &key, NEW).unwrap();
    assert_eq!(
        found.account.secret_key().unwrap().expose(),
        two.to_text().expose()
    );
    assert_eq!(code(sign_in(&store, "ana", NEW)), "wrong_password");
    let login = crate::Login::cheap_with("ana", NEW, Some(two.to_text())).unwrap();
    login.sign_in(&store, &|_| ()).unwrap();
}

/// Every call of a kind that a step makes, as the one that fails.
fn interruptions() -> impl Iterator<Item = (Method, i64)> {
    let calls = |method| (0..12).map(move |before| (method, before));
    calls(Method::GetPointer)
        .chain(calls(Method::PutChunks))
        .chain(calls(Method::SetPointer))
}

#[test]
fn a_sign_up_interrupted_anywhere_leaves_no_half_door() {
    for (method, before) in interruptions() {
        let store = Interrupted::new(method, before);
        let key = key();
        if sign_up_with(&store, &key).is_ok() {
            continue;
        }
        if code(sign_in(&store, "ana", PASSWORD)) == "ok" {
            recover(&store, &key, NEW).unwrap();
            continue;
        }
        assert!(recover(&store, &key, NEW).is_err());
        sign_up_with(&store, &RecoveryKey::generate().unwrap()).unwrap();
    }
}

#[test]
fn a_change_of_password_interrupted_anywhere_leaves_the_door_open() {
    let mut failed = 0;
    for (method, before) in interruptions() {
        for repeat in [true, false] {
            let store = Interrupted::new(method, i64::MAX);
            let key = key();
            let (account, head) = sign_up_with(&store, &key).unwrap();
            let head = account.publish_head(&store, b"second", &head).unwrap();
            store.fail_after(before);
            if change(&store, &account, PASSWORD, NEW, &head).is_ok() {
                store.fail_after(i64::MAX);
                continue;
            }
            store.fail_after(i64::MAX);
            failed += 1;
            if repeat {
                let (account, head) = match account.fetch_head(&store) {
                    Ok(head) => change(&store, &account, PASSWORD, NEW, &head).unwrap(),
                    Err(_) => sign_in(&store, "ana", NEW).unwrap(),
                };
                account.check_recovery(&store, &head).unwrap();
            }
            let found = recover(&store, &key, "a third password").unwrap();
            assert_eq!(found.head.commit(), b"second", "{method:?} {before}");
            for old in [PASSWORD, NEW] {
                assert_ne!(
                    code(sign_in(&store, "ana", old)),
                    "ok",
                    "{method:?} {before} {old}"
                );
            }
            sign_in(&store, "ana", "a third password").unwrap();
        }
    }
    assert!(failed > 10, "{failed}");
}

#[test]
fn work_after_an_interrupted_change_is_what_the_door_opens() {
    for under_new in [true, false] {
        let key = key();
        let store = Interrupted::new(Method::SetPointer, i64::MAX);
        let (account, head) = sign_up_with(&store, &key).unwrap();
        // The recovery record, the new pointer, and then the old one's end, which fails.
        store.fail_after(2);
        assert!(change(&store, &account, PASSWORD, NEW, &head).is_err());
        let (account, head) = if under_new {
            sign_in(&store, "ana", NEW).unwrap()
        } else {
            sign_in(&store, "ana", PASSWORD).unwrap()
        };
        account.publish_head(&store, b"work", &head).unwrap();
        let found = recover(&store, &key, "a third password").unwrap();
        assert_eq!(found.head.commit(), b"work", "{under_new}");
        for old in [PASSWORD, NEW] {
            assert_eq!(
                code(sign_in(&store, "ana", old)),
                "retired",
                "{under_new} {old}"
            );
        }
    }
}

#[test]
fn recovering_and_replacing_interrupted_anywhere_can_be_repeated() {
    let mut failed = 0;
    for (method, before) in interruptions() {
        let store = Interrupted::new(method, i64::MAX);
        let key = key();
        sign_up_with(&store, &key).unwrap();
        store.fail_after(before);
        if recover(&store, &key, NEW).is_err() {
            failed += 1;
        }
        store.fail_after(i64::MAX);
        let found = recover(&store, &key, NEW).unwrap();
        assert_eq!(found.head.commit(), FIRST);
        assert_eq!(
            code(sign_in(&store, "ana", PASSWORD)),
            "retired",
            "{method:?} {before}"
        );

        let (account, head) = sign_in(&store, "ana", NEW).unwrap();
        store.fail_after(before);
        // On the paper before the request to the store.
        let (shown, newest) = (self::key(), self::key());
        if account
            .new_recovery_key(&store, &secret(NEW), &shown, &head)
            .is_err()
        {
            failed += 1;
            store.fail_after(i64::MAX);
            // The paper there is goes on working until the command is repeated.
            let closed = store
                .get_pointer(&RecoveryPointer::of(&key).address())
                .unwrap();
            assert_ne!(
                closed.unwrap().counter(),
                FINAL_COUNTER,
                "{method:?} {before}"
            );
            let head = account.fetch_head(&store).unwrap();
            account
                .new_recovery_key(&store, &secret(NEW), &newest, &head)
                .unwrap();
            assert_eq!(
                code(recover(&store, &key, "a third password").map(drop)),
                "recovery_key_replaced"
            );
            assert_ne!(code(recover(&store, &shown, NEW).map(drop)), "ok");
            recover(&store, &newest, "a third password").unwrap();
        } else {
            store.fail_after(i64::MAX);
            recover(&store, &shown, NEW).unwrap();
        }
    }
    assert!(failed > 10, "{failed}");
}

#[test]
fn it_is_copied_with_the_account() {
    let (store, other) = (MemoryStore::default(), MemoryStore::default());
    let key = key();
    let (account, head) = sign_up_with(&store, &key).unwrap();
    account.copy_recovery(&store, &other, &head).unwrap();
    account.copy_recovery(&store, &other, &head).unwrap();
    other.put_chunks(&[head.chunk().clone()]).unwrap();
    other.set_pointer(head.pointer(), None).unwrap();
    recover(&other, &key, NEW).unwrap();
}
