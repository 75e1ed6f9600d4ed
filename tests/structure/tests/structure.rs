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
    "cli/src/commands/account.rs",
    "cli/src/commands/devnet.rs",
    "cli/src/commands/doctor.rs",
    "cli/src/commands/history.rs",
    "cli/src/commands/mod.rs",
    "cli/src/commands/money.rs",
    "cli/src/commands/public.rs",
    "cli/src/commands/run.rs",
    "cli/src/commands/serve.rs",
    "cli/src/commands/session.rs",
    "cli/src/commands/store.rs",
    "cli/src/commands/watch.rs",
    "cli/src/daemon/own.rs",
    "cli/src/daemon/system.rs",
    "cli/src/fetch.rs",
    "cli/src/fetch/copy.rs",
    "cli/src/fetch/folder.rs",
    "cli/src/fetch/folder_by_path.rs",
    "cli/src/fetch/place.rs",
    "cli/src/fetch/tree.rs",
    "cli/src/fetch/walk.rs",
    "cli/src/places.rs",
    "crates/account/src/account.rs",
    "crates/account/src/error.rs",
    "crates/account/src/login.rs",
    "crates/account/src/recovery.rs",
    "crates/account/src/secret_key.rs",
    "crates/record/src/address.rs",
    "crates/record/src/chunk.rs",
    "crates/record/src/error.rs",
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
    "crates/store-autonomi/src/client/chunks.rs",
    "crates/store-autonomi/src/client/mod.rs",
    "crates/store-autonomi/src/client/payment.rs",
    "crates/store-autonomi/src/client/pointers.rs",
    "crates/store-autonomi/src/client/purse.rs",
    "crates/store-autonomi/src/client/store.rs",
    "crates/store-autonomi/src/lib.rs",
    "crates/store-autonomi/src/without.rs",
    "crates/store/src/check.rs",
    "crates/store/src/error.rs",
    "crates/store/src/file.rs",
    "crates/store/src/file/engine.rs",
    "crates/store/src/file/failure.rs",
    "crates/store/src/file/folder.rs",
    "crates/store/src/file/holder.rs",
    "crates/store/src/file/unsynced.rs",
    "crates/store/src/http.rs",
    "crates/store/src/http/agent.rs",
    "crates/store/src/http/call.rs",
    "crates/store/src/http/loss.rs",
    "crates/store/src/http/network.rs",
    "crates/store/src/http/parts.rs",
    "crates/store/src/http/settings.rs",
    "crates/store/src/http/tls.rs",
    "crates/store/src/http/trouble.rs",
    "crates/store/src/http/wire.rs",
    "crates/store/src/lib.rs",
    "crates/store/src/url.rs",
    "crates/store/src/whose.rs",
    "crates/tree/src/check.rs",
    "crates/tree/src/check/names.rs",
    "crates/tree/src/codec.rs",
    "crates/tree/src/error.rs",
    "crates/tree/src/merge.rs",
    "crates/tree/src/merge/nodes.rs",
    "crates/tree/src/merge/renumber.rs",
    "crates/tree/src/object.rs",
    "gateway/src/bodies.rs",
    "gateway/src/gate.rs",
    "gateway/src/halves.rs",
    "gateway/src/metrics.rs",
    "gateway/src/patient.rs",
    "orbital-login/src/layout.rs",
    "orbital-login/src/layout/card.rs",
    "orbital-login/src/layout/corner.rs",
    "orbital-login/src/session/linux.rs",
    "orbital-login/src/session/linux/daemon.rs",
    "orbital-login/src/session/redox.rs",
    "orbital-login/src/session/redox/users.rs",
    "orbital-login/src/state.rs",
    "orbital-login/src/state/people.rs",
    "orbital-login/src/state/screen.rs",
    "orbital-login/src/view.rs",
    "orbital-login/src/view/form.rs",
    "orbital-login/src/view/people.rs",
    "orbital-login/src/view/wait.rs",
    "orbital-login/src/window.rs",
    "orbital-login/src/window/desktop.rs",
    "orbital-login/src/window/orbital.rs",
    "schemes/safed/src/control.rs",
    "schemes/safed/src/control/requests.rs",
    "schemes/safed/src/scheme/front.rs",
    "schemes/safed/src/scheme/handles.rs",
    "schemes/safed/src/scheme/locks.rs",
    "schemes/safed/src/scheme/memory.rs",
    "schemes/safed/src/scheme/redox.rs",
    "schemes/safed/src/scheme/server.rs",
    "schemes/safed/src/scheme/walk.rs",
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
