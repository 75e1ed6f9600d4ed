//! Which file of a crate imports from which other, and where that goes in a circle.
//!
//! Imports are: a `use` of an item that another file of the crate defines, at the top of a file or inside
//! of a function, and a path to such an item that is written in the code, also in a macro's arguments. A path
//! leads to the file that *defines* the item: the re-exports (`pub use`) of the files it passes are followed, and are
//! no imports themselves. `mod name;` does not count either, nor do methods that an `impl` block in another file
//! adds, nor imports of tests only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::modules::{Crate, Name};

/// From each file, to each file it imports from, by which paths.
pub type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// The most imports that one path is followed through; more is a re-export of itself.
const FOLLOWED_MAX: usize = 16;

/// All imports between the files of a crate.
pub fn imports(all: &Crate) -> Imports {
    let mut imports = Imports::new();
    for (index, module) in all.modules.iter().enumerate() {
        for path in &module.mentions {
            for file in defining_files(all, index, path, 0) {
                if file != module.file {
                    let targets = imports.entry(module.file.clone()).or_default();
                    targets.entry(file).or_default().insert(path.join("::"));
                }
            }
        }
    }
    imports
}

/// The files that define the item at this path, seen from a module. None if it is a module or of another crate.
fn defining_files(all: &Crate, from: usize, path: &[String], followed: usize) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Some((first, rest)) = path.split_first() else {
        return found;
    };
    if followed > FOLLOWED_MAX {
        return found;
    }
    match first.as_str() {
        "crate" => look_up(all, 0, rest, followed, &mut found),
        "self" => look_up(all, from, rest, followed, &mut found),
        "super" => {
            if let Some(parent) = all.modules[from].parent {
                // Further segments may be `super` again.
                if rest.first().is_some_and(|next| next == "super") {
                    return defining_files(all, parent, rest, followed);
                }
                look_up(all, parent, rest, followed, &mut found);
            }
        }
        _ => look_up(all, from, path, followed, &mut found),
    }
    found
}

/// The same for a path whose first segment is a name in this module.
fn look_up(
    all: &Crate,
    module: usize,
    path: &[String],
    followed: usize,
    found: &mut BTreeSet<PathBuf>,
) {
    let Some((name, rest)) = path.split_first() else {
        return;
    };
    let there = &all.modules[module];
    for meaning in there.names.get(name).into_iter().flatten() {
        match meaning {
            Name::Item => {
                found.insert(there.file.clone());
            }
            Name::Module(child) => look_up(all, *child, rest, followed, found),
            Name::Import(import) => {
                // An import may have the name of the crate it comes from, as in `use log;`.
                if import.first() == Some(name) && import.len() == 1 {
                    continue;
                }
                let whole: Vec<_> = import.iter().chain(rest).cloned().collect();
                found.extend(defining_files(all, module, &whole, followed + 1));
            }
        }
    }
    if !there.names.contains_key(name) {
        for glob in &there.globs {
            let whole: Vec<_> = glob.iter().chain(path).cloned().collect();
            found.extend(defining_files(all, module, &whole, followed + 1));
        }
    }
}

/// The circles: each set of files of which every one reaches every other.
pub fn circles(imports: &Imports) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|file| (file, reached_from(imports, file)))
        .collect();
    let mut circles = BTreeSet::new();
    for (file, there) in &reached {
        if there.contains(*file) {
            let back =
                |other: &&PathBuf| reached.get(*other).is_some_and(|far| far.contains(*file));
            circles.insert(there.iter().filter(back).cloned().collect::<BTreeSet<_>>());
        }
    }
    circles.into_iter().collect()
}

fn reached_from(imports: &Imports, file: &PathBuf) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut next = vec![file];
    while let Some(file) = next.pop() {
        for target in imports.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(target.clone()) {
                next.push(target);
            }
        }
    }
    reached
}

/// The circles for a person: each import inside of each.
pub fn describe(imports: &Imports, circles: &[BTreeSet<PathBuf>]) -> String {
    let mut text = String::new();
    for circle in circles {
        text += "a circle:\n";
        for from in circle {
            for (to, paths) in imports.get(from).into_iter().flatten() {
                if circle.contains(to) {
                    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
                    text += &format!(
                        "  {} -> {}: {}\n",
                        from.display(),
                        to.display(),
                        paths.join(", ")
                    );
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a crate of these files and finds its circles.
    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = std::env::temp_dir().join(format!(
            "safeos-structure-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let read = Crate::read(&folder.join("lib.rs"));
        let found = circles(&imports(&read.unwrap()));
        let name = |file: &PathBuf| file.strip_prefix(&folder).unwrap().display().to_string();
        let names = found
            .iter()
            .map(|circle| circle.iter().map(name).collect())
            .collect();
        std::fs::remove_dir_all(&folder).unwrap();
        names
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle() {
        let found = circles_of(&[
            ("lib.rs", "mod home; mod packs;"),
            (
                "home.rs",
                "use crate::packs::Ahead; pub struct Home(Ahead);",
            ),
            (
                "packs.rs",
                "pub struct Ahead; fn f(home: &super::home::Home) {}",
            ),
        ]);
        assert_eq!(found, [["home.rs", "packs.rs"]]);
    }

    #[test]
    fn a_circle_of_three_goes_through_re_exports_globs_macros_and_imports_in_functions() {
        let found = circles_of(&[
            ("lib.rs", "mod a; mod b; mod top; pub use b::inner::Deep;"),
            (
                "a.rs",
                "pub struct A; fn f() { println!(\"{}\", crate::Deep::new()) }",
            ),
            ("b.rs", "pub mod inner; pub struct B;"),
            (
                "b/inner.rs",
                "pub struct Deep; fn f() { use crate::top::{self, Top as Other}; }",
            ),
            ("top.rs", "use crate::*; pub struct Top; fn f(_: a::A) {}"),
        ]);
        assert_eq!(found, [["a.rs", "b/inner.rs", "top.rs"]]);
    }

    #[test]
    fn a_file_that_uses_what_it_re_exports_imports_it() {
        let low = ("low.rs", "pub fn low(_: crate::Top) {}");
        let root = |body| {
            (
                "lib.rs",
                format!("mod low; pub use low::low; pub struct Top; {body}"),
            )
        };
        let found = |root: (&str, String)| circles_of(&[(root.0, &root.1), low]);
        assert_eq!(found(root("fn f() { low(Top) }")), [["lib.rs", "low.rs"]]);
        assert!(found(root("fn f(a: A) { a.low() }")).is_empty());
    }

    #[test]
    fn a_tree_that_goes_down_has_none() {
        let found = circles_of(&[
            (
                "lib.rs",
                "mod a; mod b; pub use a::A; pub use b::B; pub use b::low::Low;",
            ),
            (
                "a.rs",
                "use crate::B; pub struct A(B); impl A { pub const C: u8 = 1; }",
            ),
            (
                "b.rs",
                "pub mod low; pub use low::Low; pub struct B(low::Low);",
            ),
            (
                "b/low.rs",
                "pub struct Low; #[cfg(test)] mod tests { use crate::A; }",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
