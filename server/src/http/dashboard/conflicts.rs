//! An app's conflicts: the list with filters, and one with its three rows.

use axum::{extract::State, http::HeaderMap, response::Response};
use serde::Deserialize;
use syncline_web::{
    chart::{Chart, Hue, Series, Shape, Unit},
    links::with_query,
    pages::conflicts::{
        ComparedColumn as ShownColumn, ConflictFacts, ConflictFilter as ShownFilter, ConflictPage,
        ConflictRow, ConflictRows, ConflictsPage, HotRow as ShownHotRow, HotTable as ShownHotTable, Kept,
        Outcome as ShownOutcome, Side, Statistics as ShownStatistics,
    },
    shell::Area,
};
use time::{Date, Duration, OffsetDateTime, Time, macros::format_description};

use super::{
    history::{op, value},
    place::{cursor_text, read_cursor, writer},
    show,
};
use crate::{
    http::{
        extract::{
            input::{ApiPath, ApiQuery, Input},
            member::AppViewer,
            visitor::is_htmx,
        },
        page_error::PageError,
    },
    ids::{ConflictId, ScopeId},
    sync::{
        Engine,
        conflict::{
            ledger::{
                ComparedColumn, Conflict, ConflictCursor, ConflictDetail, ConflictFilter, Outcome,
                OutcomeFilter,
            },
            statistics::ConflictCount,
        },
        device::list::Page,
        keys::RowOp,
        ledger_bounds::{KEPT_FOR, KEPT_PER_APP},
    },
    tables::catalog::AppCatalog,
};

/// Conflicts of one page.
const PAGE: i64 = 50;

/// Which conflicts, from where on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConflictsQuery {
    table: String,
    scope: String,
    source: String,
    outcome: String,
    /// Days, `2026-07-15`: the first and the last that are shown.
    from: String,
    until: String,
    after: String,
}

impl Input for ConflictsQuery {}

/// The part of the path that names a conflict.
#[derive(Debug, Deserialize)]
pub struct ConflictPath {
    pub(super) conflict: String,
}

pub async fn list(
    viewer: AppViewer,
    State(engine): State<Engine>,
    headers: HeaderMap,
    ApiQuery(query): ApiQuery<ConflictsQuery>,
) -> Result<Response, PageError> {
    let shell = viewer.shell(Area::Conflicts);
    let catalog = &viewer.live().catalog;
    let after: Option<ConflictCursor> = read_cursor(&query.after);
    let page = match filter(catalog, &query) {
        Some(filter) => engine.conflicts(catalog, &filter, after, PAGE).await?,
        None => Page { items: Vec::new(), next: None },
    };
    let next = page.next.map(|cursor| {
        let values = [
            ("table", query.table.as_str()),
            ("scope", &query.scope),
            ("source", &query.source),
            ("outcome", &query.outcome),
            ("from", &query.from),
            ("until", &query.until),
            ("after", &cursor_text(&cursor)),
        ];
        with_query(&shell.links().conflicts(), &values)
    });
    let conflicts = page.items.into_iter().map(row).collect();
    let rows = ConflictRows { shell: shell.clone(), conflicts, next };
    if is_htmx(&headers) {
        return show(&rows);
    }
    let statistics = match filter(catalog, &query).filter(|_| after.is_none()) {
        Some(filter) => Some(statistics(&engine, catalog, &filter, shell.now).await?),
        None => None,
    };
    let ConflictsQuery { table, scope, source, outcome, from, until, .. } = query;
    show(&ConflictsPage {
        shell,
        statistics,
        filter: ShownFilter { table, scope, source, outcome, from, until },
        kept: Kept { days: KEPT_FOR.whole_days(), conflicts: KEPT_PER_APP },
        tables: catalog.tables().iter().map(|table| table.name().to_string()).collect(),
        rows,
        is_continued: after.is_some(),
    })
}

/// What the query asks for; None when nothing can match it.
fn filter(catalog: &AppCatalog, query: &ConflictsQuery) -> Option<ConflictFilter> {
    let mut filter = ConflictFilter::default();
    if !query.table.is_empty() {
        filter.table_no = Some(catalog.table(&query.table)?.table_no());
    }
    if !query.scope.is_empty() {
        filter.scope = Some(ScopeId::parse(&query.scope).ok()?);
    }
    if !query.source.is_empty() {
        filter.source = Some(query.source.clone()).filter(|source| !source.contains('\0'));
        filter.source.as_ref()?;
    }
    filter.outcome = match query.outcome.as_str() {
        "" => None,
        "open" => Some(OutcomeFilter::Open),
        "kept_local" => Some(OutcomeFilter::Settled(Outcome::KeptLocal)),
        "accepted_server" => Some(OutcomeFilter::Settled(Outcome::AcceptedServer)),
        "merged" => Some(OutcomeFilter::Settled(Outcome::Merged)),
        "gave_up" => Some(OutcomeFilter::Settled(Outcome::GaveUp)),
        "settled_by_hand" => Some(OutcomeFilter::Settled(Outcome::SettledByHand)),
        _ => return None,
    };
    if !query.from.is_empty() {
        filter.from = Some(day(&query.from)?);
    }
    if !query.until.is_empty() {
        filter.until = Some(day(&query.until)?.checked_add(Duration::DAY)?);
    }
    Some(filter)
}

/// The beginning of a day in UTC.
fn day(text: &str) -> Option<OffsetDateTime> {
    let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    // PostgreSQL's years end where nobody looks for conflicts.
    (2000..=9000).contains(&date.year()).then(|| date.midnight().assume_utc())
}

