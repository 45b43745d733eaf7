//! How nodes learn what to forget: a number that every change takes, and a log of which app it was.
//!
//! The write side ([`bump`]) is part of the transaction that changes something; the read side ([`ControlPlane::poll`])
//! is called a few times a second by `crate::directory` on every node.

use sqlx::{Postgres, Transaction};

use super::ControlPlane;
use crate::{clock::Clock, ids::AppId};

/// What changed since a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The number of the latest change.
    pub number: i64,
    pub what: Changed,
}

/// The apps that a node must forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// These apps; none when nothing happened.
    Apps(Vec<AppId>),
    /// Everything: a change concerned all apps, or entries of the log are gone.
    Everything,
}

/// Say, inside the transaction that changes it, that what nodes have cached of `app` (None: of every app) is no
/// longer right. It takes effect on every node within a second of the commit.
///
/// Call it last: it locks one row that every change takes.
pub async fn bump(
    tx: &mut Transaction<'_, Postgres>,
    clock: &Clock,
    app: Option<AppId>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with next as (update platform.change set number = number + 1 returning number)
         insert into platform.change_log (number, app_id, at) select number, $1, $2 from next",
    )
    .bind(app)
    .bind(clock.now())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl ControlPlane {
    /// The number of the latest change.
    pub async fn change_number(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("select number from platform.change").fetch_one(&self.pool).await
    }

    /// What changed after change `since`.
    pub async fn changes_since(&self, since: i64) -> Result<Changes, sqlx::Error> {
        let number = self.change_number().await?;
        if number == since {
            return Ok(Changes { number, what: Changed::Apps(Vec::new()) });
        }
        let apps: Vec<Option<AppId>> =
            sqlx::query_scalar("select app_id from platform.change_log where number > $1 and number <= $2")
                .bind(since)
                .bind(number)
                .fetch_all(&self.pool)
                .await?;
        let complete = i64::try_from(apps.len()) == Ok(number - since);
        let what = match apps.into_iter().collect::<Option<Vec<_>>>() {
            Some(apps) if complete => Changed::Apps(apps),
            _ => Changed::Everything,
        };
        Ok(Changes { number, what })
    }

    /// Remove log entries that every living node has read long ago (older than a minute).
    pub async fn prune_changes(&self) -> Result<u64, sqlx::Error> {
        let before = self.clock.now() - time::Duration::minutes(1);
        let pruned = sqlx::query("delete from platform.change_log where at < $1")
            .bind(before)
            .execute(&self.pool)
            .await?;
        Ok(pruned.rows_affected())
    }
}
