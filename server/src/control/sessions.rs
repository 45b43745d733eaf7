//! Browser sessions in PostgreSQL, as tower-sessions wants them, and the list of an account's sessions.
//!
//! The published store does not fit our sqlx, and keeps the id as it is; here only its hash is kept, and the signed-in
//! account in a column, so that a person's sessions can be listed and ended.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use sqlx::{PgPool, types::Json};
use time::OffsetDateTime;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

use super::{
    ControlPlane,
    roles::Role,
    security_events::{Origin, SecurityEventKind},
};
use crate::{
    clock::Clock,
    ids::{AccountId, AppId},
};

/// The member of a session's data that holds the signed-in account's id.
pub const ACCOUNT_MEMBER: &str = "account";
/// The member that holds the account whose password was right and whose second factor is still to come. Such a session
/// is nobody's yet, but ends with the account's others.
pub const PENDING_ACCOUNT_MEMBER: &str = "pending_account";

/// The store: table `platform.session`.
#[derive(Debug, Clone)]
pub struct PgSessions {
    pool: PgPool,
    clock: Clock,
}

/// A session of an account, for a list. The handle ends it and is of no other use.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SessionInfo {
    /// SHA-256 of the session's id.
    session_hash: Vec<u8>,
    pub created_at: OffsetDateTime,
    /// None until its first page was written down.
    pub last_seen_at: Option<OffsetDateTime>,
    pub last_address: Option<String>,
    pub user_agent: Option<String>,
}

impl SessionInfo {
    /// The handle, as hexadecimal digits.
    pub fn handle(&self) -> String {
        self.session_hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn is(&self, id: Option<Id>) -> bool {
        id.is_some_and(|id| hash(&id) == self.session_hash)
    }
}

/// What sessions were last seen doing, not written yet.
#[derive(Debug, Default)]
pub(super) struct SessionUses(Mutex<HashMap<Vec<u8>, (OffsetDateTime, Origin)>>);

#[async_trait]
impl SessionStore for PgSessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        // 128 random bits do not collide; if they do all the same, another id is taken.
        for _ in 0..3 {
            let created = sqlx::query(
                "insert into platform.session (session_hash, account_id, data, created_at, expires_at)
                 values ($1, $2, $3, $4, $5)
                 on conflict (session_hash) do nothing",
            )
            .bind(hash(&record.id))
            .bind(account(record))
            .bind(Json(&record.data))
            .bind(self.clock.now())
            .bind(record.expiry_date)
            .execute(&self.pool)
            .await
            .map_err(backend)?;
            if created.rows_affected() == 1 {
                return Ok(());
            }
            record.id = Id::default();
        }
        Err(Error::Backend("three session ids in a row were taken".to_owned()))
    }

    /// A session that was ended meanwhile stays ended: nothing is inserted here.
    async fn save(&self, record: &Record) -> Result<()> {
        sqlx::query(
            "update platform.session set account_id = $2, data = $3, expires_at = $4 where session_hash = $1",
        )
        .bind(hash(&record.id))
        .bind(account(record))
        .bind(Json(&record.data))
        .bind(record.expiry_date)
        .execute(&self.pool)
        .await
        .map_err(backend)?;
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let found: Option<(Json<HashMap<String, serde_json::Value>>, OffsetDateTime)> = sqlx::query_as(
            "select data, expires_at from platform.session where session_hash = $1 and expires_at > $2",
        )
        .bind(hash(id))
        .bind(self.clock.now())
        .fetch_optional(&self.pool)
        .await
        .map_err(backend)?;
        Ok(found.map(|(Json(data), expiry_date)| Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        sqlx::query("delete from platform.session where session_hash = $1")
            .bind(hash(id))
            .execute(&self.pool)
            .await
            .map_err(backend)?;
        Ok(())
    }
}

/// What a session lets somebody do with an app right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Member(Role),
    /// The session has ended, the account is no member any more, or the app is gone.
    None,
}

impl ControlPlane {
    /// What a session of `account` still lets it do with an app: asked again and again while a page stays open.
    pub async fn standing(
        &self,
        session: Option<Id>,
        account: AccountId,
        app: AppId,
    ) -> std::result::Result<Standing, sqlx::Error> {
        let role: Option<Role> = sqlx::query_scalar(
            "select m.role
             from platform.session s
             join platform.member m on m.account_id = s.account_id
             join platform.app a on a.tenant_id = m.tenant_id
             where s.session_hash = $1 and s.expires_at > $2 and s.account_id = $3
                and a.app_id = $4 and a.state = 'ready'",
        )
        .bind(session.as_ref().map(hash))
        .bind(self.clock.now())
        .bind(account)
        .bind(app)
        .fetch_optional(&self.pool)
        .await?;
        Ok(role.map_or(Standing::None, Standing::Member))
    }

