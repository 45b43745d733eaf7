//! Writing gathered facts down: one statement an app, whatever the number of devices, because with many apps there is one for
//! nearly every push.

use std::collections::BTreeMap;

use serde::Serialize;
use time::{OffsetDateTime, serde::rfc3339};
use uuid::Uuid;

use super::{
    Verb,
    facts::{AppFacts, Event, Fact, Gathered, Reading},
};
use crate::{
    ids::{AppId, BundleSeq, ScopeId, SourceId},
    ops::database::in_schema,
    sync::{
        Engine,
        app_by_app::for_each_app,
        conflict::DeviceProgress,
        rollup::{Step, newly_active},
    },
};

/// Everything about devices of one app in one statement: `$1` are the devices (`Noted`), `$2` events of theirs (`NotedEvent`), as JSON.
/// As arrays their lengths would be known, and PostgreSQL would prefer a plan for that length, made anew each time.
///
/// Answers for each device when it had been seen before, whether it has conflicts or rejected writes that are open, and
/// whether it is written: it is not if another node put it in at the same moment.
///
/// - Devices are locked in the order of the key, so that no other node counts them in the same step, and nodes never wait for
///   each other in a circle.
/// - A refusal that a later success made good is not kept.
/// - Where a device stands with snapshots is changed only if that is news. Who was let in had a good token: what was refused
///   before it is over. A stream that ended while nothing else was heard is not being seen.
/// - Of pulls that brought something the timeline tells the first in a minute, and of all events the latest hundred are kept.
const WRITE: &str = "with u as materialized (
        select *
        from json_to_recordset($1::text::json) as u (
            scope_id text, source_id text, user_id text, client text, address text, seen_at timestamptz,
            push_at timestamptz, push_seq bigint, pushed_from bigint, pull_at timestamptz, pull_seq bigint,
            served_seq bigint, snapshot_at timestamptz, watch_at timestamptz, is_watching boolean, settled text[],
            error_at timestamptz, error_verb text, error_code text, error_message text, error_subject text,
            error_count bigint, error_since timestamptz, is_reading boolean, reading_since timestamptz,
            brought_id uuid, brought_at timestamptz, brought_seq bigint, events integer
        )
    ),
    before as materialized (
        select d.scope_id, d.source_id, d.last_seen_at, d.last_served_seq, d.pull_event_at, d.last_error_at,
            d.last_error_verb, d.last_error_code, d.last_error_message, d.last_error_subject, d.error_count,
            d.error_since, coalesce(d.last_error_verb = any (u.settled), false) as is_settled
        from {schema}._sync_device d
        join u on d.scope_id = u.scope_id and d.source_id = u.source_id
        order by d.scope_id, d.source_id
        for update of d
    ),
    n as materialized (
        select u.*, b.scope_id is not null as is_known, b.last_seen_at as seen_before,
            case
                when u.pushed_from = coalesce(greatest(u.served_seq, b.last_served_seq), 0) + 1 then u.push_seq
                else u.served_seq
            end as has_seq,
            coalesce(b.pull_event_at <= u.brought_at - interval '1 minute', u.brought_at is not null) as tells_pull,
            e.last_error_at as kept_at, e.last_error_verb as kept_verb, e.last_error_code as kept_code,
            e.last_error_message as kept_message, e.last_error_subject as kept_subject,
            coalesce(e.error_count, 0) as kept_count, e.error_since as kept_since,
            coalesce(
                u.error_code = e.last_error_code and u.error_subject is not distinct from e.last_error_subject, false
            ) as is_again
        from u
        left join before b on b.scope_id = u.scope_id and b.source_id = u.source_id
        left join before e on e.scope_id = u.scope_id and e.source_id = u.source_id and not e.is_settled
    ),
    updated as (
        update {schema}._sync_device d
        set user_id = coalesce(n.user_id, d.user_id),
            client = coalesce(n.client, d.client),
            address = coalesce(n.address, d.address),
            last_seen_at = greatest(n.seen_at, d.last_seen_at),
            last_push_at = coalesce(n.push_at, d.last_push_at),
            last_push_seq = coalesce(n.push_seq, d.last_push_seq),
            last_pull_at = coalesce(n.pull_at, d.last_pull_at),
            last_pull_seq = coalesce(n.pull_seq, d.last_pull_seq),
            last_served_seq = greatest(n.has_seq, d.last_served_seq),
            last_snapshot_at = coalesce(n.snapshot_at, d.last_snapshot_at),
            last_watch_at = coalesce(n.watch_at, d.last_watch_at),
            is_watching = coalesce(n.is_watching, d.is_watching),
            last_error_at = coalesce(n.error_at, n.kept_at),
            last_error_verb = coalesce(n.error_verb, n.kept_verb),
            last_error_code = coalesce(n.error_code, n.kept_code),
            last_error_message = coalesce(n.error_message, n.kept_message),
            last_error_subject = case when n.error_code is null then n.kept_subject else n.error_subject end,
            auth_failed_at = case
                when n.seen_at is null or d.auth_failed_at > n.seen_at then d.auth_failed_at
            end,
            error_count = case
                when n.is_again then n.kept_count + n.error_count
                when n.error_code is not null then n.error_count
                else n.kept_count
            end,
            error_since = case when n.is_again then n.kept_since else coalesce(n.error_since, n.kept_since) end,
            snapshot_since = case
                when n.is_reading then coalesce(d.snapshot_since, n.reading_since)
                when n.is_reading is null then d.snapshot_since
            end,
            pull_event_at = case when n.tells_pull then n.brought_at else d.pull_event_at end
        from n
        where d.scope_id = n.scope_id and d.source_id = n.source_id and n.is_known
    ),
    inserted as (
        insert into {schema}._sync_device (
            scope_id, source_id, user_id, client, address, first_seen_at, last_seen_at, last_push_at, last_push_seq,
            last_pull_at, last_pull_seq, last_served_seq, last_snapshot_at, last_watch_at, last_error_at,
            last_error_verb, last_error_code, last_error_message, last_error_subject, error_count, error_since,
            is_watching, snapshot_since, pull_event_at
        )
        select n.scope_id, n.source_id, n.user_id, n.client, n.address, n.seen_at, n.seen_at, n.push_at, n.push_seq,
            n.pull_at, n.pull_seq, n.has_seq, n.snapshot_at, n.watch_at, n.error_at, n.error_verb, n.error_code,
            n.error_message, n.error_subject, n.error_count, n.error_since, n.is_watching, n.reading_since,
            n.brought_at
        from n
        where not n.is_known and n.seen_at is not null
        order by n.scope_id, n.source_id
        on conflict do nothing
        returning scope_id, source_id
    ),
    told as (
        insert into {schema}._sync_device_event (
            scope_id, source_id, event_id, at, verb, status, code, message, bundle_seq
        )
        select *
        from json_to_recordset($2::text::json) as e (
            scope_id text, source_id text, event_id uuid, at timestamptz, verb text, status integer, code text,
            message text, bundle_seq bigint
        )
        union all
        select n.scope_id, n.source_id, n.brought_id, n.brought_at, 'pull', 200, null, null, n.brought_seq
        from n
        where n.tells_pull
        on conflict do nothing
    ),
    trimmed as (
        delete from {schema}._sync_device_event e
        using (
            select n.scope_id, n.source_id, o.event_id
            from n
            cross join lateral (
                select o.event_id
                from {schema}._sync_device_event o
                where o.scope_id = n.scope_id and o.source_id = n.source_id
                order by o.event_id desc
                offset 100 - n.events - n.tells_pull::integer
            ) o
            where n.events > 0 or n.tells_pull
        ) old
        where e.scope_id = old.scope_id and e.source_id = old.source_id and e.event_id = old.event_id
    )
    select n.scope_id, n.source_id, n.seen_before,
        exists (
            select from {schema}._sync_conflict c
            where c.scope_id = n.scope_id and c.source_id = n.source_id and c.outcome is null
        ) or exists (
            select from {schema}._sync_rejected_write r
            where r.scope_id = n.scope_id and r.source_id = n.source_id and r.state = 'open'
        ) as has_open,
        n.is_known or n.seen_at is null or i.scope_id is not null as is_written
    from n
    left join inserted i on i.scope_id = n.scope_id and i.source_id = n.source_id";

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

