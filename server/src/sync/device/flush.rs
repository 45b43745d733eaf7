//! Writing gathered facts down: a transaction an app, a few statements whatever the number of devices.

use std::collections::{BTreeMap, HashMap};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use time::OffsetDateTime;

use super::{
    Verb,
    facts::{AppFacts, Event, Fact, Gathered, Reading},
};
use crate::{
    ids::{AppId, BundleSeq, ScopeId, SourceId},
    ops::database::in_schema,
    sync::{
        Engine,
        conflict::DeviceProgress,
        rollup::{Step, newly_active},
    },
};

/// When devices had been seen before, and what they had. Locked, so that no other node counts them in the same step; in the order of the
/// key, as they are written below.
const SEEN_BEFORE: &str = "select d.scope_id, d.source_id, d.last_seen_at, d.last_served_seq
    from {schema}._sync_device d
    join unnest($1::text[], $2::text[]) as u (scope_id, source_id)
        on d.scope_id = u.scope_id and d.source_id = u.source_id
    order by d.scope_id, d.source_id
    for update of d";

/// Refusals that a later success made good.
const SETTLE: &str = "update {schema}._sync_device d
    set last_error_at = null, last_error_verb = null, last_error_code = null, last_error_message = null,
        last_error_subject = null, error_count = 0, error_since = null
    from unnest($1::text[], $2::text[], $3::text[]) as u (scope_id, source_id, settled)
    where d.scope_id = u.scope_id and d.source_id = u.source_id and d.last_error_at is not null
        and d.last_error_verb = any (string_to_array(u.settled, ','))";

/// Who was let in had a good token: what was refused before it is over.
const WRITE: &str = "insert into {schema}._sync_device as d (
        scope_id, source_id, user_id, client, address, first_seen_at, last_seen_at, last_push_at, last_push_seq,
        last_pull_at, last_pull_seq, last_served_seq, last_snapshot_at, last_watch_at, last_error_at, last_error_verb,
        last_error_code, last_error_message, last_error_subject, error_count, error_since, is_watching
    )
    select u.scope_id, u.source_id, u.user_id, u.client, u.address, u.seen_at, u.seen_at, u.push_at, u.push_seq,
        u.pull_at, u.pull_seq, u.served_seq, u.snapshot_at, u.watch_at, u.error_at, u.error_verb, u.error_code,
        u.error_message, u.error_subject, u.error_count, u.error_since, u.is_watching
    from unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
        $8::bigint[], $9::timestamptz[], $10::bigint[], $11::bigint[], $12::timestamptz[], $13::timestamptz[],
        $14::timestamptz[], $15::text[], $16::text[], $17::text[], $18::bigint[], $19::timestamptz[],
        $20::text[], $21::boolean[]
    ) as u (
        scope_id, source_id, user_id, client, address, seen_at, push_at, push_seq, pull_at, pull_seq, served_seq,
        snapshot_at, watch_at, error_at, error_verb, error_code, error_message, error_count, error_since,
        error_subject, is_watching
    )
    order by u.scope_id, u.source_id
    on conflict (scope_id, source_id) do update
    set user_id = coalesce(excluded.user_id, d.user_id),
        client = coalesce(excluded.client, d.client),
        address = coalesce(excluded.address, d.address),
        last_seen_at = greatest(excluded.last_seen_at, d.last_seen_at),
        last_push_at = coalesce(excluded.last_push_at, d.last_push_at),
        last_push_seq = coalesce(excluded.last_push_seq, d.last_push_seq),
        last_pull_at = coalesce(excluded.last_pull_at, d.last_pull_at),
        last_pull_seq = coalesce(excluded.last_pull_seq, d.last_pull_seq),
        last_served_seq = greatest(excluded.last_served_seq, d.last_served_seq),
        last_snapshot_at = coalesce(excluded.last_snapshot_at, d.last_snapshot_at),
        last_watch_at = coalesce(excluded.last_watch_at, d.last_watch_at),
        is_watching = coalesce(excluded.is_watching, d.is_watching),
        last_error_at = coalesce(excluded.last_error_at, d.last_error_at),
        last_error_verb = coalesce(excluded.last_error_verb, d.last_error_verb),
        last_error_code = coalesce(excluded.last_error_code, d.last_error_code),
        last_error_message = coalesce(excluded.last_error_message, d.last_error_message),
        last_error_subject = case
            when excluded.last_error_code is null then d.last_error_subject else excluded.last_error_subject
        end,
        auth_failed_at = case when d.auth_failed_at > excluded.last_seen_at then d.auth_failed_at end,
        error_count = case
            when excluded.last_error_code = d.last_error_code
                and excluded.last_error_subject is not distinct from d.last_error_subject
                then d.error_count + excluded.error_count
            when excluded.last_error_code is not null then excluded.error_count
            else d.error_count
        end,
        error_since = case
            when excluded.last_error_code = d.last_error_code
                and excluded.last_error_subject is not distinct from d.last_error_subject
                then d.error_since
            else coalesce(excluded.error_since, d.error_since)
        end";

