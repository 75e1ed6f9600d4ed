//! Merges, case by case.

use bytes::Bytes;
use safeos_tree::{FileKind, Key, Owner, ROOT, SnapshotItem, Value, merge};

use crate::world::{Names, Nowhere, SUFFIX, World};

/// A base, and the same on two computers.
fn three(setup: impl FnOnce(&mut World)) -> (World, World, World) {
    let mut base = World::new();
    setup(&mut base);
    let (ours, theirs) = (base.on(1), base.on(2));
    (base, ours, theirs)
}

/// Runs a case and compares all names and contents, and the noted conflicts.
fn case(
    setup: impl FnOnce(&mut World),
    here: impl FnOnce(&mut World),
    there: impl FnOnce(&mut World),
    expected: &[(&str, &str)],
    noted: &[&str],
) -> World {
    let (base, mut ours, mut theirs) = three(setup);
    here(&mut ours);
    there(&mut theirs);
    let conflicts = ours.merge(&base, &theirs);
    let mut expected: Vec<(String, String)> = expected
        .iter()
        .map(|(path, content)| {
            (
                path.replace('@', &format!(" ({SUFFIX})")),
                (*content).into(),
            )
        })
        .collect();
    expected.sort();
    assert_eq!(ours.list().into_iter().collect::<Vec<_>>(), expected);
    let noted: Vec<String> = noted
        .iter()
        .map(|note| note.replace('@', &format!(" ({SUFFIX})")))
        .collect();
    assert_eq!(conflicts, noted);
    ours
}

#[test]
fn changes_of_different_files_are_all_taken() {
    case(
        |w| {
            w.write("a", "a").unwrap();
            w.write("b", "b").unwrap();
            w.write("gone", "gone").unwrap();
        },
        |w| {
            w.write("a", "ours").unwrap();
            w.write("new", "new").unwrap();
        },
        |w| {
            w.write("b", "theirs").unwrap();
            w.mkdir("dir").unwrap();
            w.write("dir/c", "c").unwrap();
            w.remove("gone").unwrap();
        },
        &[
            ("a", "ours"),
            ("b", "theirs"),
            ("dir", "/"),
            ("dir/c", "c"),
            ("new", "new"),
        ],
        &[],
    );
}

#[test]
fn a_file_changed_on_both_sides_is_kept_twice() {
    let world = case(
        |w| {
            w.mkdir("d").unwrap();
            w.write("d/report.txt", "base").unwrap();
            w.set_xattr("d/report.txt", "user.a", Some("1")).unwrap();
        },
        |w| {
            w.write("d/report.txt", "ours").unwrap();
        },
        |w| {
            w.write("d/report.txt", "theirs").unwrap();
        },
        &[
            ("d", "/"),
            ("d/report.txt", "theirs"),
            ("d/report@.txt", "ours"),
        ],
        &["d/report.txt + report@.txt BothChanged"],
    );
    let copy = format!("d/report ({SUFFIX}).txt");
    assert_eq!(world.xattr(&copy, "user.a").unwrap(), "1");
}

#[test]
fn different_blocks_of_a_file_are_a_conflict_too_and_the_copy_is_whole() {
    let (base, mut ours, mut theirs) = three(|w| {
        w.write("f", "start").unwrap();
        let ino = w.find("f").unwrap().0;
        w.write_block(ino, 1, "-middle");
        w.write_block(ino, 2, "-end");
    });
    let ino = ours.find("f").unwrap().0;
    ours.write_block(ino, 1, "-OURS");
    theirs.write_block(ino, 2, "-THEIRS");
    ours.merge(&base, &theirs);
    assert_eq!(ours.read("f").unwrap(), "start-middle-THEIRS");
    assert_eq!(
        ours.read(&format!("f ({SUFFIX})")).unwrap(),
        "start-OURS-end"
    );
}

#[test]
fn the_same_change_on_both_sides_is_no_conflict() {
    case(
        |w| w.write("f", "base").unwrap(),
        |w| w.write("f", "same").unwrap(),
        |w| w.write("f", "same").unwrap(),
        &[("f", "same")],
        &[],
    );
}

