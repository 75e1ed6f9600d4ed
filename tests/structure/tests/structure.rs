//! The workspace keeps its order: imports go one way, and the architecture document names what is there.

use std::path::Path;

use safeos_structure_tests::documents::{WIDTH, missing, too_wide};
use safeos_structure_tests::floors::{FLOORS, packages, violations};
use safeos_structure_tests::imports::{circles, describe, imports};
use safeos_structure_tests::modules::Crate;
use safeos_structure_tests::{read, root};

const ARCHITECTURE: &str = "docs/architecture.md";

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let mut found = String::new();
    let mut files = 0;
    let prefix = format!("{}/", root().display());
    for package in packages(&root()).unwrap() {
        let folder = root().join(&package.folder).join("src");
        let roots = ["lib.rs", "main.rs"].map(|name| folder.join(name));
        for root in roots.iter().filter(|root| root.exists()) {
            let all = Crate::read(root).unwrap();
            files += all.modules.len();
            let imports = imports(&all);
            found += &describe(&imports, &circles(&imports));
        }
    }
    assert!(files > 200, "only {files} modules were found");
    assert!(found.is_empty(), "\n{}", found.replace(&prefix, ""));
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
fn documents_are_wrapped() {
    let root = root();
    let mut documents = vec![root.clone(), root.join("docs"), root.join("docs/decisions")];
    documents.extend(
        ["cookbook-patches", "fuzz", "orbital-login", "recipes"].map(|folder| root.join(folder)),
    );
    let mut wide = Vec::new();
    for folder in documents {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "md") {
                let text = read(&path).unwrap();
                let lines = too_wide(&text);
                wide.extend(
                    lines
                        .iter()
                        .map(|line| format!("{}:{line}", path.display())),
                );
            }
        }
    }
    assert!(
        wide.is_empty(),
        "wider than {WIDTH} columns:\n{}",
        wide.join("\n")
    );
}

#[test]
fn every_file_that_the_architecture_document_names_exists() {
    let text = read(&root().join(ARCHITECTURE)).unwrap();
    let found = missing(&root(), Path::new(ARCHITECTURE), &text);
    assert!(found.is_empty(), "not there:\n{}", found.join("\n"));
}
