//! Writing gathered facts down: one round trip an app, whatever the number of devices, because with many apps there is one for
//! nearly every push.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use time::{OffsetDateTime, serde::rfc3339};
use uuid::Uuid;

use super::{
    Verb,
    facts::{AppFacts, Event, Fact, Gathered, Reading},
    turned_away::AppRefusals,
};
use crate::{
    ids::{AppId, BundleSeq, SchemaName, ScopeId, SourceId},
    ops::database::in_schema,
    sync::{
        Engine,
        app_by_app::for_each_app,
        conflict::DeviceProgress,
        rollup::{Step, newly_active},
    },
};

/// Writes devices that got on, and those alone: see `migrations/app/0021_note_progress.sql`.
const WRITE_PROGRESS: &str = "
select scope_id, source_id, seen_before, has_open, is_written
from {schema}._sync_note_progress($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// `$1` are the devices ([`Noted`]), `$2` events of theirs ([`NotedEvent`]), as JSON: see `migrations/app/0020_note_devices.sql`.
const WRITE: &str = "
select scope_id, source_id, seen_before, has_open, is_written
from {schema}._sync_note_devices($1, $2)";

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

/// A device and what is written of it, as `_sync_note_devices` reads it.
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

/// An event of a device, as `_sync_note_devices` reads it.
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
    ///
    /// The figures of the same apps are written too: what has written the one knows the app and has its role.
    pub async fn write_device_facts(&self) {
        let _turns = (self.facts.turn_to_write().await, self.meter.turn_to_write().await);
        let Gathered { apps, refusals, dropped, .. } = self.facts.take();
        if dropped > 0 {
            tracing::warn!(dropped, "more devices called than can be noted; facts of some are missing");
        }
        let log = |app: AppId, outcome: Result<(), sqlx::Error>| {
            if let Err(error) = outcome {
                tracing::warn!(app.id = %app, error.cause = %error, "facts about devices could not be written");
            }
        };
        let write = |(app, facts): (AppId, AppFacts)| async move {
            log(app, self.write_app(&facts).await);
            self.write_rollups_of(app).await;
        };
        for_each_app(apps, write).await;
        // After what was let in: a refusal counts only if no success came after it.
        let write =
            |(app, facts): (AppId, AppRefusals)| async move { log(app, self.write_refusals(&facts).await) };
        for_each_app(refusals.apps, write).await;
    }

    async fn write_app(&self, facts: &AppFacts) -> Result<(), sqlx::Error> {
        let schema = &facts.catalog.schema;
        let (progress, mut others): (Vec<Row<'_>>, Vec<Row<'_>>) =
            facts.devices.iter().partition(|(_, fact)| fact.is_progress());
        let mut written = self.write_progress(schema, &progress).await?;
        if written.len() < progress.len() {
            let done: HashSet<_> = written.iter().map(Written::key).collect();
            others.extend(progress.iter().filter(|(key, _)| !done.contains(key)));
        }
        written.extend(self.write_devices(schema, &others).await?);
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

    /// Answers those devices that are written.
    async fn write_progress(
        &self,
        schema: &SchemaName,
        devices: &[Row<'_>],
    ) -> Result<Vec<Written>, sqlx::Error> {
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let seq = |seq: Option<BundleSeq>| seq.map(|seq| seq.0);
        let query = sqlx::query_as(in_schema(schema, WRITE_PROGRESS))
            .bind(devices.iter().map(|((scope, _), _)| scope.as_str()).collect::<Vec<_>>())
            .bind(devices.iter().map(|((_, source), _)| source.as_str()).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, fact)| fact.user.as_deref()).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, fact)| fact.client.as_deref()).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, fact)| fact.address.as_deref()).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, fact)| fact.seen_at).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, fact)| fact.push.map(|(at, _)| at)).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, fact)| seq(fact.push.map(|(_, seq)| seq))).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, fact)| seq(fact.pushed_from)).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, fact)| fact.pull.map(|(at, _)| at)).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, fact)| seq(fact.pull.map(|(_, seq)| seq))).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, fact)| seq(fact.served)).collect::<Vec<_>>())
            .bind(
                devices
                    .iter()
                    .map(|(_, fact)| fact.brought.as_ref().map(|event| event.at))
                    .collect::<Vec<_>>(),
            );
        self.apps.all(schema, query).await
    }

    async fn write_devices(
        &self,
        schema: &SchemaName,
        devices: &[Row<'_>],
    ) -> Result<Vec<Written>, sqlx::Error> {
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let (devices, events) = as_json(devices)?;
        let write =
            || self.apps.all(schema, sqlx::query_as(in_schema(schema, WRITE)).bind(&devices).bind(&events));
        let written: Vec<Written> = write().await?;
        if written.iter().all(|device| device.is_written) {
            return Ok(written);
        }
        // Another node has put one in meanwhile, so that this time it is there to be changed.
        write().await
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

/// The devices, and their events, as `_sync_note_devices` reads them.
fn as_json(devices: &[Row<'_>]) -> Result<(String, String), sqlx::Error> {
    let to_text =
        |json: Result<String, serde_json::Error>| json.map_err(|error| sqlx::Error::Encode(error.into()));
    let events: Vec<_> = devices
        .iter()
        .flat_map(|(key, fact)| fact.events.iter().map(move |event| NotedEvent::new(key, event)))
        .collect();
    let devices: Vec<_> = devices.iter().copied().map(Noted::new).collect();
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