/// A device and what is written of it, as [`WRITE`] reads it.
#[derive(Debug, Serialize)]
struct Noted<'a> {
    scope_id: &'a str,
    source_id: &'a str,
    user_id: Option<&'a str>,
    client: Option<&'a str>,
    address: Option<&'a str>,
    #[serde(with = "rfc3339::option")]
    seen_at: Option<OffsetDateTime>,
    #[serde(with = "rfc3339::option")]
    push_at: Option<OffsetDateTime>,
    push_seq: Option<BundleSeq>,
    pushed_from: Option<BundleSeq>,
    #[serde(with = "rfc3339::option")]
    pull_at: Option<OffsetDateTime>,
    pull_seq: Option<BundleSeq>,
    served_seq: Option<BundleSeq>,
    #[serde(with = "rfc3339::option")]
    snapshot_at: Option<OffsetDateTime>,
    #[serde(with = "rfc3339::option")]
    watch_at: Option<OffsetDateTime>,
    is_watching: Option<bool>,
    /// Verbs whose refusals are over.
    settled: Vec<&'static str>,
    #[serde(with = "rfc3339::option")]
    error_at: Option<OffsetDateTime>,
    error_verb: Option<&'static str>,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
    error_subject: Option<&'a str>,
    error_count: i64,
    #[serde(with = "rfc3339::option")]
    error_since: Option<OffsetDateTime>,
    is_reading: Option<bool>,
    #[serde(with = "rfc3339::option")]
    reading_since: Option<OffsetDateTime>,
    brought_id: Option<Uuid>,
    #[serde(with = "rfc3339::option")]
    brought_at: Option<OffsetDateTime>,
    brought_seq: Option<BundleSeq>,
    /// How many of the events are its.
    events: usize,
}