#[test]
fn fields_and_attributes_are_merged_one_by_one() {
    let world = case(
        |w| {
            w.write("f", "f").unwrap();
            w.set_xattr("f", "user.clash", Some("base")).unwrap();
            w.set_xattr("f", "user.gone", Some("base")).unwrap();
        },
        |w| {
            w.change("f", |f| {
                f.perm = 0o600;
                f.uid = Owner::Number(7);
                f.mtime = 5;
            })
            .unwrap();
            w.set_xattr("f", "user.clash", Some("ours")).unwrap();
            w.set_xattr("f", "user.ours", Some("1")).unwrap();
        },
        |w| {
            w.change("f", |f| {
                f.gid = Owner::Number(9);
                f.uid = Owner::Number(8);
                f.mtime = 1_000_000_000;
            })
            .unwrap();
            w.set_xattr("f", "user.clash", Some("theirs")).unwrap();
            w.set_xattr("f", "user.theirs", Some("2")).unwrap();
            w.set_xattr("f", "user.gone", None).unwrap();
        },
        &[("f", "f")],
        &[],
    );
    let f = world.get(world.find("f").unwrap().0).unwrap();
    assert_eq!(
        (f.perm, f.uid, f.gid, f.mtime),
        (0o600, Owner::Number(7), Owner::Number(9), 1_000_000_000)
    );
    assert_eq!(world.xattr("f", "user.clash").unwrap(), "ours");
    assert_eq!(world.xattr("f", "user.ours").unwrap(), "1");
    assert_eq!(world.xattr("f", "user.theirs").unwrap(), "2");
    assert_eq!(world.xattr("f", "user.gone"), None);
}

#[test]
fn content_here_and_mode_there_go_together() {
    let world = case(
        |w| w.write("f", "f").unwrap(),
        |w| w.change("f", |f| f.perm = 0o700).unwrap(),
        |w| w.write("f", "theirs").unwrap(),
        &[("f", "theirs")],
        &[],
    );
    assert_eq!(world.get(world.find("f").unwrap().0).unwrap().perm, 0o700);
}

#[test]
fn one_name_for_two_new_files() {
    case(
        |_| {},
        |w| w.write("notes.md", "ours").unwrap(),
        |w| w.write("notes.md", "theirs").unwrap(),
        &[("notes@.md", "ours"), ("notes.md", "theirs")],
        &["notes.md + notes@.md SameName"],
    );
}

#[test]
fn two_new_files_that_are_the_same_become_one() {
    case(
        |_| {},
        |w| {
            w.write("f", "same").unwrap();
            w.symlink("l", "f").unwrap();
        },
        |w| {
            w.write("f", "same").unwrap();
            w.symlink("l", "f").unwrap();
        },
        &[("f", "same"), ("l", "-> f")],
        &[],
    );
}

#[test]
fn a_taken_conflict_name_gets_a_number() {
    let taken = format!("f ({SUFFIX})");
    let (base, mut ours, mut theirs) = three(|w| w.write(&taken, "old").unwrap());
    ours.write("f", "ours").unwrap();
    theirs.write("f", "theirs").unwrap();
    ours.merge(&base, &theirs);
    assert_eq!(ours.read(&taken).unwrap(), "old");
    assert_eq!(ours.read(&format!("f ({SUFFIX}, 2)")).unwrap(), "ours");
}

#[test]
fn a_long_name_is_cut_for_its_conflict_name() {
    let name = "é".repeat(127);
    let (base, mut ours, mut theirs) = three(|_| {});
    ours.write(&name, "ours").unwrap();
    theirs.write(&name, "theirs").unwrap();
    ours.merge(&base, &theirs);
    let copy = ours
        .list()
        .into_iter()
        .find(|(_, text)| text == "ours")
        .unwrap()
        .0;
    assert!(
        copy.len() <= 255 && copy.ends_with(&format!("é ({SUFFIX})")),
        "{copy}"
    );
}

#[test]
fn two_new_directories_of_one_name_become_one() {
    let world = case(
        |_| {},
        |w| {
            w.mkdir("d").unwrap();
            w.set_xattr("d", "user.ours", Some("1")).unwrap();
            w.mkdir("d/sub").unwrap();
            w.write("d/sub/x", "ours").unwrap();
            w.write("d/same", "same").unwrap();
            w.write("d/mine", "mine").unwrap();
            w.write("d/thing", "a file").unwrap();
        },
        |w| {
            w.mkdir("d").unwrap();
            w.mkdir("d/sub").unwrap();
            w.write("d/sub/x", "theirs").unwrap();
            w.write("d/sub/y", "y").unwrap();
            w.write("d/same", "same").unwrap();
            w.mkdir("d/thing").unwrap();
        },
        &[
            ("d", "/"),
            ("d/mine", "mine"),
            ("d/same", "same"),
            ("d/sub", "/"),
            ("d/sub/x", "theirs"),
            ("d/sub/x@", "ours"),
            ("d/sub/y", "y"),
            ("d/thing", "/"),
            ("d/thing@", "a file"),
        ],
        &["d/sub/x + x@ SameName", "d/thing + thing@ SameName"],
    );
    assert_eq!(world.xattr("d", "user.ours").unwrap(), "1");
}

