//! Accounts on a store in memory: every way in, every way to fail. The keys cost nothing here but in
//! the one test that says so.

use safeos_record::{Address, FINAL_COUNTER, OwnerKey, Pointer, Target};
use safeos_store::{Error as StoreError, Kind, MemoryStore, Method, Store, StoreHooks, Traits};

use crate::{Account, Credentials, Error, Head, Login, Result, Secret, SecretKey};

pub const PASSWORD: &str = "correct horse";
const FIRST: &[u8] = b"first commit";

pub fn login(name: &str, password: &str) -> Login {
    Login::cheap(name, password).unwrap()
}

pub fn sign_up(store: &dyn Store, name: &str, password: &str) -> Result<(Account, Head)> {
    login(name, password).sign_up(store, |_| Ok::<_, Error>(FIRST.to_vec()), &|_| ())
}

pub fn sign_in(store: &dyn Store, name: &str, password: &str) -> Result<(Account, Head)> {
    login(name, password).sign_in(store, &|_| ())
}

pub fn code<T>(result: Result<T>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn away() -> StoreError {
    StoreError::Unreachable {
        url: "memory:".to_owned(),
        why: "a test says so".to_owned(),
    }
}

fn paid() -> MemoryStore {
    MemoryStore::new(Traits {
        local: false,
        paid: true,
    })
}

#[test]
fn what_sign_up_made_sign_in_opens_with_two_look_ups() {
    let store = MemoryStore::default();
    let (made, head) = sign_up(&store, "Ana", PASSWORD).unwrap();
    assert_eq!((head.counter(), head.commit()), (1, FIRST));

    let login = login("ana ", PASSWORD);
    let before = store.all_calls();
    let (found, again) = login.sign_in(&store, &|_| ()).unwrap();
    assert_eq!(store.all_calls() - before, 2);

    assert_eq!(found.name(), "Ana");
    assert_eq!(found.address(), made.address());
    assert!(found.home_key() == made.home_key());
    assert_eq!(again.commit(), FIRST);
    assert_eq!(again.pointer(), head.pointer());
}

#[test]
fn with_the_real_keys_it_is_the_same() {
    let store = MemoryStore::default();
    let key = SecretKey::generate().unwrap();
    let credentials = Credentials {
        name: "Ana".to_owned(),
        password: secret(PASSWORD),
        secret_key: Some(key.to_text()),
    };
    let small = Login::derive_small(&credentials).unwrap();
    let commit = |_: &Account| Ok::<_, Error>(FIRST.to_vec());
    small.sign_up(&store, commit, &|_| ()).unwrap();

    // Made on a small computer, opened on a large one: the second version is found.
    let usual = Login::derive(&credentials).unwrap();
    assert_ne!(usual.address(), small.address());
    let (account, _) = usual.sign_in(&store, &|_| ()).unwrap();
    assert_eq!(account.address(), small.address());

    // The same without its secret key opens nothing.
    let without = Credentials {
        secret_key: None,
        ..credentials
    };
    let without = Login::derive(&without).unwrap();
    assert_eq!(code(without.sign_in(&store, &|_| ())), "wrong_password");
}

#[test]
fn wrong_password_and_unknown_name_are_told_apart() {
    let store = MemoryStore::default();
    sign_up(&store, "ana", PASSWORD).unwrap();
    assert_eq!(
        code(sign_in(&store, "ANA", "wrong horse")),
        "wrong_password"
    );
    assert_eq!(code(sign_in(&store, "bob", PASSWORD)), "unknown_name");
}

#[test]
fn a_name_is_taken_whatever_the_password() {
    let store = MemoryStore::default();
    sign_up(&store, "ana", PASSWORD).unwrap();
    let records = store.stats().unwrap();
    assert_eq!(code(sign_up(&store, "Ana", PASSWORD)), "account_exists");
    assert_eq!(
        code(sign_up(&store, "ana", "another password")),
        "account_exists"
    );
    assert_eq!(store.stats().unwrap(), records);
}

#[test]
fn a_store_that_is_paid_has_no_markers() {
    let store = paid();
    sign_up(&store, "ana", PASSWORD).unwrap();
    assert_eq!(store.stats().unwrap().pointers, 1);
    sign_in(&store, "ana", PASSWORD).unwrap();
    assert_eq!(code(sign_up(&store, "ana", PASSWORD)), "account_exists");
    let error = sign_in(&store, "ana", "wrong horse").err().unwrap();
    assert_eq!(error.code(), "wrong_or_unknown");
    assert!(error.to_string().contains("ana"));
}

#[test]
fn a_weak_password_or_a_bad_name_makes_nothing() {
    let store = MemoryStore::default();
    assert_eq!(code(sign_up(&store, "ana", "short")), "weak_password");
    assert_eq!(
        Login::cheap("a/b", PASSWORD).err().unwrap().code(),
        "bad_name"
    );
    assert_eq!(
        Login::cheap("ana", "").err().unwrap().code(),
        "weak_password"
    );
    assert_eq!(store.stats().unwrap().bytes, 0);
}

#[test]
fn a_store_that_is_away_is_not_a_wrong_password() {
    let store = MemoryStore::default();
    sign_up(&store, "ana", PASSWORD).unwrap();
    for method in [Method::GetPointer, Method::GetChunks] {
        store.fail_next(method, 1, away());
        assert_eq!(code(sign_in(&store, "ana", PASSWORD)), "store_unreachable");
    }
    sign_in(&store, "ana", PASSWORD).unwrap();
}

#[test]
fn sign_up_interrupted_anywhere_can_be_repeated_or_has_happened() {
    // Calls that sign-up makes: pointer and marker looked up, chunk put, pointer and marker set.
    for (method, calls_before) in [
        (Method::GetPointer, 0),
        (Method::GetPointer, 1),
        (Method::PutChunks, 0),
        (Method::SetPointer, 0),
        (Method::SetPointer, 1),
    ] {
        let store = Interrupted::new(method, calls_before);
        assert_eq!(code(sign_up(&store, "ana", PASSWORD)), "store_unreachable");
        let state = code(sign_in(&store, "ana", PASSWORD));
        match code(sign_up(&store, "ana", PASSWORD)) {
            "ok" => assert_eq!(state, "unknown_name"),
            "account_exists" => assert_eq!(state, "ok"),
            other => panic!("{other} after {method:?} {calls_before}"),
        }
        // In the end the account opens and the name is marked.
        sign_in(&store, "ana", PASSWORD).unwrap();
        assert_eq!(
            code(sign_in(&store, "ana", "wrong horse")),
            "wrong_password"
        );
        assert_eq!(
            code(sign_up(&store, "ana", "another password")),
            "account_exists"
        );
    }
}

#[test]
fn two_sign_ups_at_once_with_one_name_leave_one_account() {
    let store = MemoryStore::default();
    let outcome = login("ana", "the second password").sign_up(
        &store,
        |_| {
            // While the second one makes its home, the first one is done.
            sign_up(&store, "ana", PASSWORD)?;
            Ok::<_, Error>(FIRST.to_vec())
        },
        &|_| (),
    );
    assert_eq!(code(outcome), "account_exists");
    sign_in(&store, "ana", PASSWORD).unwrap();
    assert_eq!(
        code(sign_in(&store, "ana", "the second password")),
        "retired"
    );

    // The same password: the one pointer decides.
    let store = MemoryStore::default();
    let outcome = login("ana", PASSWORD).sign_up(
        &store,
        |_| {
            sign_up(&store, "ana", PASSWORD)?;
            Ok::<_, Error>(b"another commit".to_vec())
        },
        &|_| (),
    );
    assert_eq!(code(outcome), "account_exists");
    assert_eq!(sign_in(&store, "ana", PASSWORD).unwrap().1.commit(), FIRST);
}

#[test]
fn a_failing_first_commit_leaves_the_name_free() {
    let store = MemoryStore::default();
    let outcome =
        login("ana", PASSWORD).sign_up(&store, |_| Err::<Vec<u8>, Error>(away().into()), &|_| ());
    assert_eq!(code(outcome), "store_unreachable");
    sign_up(&store, "ana", PASSWORD).unwrap();
}

#[test]
fn every_damage_of_the_head_chunk_is_named() {
    let store = MemoryStore::default();
    let (_, head) = sign_up(&store, "ana", PASSWORD).unwrap();
    let (_, other) = sign_up(&store, "bob", PASSWORD).unwrap();
    let address = head.address();
    let good = head.chunk().bytes().to_vec();

    let mut flipped = good.clone();
    flipped[100] ^= 1;
    for bad in [
        flipped,
        good[..good.len() - 1].to_vec(),
        Vec::new(),
        other.chunk().bytes().to_vec(),
    ] {
        store.set_raw(Kind::Chunk, address, bad);
        assert_eq!(code(sign_in(&store, "ana", PASSWORD)), "damaged_packet");
    }
    store.remove_raw(Kind::Chunk, &address);
    assert_eq!(code(sign_in(&store, "ana", PASSWORD)), "missing_record");
    store.set_raw(Kind::Chunk, address, good);
    sign_in(&store, "ana", PASSWORD).unwrap();
}

#[test]
fn a_whole_chunk_of_somebody_else_does_not_open() {
    // A holder of the owner key could sign this; the packet key still says no.
    let store = MemoryStore::default();
    let (_, bob) = sign_up(&store, "bob", PASSWORD).unwrap();
    let (ana, head) = sign_up(&store, "ana", PASSWORD).unwrap();
    let pointer = Pointer::sign(&ana.keys.owner, 2, Target::Chunk(bob.address())).unwrap();
    store.set_pointer(&pointer, Some(1)).unwrap();
    assert_eq!(code(sign_in(&store, "ana", PASSWORD)), "damaged_packet");
    assert_eq!(code(ana.fetch_head(&store)), "damaged_packet");
    assert_eq!(code(ana.open_head(bob.chunk())), "damaged_packet");
    ana.open_head(head.chunk()).unwrap();
}

#[test]
fn a_pointer_to_no_chunk_is_damage() {
    let store = MemoryStore::default();
    let (ana, _) = sign_up(&store, "ana", PASSWORD).unwrap();
    let pointer = Pointer::sign(&ana.keys.owner, 2, Target::Pointer(ana.address())).unwrap();
    store.set_pointer(&pointer, Some(1)).unwrap();
    assert_eq!(code(sign_in(&store, "ana", PASSWORD)), "damaged_packet");
}

#[test]
fn a_remembered_account_opens_without_a_store() {
    let store = MemoryStore::default();
    let (made, head) = sign_up(&store, "ana", PASSWORD).unwrap();
    let calls = store.all_calls();
    let login = login("ana", PASSWORD);
    assert_eq!(login.address(), made.address());
    let (account, opened) = login.open(head.pointer(), head.chunk()).unwrap();
    assert!(account.home_key() == made.home_key());
    assert_eq!(opened.commit(), FIRST);
    assert_eq!(store.all_calls(), calls);

    let (_, bob) = sign_up(&store, "bob", PASSWORD).unwrap();
    assert_eq!(
        code(login.open(bob.pointer(), bob.chunk())),
        "damaged_packet"
    );
    assert_eq!(
        code(login.open(head.pointer(), bob.chunk())),
        "damaged_packet"
    );
}

#[test]
fn heads_follow_each_other_and_a_stale_one_is_refused() {
    let store = MemoryStore::default();
    let (account, first) = sign_up(&store, "ana", PASSWORD).unwrap();
    assert!(account.fetch_head_after(&store, &first).unwrap().is_none());
    let second = account.publish_head(&store, b"second", &first).unwrap();
    assert_eq!(second.counter(), 2);
    assert_eq!(account.fetch_head(&store).unwrap().commit(), b"second");
    let newer = account.fetch_head_after(&store, &first).unwrap().unwrap();
    assert_eq!(newer.address(), second.address());
    // History stays readable.
    assert_eq!(account.open_head(first.chunk()).unwrap(), FIRST);

    let error = account.publish_head(&store, b"other", &first).unwrap_err();
    assert!(matches!(error, Error::HeadMoved { current: Some(2) }) && error.retry());
    assert_eq!(account.fetch_head(&store).unwrap().commit(), b"second");
}

#[test]
fn publishing_again_after_a_lost_answer_is_the_same_state() {
    let store = MemoryStore::default();
    let (account, first) = sign_up(&store, "ana", PASSWORD).unwrap();
    let once = account.publish_head(&store, b"second", &first).unwrap();
    let chunks = store.stats().unwrap().chunks;
    let again = account.publish_head(&store, b"second", &first).unwrap();
    assert_eq!(once.address(), again.address());
    assert_eq!(store.stats().unwrap().chunks, chunks);
}

#[test]
fn a_vanished_pointer_is_a_missing_record() {
    let store = MemoryStore::default();
    let (account, head) = sign_up(&store, "ana", PASSWORD).unwrap();
    store.remove_raw(Kind::Pointer, &account.address());
    assert_eq!(code(account.fetch_head(&store)), "missing_record");
    assert_eq!(
        code(account.publish_head(&store, b"x", &head)),
        "head_moved"
    );
}

#[test]
fn settings_travel_with_the_head() {
    let store = MemoryStore::default();
    let (account, first) = sign_up(&store, "ana", PASSWORD).unwrap();
    let mut settings = account.settings(&first).unwrap();
    assert!(settings.values.is_empty() && settings.wallet.is_none());
    settings.values.insert("lang".into(), "ca".into());
    settings.wallet = Some(secret("00ff"));
    let second = account.set_settings(&store, &settings, &first).unwrap();
    assert_eq!(second.commit(), FIRST);
    let third = account.publish_head(&store, b"third", &second).unwrap();

    let (account, head) = sign_in(&store, "ana", PASSWORD).unwrap();
    assert_eq!(head.address(), third.address());
    let settings = account.settings(&head).unwrap();
    assert_eq!(settings.values["lang"], "ca");
    assert_eq!(settings.wallet.unwrap().expose(), "00ff");
}

pub fn change(
    store: &dyn Store,
    account: &Account,
    old: &str,
    new: &str,
    head: &Head,
) -> Result<(Account, Head)> {
    account.change_password(store, &secret(old), &secret(new), head)
}

#[test]
fn after_a_change_only_the_new_password_opens_the_same_home() {
    let store = MemoryStore::default();
    let (account, head) = sign_up(&store, "ana", PASSWORD).unwrap();
    let head = account.publish_head(&store, b"second", &head).unwrap();
    let (renewed, new_head) = change(&store, &account, PASSWORD, "new password", &head).unwrap();
    assert_ne!(renewed.address(), account.address());
    assert!(renewed.home_key() == account.home_key());
    assert_eq!(new_head.commit(), b"second");
    assert_eq!(new_head.counter(), 3);

    let (_, found) = sign_in(&store, "ana", "new password").unwrap();
    assert_eq!(found.commit(), b"second");
    assert_eq!(renewed.open_head(head.chunk()).unwrap(), b"second");

    // The old password, and the sessions that were open under it, are told.
    assert_eq!(code(sign_in(&store, "ana", PASSWORD)), "retired");
    assert_eq!(code(account.fetch_head(&store)), "retired");
    assert_eq!(
        code(account.publish_head(&store, b"third", &head)),
        "retired"
    );
    // Its pointer is final and leads nowhere.
    let old = store.get_pointer(&account.address()).unwrap().unwrap();
    assert_eq!(old.counter(), FINAL_COUNTER);
    assert_ne!(old.target(), Target::Chunk(head.address()));
    // The name stays taken, and the old password can never come back.
    assert_eq!(
        code(sign_up(&store, "ana", "a third password")),
        "account_exists"
    );
    assert_eq!(code(sign_up(&store, "ana", PASSWORD)), "account_exists");
    assert_eq!(
        code(change(
            &store,
            &renewed,
            "new password",
            PASSWORD,
            &new_head
        )),
        "password_used"
    );
    sign_in(&store, "ana", "new password").unwrap();
}

#[test]
fn a_change_that_cannot_be_changes_nothing() {
    let store = MemoryStore::default();
    let (account, first) = sign_up(&store, "ana", PASSWORD).unwrap();
    let head = account.publish_head(&store, b"second", &first).unwrap();
    let state = store.stats().unwrap();
    for (old, new, at, expected) in [
        ("wrong horse", "new password", &head, "wrong_password"),
        ("", "new password", &head, "wrong_password"),
        (PASSWORD, "short", &head, "weak_password"),
        (PASSWORD, PASSWORD, &head, "password_used"),
        (PASSWORD, "new password", &first, "head_moved"),
    ] {
        assert_eq!(code(change(&store, &account, old, new, at)), expected);
    }
    assert_eq!(store.stats().unwrap(), state);
    sign_in(&store, "ana", PASSWORD).unwrap();
}

#[test]
fn a_change_interrupted_between_its_steps_is_finished_by_repeating_it() {
    // The second pointer it sets retires the old one: that is what fails. Sign-up set two.
    let store = Interrupted::new(Method::SetPointer, 3);
    let (account, head) = sign_up(&store, "ana", PASSWORD).unwrap();
    let cut = change(&store, &account, PASSWORD, "new password", &head);
    assert_eq!(code(cut), "store_unreachable");
    sign_in(&store, "ana", PASSWORD).unwrap();
    sign_in(&store, "ana", "new password").unwrap();

    // Work goes on under the old password, then the command is repeated.
    let head = account.publish_head(&store, b"second", &head).unwrap();
    let mut settings = account.settings(&head).unwrap();
    settings.values.insert("lang".into(), "ca".into());
    let head = account.set_settings(&store, &settings, &head).unwrap();
    let (renewed, new_head) = change(&store, &account, PASSWORD, "new password", &head).unwrap();
    assert_eq!(new_head.commit(), b"second");
    assert!(new_head.counter() > head.counter());
    assert_eq!(renewed.settings(&new_head).unwrap().values["lang"], "ca");
    assert_eq!(code(sign_in(&store, "ana", PASSWORD)), "retired");
    assert_eq!(
        sign_in(&store, "ana", "new password").unwrap().1.commit(),
        b"second"
    );
}

#[test]
fn an_interrupted_change_never_overwrites_work_under_the_new_password() {
    let store = Interrupted::new(Method::SetPointer, 3);
    let (account, head) = sign_up(&store, "ana", PASSWORD).unwrap();
    assert!(change(&store, &account, PASSWORD, "new password", &head).is_err());
    let (renewed, new_head) = sign_in(&store, "ana", "new password").unwrap();
    renewed
        .publish_head(&store, b"new work", &new_head)
        .unwrap();
    let head = account.publish_head(&store, b"old work", &head).unwrap();

    assert_eq!(
        code(change(&store, &account, PASSWORD, "new password", &head)),
        "password_in_use"
    );
    assert_eq!(
        sign_in(&store, "ana", PASSWORD).unwrap().1.commit(),
        b"old work"
    );
    assert_eq!(
        sign_in(&store, "ana", "new password").unwrap().1.commit(),
        b"new work"
    );
}

#[test]
fn a_forged_marker_can_only_say_that_a_name_is_taken() {
    let store = MemoryStore::default();
    sign_up(&store, "ana", PASSWORD).unwrap();
    let pointers = store.list(None, 10).unwrap();
    let marker = pointers
        .iter()
        .find(|e| e.kind == Kind::Pointer && e.address != login("ana", PASSWORD).address());
    let marker = store
        .get_pointer(&marker.unwrap().address)
        .unwrap()
        .unwrap();
    assert_eq!(marker.target(), Target::Chunk(Address([0; 32])));

    // Damage to the marker does not concern existing accounts.
    store.remove_raw(Kind::Pointer, &marker.address());
    sign_in(&store, "ana", PASSWORD).unwrap();
    store.set_raw(Kind::Pointer, marker.address(), b"rubbish".to_vec());
    sign_in(&store, "ana", PASSWORD).unwrap();
    assert_eq!(
        code(sign_in(&store, "ana", "wrong horse")),
        "damaged_record"
    );
}

#[test]
fn nothing_secret_is_printed() {
    let credentials = Credentials {
        name: "ana".to_owned(),
        password: secret(PASSWORD),
        secret_key: Some(SecretKey::generate().unwrap().to_text()),
    };
    let printed = format!("{credentials:?}");
    assert!(!printed.contains("horse"));
    assert!(!printed.contains(credentials.secret_key.as_ref().unwrap().expose()));
}

#[test]
fn an_owner_key_alone_opens_nothing() {
    // The address and the packet key are two halves of one output: neither tells the other.
    let login = login("ana", PASSWORD);
    let other = OwnerKey::from_seed(login.keys.packet.expose());
    assert_ne!(other.address(), login.address());
}

/// A store that is away for exactly one call: the one after `left` of its kind.
pub struct Interrupted {
    inner: MemoryStore,
    method: Method,
    left: std::sync::atomic::AtomicI64,
}

impl Interrupted {
    pub fn new(method: Method, calls_before: i64) -> Self {
        Self {
            inner: MemoryStore::default(),
            method,
            left: calls_before.into(),
        }
    }

    /// Away after so many calls from now.
    pub fn fail_after(&self, calls: i64) {
        self.left.store(calls, std::sync::atomic::Ordering::SeqCst);
    }

    fn pass(&self, method: Method) -> safeos_store::Result<()> {
        let last = std::sync::atomic::Ordering::SeqCst;
        if method == self.method && self.left.fetch_sub(1, last) == 0 {
            return Err(away());
        }
        Ok(())
    }
}

impl StoreHooks for Interrupted {
    fn inner(&self) -> &dyn Store {
        &self.inner
    }

    fn on_put_chunks(&self, chunks: &[safeos_record::Chunk]) -> safeos_store::Result<()> {
        self.pass(Method::PutChunks)?;
        self.inner.put_chunks(chunks)
    }

    fn on_get_pointer(&self, address: &Address) -> safeos_store::Result<Option<Pointer>> {
        self.pass(Method::GetPointer)?;
        self.inner.get_pointer(address)
    }

    fn on_set_pointer(&self, pointer: &Pointer, expected: Option<u64>) -> safeos_store::Result<()> {
        self.pass(Method::SetPointer)?;
        self.inner.set_pointer(pointer, expected)
    }
}