/// An event of a device, as [`WRITE`] reads it.
#[derive(Debug, Serialize)]
struct NotedEvent<'a> {
    scope_id: &'a str,
    source_id: &'a str,
    event_id: Uuid,
    #[serde(with = "rfc3339")]
    at: OffsetDateTime,
    verb: &'static str,
    status: u16,
    code: Option<&'a str>,
    message: Option<&'a str>,
    bundle_seq: Option<BundleSeq>,
}

/// What writing a device down told of it.
#[derive(Debug, sqlx::FromRow)]
struct Written {
    scope_id: String,
    source_id: String,
    seen_before: Option<OffsetDateTime>,
    has_open: bool,
    is_written: bool,
}

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
        for_each_app(apps, async |(app, facts)| log(&app, self.write_app(&facts).await)).await;
        // After what was let in: a refusal counts only if no success came after it.
        for_each_app(refusals.apps, async |(app, facts)| log(&app, self.write_refusals(&facts).await)).await;
    }

    async fn write_app(&self, facts: &AppFacts) -> Result<(), sqlx::Error> {
        let (devices, events) = as_json(facts)?;
        let mut written = self.write_devices(facts, &devices, &events).await?;
        if written.iter().any(|device| !device.is_written) {
            // Another node has put it in meanwhile, so that this time it is there to be changed.
            written = self.write_devices(facts, &devices, &events).await?;
        }
        let devices =
            || written.iter().filter_map(|device| Some((device, facts.devices.get(&device.key())?)));
        self.meter.active(facts.catalog.app, newly_active_devices(devices()));

        let got_on = |fact: &Fact| fact.push.is_some() || fact.pull.is_some();
        let progress: Vec<DeviceProgress> = devices()
            .filter(|(device, fact)| device.has_open && got_on(fact))
            .filter_map(|(device, fact)| {
                Some(DeviceProgress {
                    scope: ScopeId::parse(&device.scope_id).ok()?,
                    source: SourceId::parse_device(&device.source_id).ok()?,
                    pulled_seq: fact.pull.map_or(0, |(_, seq)| seq.0),
                })
            })
            .collect();
        if !progress.is_empty() {
            self.settle_conflicts(&facts.catalog, &progress).await?;
        }
        Ok(())
    }

    async fn write_devices(
        &self,
        facts: &AppFacts,
        devices: &str,
        events: &str,
    ) -> Result<Vec<Written>, sqlx::Error> {
        let schema = &facts.catalog.schema;
        let mut tx = self.apps.begin_for_looking_at(schema).await?;
        let write = sqlx::query_as(in_schema(schema, WRITE)).bind(devices).bind(events);
        let written = write.fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(written)
    }
}

