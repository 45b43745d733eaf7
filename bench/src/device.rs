//! A simulated device: one connection, one user, one source, and the requests that a client library makes. Every answer is
//! checked, so that a server that answers wrongly counts as failing, not as fast.

use std::{net::Ipv4Addr, rc::Rc};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hyper::{body::Incoming, header::HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    connection::{Answer, Connection},
    rows::PreparedPush,
    target::Target,
};

pub(crate) struct Device {
    target: Rc<Target>,
    connection: Connection,
    authorization: HeaderValue,
    source: HeaderValue,
    /// The last committed number of this source.
    source_bundle_id: u64,
}

/// A commit, as the server answered it.
#[derive(Debug, Deserialize)]
pub(crate) struct Committed {
    pub(crate) bundle_seq: u64,
    pub(crate) row_count: usize,
    pub(crate) bundle_hash: String,
}

#[derive(Deserialize)]
struct Created<'a> {
    push_id: Option<&'a str>,
    status: &'a str,
}

#[derive(Deserialize)]
struct Staged {
    next_expected_row_ordinal: usize,
}

#[derive(Deserialize)]
struct RowsPage<'a> {
    bundle_hash: &'a str,
    row_count: usize,
    #[serde(borrow)]
    rows: Vec<&'a RawValue>,
    next_row_ordinal: i64,
    has_more: bool,
}

#[derive(Deserialize)]
struct PullPage<'a> {
    stable_bundle_seq: u64,
    #[serde(borrow)]
    bundles: Vec<PulledBundle<'a>>,
    has_more: bool,
}

#[derive(Deserialize)]
struct PulledBundle<'a> {
    bundle_seq: u64,
    #[serde(borrow)]
    rows: Vec<&'a RawValue>,
}

/// What a pull or snapshot brought.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) bundles: usize,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SnapshotSession {
    pub(crate) snapshot_id: String,
    pub(crate) snapshot_bundle_seq: u64,
    pub(crate) row_count: usize,
    pub(crate) byte_count: usize,
}

#[derive(Deserialize)]
struct SnapshotChunk<'a> {
    #[serde(borrow)]
    rows: Vec<&'a RawValue>,
    next_row_ordinal: u64,
    has_more: bool,
    byte_count: usize,
}

impl Device {
    /// A device of `user` with a new source; connected at transport level only.
    pub(crate) async fn open(target: &Rc<Target>, user: &str, source: &str) -> Result<Self> {
        Self::open_from(target, user, source, Ipv4Addr::LOCALHOST).await
    }

    pub(crate) async fn open_from(
        target: &Rc<Target>,
        user: &str,
        source: &str,
        local: Ipv4Addr,
    ) -> Result<Self> {
        Ok(Self {
            target: target.clone(),
            connection: Connection::open(target, local).await?,
            authorization: target.authorization(user).await?,
            source: HeaderValue::from_str(source)?,
            source_bundle_id: 0,
        })
    }

    /// Open a device and make its user's scope ready for pushes.
    pub(crate) async fn ready(target: &Rc<Target>, user: &str, source: &str) -> Result<Self> {
        let mut device = Self::open(target, user, source).await?;
        device.connect().await?;
        Ok(device)
    }

    pub(crate) fn target(&self) -> &Rc<Target> {
        &self.target
    }

    /// The same connection as another user of, maybe, another app of the server.
    pub(crate) async fn turn_to(
        &mut self,
        target: &Rc<Target>,
        user: &str,
        source_bundle_id: u64,
    ) -> Result<()> {
        self.connection.turn_to(target);
        self.target = target.clone();
        self.authorization = target.authorization(user).await?;
        self.source_bundle_id = source_bundle_id;
        Ok(())
    }

