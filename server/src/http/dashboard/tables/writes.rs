//! What is written to a table, day by day, as the pages show it.

use std::collections::BTreeMap;

use syncline_web::chart::{Chart, Hue, Series, Shape, Unit};
use time::{Date, Duration, OffsetDateTime, Time};

use crate::tables::{activity::TableDay, catalog::CatalogTable};

/// Days that the picture shows, today among them.
pub(super) const DAYS: i64 = 30;

/// The first of so many days of which today is the last.
pub(super) fn first_day(now: OffsetDateTime, days: i64) -> Date {
    (now - Duration::days(days - 1)).date()
}

/// Rows inserted, changed and deleted in these days.
pub(super) fn sum(table: &CatalogTable, days: &[TableDay]) -> i64 {
    let of_table = days.iter().filter(|day| day.table_no == table.table_no());
    of_table.map(|day| day.inserted + day.updated + day.deleted).sum()
}

/// The last [`DAYS`] days.
pub(super) fn chart(table: &CatalogTable, days: &[TableDay], now: OffsetDateTime) -> Chart {
    let first = first_day(now, DAYS);
    let of_table: BTreeMap<Date, &TableDay> =
        days.iter().filter(|day| day.table_no == table.table_no()).map(|day| (day.day, day)).collect();
    let series = |name: &str, hue, of: fn(&TableDay) -> i64| Series {
        name: name.to_owned(),
        hue,
        values: (0..DAYS)
            .map(|place| {
                Some(of_table.get(&(first + Duration::days(place))).map_or(0.0, |day| of(day) as f64))
            })
            .collect(),
    };
    Chart {
        id: "writes".to_owned(),
        title: "Rows written".to_owned(),
        headline: sum(table, days).to_string(),
        shape: Shape::Bars,
        unit: Unit::Count,
        start: first.with_time(Time::MIDNIGHT).assume_utc(),
        step: Duration::DAY,
        series: vec![
            series("inserted", Hue::First, |day| day.inserted),
            series("changed", Hue::Third, |day| day.updated),
            series("deleted", Hue::Wrong, |day| day.deleted),
        ],
        empty: "Nothing was written in these 30 days.".to_owned(),
    }
}
