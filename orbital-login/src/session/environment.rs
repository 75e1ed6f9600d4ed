//! The variables of a session.
//!
//! What always holds here: they are made anew; of the login's own only those that describe the computer are
//! passed on, so nothing points to another person's folders or names a secret.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The login's own variables that describe the computer and its screen.
const PASSED: &[&str] = &[
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "ORBITAL_DISPLAY",
    "LANG",
    "TZ",
    "SHELL",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_TYPE",
    "XDG_SEAT",
    "XDG_VTNR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// The sources of a session's variables.
pub struct Session<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The home folder.
    pub home: &'a Path,
    /// Where `safe:` is; none for a guest.
    pub safe: Option<&'a Path>,
    /// Folders with programs, besides the profile's.
    pub path: &'a OsStr,
    /// Folders with shared data, besides the profile's.
    pub data: &'a str,
}

/// The variables; `own` are the login's.
pub fn variables(
    session: &Session<'_>,
    own: impl IntoIterator<Item = (OsString, OsString)>,
) -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<OsString, OsString> = own
        .into_iter()
        .filter(|(name, _)| {
            PASSED.iter().any(|passed| name == passed)
                || name.as_encoded_bytes().starts_with(b"LC_")
        })
        .collect();
    let mut set = |name: &str, value: OsString| variables.insert(name.into(), value);
    let home = session.home;
    set("HOME", home.into());
    set("PWD", home.into());
    set("USER", session.user.into());
    set("LOGNAME", session.user.into());
    set("XDG_CONFIG_HOME", home.join(".config").into());
    set("XDG_CACHE_HOME", home.join(".cache").into());
    set("XDG_DATA_HOME", home.join(".local/share").into());
    set("XDG_STATE_HOME", home.join(".local/state").into());
    // The profile's programs come before the computer's.
    let apps = session.safe.map(|safe| safe.join("apps"));
    let first = |below: &str, rest: &OsStr| {
        let mut list = OsString::new();
        for folder in apps.iter().map(|apps| apps.join(below)) {
            list.push(PathBuf::into_os_string(folder));
            list.push(":");
        }
        list.push(rest);
        list
    };
    set("PATH", first("bin", session.path));
    set("XDG_DATA_DIRS", first("share", session.data.as_ref()));
    if let Some(safe) = session.safe {
        set("SAFE_MOUNT", safe.into());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_and_programs_are_the_sessions_and_nothing_else_comes_along() {
        let own = [
            ("HOME", "/home/other"),
            ("XDG_CONFIG_HOME", "/home/other/.config"),
            ("SAFE_PASSWORD_FILE", "/run/secret"),
            ("LD_PRELOAD", "/home/other/x.so"),
            ("DISPLAY", ":0"),
            ("LC_TIME", "de_DE.UTF-8"),
        ]
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let session = Session {
            user: "ana",
            home: Path::new("/s/home"),
            safe: Some(Path::new("/s")),
            path: "/usr/bin:/bin".as_ref(),
            data: "/usr/share",
        };
        let made = variables(&session, own);
        let get = |name: &str| made.get(OsStr::new(name)).and_then(|value| value.to_str());
        assert_eq!(get("HOME"), Some("/s/home"));
        assert_eq!(get("PATH"), Some("/s/apps/bin:/usr/bin:/bin"));
        assert_eq!(get("XDG_DATA_DIRS"), Some("/s/apps/share:/usr/share"));
        assert_eq!(get("XDG_CONFIG_HOME"), Some("/s/home/.config"));
        assert_eq!(
            (get("DISPLAY"), get("LC_TIME")),
            (Some(":0"), Some("de_DE.UTF-8"))
        );
        assert_eq!(get("SAFE_MOUNT"), Some("/s"));
        for gone in ["SAFE_PASSWORD_FILE", "LD_PRELOAD"] {
            assert_eq!(get(gone), None);
        }
        let guest = Session {
            safe: None,
            home: Path::new("/tmp/guest"),
            ..session
        };
        let made = variables(&guest, []);
        assert_eq!(made.get(OsStr::new("PATH")), Some(&"/usr/bin:/bin".into()));
        assert_eq!(made.get(OsStr::new("SAFE_MOUNT")), None);
    }
}
