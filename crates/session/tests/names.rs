//! Names of conflicts.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::sync::Arc;

use common::{credentials, make, options};
use safeos_session::Session;
use safeos_store::MemoryStore;
use tempfile::TempDir;

/// Copies of one installation have one host name, as all sessions of this test have.
#[test]
fn two_computers_of_one_name_give_conflicts_names_of_their_own() {
    let store = Arc::new(MemoryStore::default());
    let states: Vec<TempDir> = (0..3).map(|_| TempDir::new().unwrap()).collect();
    let mut sessions = vec![
        Session::sign_up_small(credentials(), options(store.clone(), states[0].path()), &())
            .unwrap(),
    ];
    for state in &states[1..] {
        sessions.push(
            Session::sign_in(credentials(), options(store.clone(), state.path()), &()).unwrap(),
        );
    }
    // The same name, three times.
    for (n, session) in sessions.iter().enumerate() {
        let home = session.home().unwrap();
        let ino = make(&*home, "letter.txt").unwrap().ino;
        home.write(ino, Some(0), format!("from {n}").as_bytes())
            .unwrap();
    }
    let mut ids = HashSet::new();
    for session in &sessions {
        for conflict in session.publish(&()).unwrap().conflicts {
            let (_, copy) = conflict.split_once(" → ").unwrap();
            // letter (conflict, HOST ID, TIME).txt
            let parts: Vec<&str> = copy.split(", ").collect();
            let is_one = parts[0] == "letter (conflict" && copy.ends_with(").txt");
            assert!(is_one, "{copy}");
            let id = parts[1].rsplit(' ').next().unwrap();
            assert!(id.len() == 4, "{copy}");
            assert!(u16::from_str_radix(id, 16).is_ok(), "{copy}");
            ids.insert(id.to_owned());
        }
    }
    // The second and the third had to give way.
    assert_eq!(ids.len(), 2);
}