/// Streams that ended while nothing else was heard of their devices: that is not being seen.
const CLOSED: &str = "update {schema}._sync_device d
    set is_watching = false
    from unnest($1::text[], $2::text[]) as u (scope_id, source_id)
    where d.scope_id = u.scope_id and d.source_id = u.source_id";

/// Where devices stand with snapshots. Most that pull read none, before and after: nothing is written for them.
const READING: &str = "update {schema}._sync_device d
    set snapshot_since = u.since
    from unnest($1::text[], $2::text[], $3::timestamptz[]) as u (scope_id, source_id, since)
    where d.scope_id = u.scope_id and d.source_id = u.source_id
        and (d.snapshot_since is null) <> (u.since is null)";

/// Pulls that brought something, for the timeline: of one device, the first in a minute.
const PULLS: &str = "with due as (
        update {schema}._sync_device d
        set pull_event_at = u.at
        from unnest($1::text[], $2::text[], $3::uuid[], $4::timestamptz[], $5::bigint[])
            as u (scope_id, source_id, event_id, at, bundle_seq)
        where d.scope_id = u.scope_id and d.source_id = u.source_id
            and (d.pull_event_at is null or d.pull_event_at <= u.at - interval '1 minute')
        returning d.scope_id, d.source_id, u.event_id, u.at, u.bundle_seq
    )
    insert into {schema}._sync_device_event (scope_id, source_id, event_id, at, verb, status, bundle_seq)
    select due.scope_id, due.source_id, due.event_id, due.at, 'pull', 200, due.bundle_seq
    from due";

const EVENTS: &str = "insert into {schema}._sync_device_event (
        scope_id, source_id, event_id, at, verb, status, code, message, bundle_seq
    )
    select *
    from unnest(
        $1::text[], $2::text[], $3::uuid[], $4::timestamptz[], $5::text[], $6::integer[], $7::text[], $8::text[],
        $9::bigint[]
    )";

/// All but the latest hundred events of these devices. Ids sort by time.
const TRIM: &str = "delete from {schema}._sync_device_event e
    using (
        select u.scope_id, u.source_id, o.event_id
        from unnest($1::text[], $2::text[]) as u (scope_id, source_id)
        cross join lateral (
            select o.event_id
            from {schema}._sync_device_event o
            where o.scope_id = u.scope_id and o.source_id = u.source_id
            order by o.event_id desc
            offset 100
        ) o
    ) old
    where e.scope_id = old.scope_id and e.source_id = old.source_id and e.event_id = old.event_id";

/// How facts are written: a crash may lose the last of them, and somebody who has locked them loses them too, because other
/// apps' facts shall not be late for that.
pub(super) const FOR_LOOKING_AT: &str = "set local synchronous_commit = off; set local lock_timeout = '1s'";

