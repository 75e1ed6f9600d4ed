//! The time as it is shown.
//!
//! What always holds here: it is that of the zone that the computer is in now, also if it was in another when the screen came
//! up.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::state::Clock;

/// No computer that runs this has an earlier time: 1 November 2026.
const EARLIEST_SECONDS: u64 = 1_793_491_200;

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The local time, and how long until the next minute. For the thread that draws.
pub fn now() -> (Clock, Duration) {
    #[cfg(target_os = "linux")]
    zone::look();
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = since.as_secs();
    let left =
        Duration::from_secs(60 - seconds % 60) - Duration::from_nanos(since.subsec_nanos().into());
    (shown(seconds), left)
}

fn shown(seconds: u64) -> Clock {
    let time = libc::time_t::try_from(seconds).unwrap_or(0);
    // SAFETY: a `tm` is plain numbers (and a pointer that may be null), for which zero is valid.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both live until the call returns.
    unsafe { libc::localtime_r(&raw const time, &raw mut parts) };
    let name = |names: &[&'static str], index: libc::c_int| {
        usize::try_from(index)
            .ok()
            .and_then(|index| names.get(index).copied())
            .unwrap_or("")
    };
    let date = format!(
        "{}, {} {}",
        name(&DAYS, parts.tm_wday),
        parts.tm_mday,
        name(&MONTHS, parts.tm_mon)
    );
    let year = i64::from(parts.tm_year) + 1900;
    let wrong = (seconds < EARLIEST_SECONDS).then(|| {
        format!("This computer's clock says {date} {year}, which cannot be. Servers are not trusted with a wrong clock: set it.")
    });
    Clock {
        time: format!("{:02}:{:02}", parts.tm_hour, parts.tm_min),
        date,
        wrong,
    }
}

#[cfg(target_os = "linux")]
mod zone {
    //! The zone, read again when the file that says it is another.

    use std::ffi::OsString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;
    use std::time::Instant;

    const VARIABLE: &str = "TZ";
    /// Where the zone is if no variable says so.
    const DEFAULT: &str = "/etc/localtime";
    /// Where zones are by their names.
    const ZONES: &str = "/usr/share/zoneinfo";
    const LOOK_EVERY_SECONDS: u64 = 5;

    unsafe extern "C" {
        fn tzset();
    }

    /// What tells one file from another.
    type Stamp = Option<(u64, u64, i64, i64)>;

    /// Reads the zone again if its file is another than when it was read last.
    pub(super) fn look() {
        static SEEN: Mutex<Option<(Instant, Stamp)>> = Mutex::new(None);
        let Ok(mut seen) = SEEN.lock() else {
            return;
        };
        if seen.is_some_and(|(when, _)| when.elapsed().as_secs() < LOOK_EVERY_SECONDS) {
            return;
        }
        let variable = std::env::var_os(VARIABLE);
        let now = stamp(&file(variable.as_ref()));
        let is_new = seen.is_some_and(|(_, before)| before != now);
        *seen = Some((Instant::now(), now));
        if is_new {
            read_again(variable);
        }
    }

    fn file(variable: Option<&OsString>) -> PathBuf {
        match variable.map(|value| value.as_bytes()) {
            None | Some(b"") => DEFAULT.into(),
            Some(value) => {
                let name = value.strip_prefix(b":").unwrap_or(value);
                // A path that is absolute replaces what it is joined to.
                Path::new(ZONES).join(std::ffi::OsStr::from_bytes(name))
            }
        }
    }

    fn stamp(path: &Path) -> Stamp {
        let found = path.metadata().ok()?;
        Some((found.dev(), found.ino(), found.mtime(), found.mtime_nsec()))
    }

    /// The C library reads a file again only if the variable has changed meanwhile.
    fn read_again(variable: Option<OsString>) {
        // SAFETY: variables are read by other threads of this program through the standard library alone, whose lock this
        // takes; the C library reads this one on the thread that asks for the time, which is this.
        unsafe {
            std::env::set_var(VARIABLE, "UTC0");
            tzset();
            match variable {
                Some(value) => std::env::set_var(VARIABLE, value),
                None => std::env::remove_var(VARIABLE),
            }
            tzset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_cannot_be_right_is_said_to_be_wrong() {
        assert!(shown(0).wrong.is_some_and(|wrong| wrong.contains("19")));
        let right = shown(1_795_539_900);
        assert_eq!(right.wrong, None);
        assert!(right.date.contains("November"), "{}", right.date);
        assert_eq!(right.time.len(), 5);
        let (_, left) = now();
        assert!(left <= Duration::from_secs(60));
    }
}