#[test]
fn a_file_removed_here_and_changed_there_stays() {
    case(
        |w| w.write("f", "base").unwrap(),
        |w| w.remove("f").unwrap(),
        |w| w.write("f", "theirs").unwrap(),
        &[("f", "theirs")],
        &["f Restored"],
    );
    case(
        |w| w.write("f", "base").unwrap(),
        |w| w.write("f", "ours").unwrap(),
        |w| w.remove("f").unwrap(),
        &[("f", "ours")],
        &["f Restored"],
    );
}

#[test]
fn a_file_only_read_there_is_removed() {
    case(
        |w| w.write("f", "base").unwrap(),
        |w| w.remove("f").unwrap(),
        |w| w.change("f", |f| f.atime = 99_999).unwrap(),
        &[],
        &[],
    );
}

#[test]
fn removed_on_both_sides_is_removed() {
    case(
        |w| {
            w.mkdir("d").unwrap();
            w.write("d/f", "f").unwrap();
        },
        |w| w.remove_all("d").unwrap(),
        |w| w.remove_all("d").unwrap(),
        &[],
        &[],
    );
}

#[test]
fn saved_as_a_new_file_here_and_changed_in_place_there() {
    case(
        |w| w.write("f", "base").unwrap(),
        |w| w.save("f", "ours"),
        |w| w.write("f", "theirs").unwrap(),
        &[("f", "theirs"), ("f@", "ours")],
        &["f + f@ SameName"],
    );
    case(
        |w| w.write("f", "base").unwrap(),
        |w| w.write("f", "ours").unwrap(),
        |w| w.save("f", "theirs"),
        &[("f", "theirs"), ("f@", "ours")],
        &["f + f@ SameName"],
    );
    case(
        |w| w.write("f", "base").unwrap(),
        |w| w.save("f", "ours"),
        |w| w.save("f", "theirs"),
        &[("f", "theirs"), ("f@", "ours")],
        &["f + f@ SameName"],
    );
    case(
        |w| w.write("f", "base").unwrap(),
        |w| w.save("f", "same"),
        |w| w.write("f", "same").unwrap(),
        &[("f", "same")],
        &[],
    );
}

#[test]
fn renamed_here_and_changed_there() {
    case(
        |w| w.write("a", "base").unwrap(),
        |w| w.rename("a", "b").unwrap(),
        |w| w.write("a", "theirs").unwrap(),
        &[("b", "theirs")],
        &[],
    );
    case(
        |w| w.write("a", "base").unwrap(),
        |w| w.write("a", "ours").unwrap(),
        |w| w.rename("a", "b").unwrap(),
        &[("b", "ours")],
        &[],
    );
}

#[test]
fn renamed_on_both_sides_goes_where_theirs_put_it() {
    case(
        |w| {
            w.write("f", "f").unwrap();
            w.mkdir("d").unwrap();
            w.write("d/x", "x").unwrap();
        },
        |w| {
            w.rename("f", "ours").unwrap();
            w.rename("d", "d-ours").unwrap();
            w.write("d-ours/y", "y").unwrap();
        },
        |w| {
            w.rename("f", "theirs").unwrap();
            w.rename("d", "d-theirs").unwrap();
        },
        &[
            ("d-theirs", "/"),
            ("d-theirs/x", "x"),
            ("d-theirs/y", "y"),
            ("theirs", "f"),
        ],
        &[],
    );
}

#[test]
fn a_name_that_ours_moved_something_to_and_theirs_took() {
    // Theirs moved the file too: it is where theirs put it.
    case(
        |w| w.write("f", "f").unwrap(),
        |w| w.rename("f", "k").unwrap(),
        |w| {
            w.rename("f", "c").unwrap();
            w.write("k", "theirs").unwrap();
        },
        &[("c", "f"), ("k", "theirs")],
        &[],
    );
    // A folder that theirs has too keeps being a folder of its own.
    case(
        |w| {
            w.mkdir("d").unwrap();
            w.write("d/x", "x").unwrap();
        },
        |w| w.rename("d", "k").unwrap(),
        |w| {
            w.mkdir("k").unwrap();
            w.write("k/y", "y").unwrap();
            w.write("d/z", "z").unwrap();
        },
        &[
            ("k", "/"),
            ("k/y", "y"),
            ("k@", "/"),
            ("k@/x", "x"),
            ("k@/z", "z"),
        ],
        &["k + k@ SameName"],
    );
}

