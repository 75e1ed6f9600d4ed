//! The workspace's packages and the floors they stand on.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Result, read};

/// The floors of `docs/architecture.md` from bottom to top, each by the folders of its packages. A package may depend
/// on the floors below its own only.
pub const FLOORS: &[&[&str]] = &[
    &["crates/telemetry", "crates/mountpoint", "crates/secret"],
    &["crates/record"],
    &["crates/store"],
    &["crates/tree", "crates/account", "crates/store-autonomi"],
    &["crates/session", "crates/control"],
    &["schemes/safed", "gateway", "crates/devnet"],
    &["cli", "orbital-login"],
];

/// A package of the workspace.
#[derive(Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder from the workspace's root.
    pub folder: String,
    /// Its dependencies, without those of its tests.
    pub dependencies: Vec<String>,
}

/// All packages of the workspace except those below `tests/`, which stand above all floors.
pub fn packages(root: &Path) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    for (folder, text) in manifests(root)? {
        let mut package = Package {
            name: String::new(),
            folder,
            dependencies: Vec::new(),
        };
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line.trim_matches(['[', ']']);
            } else if let Some((key, value)) = line.split_once('=') {
                if section == "package" && key.trim() == "name" {
                    package.name = value.trim().trim_matches('"').to_owned();
                }
                if section == "dependencies" || section.ends_with(".dependencies") {
                    let name = key.split('.').next().unwrap_or(key).trim();
                    package.dependencies.push(name.to_owned());
                }
            }
        }
        packages.push(package);
    }
    Ok(packages)
}

fn manifests(root: &Path) -> Result<BTreeMap<String, String>> {
    let text = read(&root.join("Cargo.toml"))?;
    let members = text
        .lines()
        .find_map(|line| line.strip_prefix("members = ["))
        .ok_or("Cargo.toml has no line of members")?;
    let mut folders = Vec::new();
    for member in members
        .trim_end_matches(']')
        .split(',')
        .map(|one| one.trim().trim_matches('"'))
    {
        match member.strip_suffix("/*") {
            Some(folder) => {
                let entries = std::fs::read_dir(root.join(folder));
                for entry in entries.map_err(|error| format!("{folder}: {error}"))? {
                    let entry = entry.map_err(|error| format!("{folder}: {error}"))?;
                    folders.push(format!("{folder}/{}", entry.file_name().display()));
                }
            }
            None => folders.push(member.to_owned()),
        }
    }
    folders.retain(|folder| !folder.starts_with("tests/"));
    let manifest = |folder: String| {
        let text = read(&root.join(&folder).join("Cargo.toml"))?;
        Ok((folder, text))
    };
    folders.into_iter().map(manifest).collect()
}

/// The dependencies that break the order of the floors, a line each.
pub fn violations(floors: &[&[&str]], packages: &[Package]) -> Vec<String> {
    let floor = |package: &Package| {
        floors
            .iter()
            .position(|floor| floor.contains(&package.folder.as_str()))
    };
    let mut found = Vec::new();
    for package in packages {
        let Some(own) = floor(package) else {
            found.push(format!("{} stands on no floor", package.folder));
            continue;
        };
        for dependency in &package.dependencies {
            let Some(other) = packages.iter().find(|other| other.name == *dependency) else {
                continue;
            };
            if floor(other).is_none_or(|below| below >= own) {
                found.push(format!(
                    "{} depends on {}, which is not on a floor below",
                    package.folder, other.folder
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_on_the_same_floor_or_above_and_a_package_without_a_floor_are_found() {
        let package = |folder: &str, dependencies: &[&str]| Package {
            name: folder.into(),
            folder: folder.into(),
            dependencies: dependencies.iter().map(|&name| name.into()).collect(),
        };
        let floors: &[&[&str]] = &[&["low"], &["mid", "beside"], &["top"]];
        let packages = [
            package("low", &["top", "serde"]),
            package("mid", &["beside", "low"]),
            package("beside", &[]),
            package("top", &["mid", "low"]),
            package("new", &[]),
        ];
        let found = violations(floors, &packages);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("low depends on top"));
        assert!(found[1].starts_with("mid depends on beside"));
        assert!(found[2].starts_with("new stands on no floor"));
    }
}