    pub(crate) async fn connect(&mut self) -> Result<()> {
        let body = Bytes::from_static(br#"{"has_local_pending_rows":false}"#);
        let answer = self.post("sync/connect", body).await?;
        let text = answer.text();
        ensure!(
            text.contains("initialize_empty") || text.contains("remote_authoritative"),
            "sync/connect answered {text}"
        );
        Ok(())
    }

    /// Create, all chunks, commit.
    pub(crate) async fn push(&mut self, push: &PreparedPush) -> Result<Committed> {
        let push_id = self.stage(push).await?;
        self.commit(&push_id, push.row_count).await
    }

    /// Create and all chunks; answers the push id.
    pub(crate) async fn stage(&mut self, push: &PreparedPush) -> Result<String> {
        let create = format!(
            r#"{{"source_bundle_id":{},"planned_row_count":{},"canonical_request_hash":"{}"}}"#,
            self.source_bundle_id + 1,
            push.row_count,
            push.request_hash
        );
        let answer = self.post("sync/push-sessions", create.into()).await?;
        let created: Created<'_> = answer.read()?;
        ensure!(created.status == "staging", "push create answered status {}", created.status);
        let push_id = created.push_id.context("push create answered no push_id")?.to_owned();
        let mut staged = 0;
        for chunk in &push.chunks {
            let path = format!("sync/push-sessions/{push_id}/chunks");
            staged = self.post(&path, chunk.clone()).await?.read::<Staged>()?.next_expected_row_ordinal;
        }
        ensure!(staged == push.row_count, "the server staged {staged} of {} rows", push.row_count);
        Ok(push_id)
    }

    pub(crate) async fn commit(&mut self, push_id: &str, row_count: usize) -> Result<Committed> {
        let path = format!("sync/push-sessions/{push_id}/commit");
        let committed: Committed = self.post(&path, Bytes::new()).await?.read()?;
        ensure!(committed.row_count == row_count, "committed {} of {row_count} rows", committed.row_count);
        self.source_bundle_id += 1;
        Ok(committed)
    }

    /// Read a commit back, page by page.
    pub(crate) async fn read_back(&mut self, committed: &Committed) -> Result<()> {
        let mut rows = 0;
        let mut cursor = String::new();
        loop {
            let path = format!("sync/committed-bundles/{}/rows?max_rows=1000{cursor}", committed.bundle_seq);
            let answer = self.get(&path).await?;
            let page: RowsPage<'_> = answer.read()?;
            ensure!(page.bundle_hash == committed.bundle_hash, "another bundle hash read back");
            ensure!(page.row_count == committed.row_count, "another row count read back");
            rows += page.rows.len();
            if !page.has_more {
                break;
            }
            ensure!(!page.rows.is_empty(), "an empty page that says has_more");
            cursor = format!("&after_row_ordinal={}", page.next_row_ordinal);
        }
        ensure!(rows == committed.row_count, "{rows} of {} rows read back", committed.row_count);
        Ok(())
    }

    /// Pull everything after `after`, in pages of `max_bundles`.
    pub(crate) async fn pull(&mut self, after: u64, max_bundles: usize) -> Result<Received> {
        let mut received = Received::default();
        let mut checkpoint = after;
        let mut target = String::new();
        loop {
            let path = format!("sync/pull?after_bundle_seq={checkpoint}&max_bundles={max_bundles}{target}");
            let answer = self.get(&path).await?;
            let page: PullPage<'_> = answer.read()?;
            for bundle in &page.bundles {
                ensure!(
                    bundle.bundle_seq == checkpoint + 1,
                    "bundle {} after {checkpoint}",
                    bundle.bundle_seq
                );
                checkpoint = bundle.bundle_seq;
                received.rows += bundle.rows.len();
            }
            received.bundles += page.bundles.len();
            received.bytes += answer.body.len();
            if !page.has_more {
                ensure!(checkpoint == page.stable_bundle_seq, "the last page ends before the ceiling");
                return Ok(received);
            }
            ensure!(!page.bundles.is_empty(), "an empty page that says has_more");
            target = format!("&target_bundle_seq={}", page.stable_bundle_seq);
        }
    }

    pub(crate) async fn open_snapshot(&mut self) -> Result<SnapshotSession> {
        self.post("sync/snapshot-sessions", Bytes::new()).await?.read()
    }

    /// All chunks of a snapshot, `max_rows` a chunk.
    pub(crate) async fn read_snapshot(
        &mut self,
        session: &SnapshotSession,
        max_rows: usize,
    ) -> Result<Received> {
        let mut received = Received::default();
        let mut cursor = 0;
        loop {
            let path = format!(
                "sync/snapshot-sessions/{}?after_row_ordinal={cursor}&max_rows={max_rows}&max_bytes=4194304",
                session.snapshot_id
            );
            let answer = self.get(&path).await?;
            let chunk: SnapshotChunk<'_> = answer.read()?;
            received.rows += chunk.rows.len();
            received.bytes += chunk.byte_count;
            cursor = chunk.next_row_ordinal;
            if !chunk.has_more {
                break;
            }
            ensure!(!chunk.rows.is_empty(), "an empty chunk that says has_more");
        }
        ensure!(received.rows == session.row_count, "{} of {} rows", received.rows, session.row_count);
        ensure!(received.bytes == session.byte_count, "{} of {} bytes", received.bytes, session.byte_count);
        Ok(received)
    }

    /// Open a watch stream; answers its body.
    pub(crate) async fn watch(&mut self, after: u64) -> Result<Incoming> {
        let path = format!("sync/watch?after_bundle_seq={after}");
        let (status, body) = self.connection.stream(&self.authorization, &self.source, &path).await?;
        ensure!(status.is_success(), "sync/watch answered {status}");
        Ok(body)
    }

    pub(crate) async fn capabilities(&mut self) -> Result<()> {
        self.get("sync/capabilities").await.map(drop)
    }

    async fn get(&mut self, path: &str) -> Result<Answer> {
        let answer = self.connection.get(&self.authorization, &self.source, path).await?;
        checked(answer, path)
    }

    async fn post(&mut self, path: &str, body: Bytes) -> Result<Answer> {
        let answer = self.connection.post(&self.authorization, Some(&self.source), path, body).await?;
        checked(answer, path)
    }
}

fn checked(answer: Answer, path: &str) -> Result<Answer> {
    if !answer.status.is_success() {
        bail!("{path} answered {}: {}", answer.status, answer.text());
    }
    Ok(answer)
}
