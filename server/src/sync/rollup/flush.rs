//! Adding what was counted in memory to the app's rows: one statement an app, whatever has happened there.

use std::{collections::BTreeMap, fmt::Write as _};

use time::OffsetDateTime;

use super::{Step, Tally, histogram::Histogram, meter::AppTallies};
use crate::{
    ids::AppId,
    ops::database::in_schema,
    sync::{Engine, app_by_app::for_each_app},
};

/// Not durable: after a crash of the database the numbers of its last moment may be missing. In the order of the key,
/// so that nodes never wait for each other in a circle. Histograms come as text: arrays of arrays would lose their
/// ends. They are added bucket by bucket, here and not in a function, whose statement would be planned for each call; the
/// shorter one has zeros where it ends.
const ADD: &str = "insert into {schema}._sync_rollup as r (
        step, at, commits, rows_pushed, pulls, rows_served, conflicts, refusals, active_devices, commit_latency,
        pull_latency
    )
    select u.step, u.at, u.commits, u.rows_pushed, u.pulls, u.rows_served, u.conflicts, u.refusals, u.active_devices,
        u.commit_latency::bigint[], u.pull_latency::bigint[]
    from (select set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '1s', true)) as quick
    cross join unnest(
        $1::integer[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::bigint[], $10::text[], $11::text[]
    ) as u (
        step, at, commits, rows_pushed, pulls, rows_served, conflicts, refusals, active_devices, commit_latency,
        pull_latency
    )
    order by u.step, u.at
    on conflict (step, at) do update
    set commits = r.commits + excluded.commits,
        rows_pushed = r.rows_pushed + excluded.rows_pushed,
        pulls = r.pulls + excluded.pulls,
        rows_served = r.rows_served + excluded.rows_served,
        conflicts = r.conflicts + excluded.conflicts,
        refusals = r.refusals + excluded.refusals,
        active_devices = r.active_devices + excluded.active_devices,
        commit_latency = array(
            select coalesce(u.one, 0) + coalesce(u.other, 0)
            from unnest(r.commit_latency, excluded.commit_latency) with ordinality as u (one, other, place)
            order by u.place
        ),
        pull_latency = array(
            select coalesce(u.one, 0) + coalesce(u.other, 0)
            from unnest(r.pull_latency, excluded.pull_latency) with ordinality as u (one, other, place)
            order by u.place
        )";

/// A row to be added: of which step, what happened, and how many devices were new in it.
type Row = ((Step, OffsetDateTime), (Tally, i64));

impl Engine {
    /// Write down what has been counted. What fails is kept for the next time. When it ends, all that was counted
    /// before it began has been tried.
    pub async fn write_rollups(&self) {
        let _turn = self.meter.turn_to_write().await;
        let (apps, dropped) = self.meter.take();
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "more apps are busy than can be counted; the figures of some are too low"
            );
        }
        for_each_app(apps, |(app, tallies)| self.write_app_rollups(app, tallies)).await;
    }

    /// Write down what has been counted of one app, for whoever has the turn.
    pub(in crate::sync) async fn write_rollups_of(&self, app: AppId) {
        if let Some(tallies) = self.meter.take_app(app) {
            self.write_app_rollups(app, tallies).await;
        }
    }

    async fn write_app_rollups(&self, app: AppId, tallies: AppTallies) {
        match self.add_rollups(app, &tallies).await {
            Ok(()) => {
                self.apps_with_rollups.note(app);
                self.apps_with_writes.note(app);
            }
            // The app was deleted meanwhile.
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                tracing::warn!(app.id = %app, error.cause = %error, "figures could not be written");
                self.meter.put_back(app, tallies);
            }
        }
    }

    async fn add_rollups(&self, app: AppId, tallies: &AppTallies) -> Result<(), sqlx::Error> {
        let schema = app.schema();
        let rows = rows(tallies);
        let number = |of: fn(&Tally) -> i64| rows.iter().map(|(_, (tally, _))| of(tally)).collect::<Vec<_>>();
        let latency = |of: fn(&Tally) -> &Histogram| {
            rows.iter().map(|(_, (tally, _))| array_literal(of(tally))).collect::<Vec<_>>()
        };
        let query = sqlx::query(in_schema(&schema, ADD))
            .bind(rows.iter().map(|((step, _), _)| step.seconds()).collect::<Vec<_>>())
            .bind(rows.iter().map(|((_, at), _)| *at).collect::<Vec<_>>())
            .bind(number(|tally| tally.commits))
            .bind(number(|tally| tally.rows_pushed))
            .bind(number(|tally| tally.pulls))
            .bind(number(|tally| tally.rows_served))
            .bind(number(|tally| tally.conflicts))
            .bind(number(|tally| tally.refusals))
            .bind(rows.iter().map(|(_, (_, active))| *active).collect::<Vec<_>>())
            .bind(latency(|tally| &tally.commit_latency))
            .bind(latency(|tally| &tally.pull_latency));
        self.apps.rows(&schema, query).await.map(drop)
    }
}

/// Every step that the minutes lie in, the coarser ones summed up from them.
fn rows(tallies: &AppTallies) -> Vec<Row> {
    let mut rows: BTreeMap<(Step, OffsetDateTime), (Tally, i64)> = BTreeMap::new();
    for (minute, tally) in &tallies.minutes {
        for step in Step::ALL {
            rows.entry((step, step.begin(*minute))).or_default().0.add(tally);
        }
    }
    for (step, active) in &tallies.active {
        rows.entry(*step).or_default().1 += active;
    }
    rows.into_iter().collect()
}

/// As PostgreSQL reads an array: `{0,3,1}`.
fn array_literal(histogram: &Histogram) -> String {
    let mut literal = String::from("{");
    for (place, count) in histogram.counts().iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(literal, "{comma}{count}");
    }
    literal.push('}');
    literal
}

/// No such schema, table or role.
fn is_gone(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("3F000" | "42P01" | "22023" | "42704"))
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

    use super::*;

    #[test]
    fn coarser_steps_are_the_sum_of_their_minutes() {
        let midnight = datetime!(2026-07-15 0:00 UTC);
        let mut tallies = AppTallies::default();
        for minute in -2..3_i64 {
            let tally = Tally { commits: 1, ..Tally::default() };
            tallies.minutes.insert(midnight + Duration::minutes(minute), tally);
        }
        tallies.active.insert((Step::Day, midnight), 7);
        let rows = rows(&tallies);
        let of = |step, at| {
            let (_, (tally, active)) = rows.iter().find(|(key, _)| *key == (step, at)).unwrap();
            (tally.commits, *active)
        };
        assert_eq!(rows.len(), 5 + 3 * 2);
        assert_eq!(of(Step::Minute, midnight), (1, 0));
        assert_eq!(of(Step::Hour, midnight), (3, 0));
        assert_eq!(of(Step::Hour, midnight - Duration::hours(1)), (2, 0));
        assert_eq!(of(Step::Day, midnight), (3, 7));
    }

    #[test]
    fn a_histogram_is_written_as_an_array() {
        let mut histogram = Histogram::default();
        assert_eq!(array_literal(&histogram), "{}");
        histogram.measured(std::time::Duration::from_micros(260));
        assert_eq!(array_literal(&histogram), "{0,1}");
    }
}
