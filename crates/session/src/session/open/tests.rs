//! Homes that can only be read here.

use safeos_store::{MemoryStore, Traits};
use tempfile::TempDir;

use super::support::{credentials, make, options, read};
use super::*;
use crate::{Ino, SetAttr, Volume, XattrMode};

fn file(home: &dyn Volume, name: &str, content: &[u8]) -> Ino {
    let made = make(home, name).unwrap();
    home.write(made.ino, Some(0), content).unwrap();
    made.ino
}

/// Signs in where nothing can be written.
fn to_read(store: &Arc<MemoryStore>, state: &TempDir, why: Error) -> Arc<Session> {
    let options = options(store.clone(), state.path());
    let login = Login::derive(&credentials()).unwrap();
    let (account, head) = login.sign_in(&**store, &|_| {}).unwrap();
    let local = Local::open(state.path(), account.home_key()).unwrap();
    open_in(
        local.cannot_be_written(why),
        account,
        head,
        options,
        false,
        &(),
    )
    .unwrap()
}

#[test]
fn a_home_is_read_where_nothing_can_be_written() {
    for (local, why, errno) in [
        (true, Error::StateReadOnly("mounted so".into()), 30),
        (false, Error::Full("for a test".into()), 28),
    ] {
        let traits = Traits { local, paid: true };
        let store = Arc::new(MemoryStore::new(traits));
        let state = TempDir::new().unwrap();
        let session =
            Session::sign_up(credentials(), options(store.clone(), state.path()), &()).unwrap();
        let home = session.home().unwrap();
        let kept = file(&*home, "kept", b"published");
        session.publish(&()).unwrap();
        // The files that a crash leaves.
        let late = file(&*home, "late", b"not published");
        home.sync(late).unwrap();
        drop((home, session));

        let session = to_read(&store, &state, why.clone());
        let home = session.home().unwrap();
        assert_eq!(read(&*home, "kept").unwrap(), b"published");
        assert_eq!(home.lookup(home.root(), b"late").unwrap_err().errno(), 2);
        let root = home.root();
        for refused in [
            home.write(kept, Some(0), b"x").map(drop),
            home.unlink(root, b"kept"),
            home.set_attr(kept, &SetAttr::default()).map(drop),
            home.set_xattr(kept, b"user.x", b"", XattrMode::Any),
        ] {
            assert_eq!(refused.unwrap_err().errno(), errno);
        }
        home.sync(kept).unwrap();
        let problems = session.status().problems.join("\n");
        assert!(problems.contains("can only be read"), "{problems}");
        assert!(problems.contains("not published is kept"), "{problems}");
        // No waiting changes are removed, here or on the store.
        session.collect(false, &()).unwrap();
        session.sign_out(false, false, &()).unwrap();
        drop((home, session));

        let session =
            Session::sign_in(credentials(), options(store.clone(), state.path()), &()).unwrap();
        let home = session.home().unwrap();
        assert_eq!(read(&*home, "late").unwrap(), b"not published");
        assert_eq!(session.status().problems, Vec::<String>::new());
        session.sign_out(false, false, &()).unwrap();
    }
}
