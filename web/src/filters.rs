//! How values read on a page: times, counts, sizes.

use std::fmt;

use askama::{Values, filter_fn};
use time::{
    Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::format_description,
};

/// A time as machines read it, for `datetime="…"`.
#[filter_fn]
pub fn rfc3339(time: &OffsetDateTime, _: &dyn Values) -> askama::Result<String> {
    time.format(&Rfc3339).map_err(|_| askama::Error::Fmt)
}

/// A time to the microsecond, for a hint: `2026-07-01 12:30:00.123456 UTC`.
#[filter_fn]
pub fn exact(time: &OffsetDateTime, _: &dyn Values) -> askama::Result<String> {
    let format =
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6] UTC");
    time.to_offset(UtcOffset::UTC).format(format).map_err(|_| askama::Error::Fmt)
}

/// A time as a person says it, seen from `now`: `just now`, `5 min ago`, `in 3 days`, `1 Jul 2026`.
#[filter_fn]
pub fn ago(time: &OffsetDateTime, _: &dyn Values, now: &OffsetDateTime) -> askama::Result<String> {
    time_in_words(*time, *now).map_err(|_| askama::Error::Fmt)
}

fn time_in_words(time: OffsetDateTime, now: OffsetDateTime) -> Result<String, time::error::Format> {
    let distance = now - time;
    let (span, past) = (distance.abs(), !distance.is_negative());
    if span < Duration::seconds(10) {
        return Ok("just now".to_owned());
    }
    if span >= Duration::days(14) {
        return time
            .to_offset(UtcOffset::UTC)
            .format(format_description!("[day padding:none] [month repr:short] [year]"));
    }
    let span = duration_in_words(span);
    Ok(if past { format!("{span} ago") } else { format!("in {span}") })
}

/// A span in its largest unit: `45 s`, `5 min`, `3 h`, `2 days`.
fn duration_in_words(span: Duration) -> String {
    let days = span.whole_days();
    if span < Duration::minutes(1) {
        format!("{} s", span.whole_seconds())
    } else if span < Duration::hours(1) {
        format!("{} min", span.whole_minutes())
    } else if span < Duration::days(1) {
        format!("{} h", span.whole_hours())
    } else {
        format!("{days} day{}", if days == 1 { "" } else { "s" })
    }
}

/// A count with its thousands set apart: `1 234 567` with narrow no-break spaces.
#[filter_fn]
pub fn count(number: impl fmt::Display, _: &dyn Values) -> askama::Result<String> {
    Ok(grouped(&number.to_string()))
}

/// The digits with their thousands set apart.
pub fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A count that ended one beyond `most`, if it got that far: `10 000+`.
#[filter_fn]
pub fn up_to(number: &i64, _: &dyn Values, most: &i64) -> askama::Result<String> {
    Ok(capped(*number, *most))
}

/// As the filter [`up_to`], for sentences.
pub fn capped(number: i64, most: i64) -> String {
    let more = if number > most { "+" } else { "" };
    format!("{}{more}", grouped(&number.min(most).to_string()))
}

/// A number of bytes: `812 B`, `4.2 KiB`, `1.0 GiB`.
#[filter_fn]
pub fn bytes(number: &i64, _: &dyn Values) -> askama::Result<String> {
    Ok(size_in_words(*number))
}

fn size_in_words(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// `one` when the count is 1, `many` otherwise.
#[filter_fn]
pub fn plural<'a>(number: &i64, _: &dyn Values, one: &'a str, many: &'a str) -> askama::Result<&'a str> {
    Ok(if *number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_read_as_a_person_says_them() {
        let now = datetime!(2026-07-15 12:00 UTC);
        let said = |time| time_in_words(time, now).unwrap();
        assert_eq!(said(now - Duration::seconds(3)), "just now");
        assert_eq!(said(now - Duration::seconds(59)), "59 s ago");
        assert_eq!(said(now - Duration::minutes(61)), "1 h ago");
        assert_eq!(said(now - Duration::days(1)), "1 day ago");
        assert_eq!(said(now + Duration::days(3)), "in 3 days");
        assert_eq!(said(now - Duration::days(14)), "1 Jul 2026");
    }

    #[test]
    fn counts_and_sizes_are_grouped() {
        assert_eq!(grouped("1234567"), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped("-123"), "-123");
        assert_eq!(size_in_words(1023), "1023 B");
        assert_eq!(size_in_words(1536), "1.5 KiB");
        assert_eq!(size_in_words(1024 * 1024), "1.0 MiB");
    }
}
