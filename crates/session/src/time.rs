//! Times as people and folder names show them.

use crate::Nanos;

/// UTC, as `2026-11-22T10:11:12.123456789Z`.
/// The year is counted from March, so that a leap day is its last.
pub(crate) fn utc(time: Nanos) -> String {
    const DAY: i128 = 86_400;
    let seconds = time.div_euclid(1_000_000_000);
    let nanos = time.rem_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{nanos:09}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// The same, as `2026-11-22T10:11:12Z`.
pub(crate) fn to_the_second(time: Nanos) -> String {
    let text = utc(time);
    format!("{}Z", text.split('.').next().unwrap_or_default())
}

/// The name of a state of the home in `snapshots/`.
pub(crate) fn snapshot_name(time: u64) -> String {
    let text = utc(i128::from(time));
    // To the millisecond, as file names are read by people.
    format!("{}Z", &text[..23.min(text.len())])
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn known_moments() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(
            utc(951_782_400_000_000_000),
            "2000-02-29T00:00:00.000000000Z"
        );
        assert_eq!(
            utc(1_795_342_272_123_000_000),
            "2026-11-22T10:11:12.123000000Z"
        );
        assert_eq!(utc(-1), "1969-12-31T23:59:59.999999999Z");
    }
}
