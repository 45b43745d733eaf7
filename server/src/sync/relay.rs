//! How a commit on one node wakes the watchers of all others.
//!
//! Out: what is committed here within some 20 ms goes out as one NOTIFY, on a connection of the relay's own, after the
//! commits: the lock that NOTIFY takes is never in a device's way. In: one connection a node listens. A notification is
//! a hint that may get lost, so a node also asks, at its leisure, for the latest bundle of every scope that is watched
//! here, and at once after its listening connection broke.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    CommitEvent,
    hub::{Hub, Signal, Wake, WatchedScope},
};
use crate::{
    ids::{AppId, BundleSeq, ScopeId, SourceId},
    ops::database::{AppPool, in_schema},
};

/// Also named by `_sync_seal_pending` (migrations/app), which plain SQL's commits come through.
const CHANNEL: &str = "syncline_bundle";

/// How long commits are gathered before they are sent.
const GATHER_FOR: Duration = Duration::from_millis(20);
/// PostgreSQL takes less than 8000 bytes at once.
const MAX_PAYLOAD: usize = 7_900;
/// Every watched scope is asked about this often, and more seldom if there are so many apps that the pauses between
/// the questions take longer.
const ASK_EVERY: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
/// Scopes in one question.
const SCOPES_AT_ONCE: usize = 1_000;
/// Before a broken connection is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Connects this node's hub with those of others. One a process.
#[derive(Debug, Clone)]
pub struct Relay {
    hub: Hub,
    platform: PgPool,
    apps: AppPool,
    /// Names this process in what it sends, so that it does not listen to itself.
    node: Uuid,
    /// Somebody must ask about every scope now.
    missed: std::sync::Arc<Notify>,
}

