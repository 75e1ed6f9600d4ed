//! The time as it is shown.
//!
//! What always holds here: it is that of the zone that the computer is in now, also if it was in another when the screen came
//! up; and that it is written as the language and the region want it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::language::{Language, Locale};
use crate::message::Message;
use crate::state::Clock;

/// No computer that runs this has an earlier time: 1 November 2026.
const EARLIEST_SECONDS: u64 = 1_793_491_200;

const DAYS: [&str; 7] = [
    "day-0", "day-1", "day-2", "day-3", "day-4", "day-5", "day-6",
];
const MONTHS: [&str; 12] = [
    "month-1", "month-2", "month-3", "month-4", "month-5", "month-6", "month-7", "month-8",
    "month-9", "month-10", "month-11", "month-12",
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
    let part = |number: libc::c_int| u8::try_from(number).unwrap_or(0);
    Clock {
        hour: part(parts.tm_hour),
        minute: part(parts.tm_min),
        weekday: part(parts.tm_wday),
        day: part(parts.tm_mday),
        month: part(parts.tm_mon + 1),
        year: u16::try_from(parts.tm_year + 1900).unwrap_or(0),
        is_wrong: seconds < EARLIEST_SECONDS,
    }
}

/// `17:05`, or as it is written there.
pub fn time(clock: &Clock, language: Language, locale: Locale) -> String {
    if language == Language::English && locale.twelve_hours {
        let half = if clock.hour < 12 { "AM" } else { "PM" };
        let hour = (clock.hour + 11) % 12 + 1;
        return format!("{hour}:{:02} {half}", clock.minute);
    }
    format!("{:02}:{:02}", clock.hour, clock.minute)
}

/// The day of the week, the day and the month.
pub fn date(clock: &Clock, language: Language, locale: Locale) -> String {
    let order = if locale.month_first { "month" } else { "day" };
    let message = Message::new("date")
        .with("weekday", weekday(clock))
        .with("day", u64::from(clock.day))
        .with("month", name(&MONTHS, clock.month.saturating_sub(1)))
        .with("order", order);
    language.say(&message)
}

/// The day of the week.
pub fn weekday(clock: &Clock) -> Message {
    name(&DAYS, clock.weekday)
}

fn name(names: &[&'static str], index: u8) -> Message {
    let index = usize::from(index).min(names.len() - 1);
    Message::new(names[index])
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

    /// The identity of a file.
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
        assert!(shown(0).is_wrong);
        let right = shown(1_795_539_900);
        assert!(!right.is_wrong);
        assert_eq!((right.month, right.year), (11, 2026));
        let (_, left) = now();
        assert!(left <= Duration::from_secs(60));
    }

    #[test]
    fn date_and_time_are_written_as_they_are_there() {
        let clock = Clock {
            hour: 17,
            minute: 5,
            weekday: 2,
            day: 24,
            month: 11,
            year: 2026,
            is_wrong: false,
        };
        let here = Locale::default();
        let american = Locale {
            twelve_hours: true,
            month_first: true,
            ..here
        };
        let english = Language::English;
        assert_eq!(time(&clock, english, here), "17:05");
        assert_eq!(date(&clock, english, here), "Tuesday, 24 November");
        assert_eq!(time(&clock, english, american), "5:05 PM");
        assert_eq!(date(&clock, english, american), "Tuesday, November 24");
        let midnight = Clock { hour: 0, ..clock };
        assert_eq!(time(&midnight, english, american), "12:05 AM");
        assert_eq!(time(&clock, Language::German, american), "17:05");
        assert_eq!(
            date(&clock, Language::German, american),
            "Dienstag, 24. November"
        );
        assert_eq!(date(&clock, Language::Chinese, here), "11月24日星期二");
        // Any value may come from the system's library.
        let odd = Clock {
            weekday: 99,
            month: 0,
            ..clock
        };
        assert!(!date(&odd, english, here).is_empty());
    }
}