#[test]
fn a_file_deleted_while_open_here_and_changed_there_is_theirs() {
    let (base, mut ours, mut theirs) = three(|w| w.write("f", "f").unwrap());
    let (ino, _) = ours.find("f").unwrap();
    ours.write_block(ino, 1, "ours");
    ours.set_xattr("f", "user.ours", Some("1")).unwrap();
    ours.change("f", |inode| inode.nlink = 0).unwrap();
    ours.apply(vec![(Key::entry(ROOT, b"f"), None)]);
    theirs.write("f", "theirs").unwrap();
    assert_eq!(ours.merge(&base, &theirs), ["f Restored"]);
    assert_eq!(ours.all(), theirs.all());
}

#[test]
fn changed_and_renamed_on_both_sides_is_kept_twice() {
    case(
        |w| w.write("f", "f").unwrap(),
        |w| {
            w.write("f", "ours").unwrap();
            w.rename("f", "b").unwrap();
        },
        |w| {
            w.write("f", "theirs").unwrap();
            w.rename("f", "c").unwrap();
        },
        &[("c", "theirs"), ("c@", "ours")],
        &["c + c@ BothChanged"],
    );
}

#[test]
fn links_given_on_both_sides_are_counted() {
    let world = case(
        |w| w.write("f", "f").unwrap(),
        |w| w.link("f", "ours").unwrap(),
        |w| w.link("f", "theirs").unwrap(),
        &[("f", "f"), ("ours", "f"), ("theirs", "f")],
        &[],
    );
    assert_eq!(world.get(world.find("f").unwrap().0).unwrap().nlink, 3);
    case(
        |w| {
            w.write("f", "f").unwrap();
            w.link("f", "g").unwrap();
        },
        |w| w.remove("f").unwrap(),
        |w| w.remove("g").unwrap(),
        &[("f", "f")],
        &["f Restored"],
    );
    case(
        |w| {
            w.write("f", "f").unwrap();
            w.link("f", "g").unwrap();
        },
        |w| w.remove("f").unwrap(),
        |w| w.write("g", "theirs").unwrap(),
        &[("g", "theirs")],
        &[],
    );
}

#[test]
fn a_directory_removed_here_comes_back_for_what_was_made_in_it_there() {
    let setup = |w: &mut World| {
        w.mkdir("d").unwrap();
        w.mkdir("d/e").unwrap();
        w.write("d/old", "old").unwrap();
    };
    case(
        setup,
        |w| w.remove_all("d").unwrap(),
        |w| w.write("d/e/new", "new").unwrap(),
        &[("d", "/"), ("d/e", "/"), ("d/e/new", "new")],
        &["d Restored", "d/e Restored"],
    );
    case(
        setup,
        |w| w.write("d/e/new", "new").unwrap(),
        |w| w.remove_all("d").unwrap(),
        &[("d", "/"), ("d/e", "/"), ("d/e/new", "new")],
        &["d Restored", "d/e Restored"],
    );
    case(
        |w| {
            setup(w);
            w.write("f", "f").unwrap();
        },
        |w| w.rename("f", "d/f").unwrap(),
        |w| w.remove_all("d").unwrap(),
        &[("d", "/"), ("d/f", "f")],
        &["d Restored"],
    );
}

#[test]
fn a_directory_made_anew_on_one_side_takes_what_the_other_put_into_the_old() {
    case(
        |w| {
            w.mkdir("target").unwrap();
            w.write("target/old", "old").unwrap();
        },
        |w| w.write("target/ours", "ours").unwrap(),
        |w| {
            w.remove_all("target").unwrap();
            w.mkdir("target").unwrap();
            w.write("target/theirs", "theirs").unwrap();
        },
        &[
            ("target", "/"),
            ("target/ours", "ours"),
            ("target/theirs", "theirs"),
        ],
        &[],
    );
    case(
        |w| {
            w.mkdir("target").unwrap();
            w.write("target/old", "old").unwrap();
        },
        |w| {
            w.remove_all("target").unwrap();
            w.mkdir("target").unwrap();
            w.write("target/ours", "ours").unwrap();
        },
        |w| w.write("target/theirs", "theirs").unwrap(),
        &[
            ("target", "/"),
            ("target/ours", "ours"),
            ("target/theirs", "theirs"),
        ],
        &["target Restored"],
    );
}

