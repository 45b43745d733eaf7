//! How conflicts end, found out afterwards from what their devices did next. Never inside a device's request.
//!
//! A conflict is about one row of one push of a device. It is settled by the first of these that holds:
//!
//! 1. The device has since committed that push or a later one, and a bundle of these has the row: `kept_local` if the
//!    bundle did to it what the device had wanted, else `merged`.
//! 2. The device has since committed that push or a later one, without the row: `accepted_server`.
//! 3. The device has pulled past the version that it lost against: `accepted_server`. A device downloads only when it
//!    has nothing left to upload.
//! 4. The device's source is retired: `gave_up`.
//!
//! Rejected writes of a device are resolved by 1, 2 and 4 in the same pass.

use std::borrow::Cow;

use serde_json::Value as Json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{
    ids::{ScopeId, SourceId},
    ops::database::in_schema,
    sync::{
        Engine,
        payload::json::{Members, Value},
    },
    tables::{catalog::AppCatalog, spec::ColumnType},
};

/// What is known of a device since it was looked at last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceProgress {
    pub scope: ScopeId,
    pub source: SourceId,
    /// The checkpoint that it named in its last pull; 0 if it has not pulled.
    pub pulled_seq: i64,
}

/// An open conflict and what may have ended it.
#[derive(Debug, sqlx::FromRow)]
struct Open {
    scope_id: String,
    conflict_id: Uuid,
    table_no: i32,
    op: String,
    client_payload: Option<String>,
    server_row_version: i64,
    pulled_seq: i64,
    source_retired: bool,
    /// The device's first bundle from the rejected one on.
    later_seq: Option<i64>,
    /// The first of those that has the row, and the row as served.
    row_seq: Option<i64>,
    row: Option<String>,
}

impl Engine {
    /// Settle the open conflicts, and resolve the rejected writes, of devices that have got on. Answers how many
    /// conflicts were settled.
    pub async fn settle_conflicts(
        &self,
        app: &AppCatalog,
        devices: &[DeviceProgress],
    ) -> Result<u64, sqlx::Error> {
        let column = |of: fn(&DeviceProgress) -> &str| devices.iter().map(of).collect::<Vec<_>>();
        let (scopes, sources) = (column(|d| d.scope.as_str()), column(|d| d.source.as_str()));
        let mut tx = self.apps.begin(&app.schema).await?;
        let open: Vec<Open> = sqlx::query_as(in_schema(&app.schema, OPEN))
            .bind(&scopes)
            .bind(&sources)
            .bind(devices.iter().map(|device| device.pulled_seq).collect::<Vec<_>>())
            .fetch_all(&mut *tx)
            .await?;
        let settled: Vec<_> = open.iter().filter_map(|open| Some((open, open.outcome(app)?))).collect();
        if !settled.is_empty() {
            sqlx::query(in_schema(&app.schema, SETTLE))
                .bind(settled.iter().map(|(open, _)| open.scope_id.as_str()).collect::<Vec<_>>())
                .bind(settled.iter().map(|(open, _)| open.conflict_id).collect::<Vec<_>>())
                .bind(settled.iter().map(|(_, (outcome, _))| *outcome).collect::<Vec<_>>())
                .bind(settled.iter().map(|(_, (_, seq))| *seq).collect::<Vec<_>>())
                .bind(self.clock.now())
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(in_schema(&app.schema, RESOLVE_REJECTED))
            .bind(&scopes)
            .bind(&sources)
            .bind(self.clock.now())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(settled.len() as u64)
    }
}

impl Open {
    /// The outcome and the bundle that shows it; None while the conflict is open.
    fn outcome(&self, app: &AppCatalog) -> Option<(&'static str, Option<i64>)> {
        if let (Some(seq), Some(row)) = (self.row_seq, &self.row) {
            let outcome = if self.is_as_wanted(app, row) { "kept_local" } else { "merged" };
            return Some((outcome, Some(seq)));
        }
        if self.later_seq.is_some() {
            return Some(("accepted_server", self.later_seq));
        }
        if self.pulled_seq >= self.server_row_version && self.pulled_seq > 0 {
            return Some(("accepted_server", Some(self.pulled_seq)));
        }
        self.source_retired.then_some(("gave_up", None))
    }

