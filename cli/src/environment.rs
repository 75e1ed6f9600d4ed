//! The environment of a command that `safe run` runs.
//!
//! HOME and PWD are in the session; a variable that pointed into the old home would make programs
//! read and write there, so it goes, unless what it names is a tool of this computer.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::dirs::{Dirs, MOUNT};
use safeos_control::SECRET_VARIABLES;

/// Variables that stay although they point into the old home: places of tools, of the desktop, of
/// this computer's certificates.
const KEPT: &[&str] = &[
    "PATH",
    "LD_LIBRARY_PATH",
    "MANPATH",
    "INFOPATH",
    "XDG_RUNTIME_DIR",
    "XDG_DATA_DIRS",
    "XDG_CONFIG_DIRS",
    "XAUTHORITY",
    "ICEAUTHORITY",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "SHELL",
    "RUSTUP_HOME",
    "PYENV_ROOT",
    "NVM_DIR",
    "SDKMAN_DIR",
    "RBENV_ROOT",
    "JAVA_HOME",
    "GOROOT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CARGO_TARGET_DIR",
    "SAFE_STATE",
    "SAFE_STORE",
];

/// Variables that must not reach the command besides [`SECRET_VARIABLES`]: the file of the wallet's key, and the shell's former
/// folder.
const REMOVED: &[&str] = &[safeos_store_autonomi::WALLET_KEY_FILE, "OLDPWD"];

/// Builds the command's environment from this program's own.
pub fn inside(
    own: impl IntoIterator<Item = (OsString, OsString)>,
    dirs: &Dirs,
    store: &str,
    mount: &Path,
    safe: Option<&Path>,
    exists: impl Fn(&Path) -> bool,
) -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<OsString, OsString> = own.into_iter().collect();
    let old_home = variables
        .get(OsStr::new("HOME"))
        .map(PathBuf::from)
        .filter(|home| home.is_absolute() && home != Path::new("/"));
    if let Some(old) = &old_home {
        variables
            .retain(|name, value| KEPT.iter().any(|kept| name == kept) || !points_into(value, old));
        // rustup's `cargo` finds the toolchains by HOME; they are this computer's, not the account's.
        let toolchains = old.join(".rustup");
        if exists(&toolchains) {
            variables
                .entry("RUSTUP_HOME".into())
                .or_insert_with(|| toolchains.into());
        }
        // The same for pyenv's stand-ins in PATH.
        let pythons = old.join(".pyenv");
        if exists(&pythons) {
            variables
                .entry("PYENV_ROOT".into())
                .or_insert_with(|| pythons.into());
        }
    }
    for name in SECRET_VARIABLES.iter().chain(REMOVED) {
        variables.remove(OsStr::new(name));
    }
    let home = mount.join("home");
    variables.insert("HOME".into(), home.clone().into());
    variables.insert("PWD".into(), home.into());
    variables.insert(MOUNT.into(), mount.into());
    // The defaults of these follow HOME, which has just moved.
    variables.insert("SAFE_STATE".into(), dirs.state.clone().into());
    variables.insert("SAFE_STORE".into(), store.into());
    if let Some(folder) = safe.and_then(Path::parent) {
        let path = variables.entry("PATH".into()).or_default();
        let first = std::env::split_paths(path).next();
        if first.as_deref() != Some(folder) {
            let mut longer = folder.as_os_str().to_owned();
            if !path.is_empty() {
                longer.push(":");
                longer.push(&*path);
            }
            *path = longer;
        }
    }
    variables
}

/// Whether a value is a path in `folder`, or a list of paths with one of them there.
fn points_into(value: &OsStr, folder: &Path) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b':')
        .any(|part| Path::new(OsStr::from_bytes(part)).starts_with(folder))
}