#[test]
fn a_directory_that_became_a_file_there_but_was_used_here() {
    case(
        |w| {
            w.mkdir("d").unwrap();
        },
        |w| w.write("d/x", "x").unwrap(),
        |w| {
            w.remove("d").unwrap();
            w.write("d", "a file").unwrap();
        },
        &[("d", "a file"), ("d@", "/"), ("d@/x", "x")],
        &["d + d@ SameName"],
    );
    case(
        |w| {
            w.mkdir("d").unwrap();
        },
        |w| {
            w.remove("d").unwrap();
            w.write("d", "a file").unwrap();
        },
        |w| w.write("d/x", "x").unwrap(),
        &[("d", "/"), ("d/x", "x"), ("d@", "a file")],
        &["d Restored", "d + d@ SameName"],
    );
}

#[test]
fn directories_moved_into_one_another_do_not_make_a_circle() {
    case(
        |w| {
            w.mkdir("a").unwrap();
            w.mkdir("b").unwrap();
            w.write("a/x", "x").unwrap();
            w.write("b/y", "y").unwrap();
        },
        |w| w.rename("a", "b/a").unwrap(),
        |w| w.rename("b", "a/b").unwrap(),
        &[("a", "/"), ("a/b", "/"), ("a/b/y", "y"), ("a/x", "x")],
        &["a MoveUndone"],
    );
}

#[test]
fn a_circle_of_three_and_a_name_that_was_taken_meanwhile() {
    case(
        |w| {
            for dir in ["a", "b", "c"] {
                w.mkdir(dir).unwrap();
            }
        },
        |w| {
            w.rename("a", "b/a").unwrap();
            w.write("a", "new").unwrap();
        },
        |w| {
            w.rename("b", "c/b").unwrap();
            w.rename("c", "a/c").unwrap();
        },
        &[("a", "/"), ("a/c", "/"), ("a/c/b", "/"), ("a@", "new")],
        &["a MoveUndone", "a + a@ SameName"],
    );
}

#[test]
fn a_directory_removed_here_comes_back_into_a_circle() {
    case(
        |w| {
            for dir in ["a", "c", "d"] {
                w.mkdir(dir).unwrap();
            }
            // It is asked before the directory that it is in: it is the older one.
            w.rename("c", "d/c").unwrap();
        },
        |w| {
            w.remove("d/c").unwrap();
            w.rename("d", "a/d").unwrap();
        },
        |w| w.rename("a", "d/c/a").unwrap(),
        &[("d", "/"), ("d/c", "/"), ("d/c/a", "/")],
        &["d MoveUndone", "d/c Restored"],
    );
}

#[test]
fn exchanged_names_are_taken() {
    let exchange = |w: &mut World| {
        w.rename("a", "t").unwrap();
        w.rename("b", "a").unwrap();
        w.rename("t", "b").unwrap();
    };
    case(
        |w| {
            w.write("a", "1").unwrap();
            w.write("b", "2").unwrap();
        },
        exchange,
        |w| w.write("a", "1 theirs").unwrap(),
        &[("a", "2"), ("b", "1 theirs")],
        &[],
    );
}

#[test]
fn snapshots_of_both_sides_are_remembered() {
    let snapshot = |time, byte| {
        let item = SnapshotItem {
            head: safeos_record::Address([byte; 32]),
            computer: "x".into(),
            added_bytes: 1,
        };
        vec![(Key::snapshot(time), Some(Value::Snapshot(item.into())))]
    };
    let (mut base, _, _) = three(|_| {});
    base.apply(snapshot(1, 1));
    let (mut ours, mut theirs) = (base.on(1), base.on(2));
    ours.apply(snapshot(2, 2));
    ours.apply(snapshot(9, 4));
    theirs.apply(snapshot(3, 3));
    theirs.apply(snapshot(9, 5));
    theirs.apply(vec![(Key::snapshot(1), None)]);
    theirs.apply(vec![(Key::range(4), Some(Value::Range([4; 16])))]);
    ours.apply(vec![(Key::range(5), Some(Value::Range([5; 16])))]);
    ours.merge(&base, &theirs);
    let mut found = Vec::new();
    ours.scan(&Key::snapshot(0), &Key::inode(1), |key, value| {
        found.push((
            key.number,
            match value {
                Value::Snapshot(item) => item.head.0[0],
                Value::Range(session) => session[0],
                _ => 0,
            },
        ));
    });
    assert_eq!(found, [(2, 2), (3, 3), (9, 5), (10, 4), (4, 4), (5, 5)]);
}

