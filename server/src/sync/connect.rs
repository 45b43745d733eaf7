//! `POST sync/connect`: who may fill an empty scope (PROTOCOL.md section 2).

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Engine, SyncCaller};
use crate::ops::database::in_schema;

/// What a device does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// The scope has history: download it.
    RemoteAuthoritative,
    /// The scope is initialized now and empty.
    InitializeEmpty,
    /// This device, and no other until the lease ends, may push its rows as the scope's first.
    InitializeLocal { initialization_id: Uuid, lease_expires_at: OffsetDateTime },
    /// Another device is about to push the scope's first rows.
    RetryLater { retry_after_seconds: i64, lease_expires_at: OffsetDateTime },
}

#[derive(Debug, sqlx::FromRow)]
struct Decision {
    resolution: String,
    initialization_id: Option<Uuid>,
    lease_expires_at: Option<OffsetDateTime>,
}

impl Engine {
    /// Decide what a device that has (or has not) rows to upload does with its scope.
    pub async fn connect(
        &self,
        caller: &SyncCaller,
        has_local_pending_rows: bool,
    ) -> Result<Resolution, sqlx::Error> {
        const SQL: &str = "select resolution, initialization_id, lease_expires_at
            from {schema}._sync_connect($1, $2, $3, $4, $5, $6)";
        let now = self.clock.now();
        let query = sqlx::query_as(in_schema(&caller.app.schema, SQL))
            .bind(&caller.scope)
            .bind(&caller.source)
            .bind(has_local_pending_rows)
            .bind(Uuid::new_v4())
            .bind(now)
            .bind(self.lease_ttl());
        let share = self.shares.enter(caller.app.app).await;
        let decision: Decision = self.apps.one(&caller.app.schema, query).await?;
        drop(share);
        Ok(decision.into_resolution(now))
    }

    /// How long the right to fill an empty scope lasts after the last sign of its holder.
    pub(in crate::sync) fn lease_ttl(&self) -> Duration {
        Duration::seconds(self.limits.initialization_lease_ttl_seconds)
    }
}

impl Decision {
    fn into_resolution(self, now: OffsetDateTime) -> Resolution {
        let lease = || self.lease_expires_at.expect("BUG: a lease without an end");
        match self.resolution.as_str() {
            "remote_authoritative" => Resolution::RemoteAuthoritative,
            "initialize_empty" => Resolution::InitializeEmpty,
            "initialize_local" => Resolution::InitializeLocal {
                initialization_id: self.initialization_id.expect("BUG: a lease without an id"),
                lease_expires_at: lease(),
            },
            "retry_later" => Resolution::RetryLater {
                // The other device may be done long before its lease ends.
                retry_after_seconds: (lease() - now).whole_seconds().clamp(1, 5),
                lease_expires_at: lease(),
            },
            other => unreachable!("BUG: _sync_connect answered {other}"),
        }
    }
}