impl Written {
    fn key(&self) -> (String, String) {
        (self.scope_id.clone(), self.source_id.clone())
    }
}

impl<'a> Noted<'a> {
    fn new(((scope_id, source_id), fact): Row<'a>) -> Self {
        let is_settled = |verb: &&Verb| fact.succeeded.iter().any(|done| done.settles(verb.as_str()));
        let error = fact.error.as_ref();
        let brought = fact.brought.as_ref();
        Self {
            scope_id,
            source_id,
            user_id: fact.user.as_deref(),
            client: fact.client.as_deref(),
            address: fact.address.as_deref(),
            seen_at: fact.seen_at,
            push_at: fact.push.map(|(at, _)| at),
            push_seq: fact.push.map(|(_, seq)| seq),
            pushed_from: fact.pushed_from,
            pull_at: fact.pull.map(|(at, _)| at),
            pull_seq: fact.pull.map(|(_, seq)| seq),
            served_seq: fact.served,
            snapshot_at: fact.snapshot_at,
            watch_at: fact.watch_at,
            is_watching: fact.is_watching,
            settled: VERBS.iter().filter(is_settled).map(|verb| verb.as_str()).collect(),
            error_at: error.map(|error| error.at),
            error_verb: error.map(|error| error.verb.as_str()),
            error_code: error.map(|error| error.code.as_str()),
            error_message: error.map(|error| error.message.as_str()),
            error_subject: error.and_then(|error| error.subject.as_deref()),
            error_count: error.map_or(0, |error| error.count),
            error_since: error.map(|error| error.since),
            is_reading: fact.reading.map(|reading| reading != Reading::Over),
            reading_since: match fact.reading {
                Some(Reading::Since(at)) => Some(at),
                Some(Reading::Over) | None => None,
            },
            brought_id: brought.map(|event| event.id),
            brought_at: brought.map(|event| event.at),
            brought_seq: brought.and_then(|event| event.bundle_seq),
            events: fact.events.len(),
        }
    }
}

impl<'a> NotedEvent<'a> {
    fn new((scope_id, source_id): &'a (String, String), event: &'a Event) -> Self {
        Self {
            scope_id,
            source_id,
            event_id: event.id,
            at: event.at,
            verb: event.verb.as_str(),
            status: event.status,
            code: event.code.as_deref(),
            message: event.message.as_deref(),
            bundle_seq: event.bundle_seq,
        }
    }
}

/// The devices, and their events, as [`WRITE`] reads them.
fn as_json(facts: &AppFacts) -> Result<(String, String), sqlx::Error> {
    let to_text =
        |json: Result<String, serde_json::Error>| json.map_err(|error| sqlx::Error::Encode(error.into()));
    let devices: Vec<_> = facts.devices.iter().map(Noted::new).collect();
    let events: Vec<_> = facts
        .devices
        .iter()
        .flat_map(|(key, fact)| fact.events.iter().map(move |event| NotedEvent::new(key, event)))
        .collect();
    Ok((to_text(serde_json::to_string(&devices))?, to_text(serde_json::to_string(&events))?))
}

/// How many of the devices are new in each step of time.
fn newly_active_devices<'a>(
    devices: impl Iterator<Item = (&'a Written, &'a Fact)>,
) -> BTreeMap<(Step, OffsetDateTime), i64> {
    let mut active = BTreeMap::new();
    for (device, fact) in devices {
        let (Some(first), Some(last)) = (fact.seen_from, fact.seen_at) else { continue };
        for step in newly_active(device.seen_before, first, last) {
            *active.entry(step).or_default() += 1;
        }
    }
    active
}