    /// The store for tower-sessions.
    pub fn session_store(&self) -> PgSessions {
        PgSessions { pool: self.pool.clone(), clock: self.clock.clone() }
    }

    /// The account's live sessions, the one seen last first, at most 100.
    pub async fn sessions(&self, account: AccountId) -> std::result::Result<Vec<SessionInfo>, sqlx::Error> {
        self.write_session_uses().await?;
        sqlx::query_as(
            "select session_hash, created_at, last_seen_at, last_address, user_agent
             from platform.session
             where account_id = $1 and expires_at > $2 and data ? $3
             order by coalesce(last_seen_at, created_at) desc
             limit 100",
        )
        .bind(account)
        .bind(self.clock.now())
        .bind(ACCOUNT_MEMBER)
        .fetch_all(&self.pool)
        .await
    }

    /// Remember that the session was just used. Written down in batches.
    pub fn note_session_use(&self, id: &Id, origin: Origin) {
        let mut uses = self.session_uses.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.insert(hash(id), (self.clock.now(), origin));
    }

    /// Write the uses that were collected since the last call. A job calls it every few seconds.
    pub async fn write_session_uses(&self) -> std::result::Result<u64, sqlx::Error> {
        let uses = std::mem::take(&mut *self.session_uses.0.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() {
            return Ok(0);
        }
        let (mut hashes, mut times) = (Vec::with_capacity(uses.len()), Vec::with_capacity(uses.len()));
        let (mut addresses, mut agents) = (Vec::with_capacity(uses.len()), Vec::with_capacity(uses.len()));
        for (hash, (at, origin)) in uses {
            hashes.push(hash);
            times.push(at);
            addresses.push(origin.address_text());
            agents.push(origin.user_agent);
        }
        let written = sqlx::query(
            "update platform.session s
             set last_seen_at = u.at, last_address = u.address, user_agent = u.agent
             from unnest($1::bytea[], $2::timestamptz[], $3::text[], $4::text[]) as u (hash, at, address, agent)
             where s.session_hash = u.hash",
        )
        .bind(hashes)
        .bind(times)
        .bind(addresses)
        .bind(agents)
        .execute(&self.pool)
        .await?;
        Ok(written.rows_affected())
    }

    /// End the session of the account that has this handle. False if there is none.
    pub async fn end_session(
        &self,
        account: AccountId,
        handle: &str,
        origin: &Origin,
    ) -> std::result::Result<bool, sqlx::Error> {
        if !handle.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(false);
        }
        let mut tx = self.pool.begin().await?;
        let ended = sqlx::query(
            "delete from platform.session where account_id = $1 and encode(session_hash, 'hex') = $2",
        )
        .bind(account)
        .bind(handle)
        .execute(&mut *tx)
        .await?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        self.record_security_event(&mut tx, account, SecurityEventKind::SessionEnded, origin).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// End all of the account's sessions except `keep`. Returns how many were ended.
    pub async fn end_other_sessions(
        &self,
        account: AccountId,
        keep: Option<Id>,
    ) -> std::result::Result<u64, sqlx::Error> {
        let ended = sqlx::query(
            "delete from platform.session
             where account_id = $1 and ($2::bytea is null or session_hash <> $2)",
        )
        .bind(account)
        .bind(keep.as_ref().map(hash))
        .execute(&self.pool)
        .await?;
        Ok(ended.rows_affected())
    }

    /// Remove sessions that have expired. A job calls it now and then.
    pub async fn remove_expired_sessions(&self) -> std::result::Result<u64, sqlx::Error> {
        let removed = sqlx::query("delete from platform.session where expires_at <= $1")
            .bind(self.clock.now())
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected())
    }
}

fn hash(id: &Id) -> Vec<u8> {
    Sha256::digest(id.0.to_be_bytes()).to_vec()
}

/// The account that is signed in, as the session's data says.
fn account(record: &Record) -> Option<AccountId> {
    let member = record.data.get(ACCOUNT_MEMBER).or_else(|| record.data.get(PENDING_ACCOUNT_MEMBER))?;
    member.as_str()?.parse().ok()
}

fn backend(error: sqlx::Error) -> Error {
    Error::Backend(error.to_string())
}
