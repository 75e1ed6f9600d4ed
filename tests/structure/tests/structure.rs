//! The workspace keeps its order: imports go one way, and the architecture document names what is there.

use std::collections::BTreeSet;
use std::path::Path;

use safeos_structure_tests::documents::missing;
use safeos_structure_tests::floors::{FLOORS, packages, violations};
use safeos_structure_tests::imports::{circles, describe, imports};
use safeos_structure_tests::modules::Crate;
use safeos_structure_tests::{read, root};

/// Files that still are in a circle: none may be added, and one that is in no circle any more is to be removed here.
const OPEN: &[&str] = &[
    "crates/session/src/journal.rs",
    "crates/session/src/journal/replay.rs",
    "crates/session/src/packs/readahead.rs",
    "crates/session/src/session.rs",
    "crates/session/src/sync/attempt.rs",
    "crates/session/src/sync/background.rs",
    "crates/session/src/sync/publish.rs",
    "crates/session/src/sync/putback.rs",
    "crates/session/src/worktree/content.rs",
    "crates/session/src/worktree/content/read.rs",
    "crates/session/src/worktree/frozen.rs",
    "crates/session/src/worktree/home.rs",
    "crates/session/src/worktree/look.rs",
    "crates/session/src/worktree/owners.rs",
];

const ARCHITECTURE: &str = "docs/architecture.md";

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let mut found = String::new();
    let mut in_circles = BTreeSet::new();
    let mut files = 0;
    let prefix = format!("{}/", root().display());
    for package in packages(&root()).unwrap() {
        let folder = root().join(&package.folder).join("src");
        let roots = ["lib.rs", "main.rs"].map(|name| folder.join(name));
        for root in roots.iter().filter(|root| root.exists()) {
            let all = Crate::read(root).unwrap();
            files += all.modules.len();
            let imports = imports(&all);
            let circles = circles(&imports);
            found += &describe(&imports, &circles).replace(&prefix, "");
            let names = circles
                .iter()
                .flatten()
                .map(|file| file.display().to_string());
            in_circles.extend(names.map(|name| name.replace(&prefix, "")));
        }
    }
    assert!(files > 200, "only {files} modules were found");
    let open: BTreeSet<_> = OPEN.iter().map(|&name| name.to_owned()).collect();
    let new: Vec<_> = in_circles.difference(&open).collect();
    assert!(new.is_empty(), "{new:?}\n{found}");
    let done: Vec<_> = open.difference(&in_circles).collect();
    assert!(done.is_empty(), "no circle any more: {done:?}");
}

#[test]
fn every_package_depends_on_lower_floors_only() {
    let found = violations(FLOORS, &packages(&root()).unwrap());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_floor_is_in_the_architecture_document() {
    let text = read(&root().join(ARCHITECTURE)).unwrap();
    for folder in FLOORS.iter().copied().flatten() {
        assert!(
            text.contains(folder),
            "{ARCHITECTURE} does not name {folder}"
        );
    }
}

#[test]
fn every_file_that_the_architecture_document_names_exists() {
    let text = read(&root().join(ARCHITECTURE)).unwrap();
    let found = missing(&root(), Path::new(ARCHITECTURE), &text);
    assert!(found.is_empty(), "not there:\n{}", found.join("\n"));
}