/// What nodes tell each other.
#[derive(Debug, Serialize, Deserialize)]
struct FromNode {
    node: Uuid,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    committed: Vec<(AppId, String, BundleSeq, String, i64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<(AppId, String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    erased: Vec<(AppId, String)>,
}

/// What a commit of plain SQL tells.
#[derive(Debug, Deserialize)]
struct FromSql {
    app: AppId,
    scope: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Message {
    Node(FromNode),
    Sql(FromSql),
}

impl Relay {
    pub fn new(hub: Hub, platform: PgPool, apps: AppPool) -> Self {
        Self { hub, platform, apps, node: Uuid::new_v4(), missed: std::sync::Arc::default() }
    }

    /// Send, listen and ask until `stop`. One task a process runs this.
    pub async fn run(self, stop: CancellationToken) {
        let Some(outgoing) = self.hub.outgoing() else { return };
        let work = async { tokio::join!(self.send(outgoing), self.listen(), self.ask()) };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = work => {}
        }
    }

    /// Tell other nodes what happened here.
    async fn send(&self, mut outgoing: tokio::sync::mpsc::Receiver<Signal>) {
        let mut gathered = Vec::new();
        while outgoing.recv_many(&mut gathered, 1_024).await > 0 {
            sleep(GATHER_FOR).await;
            while let Ok(signal) = outgoing.try_recv() {
                gathered.push(signal);
            }
            let payloads = payloads(self.node, std::mem::take(&mut gathered));
            // Not durable: a notification that is lost in a crash has nobody left who waits for it.
            let sent = sqlx::query(
                "select set_config('synchronous_commit', 'off', true), pg_notify($1, payload)
                from unnest($2::text[]) as payload",
            )
            .bind(CHANNEL)
            .bind(payloads)
            .execute(&self.platform)
            .await;
            if let Err(error) = sent {
                tracing::warn!(error.cause = %error, "other nodes could not be told of commits; they will ask");
                sleep(RETRY_AFTER).await;
            }
        }
    }

    /// Hear what happened elsewhere.
    async fn listen(&self) {
        // A pool of its own, of one connection: a listener keeps its connection for good.
        let options = self.platform.connect_options().as_ref().clone();
        loop {
            let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
            if let Err(error) = self.listen_on(&pool).await {
                tracing::warn!(error.cause = %error, "notifications of other nodes cannot be heard; trying again");
            }
            self.missed.notify_one();
            sleep(RETRY_AFTER).await;
        }
    }

    async fn listen_on(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        // What was committed before we listened.
        self.missed.notify_one();
        // None: the connection broke, and with it went what was told meanwhile.
        while let Some(notification) = listener.try_recv().await? {
            self.hear(notification.payload()).await;
        }
        Ok(())
    }

    async fn hear(&self, payload: &str) {
        match serde_json::from_str(payload) {
            Ok(Message::Node(message)) if message.node != self.node => self.hear_node(message),
            Ok(Message::Node(_)) => {}
            Ok(Message::Sql(FromSql { app, scope })) => {
                let Ok(scope) = ScopeId::parse(&scope) else { return };
                if self.hub.is_watched(app, &scope) {
                    // The number that is told is not relied upon: anybody who may use the database can notify.
                    let known = BundleSeq(0);
                    self.catch_up(app, &[WatchedScope { scope, known }]).await;
                }
            }
            Err(error) => {
                tracing::debug!(error.cause = %error, "a notification that is none of ours was ignored");
            }
        }
    }

    fn hear_node(&self, message: FromNode) {
        for (app, scope, seq, source, source_bundle_id) in message.committed {
            if let Ok(scope) = ScopeId::parse(&scope) {
                self.hub.wake(app, &scope, Wake { seq, source: source.into(), source_bundle_id });
            }
        }
        for (app, scope, source) in message.retired {
            if let (Ok(scope), Ok(source)) = (ScopeId::parse(&scope), SourceId::parse_device(&source)) {
                self.hub.end_source(app, &scope, &source);
            }
        }
        for (app, scope) in message.erased {
            if let Ok(scope) = ScopeId::parse(&scope) {
                self.hub.end_scope(app, &scope);
            }
        }
    }

    /// Ask for the latest bundle of every scope that is watched here, again and again.
    async fn ask(&self) {
        loop {
            for (app, scopes) in self.hub.watched() {
                for scopes in scopes.chunks(SCOPES_AT_ONCE) {
                    self.catch_up(app, scopes).await;
                    sleep(PAUSE).await;
                }
            }
            tokio::select! {
                () = self.missed.notified() => {}
                () = sleep(ASK_EVERY) => {}
            }
        }
    }

    /// Wake the watchers of those of an app's scopes that have a newer bundle than is known here.
    async fn catch_up(&self, app: AppId, scopes: &[WatchedScope]) {
        match self.newer(app, scopes).await {
            Ok(newer) => {
                for (scope, wake) in newer {
                    self.hub.wake(app, &scope, wake);
                }
            }
            Err(error) if is_gone(&error) => self.hub.end_app(app),
            Err(error) => {
                tracing::warn!(app.id = %app, error.cause = %error, "watched scopes could not be asked about");
            }
        }
    }

    async fn newer(&self, app: AppId, scopes: &[WatchedScope]) -> Result<Vec<(ScopeId, Wake)>, sqlx::Error> {
        const SQL: &str = "select u.scope_id, b.bundle_seq, b.source_id, b.source_bundle_id
            from unnest($1::text[], $2::bigint[]) as u (scope_id, known_seq)
            cross join lateral (
                select s.bundle_seq
                from {schema}._sync_scope s
                where s.scope_id = u.scope_id and s.bundle_seq > u.known_seq
                limit 1
            ) s
            join {schema}._sync_bundle b on b.scope_id = u.scope_id and b.bundle_seq = s.bundle_seq";
        let schema = app.schema();
        let ids: Vec<&str> = scopes.iter().map(|watched| watched.scope.as_str()).collect();
        let known: Vec<BundleSeq> = scopes.iter().map(|watched| watched.known).collect();
        let query = sqlx::query_as(in_schema(&schema, SQL)).bind(ids).bind(known);
        let rows: Vec<(ScopeId, BundleSeq, String, i64)> = self.apps.all(&schema, query).await?;
        Ok(rows
            .into_iter()
            .map(|(scope, seq, source, source_bundle_id)| {
                (scope, Wake { seq, source: source.into(), source_bundle_id })
            })
            .collect())
    }
}

/// Whether the app's schema or role is not there.
fn is_gone(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // undefined_table, invalid_schema_name, undefined_object; 22023: what SET ROLE says of an unknown role.
    matches!(code.as_deref(), Some("42P01" | "3F000" | "42704" | "22023"))
}

/// The messages for these signals: the latest commit of each scope, cut so that PostgreSQL takes each.
fn payloads(node: Uuid, signals: Vec<Signal>) -> Vec<String> {
    let empty = || FromNode { node, committed: Vec::new(), retired: Vec::new(), erased: Vec::new() };
    let mut latest: HashMap<(AppId, ScopeId), CommitEvent> = HashMap::new();
    let mut singles = Vec::new();
    for signal in signals {
        match signal {
            Signal::Committed(event) => match latest.entry((event.app, event.scope.clone())) {
                Entry::Occupied(mut entry) if entry.get().seq < event.seq => drop(entry.insert(event)),
                Entry::Occupied(_) => {}
                Entry::Vacant(entry) => drop(entry.insert(event)),
            },
            Signal::Retired { app, scope, source } => {
                let retired = (app, scope.as_str().to_owned(), source.as_str().to_owned());
                singles.push(FromNode { retired: vec![retired], ..empty() });
            }
            Signal::Erased { app, scope } => {
                singles.push(FromNode { erased: vec![(app, scope.as_str().to_owned())], ..empty() });
            }
        }
    }
    singles.extend(latest.into_values().map(|event| {
        let CommitEvent { app, scope, source, source_bundle_id, seq } = event;
        let committed = (app, scope.as_str().to_owned(), seq, source.as_str().to_owned(), source_bundle_id);
        FromNode { committed: vec![committed], ..empty() }
    }));

    let mut payloads = Vec::new();
    let (mut message, mut bytes) = (empty(), 0);
    for single in singles {
        let size = text(&single).len();
        if bytes > 0 && bytes + size > MAX_PAYLOAD {
            payloads.push(text(&std::mem::replace(&mut message, empty())));
            bytes = 0;
        }
        bytes += size;
        message.committed.extend(single.committed);
        message.retired.extend(single.retired);
        message.erased.extend(single.erased);
    }
    if bytes > 0 {
        payloads.push(text(&message));
    }
    payloads
}

fn text(message: &FromNode) -> String {
    serde_json::to_string(message).expect("BUG: a message is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(app: AppId, scope: &str, seq: i64) -> Signal {
        Signal::Committed(CommitEvent {
            app,
            scope: ScopeId::parse(scope).unwrap(),
            source: SourceId::parse_device("d").unwrap(),
            source_bundle_id: seq,
            seq: BundleSeq(seq),
        })
    }

    #[test]
    fn many_commits_of_a_scope_are_one_line_and_many_scopes_few_messages() {
        let (app, node) = (AppId::new(), Uuid::new_v4());
        let same = (1..=100).map(|seq| committed(app, "u", seq)).collect();
        let one = payloads(node, same);
        assert_eq!(one.len(), 1);
        let message: FromNode = serde_json::from_str(&one[0]).unwrap();
        assert_eq!(message.committed, [(app, "u".to_owned(), BundleSeq(100), "d".to_owned(), 100)]);

        let long = "é\"".repeat(127);
        let many: Vec<_> = (0..500).map(|i| committed(app, &format!("{i:0>3}{}", &long[..249]), 1)).collect();
        let messages = payloads(node, many);
        assert!(messages.iter().all(|message| message.len() < 8_000));
        let told: usize =
            messages.iter().map(|text| serde_json::from_str::<FromNode>(text).unwrap().committed.len()).sum();
        assert_eq!(told, 500);
    }

    #[test]
    fn a_commit_of_plain_sql_is_understood() {
        let app = AppId::new();
        let payload = format!("{{\"app\" : \"{}\", \"scope\" : \"u\", \"seq\" : 7}}", app.schema());
        let Ok(Message::Sql(message)) = serde_json::from_str(&payload) else { panic!("not understood") };
        assert_eq!((message.app, message.scope.as_str()), (app, "u"));
    }
}