/// Where and when the conflicts of the filter happened: over its days, the last thirty if it names none.
async fn statistics(
    engine: &Engine,
    catalog: &AppCatalog,
    filter: &ConflictFilter,
    now: OffsetDateTime,
) -> Result<ShownStatistics, PageError> {
    const DAYS: i64 = 30;
    let until = filter.until.unwrap_or(now).min(now);
    let since = filter.from.unwrap_or(until - Duration::days(DAYS)).min(until - Duration::HOUR);
    let step = match until - since {
        span if span <= Duration::days(2) => Duration::HOUR,
        span if span <= Duration::days(120) => Duration::DAY,
        _ => Duration::WEEK,
    };
    // Steps begin where people expect it: at full hours and days.
    let full_hour = Time::from_hms(since.hour(), 0, 0).unwrap_or(Time::MIDNIGHT);
    let since = since.replace_time(if step == Duration::HOUR { full_hour } else { Time::MIDNIGHT });
    let found = engine.conflict_statistics(catalog, filter, since, step).await?;
    let tables = found.tables.into_iter().map(|table| ShownHotTable {
        table: table.table_name,
        conflicts: table.conflicts,
        rows: table.rows,
    });
    let rows = found.rows.into_iter().map(|row| ShownHotRow {
        scope: row.scope,
        table: row.table_name,
        key: row.key,
        conflicts: row.conflicts,
        attempts: row.attempts,
        last_at: row.last_at,
    });
    Ok(ShownStatistics {
        chart: chart(&found.counts, since, until, step),
        tables: tables.collect(),
        rows: rows.collect(),
    })
}

/// Conflicts over time, those that are still open on top.
fn chart(counts: &[ConflictCount], since: OffsetDateTime, until: OffsetDateTime, step: Duration) -> Chart {
    let mut counts = counts.iter().peekable();
    let (mut settled, mut open, mut all) = (Vec::new(), Vec::new(), 0);
    let mut at = since;
    // So many steps that a page can show them, whatever the filter says.
    while at < until && settled.len() < 400 {
        let found = counts.next_if(|count| count.at < at + step);
        let (conflicts, of_these) = found.map_or((0, 0), |count| (count.conflicts, count.open));
        settled.push(Some((conflicts - of_these) as f64));
        open.push(Some(of_these as f64));
        all += conflicts;
        at += step;
    }
    Chart {
        id: "conflicts-over-time".to_owned(),
        title: "Conflicts".to_owned(),
        headline: all.to_string(),
        shape: Shape::Bars,
        unit: Unit::Count,
        start: since,
        step,
        series: vec![
            Series { name: "settled".to_owned(), hue: Hue::First, values: settled },
            Series { name: "open".to_owned(), hue: Hue::Heed, values: open },
        ],
        empty: "No conflict in this time.".to_owned(),
    }
}

pub async fn detail(
    viewer: AppViewer,
    State(engine): State<Engine>,
    ApiPath(path): ApiPath<ConflictPath>,
) -> Result<Response, PageError> {
    let id: ConflictId = path.conflict.parse().map_err(|_| PageError::NotFound)?;
    let detail = engine.conflict(&viewer.live().catalog, id).await?.ok_or(PageError::NotFound)?;
    let [base, device, server] = sides(&detail);
    let facts = ConflictFacts {
        user: detail.user,
        last_at: detail.conflict.last_at,
        server_writer: detail.server_source.map(|source| writer(source, None)),
        settled_at: detail.settled_at,
        settled_by: detail.settled_by,
        settled_seq: detail.settled_seq.map(|seq| seq.0),
    };
    show(&ConflictPage {
        shell: viewer.shell(Area::Conflicts),
        conflict: row(detail.conflict),
        facts,
        base,
        device,
        server,
        columns: detail.columns.into_iter().map(column).collect(),
    })
}

/// What base, device and server had: a row, none, or something that is not kept.
fn sides(detail: &ConflictDetail) -> [Side; 3] {
    let version = detail.base_row_version;
    let base = match detail.conflict.op {
        _ if version == 0 => Side::Absent,
        // An INSERT starts from a row that was deleted.
        RowOp::Insert => Side::Deleted { version: Some(version) },
        _ if detail.base_known => Side::Row { version: Some(version) },
        _ => Side::Unknown { version },
    };
    let device = match detail.conflict.op {
        RowOp::Delete => Side::Deleted { version: None },
        RowOp::Insert | RowOp::Update => Side::Row { version: None },
    };
    let version = detail.server_row_version;
    let server = match (version, detail.server_row_deleted) {
        (0, _) => Side::Absent,
        (_, true) => Side::Deleted { version: Some(version) },
        (_, false) => Side::Row { version: Some(version) },
    };
    [base, device, server]
}

/// A conflict as lists show it.
pub(super) fn row(conflict: Conflict) -> ConflictRow {
    ConflictRow {
        id: conflict.id.to_string(),
        first_at: conflict.first_at,
        table: conflict.table_name,
        key: conflict.key,
        op: op(conflict.op),
        scope: conflict.scope,
        source: conflict.source,
        attempts: conflict.attempts,
        outcome: match conflict.outcome {
            None => ShownOutcome::Open,
            Some(Outcome::KeptLocal) => ShownOutcome::KeptLocal,
            Some(Outcome::AcceptedServer) => ShownOutcome::AcceptedServer,
            Some(Outcome::Merged) => ShownOutcome::Merged,
            Some(Outcome::GaveUp) => ShownOutcome::GaveUp,
            Some(Outcome::SettledByHand) => ShownOutcome::SettledByHand,
        },
    }
}

fn column(column: ComparedColumn) -> ShownColumn {
    ShownColumn {
        name: column.name,
        is_key: column.is_key,
        base: column.base.map(value),
        device: column.device.map(value),
        server: column.server.map(value),
        device_changed: column.device_changed,
        server_changed: column.server_changed,
    }
}