#[test]
fn nodes_of_two_sessions_with_one_number_are_told_apart() {
    let (base, ours, theirs) = three(|_| {});
    let (mut ours, mut theirs) = (ours.on(5), theirs.on(6));
    let clash = |w: &mut World, side: &str| {
        // The same computer number on both sides, so the same inode numbers.
        let time = if side == "ours" { 10 } else { 20 };
        let mut other = w.on(0);
        other
            .make("dir", FileKind::Directory, |inode| inode.btime = time)
            .unwrap();
        other.write("dir/f", side).unwrap();
        let (ino, _) = other.find("dir/f").unwrap();
        let mut inode = other.get(ino).unwrap();
        inode.btime = time;
        other.apply(vec![(Key::inode(ino), Some(Value::Inode(inode.into())))]);
        other.rename("dir", &format!("dir-{side}")).unwrap();
        *w = other;
    };
    clash(&mut ours, "ours");
    clash(&mut theirs, "theirs");
    assert_eq!(ours.find("dir-ours"), theirs.find("dir-theirs"));
    assert_eq!(ours.merge(&base, &theirs), Vec::<String>::new());
    assert_eq!(ours.read("dir-ours/f").unwrap(), "ours");
    assert_eq!(ours.read("dir-theirs/f").unwrap(), "theirs");
}

#[test]
fn a_file_open_here_and_removed_there_stays_without_a_name() {
    struct Open(Names);
    impl safeos_tree::Naming for Open {
        fn fresh_ino(&mut self) -> safeos_tree::Result<u64> {
            self.0.fresh_ino()
        }
        fn suffix(&self) -> String {
            self.0.suffix()
        }
        fn in_use(&self, _: u64) -> bool {
            true
        }
    }
    let (base, mut ours, mut theirs) = three(|w| w.write("f", "f").unwrap());
    let (ino, _) = ours.find("f").unwrap();
    theirs.remove("f").unwrap();
    let merged = merge(
        &base.tree,
        &ours.tree,
        &theirs.tree,
        &Nowhere,
        &mut Open(Names(1 << 60)),
    )
    .unwrap();
    ours.apply(merged.batch);
    assert_eq!(ours.problems(), Vec::<String>::new());
    assert_eq!(ours.get(ino).unwrap().nlink, 0);
    assert_eq!(ours.get(ino).unwrap().size, 1);
    assert_eq!(ours.entry(ROOT, b"f"), None);
}

#[test]
fn other_kinds_of_nodes_are_merged_too() {
    case(
        |w| {
            w.make("pipe", FileKind::Fifo, |_| {}).unwrap();
        },
        |w| {
            w.make("null", FileKind::CharDevice, |inode| inode.rdev = 259)
                .unwrap();
            w.symlink("link", "ours").unwrap();
        },
        |w| {
            w.make("null", FileKind::CharDevice, |inode| inode.rdev = 260)
                .unwrap();
            w.symlink("link", "theirs").unwrap();
            w.change("pipe", |inode| inode.target = Bytes::new())
                .unwrap();
        },
        &[
            ("link", "-> theirs"),
            ("link@", "-> ours"),
            ("null", ""),
            ("null@", ""),
            ("pipe", ""),
        ],
        &["link + link@ SameName", "null + null@ SameName"],
    );
}

/// A merge of small changes in a large home looks at few items.
#[test]
fn the_cost_grows_with_the_changes() {
    let (mut base, _, _) = three(|w| {
        w.mkdir("d").unwrap();
    });
    let (dir, _) = base.find("d").unwrap();
    let batch = (0..50_000u64)
        .map(|n| {
            let kind = FileKind::Fifo;
            let name = format!("entry {n}");
            (
                Key::entry(dir, name.as_bytes()),
                Some(Value::Entry {
                    ino: n + 1_000,
                    kind,
                }),
            )
        })
        .collect();
    base.apply(batch);
    let (mut ours, mut theirs) = (base.on(1), base.on(2));
    ours.write("d/ours", "ours").unwrap();
    theirs.write("d/theirs", "theirs").unwrap();
    let started = std::time::Instant::now();
    let merged = merge(
        &base.tree,
        &ours.tree,
        &theirs.tree,
        &Nowhere,
        &mut Names(1 << 60),
    )
    .unwrap();
    assert_eq!(merged.batch.len(), 3);
    assert!(started.elapsed().as_millis() < 1_000);
}