    /// Whether the bundle's row is what the device had wanted. Columns that it did not send do not matter, nor does an
    /// INSERT that has become an UPDATE.
    fn is_as_wanted(&self, app: &AppCatalog, row: &str) -> bool {
        #[derive(serde::Deserialize)]
        struct Served<'a> {
            op: &'a str,
            #[serde(borrow)]
            payload: Option<Members<'a>>,
        }
        let Ok(served) = serde_json::from_str::<Served<'_>>(row) else { return false };
        let wanted = self.client_payload.as_deref().map(serde_json::from_str::<Members<'_>>);
        match (wanted, served.payload) {
            (None, None) => self.op == "DELETE" && served.op == "DELETE",
            (Some(Ok(wanted)), Some(served)) => {
                let Some(table) = app.table_no(self.table_no) else { return false };
                wanted.0.iter().all(|(name, wanted)| {
                    let served = served.0.iter().find(|(served, _)| served == name).map(|(_, value)| value);
                    match (table.column(name), served) {
                        (Some(column), Some(served)) => is_same(column.ty, wanted, served),
                        _ => false,
                    }
                })
            }
            _ => false,
        }
    }
}

/// Whether a value as a device sends it and one as the server serves it are the same value of a column.
pub(super) fn is_same(ty: ColumnType, sent: &Value<'_>, served: &Value<'_>) -> bool {
    let (Some(sent), Some(served)) = (text_of(sent), text_of(served)) else {
        return matches!((sent, served), (Value::Null, Value::Null));
    };
    if sent == served {
        return true;
    }
    match ty {
        ColumnType::Real => matches!((sent.parse::<f32>(), served.parse::<f32>()), (Ok(a), Ok(b)) if a == b),
        ColumnType::Double => {
            matches!((sent.parse::<f64>(), served.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
        }
        ColumnType::Numeric { .. } => plain_digits(&sent).is_some_and(|a| Some(a) == plain_digits(&served)),
        ColumnType::Jsonb => {
            let json = |text: &str| serde_json::from_str::<Json>(text).ok();
            json(&sent).is_some_and(|a| Some(a) == json(&served))
        }
        ColumnType::Timestamptz => {
            let instant = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
            instant(&sent).is_some_and(|a| Some(a) == instant(&served))
        }
        _ => false,
    }
}

/// A value as one text; None for NULL.
fn text_of<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    Some(match value {
        Value::Null | Value::Composite => return None,
        Value::Bool(value) => Cow::Borrowed(if *value { "1" } else { "0" }),
        Value::Number(text) => Cow::Borrowed(text),
        Value::Text(text) => Cow::Borrowed(text.as_ref()),
    })
}

/// A decimal without exponent in its shortest form. None for one with an exponent: it compares as different.
fn plain_digits(text: &str) -> Option<&str> {
    if text.contains(['e', 'E']) {
        return None;
    }
    Some(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text })
}

/// `$1`, `$2`, `$3` are the devices' scopes, sources and checkpoints.
const OPEN: &str = r#"
select c.scope_id, c.conflict_id, c.table_no, c.op, c.client_payload, c.server_row_version, d.pulled_seq,
    coalesce(s.state = 'retired', false) as source_retired, later.bundle_seq as later_seq, row.bundle_seq as row_seq,
    row.line as row
from unnest($1::text[], $2::text[], $3::bigint[]) as d (scope_id, source_id, pulled_seq)
join {schema}._sync_conflict c
    on c.scope_id = d.scope_id and c.source_id = d.source_id and c.outcome is null
left join {schema}._sync_source s on s.scope_id = c.scope_id and s.source_id = c.source_id
left join lateral (
    select b.bundle_seq
    from {schema}._sync_bundle b
    where b.scope_id = c.scope_id and b.source_id = c.source_id and b.source_bundle_id >= c.source_bundle_id
    order by b.source_bundle_id
    limit 1
) later on true
left join lateral (
    select r.bundle_seq, l.line
    from (
        select b.bundle_seq
        from {schema}._sync_bundle b
        where b.scope_id = c.scope_id and b.source_id = c.source_id and b.source_bundle_id >= c.source_bundle_id
        order by b.source_bundle_id
        limit 3
    ) b
    join {schema}._sync_bundle_rows r on r.scope_id = c.scope_id and r.bundle_seq = b.bundle_seq
    cross join {schema}._sync_table t
    cross join lateral unnest(string_to_array(r.body, E',\n')) as l (line)
    where t.table_no = c.table_no
        and starts_with(l.line, t.row_head || to_json(c.key)::text || '},"op":"')
    order by r.bundle_seq
    limit 1
) row on true
order by c.first_at
limit 500
"#;

const SETTLE: &str = "
update {schema}._sync_conflict c
set outcome = u.outcome, settled_seq = u.seq, settled_at = $5
from unnest($1::text[], $2::uuid[], $3::text[], $4::bigint[]) as u (scope_id, conflict_id, outcome, seq)
where c.scope_id = u.scope_id and c.conflict_id = u.conflict_id and c.outcome is null";

const RESOLVE_REJECTED: &str = "
update {schema}._sync_rejected_write r
set state = 'resolved', state_at = $3
from unnest($1::text[], $2::text[]) as d (scope_id, source_id)
join {schema}._sync_source s on s.scope_id = d.scope_id and s.source_id = d.source_id
where r.scope_id = d.scope_id and r.source_id = d.source_id and r.state = 'open'
    and (s.state = 'retired' or s.source_bundle_id >= r.source_bundle_id)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_as_what_they_mean() {
        let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
        let amount = ColumnType::Numeric { precision: Some(20), scale: 10 };
        assert!(is_same(amount, &text("12.3"), &text("12.3000000000")));
        assert!(is_same(amount, &Value::Number("120"), &Value::Number("120.0")));
        assert!(!is_same(amount, &text("120"), &text("12")));
        assert!(is_same(ColumnType::Boolean, &text("1"), &Value::Bool(true)));
        assert!(!is_same(ColumnType::Boolean, &text("1"), &Value::Bool(false)));
        assert!(is_same(ColumnType::Real, &text("1.2345678901234567"), &text("1.2345678806304932")));
        assert!(is_same(
            ColumnType::Timestamptz,
            &text("2024-05-06T09:08:09+02:00"),
            &text("2024-05-06T07:08:09Z")
        ));
        assert!(is_same(ColumnType::Jsonb, &text("{\"a\":1}"), &text("{\"a\": 1}")));
        assert!(is_same(ColumnType::Text, &Value::Null, &Value::Null));
        assert!(!is_same(ColumnType::Text, &Value::Null, &text("")));
    }
}