/// The user's shell.
pub fn shell() -> OsString {
    std::env::var_os("SHELL")
        .filter(|shell| Path::new(shell).is_absolute() && Path::new(shell).exists())
        .unwrap_or_else(|| "/bin/sh".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        let dirs = Dirs {
            state: "/old/.local/state/safeos".into(),
            store: "file:///old/.local/share/safeos/store".into(),
            store_named: false,
            log: None,
            mount: None,
        };
        inside(
            pairs
                .iter()
                .map(|(name, value)| (OsString::from(name), OsString::from(value))),
            &dirs,
            "file:///the/store",
            Path::new("/tmp/safe-1/safe"),
            Some(Path::new("/opt/bin/safe")),
            |path| path == Path::new("/old/.rustup"),
        )
    }

    fn get<'a>(variables: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a str> {
        variables.get(OsStr::new(name)).and_then(|v| v.to_str())
    }

    #[test]
    fn home_is_in_the_session() {
        let inside = build(&[
            ("HOME", "/old"),
            ("PWD", "/old/work"),
            ("OLDPWD", "/etc"),
            ("USER", "ana"),
            ("LOGNAME", "ana"),
            ("PATH", "/old/.cargo/bin:/usr/bin"),
        ]);
        assert_eq!(get(&inside, "HOME"), Some("/tmp/safe-1/safe/home"));
        assert_eq!(get(&inside, "PWD"), Some("/tmp/safe-1/safe/home"));
        assert_eq!(get(&inside, "SAFE_MOUNT"), Some("/tmp/safe-1/safe"));
        assert_eq!(get(&inside, "USER"), Some("ana"));
        assert_eq!(get(&inside, "LOGNAME"), Some("ana"));
        assert_eq!(get(&inside, "OLDPWD"), None);
        assert_eq!(
            get(&inside, "PATH"),
            Some("/opt/bin:/old/.cargo/bin:/usr/bin")
        );
        assert_eq!(get(&inside, "SAFE_STATE"), Some("/old/.local/state/safeos"));
        assert_eq!(get(&inside, "SAFE_STORE"), Some("file:///the/store"));
    }

    #[test]
    fn nothing_points_into_the_old_home() {
        let inside = build(&[
            ("HOME", "/old"),
            ("XDG_CONFIG_HOME", "/old/.config"),
            ("XDG_CACHE_HOME", "/var/cache/ana"),
            ("CARGO_HOME", "/old/.cargo"),
            ("GNUPGHOME", "/old/.gnupg"),
            ("PYTHONPATH", "/usr/share/x:/old/py"),
            ("XDG_RUNTIME_DIR", "/run/user/1000"),
            ("OLDER", "/older/than"),
        ]);
        for gone in ["XDG_CONFIG_HOME", "CARGO_HOME", "GNUPGHOME", "PYTHONPATH"] {
            assert_eq!(get(&inside, gone), None, "{gone}");
        }
        assert_eq!(get(&inside, "XDG_CACHE_HOME"), Some("/var/cache/ana"));
        assert_eq!(get(&inside, "XDG_RUNTIME_DIR"), Some("/run/user/1000"));
        assert_eq!(get(&inside, "OLDER"), Some("/older/than"));
    }

    #[test]
    fn this_computers_toolchains_stay() {
        assert_eq!(
            get(&build(&[("HOME", "/old")]), "RUSTUP_HOME"),
            Some("/old/.rustup")
        );
        let set = build(&[("HOME", "/old"), ("RUSTUP_HOME", "/opt/rustup")]);
        assert_eq!(get(&set, "RUSTUP_HOME"), Some("/opt/rustup"));
    }

    #[test]
    fn the_places_of_secrets_do_not_reach_the_command() {
        for name in [
            "SAFE_PASSWORD_FILE",
            "SAFE_NEW_PASSWORD_FILE",
            "SAFE_SECRET_KEY_FILE",
            "SAFE_RECOVERY_KEY_FILE",
            "SAFE_WALLET_KEY_FILE",
        ] {
            let inside = build(&[("HOME", "/old"), (name, "/run/secret")]);
            assert_eq!(get(&inside, name), None, "{name}");
        }
    }

    #[test]
    fn an_old_home_at_the_root_removes_nothing() {
        let inside = build(&[("HOME", "/"), ("EDITOR", "/usr/bin/vi")]);
        assert_eq!(get(&inside, "EDITOR"), Some("/usr/bin/vi"));
    }
}
