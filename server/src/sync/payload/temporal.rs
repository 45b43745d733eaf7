//! Dates and times as texts.
//!
//! The forms are stricter than PostgreSQL's, which takes much more, some of it by guessing.

use time::{Date, Month};

use super::value::InvalidValue;

const TIMESTAMPTZ: &str = "an RFC 3339 time such as 2024-05-06T07:08:09Z, in the years 1 to 9999";
const TIMESTAMP: &str =
    "an ISO 8601 date and time without zone such as 2024-05-06T07:08:09, in the years 1 to 9999";
const DATE: &str = "an ISO 8601 date such as 2024-05-06, in the years 1 to 9999";
const TIME: &str = "an ISO 8601 time of day such as 07:08:09";

/// RFC 3339: date, `T` or a space, time with seconds, `Z` or an offset below 16 hours (PostgreSQL's bound).
pub(super) fn check_timestamptz(text: &str) -> Result<(), InvalidValue> {
    let rest = date(text).and_then(separator).and_then(|rest| time_of_day(rest, true));
    or_form(rest.is_some_and(is_zone), TIMESTAMPTZ)
}

/// ISO 8601 without a zone; the seconds may be left out, as some languages do when they are zero.
pub(super) fn check_timestamp(text: &str) -> Result<(), InvalidValue> {
    let rest = date(text).and_then(separator).and_then(|rest| time_of_day(rest, false));
    or_form(rest == Some(""), TIMESTAMP)
}

pub(super) fn check_date(text: &str) -> Result<(), InvalidValue> {
    or_form(date(text) == Some(""), DATE)
}

pub(super) fn check_time(text: &str) -> Result<(), InvalidValue> {
    or_form(time_of_day(text, false) == Some(""), TIME)
}

fn or_form(well_formed: bool, form: &'static str) -> Result<(), InvalidValue> {
    if well_formed { Ok(()) } else { Err(InvalidValue::Time { form }) }
}

/// `YYYY-MM-DD`, a day that exists. Answers what follows.
fn date(text: &str) -> Option<&str> {
    let (year, rest) = number(text, 4)?;
    let (month, rest) = number(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = number(rest.strip_prefix('-')?, 2)?;
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let exists = Date::from_calendar_date(year, month, u8::try_from(day).ok()?).is_ok();
    (exists && year > 0).then_some(rest)
}

fn separator(text: &str) -> Option<&str> {
    text.strip_prefix(['T', 't', ' '])
}

/// `HH:MM[:SS[.fraction]]`; a leap second is a second.
fn time_of_day(text: &str, with_seconds: bool) -> Option<&str> {
    let (hour, rest) = number(text, 2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 2)?;
    if hour > 23 || minute > 59 {
        return None;
    }
    let Some(rest) = rest.strip_prefix(':') else { return (!with_seconds).then_some(rest) };
    let (second, rest) = number(rest, 2)?;
    if second > 60 {
        return None;
    }
    let Some(fraction) = rest.strip_prefix('.') else { return Some(rest) };
    let rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    // Devices write nanoseconds at most.
    (1..=9).contains(&(fraction.len() - rest.len())).then_some(rest)
}

fn is_zone(text: &str) -> bool {
    if matches!(text, "Z" | "z") {
        return true;
    }
    let offset = text.strip_prefix(['+', '-']).and_then(|rest| number(rest, 2));
    let Some((hours, rest)) = offset else { return false };
    let minutes = rest.strip_prefix(':').and_then(|rest| number(rest, 2));
    hours < 16 && matches!(minutes, Some((0..=59, "")))
}

/// Exactly `width` ASCII digits, and what follows.
fn number(text: &str, width: usize) -> Option<(i32, &str)> {
    let digits = text.get(..width)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, &text[width..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamptz_is_rfc_3339_in_postgresqls_range() {
        for good in [
            "2024-05-06T07:08:09Z",
            "2024-05-06T07:08:09.123456789Z",
            "2024-02-29t23:59:60z",
            "0001-01-01T00:00:00+00:00",
            "9999-12-31 23:59:59.9-15:59",
        ] {
            assert_eq!(check_timestamptz(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "2024-05-06",
            "2024-05-06T07:08Z",
            "2024-05-06T07:08:09",
            "2024-05-06T07:08:09.Z",
            "2024-05-06T07:08:09.1234567890Z",
            "2023-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "2024-05-06T24:00:00Z",
            "2024-05-06T07:08:61Z",
            "2024-05-06T07:08:09+16:00",
            "2024-05-06T07:08:09+0100",
            "2024-05-06T07:08:09Zulu",
            "infinity",
            "now",
            "2024-05-06T07:08:0é",
        ] {
            assert!(check_timestamptz(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn timestamps_dates_and_times_have_no_zone() {
        assert_eq!(check_timestamp("2024-05-06T07:08"), Ok(()));
        assert_eq!(check_timestamp("2024-05-06 07:08:09.5"), Ok(()));
        assert!(check_timestamp("2024-05-06T07:08:09Z").is_err());
        assert!(check_timestamp("2024-05-06").is_err());
        assert_eq!(check_date("2024-12-31"), Ok(()));
        assert!(check_date("2024-12-31T").is_err());
        assert!(check_date("2024-13-01").is_err());
        assert_eq!(check_time("07:08:09.000001"), Ok(()));
        assert!(check_time("7:08").is_err());
        assert!(check_time("07:08:09Z").is_err());
    }
}