/// Apps whose facts are written at the same time, so that with many apps they are written in time too.
const APPS_AT_ONCE: usize = 4;

const VERBS: [Verb; 12] = [
    Verb::Capabilities,
    Verb::Connect,
    Verb::PushCreate,
    Verb::PushChunk,
    Verb::PushCommit,
    Verb::PushDelete,
    Verb::CommittedRows,
    Verb::Pull,
    Verb::SnapshotCreate,
    Verb::SnapshotChunk,
    Verb::SnapshotDelete,
    Verb::Watch,
];

/// A device with what it did.
type Row<'a> = (&'a (String, String), &'a Fact);

impl Engine {
    /// Write down what has been gathered about devices, and settle conflicts of those that got on. What fails is lost
    /// and logged: facts are for looking at. When it ends, all that was noted before it began is written.
    pub async fn write_device_facts(&self) {
        let _turn = self.facts.turn_to_write().await;
        let Gathered { apps, refusals, dropped, .. } = self.facts.take();
        if dropped > 0 {
            tracing::warn!(dropped, "more devices called than can be noted; facts of some are missing");
        }
        let log = |app: &AppId, outcome: Result<(), sqlx::Error>| {
            if let Err(error) = outcome {
                tracing::warn!(app.id = %app, error.cause = %error, "facts about devices could not be written");
            }
        };
        let mut writes: Vec<BoxFuture<'_, ()>> = Vec::new();
        for (app, facts) in &apps {
            writes.push(async move { log(app, self.write_app(facts).await) }.boxed());
        }
        a_few_at_once(writes).await;
        // After what was let in: a refusal counts only if no success came after it.
        let mut writes: Vec<BoxFuture<'_, ()>> = Vec::new();
        for (app, facts) in &refusals.apps {
            writes.push(async move { log(app, self.write_refusals(facts).await) }.boxed());
        }
        a_few_at_once(writes).await;
    }

    async fn write_app(&self, facts: &AppFacts) -> Result<(), sqlx::Error> {
        let schema = &facts.catalog.schema;
        let rows: Vec<Row<'_>> = facts.devices.iter().filter(|(_, fact)| fact.seen_at.is_some()).collect();
        let closed: Vec<Row<'_>> = facts
            .devices
            .iter()
            .filter(|(_, fact)| fact.seen_at.is_none() && fact.is_watching.is_some())
            .collect();
        if rows.is_empty() && closed.is_empty() {
            return Ok(());
        }
        let mut tx = self.apps.begin(schema).await?;
        sqlx::raw_sql(FOR_LOOKING_AT).execute(&mut *tx).await?;
        let before = seen_before(&rows, schema, &mut tx).await?;
        let active = newly_active_devices(&rows, &before);
        if !closed.is_empty() {
            sqlx::query(in_schema(schema, CLOSED))
                .bind(column(&closed, |((scope, _), _)| scope.as_str()))
                .bind(column(&closed, |((_, source), _)| source.as_str()))
                .execute(&mut *tx)
                .await?;
        }
        settle(&rows, schema, &mut tx).await?;
        write(&rows, &before, schema, &mut tx).await?;
        reading(&rows, schema, &mut tx).await?;
        pulls(&rows, schema, &mut tx).await?;
        events(&rows, schema, &mut tx).await?;
        tx.commit().await?;
        self.meter.active(facts.catalog.app, active);

        let progress: Vec<DeviceProgress> = rows
            .iter()
            .filter(|(_, fact)| fact.push.is_some() || fact.pull.is_some())
            .filter_map(|((scope, source), fact)| {
                Some(DeviceProgress {
                    scope: ScopeId::parse(scope).ok()?,
                    source: SourceId::parse_device(source).ok()?,
                    pulled_seq: fact.pull.map_or(0, |(_, seq)| seq.0),
                })
            })
            .collect();
        if !progress.is_empty() {
            self.settle_conflicts(&facts.catalog, &progress).await?;
        }
        Ok(())
    }
}

