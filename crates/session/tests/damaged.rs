//! Messages of a sign-in to a home that is not whole.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{credentials, make, options};
use safeos_record::Address;
use safeos_session::{Error, Options, Session};
use safeos_store::{Kind, MemoryStore, Method, Store, Traits};
use tempfile::TempDir;

#[test]
fn a_home_whose_own_folder_cannot_be_read_is_told() {
    for local in [true, false] {
        let memory = Arc::new(MemoryStore::new(Traits { local, paid: false }));
        let state = TempDir::new().unwrap();
        let opened = options(memory.clone(), state.path());
        let session = Session::sign_up_small(credentials(), opened, &()).unwrap();
        session.look_at_root(&()).unwrap();
        let home = session.home().unwrap();
        // So many that the root is not in the head itself.
        for n in 0..3000 {
            make(&*home, &format!("file {n}")).unwrap();
        }
        drop(home);
        session.publish(&()).unwrap();
        let head = session.snapshots().unwrap().pop().unwrap().head;
        session.sign_out(false, false, &()).unwrap();
        drop(session);

        let sign_in = |state: &Path, remember: bool| {
            let opened = Options {
                remember,
                ..options(memory.clone(), state)
            };
            Session::sign_in(credentials(), opened, &()).unwrap()
        };
        let session = sign_in(state.path(), false);
        let before = memory.all_calls();
        session.look_at_root(&()).unwrap();
        let asked = memory.all_calls() - before;
        assert!(asked > 0, "the root is on the store");
        // Of what is elsewhere the root only, and its way there.
        assert!(local || asked <= 4, "{asked}");
        session.sign_out(false, false, &()).unwrap();
        drop(session);

        // Where nothing is known of the store nothing is said of it.
        let other = TempDir::new().unwrap();
        sign_in(other.path(), true)
            .sign_out(false, false, &())
            .unwrap();
        let away = safeos_store::Error::Unreachable {
            url: "memory:".into(),
            why: "a test says so".into(),
        };
        memory.fail_next(Method::GetPointer, 100, away.clone());
        let session = sign_in(other.path(), true);
        assert!(session.status().offline);
        session.look_at_root(&()).unwrap();
        session.sign_out_later().unwrap();
        drop(session);
        memory.fail_next(Method::GetPointer, 0, away);

        let head: Address = head.parse().unwrap();
        for entry in memory.list(None, 1000).unwrap() {
            if entry.kind == Kind::Chunk && entry.address != head {
                let mut bytes = memory.raw(Kind::Chunk, &entry.address).unwrap().to_vec();
                for byte in bytes.iter_mut().step_by(1000) {
                    *byte ^= 1;
                }
                memory.set_raw(Kind::Chunk, entry.address, bytes);
            }
        }
        let session = sign_in(state.path(), false);
        let looked = session.look_at_root(&());
        let Err(Error::Damaged(why)) = looked else {
            panic!("{looked:?}")
        };
        let said = why.contains("own folder") && why.contains("--accept-older");
        assert!(said, "{why}");
        session.sign_out_later().unwrap();
    }
}
