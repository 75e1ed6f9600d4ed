//! The time as it is shown.

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

/// The local time, and how long until the next minute.
pub fn now() -> (Clock, Duration) {
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
