//! Browser sessions in PostgreSQL, as tower-sessions wants them, and the list of an account's sessions.
//!
//! The published store does not fit our sqlx, and keeps the id as it is; here only its hash is kept, and the signed-in
//! account in a column, so that a person's sessions can be listed and ended.

use std::collections::HashMap;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use sqlx::{PgPool, types::Json};
use time::OffsetDateTime;
use tower_sessions::{
    SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

use super::{ControlPlane, members::Role};
use crate::{
    clock::Clock,
    ids::{AccountId, AppId},
};

/// The member of a session's data that holds the signed-in account's id.
pub const ACCOUNT_MEMBER: &str = "account";

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
    pub session_hash: Vec<u8>,
    pub created_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
}

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

    /// The account's live sessions, newest first.
    pub async fn sessions(&self, account: AccountId) -> std::result::Result<Vec<SessionInfo>, sqlx::Error> {
        sqlx::query_as(
            "select session_hash, created_at, expires_at
             from platform.session
             where account_id = $1 and expires_at > $2
             order by created_at desc",
        )
        .bind(account)
        .bind(self.clock.now())
        .fetch_all(&self.pool)
        .await
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
    record.data.get(ACCOUNT_MEMBER)?.as_str()?.parse().ok()
}

fn backend(error: sqlx::Error) -> Error {
    Error::Backend(error.to_string())
}