async fn a_few_at_once(writes: Vec<BoxFuture<'_, ()>>) {
    stream::iter(writes).buffer_unordered(APPS_AT_ONCE).collect::<()>().await;
}

fn column<'a, T>(rows: &[Row<'a>], of: impl Fn(&Row<'a>) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// When each device was seen last before, and the last bundle that it had, by scope and source.
type SeenBefore = HashMap<(String, String), (OffsetDateTime, Option<BundleSeq>)>;

async fn seen_before(
    rows: &[Row<'_>],
    schema: &crate::ids::SchemaName,
    tx: &mut crate::ops::database::AppTx,
) -> Result<SeenBefore, sqlx::Error> {
    let seen: Vec<(String, String, OffsetDateTime, Option<BundleSeq>)> =
        sqlx::query_as(in_schema(schema, SEEN_BEFORE))
            .bind(column(rows, |((scope, _), _)| scope.as_str()))
            .bind(column(rows, |((_, source), _)| source.as_str()))
            .fetch_all(&mut **tx)
            .await?;
    Ok(seen.into_iter().map(|(scope, source, at, served)| ((scope, source), (at, served))).collect())
}

/// How many of the devices are new in each step of time.
fn newly_active_devices(rows: &[Row<'_>], before: &SeenBefore) -> BTreeMap<(Step, OffsetDateTime), i64> {
    let mut active = BTreeMap::new();
    for (device, fact) in rows {
        let (Some(first), Some(last)) = (fact.seen_from, fact.seen_at) else { continue };
        for step in newly_active(before.get(*device).map(|(at, _)| *at), first, last) {
            *active.entry(step).or_default() += 1;
        }
    }
    active
}

async fn settle(
    rows: &[Row<'_>],
    schema: &crate::ids::SchemaName,
    tx: &mut crate::ops::database::AppTx,
) -> Result<(), sqlx::Error> {
    let rows: Vec<Row<'_>> = rows.iter().filter(|(_, fact)| !fact.succeeded.is_empty()).copied().collect();
    let settled = |fact: &Fact| {
        let is_settled = |verb: &&Verb| fact.succeeded.iter().any(|done| done.settles(verb.as_str()));
        VERBS.iter().filter(is_settled).map(|verb| verb.as_str()).collect::<Vec<_>>().join(",")
    };
    sqlx::query(in_schema(schema, SETTLE))
        .bind(column(&rows, |((scope, _), _)| scope.as_str()))
        .bind(column(&rows, |((_, source), _)| source.as_str()))
        .bind(column(&rows, |(_, fact)| settled(fact)))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn write(
    rows: &[Row<'_>],
    before: &SeenBefore,
    schema: &crate::ids::SchemaName,
    tx: &mut crate::ops::database::AppTx,
) -> Result<(), sqlx::Error> {
    sqlx::query(in_schema(schema, WRITE))
        .bind(column(rows, |((scope, _), _)| scope.as_str()))
        .bind(column(rows, |((_, source), _)| source.as_str()))
        .bind(column(rows, |(_, fact)| fact.user.as_deref()))
        .bind(column(rows, |(_, fact)| fact.client.as_deref()))
        .bind(column(rows, |(_, fact)| fact.address.as_deref()))
        .bind(column(rows, |(_, fact)| fact.seen_at))
        .bind(column(rows, |(_, fact)| fact.push.map(|(at, _)| at)))
        .bind(column(rows, |(_, fact)| fact.push.map(|(_, seq)| seq)))
        .bind(column(rows, |(_, fact)| fact.pull.map(|(at, _)| at)))
        .bind(column(rows, |(_, fact)| fact.pull.map(|(_, seq)| seq)))
        .bind(column(rows, |(device, fact)| {
            fact.has_seq(before.get(*device).and_then(|(_, served)| *served))
        }))
        .bind(column(rows, |(_, fact)| fact.snapshot_at))
        .bind(column(rows, |(_, fact)| fact.watch_at))
        .bind(column(rows, |(_, fact)| fact.error.as_ref().map(|error| error.at)))
        .bind(column(rows, |(_, fact)| fact.error.as_ref().map(|error| error.verb.as_str())))
        .bind(column(rows, |(_, fact)| fact.error.as_ref().map(|error| error.code.as_str())))
        .bind(column(rows, |(_, fact)| fact.error.as_ref().map(|error| error.message.as_str())))
        .bind(column(rows, |(_, fact)| fact.error.as_ref().map_or(0, |error| error.count)))
        .bind(column(rows, |(_, fact)| fact.error.as_ref().map(|error| error.since)))
        .bind(column(rows, |(_, fact)| fact.error.as_ref().and_then(|error| error.subject.as_deref())))
        .bind(column(rows, |(_, fact)| fact.is_watching))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn reading(
    rows: &[Row<'_>],
    schema: &crate::ids::SchemaName,
    tx: &mut crate::ops::database::AppTx,
) -> Result<(), sqlx::Error> {
    let rows: Vec<Row<'_>> = rows.iter().filter(|(_, fact)| fact.reading.is_some()).copied().collect();
    if rows.is_empty() {
        return Ok(());
    }
    let since = |fact: &Fact| match fact.reading {
        Some(Reading::Since(at)) => Some(at),
        Some(Reading::Over) | None => None,
    };
    sqlx::query(in_schema(schema, READING))
        .bind(column(&rows, |((scope, _), _)| scope.as_str()))
        .bind(column(&rows, |((_, source), _)| source.as_str()))
        .bind(column(&rows, |(_, fact)| since(fact)))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn pulls(
    rows: &[Row<'_>],
    schema: &crate::ids::SchemaName,
    tx: &mut crate::ops::database::AppTx,
) -> Result<(), sqlx::Error> {
    let rows: Vec<Row<'_>> = rows.iter().filter(|(_, fact)| fact.brought.is_some()).copied().collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(in_schema(schema, PULLS))
        .bind(column(&rows, |((scope, _), _)| scope.as_str()))
        .bind(column(&rows, |((_, source), _)| source.as_str()))
        .bind(column(&rows, |(_, fact)| fact.brought.as_ref().map(|event| event.id)))
        .bind(column(&rows, |(_, fact)| fact.brought.as_ref().map(|event| event.at)))
        .bind(column(&rows, |(_, fact)| fact.brought.as_ref().and_then(|event| event.bundle_seq)))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn events(
    rows: &[Row<'_>],
    schema: &crate::ids::SchemaName,
    tx: &mut crate::ops::database::AppTx,
) -> Result<(), sqlx::Error> {
    let rows: Vec<Row<'_>> =
        rows.iter().filter(|(_, fact)| !fact.events.is_empty() || fact.brought.is_some()).copied().collect();
    if rows.is_empty() {
        return Ok(());
    }
    let events: Vec<(&(String, String), &Event)> =
        rows.iter().flat_map(|(key, fact)| fact.events.iter().map(move |event| (*key, event))).collect();
    sqlx::query(in_schema(schema, EVENTS))
        .bind(events.iter().map(|((scope, _), _)| scope.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|((_, source), _)| source.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|(_, event)| event.id).collect::<Vec<_>>())
        .bind(events.iter().map(|(_, event)| event.at).collect::<Vec<_>>())
        .bind(events.iter().map(|(_, event)| event.verb.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|(_, event)| i32::from(event.status)).collect::<Vec<_>>())
        .bind(events.iter().map(|(_, event)| event.code.as_deref()).collect::<Vec<_>>())
        .bind(events.iter().map(|(_, event)| event.message.as_deref()).collect::<Vec<_>>())
        .bind(events.iter().map(|(_, event)| event.bundle_seq).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
    sqlx::query(in_schema(schema, TRIM))
        .bind(column(&rows, |((scope, _), _)| scope.as_str()))
        .bind(column(&rows, |((_, source), _)| source.as_str()))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
