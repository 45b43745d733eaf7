//! Erasing a scope: its rows and everything that is known of them, in bounded batches, beside devices that go on calling.
//!
//! First the scope is closed: it is `initializing`, and the lease is the eraser's, so that every gate of the protocol
//! refuses devices as it does while another device fills a scope. A commit under way ends before, because it holds the
//! scope's lock; a staged push is gone. Then rows go table by table, children first. At last the scope is opened again or
//! goes too. Whatever happens in between, the scope stays closed, and erasing it again goes on where it stopped.
//!
//! Capture sees the rows go like any others; what it notes is removed in the same transaction, so no bundle tells of it.

use sqlx::AssertSqlSafe;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{CommitEvent, Engine, queue::ScopeBusy};
use crate::{
    ids::{BundleSeq, ScopeId, SourceId},
    ops::database::{AppTx, in_schema},
    tables::{
        catalog::{AppCatalog, CatalogTable},
        ident::SCOPE_COLUMN,
    },
};

/// Rows of one statement. Fewer where they are so big that PostgreSQL cannot hold what capture makes of them.
const BATCH: i64 = 1_000;
/// The lease of a scope that is being erased: past any interruption.
const CLOSED_FOR: Duration = Duration::days(7);
/// `SourceId::server(WRITER)` holds the lease, and writes the bundle that stays.
const WRITER: &str = "erasure";

/// The engine's tables that hold something of a scope, in the order in which they are emptied: what devices read first.
/// `_sync_scope` itself is not among them.
pub const TABLES: [&str; 15] = [
    "_sync_push_chunk",
    "_sync_push",
    "_sync_snapshot_session",
    "_sync_snapshot_page",
    "_sync_snapshot",
    "_sync_bundle_rows",
    "_sync_bundle",
    "_sync_row",
    "_sync_effect",
    "_sync_pending",
    "_sync_conflict",
    "_sync_rejected_write",
    "_sync_device_event",
    "_sync_device",
    "_sync_source",
];

/// What stays of the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// Its number, by which devices that come back know that they must start over.
    Number,
    Nothing,
}

/// Why a scope has not been erased to the end. It stays closed; erase it again.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error("other writes are in the way")]
    Busy,
    #[error("the scope could not be erased")]
    Database(#[from] sqlx::Error),
}

/// The number goes on by one, and the floor is right below: no checkpoint that a device can have is above it.
const OPEN: &str = "with opened as (
        update {schema}._sync_scope s
        set state = 'initialized', lease_id = null, lease_source_id = null, lease_expires_at = null,
            floor_seq = s.bundle_seq, bundle_seq = s.bundle_seq + least(s.bundle_seq, 1),
            last_commit_at = $5, erased_at = $5
        where s.scope_id = $1 and s.lease_id = $2
        returning s.bundle_seq
    ),
    written as (
        insert into {schema}._sync_source (scope_id, source_id, state, source_bundle_id, created_at)
        select $1, $3, 'active', 1, $5
        from opened o
        where o.bundle_seq > 0
    )
    insert into {schema}._sync_bundle (
        scope_id, bundle_seq, source_id, source_bundle_id, row_count, byte_count, bundle_hash, schema_version,
        written_by, committed_at
    )
    select $1, o.bundle_seq, $3, 1, 0, 0, encode(sha256('[]'), 'hex'), $4, $6, $5
    from opened o
    where o.bundle_seq > 0
    returning bundle_seq";

impl Engine {
    /// Erase everything of a scope. Can be interrupted and repeated at any point.
    pub async fn erase_scope(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        leaves: Leaves,
        erased_by: &str,
    ) -> Result<(), EraseError> {
        let lease = self.close_scope(app, scope).await?;
        self.hub.erased(app.app, scope);
        // What is known of devices in memory comes down before it is erased.
        self.write_device_facts().await;
        self.erase_rows(app, scope).await?;
        for table in TABLES {
            self.empty(app, scope, table).await?;
        }
        match (leaves, lease) {
            (Leaves::Number, Some(lease)) => self.open_erased(app, scope, lease, erased_by).await?,
            _ => {
                let query = sqlx::query(in_schema(
                    &app.schema,
                    "delete from {schema}._sync_scope where scope_id = $1",
                ));
                self.apps.rows(&app.schema, query.bind(scope)).await?;
            }
        }
        Ok(())
    }

    /// Erase what requests that were under way have left behind: call it some seconds after the scope was erased, at
    /// `erased_at`. What has come since stays.
    pub async fn sweep_erased(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        leaves: Leaves,
        erased_at: OffsetDateTime,
    ) -> Result<(), sqlx::Error> {
        const LATE: [&str; 5] = [
            "delete from {schema}._sync_conflict where scope_id = $1 and last_at <= $2",
            "delete from {schema}._sync_rejected_write where scope_id = $1 and last_at <= $2",
            "delete from {schema}._sync_device_event where scope_id = $1 and at <= $2",
            "delete from {schema}._sync_device where scope_id = $1 and last_seen_at <= $2",
            // Its pages go with it, soon; nobody begins to read it.
            "update {schema}._sync_snapshot set is_ending = true
             where scope_id = $1 and created_at <= $2 and not is_ending",
        ];
        self.write_device_facts().await;
        // A simulation's scope is never used again.
        let until = if leaves == Leaves::Nothing { self.clock.now() } else { erased_at };
        for sql in LATE {
            self.apps
                .rows(&app.schema, sqlx::query(in_schema(&app.schema, sql)).bind(scope).bind(until))
                .await?;
        }
        Ok(())
    }

    /// Close the scope to everybody else; the lease by which it is opened again. None: there is no such scope.
    async fn close_scope(&self, app: &AppCatalog, scope: &ScopeId) -> Result<Option<Uuid>, EraseError> {
        const SQL: &str = "update {schema}._sync_scope s
            set state = 'initializing', lease_source_id = $3, lease_expires_at = $4,
                -- Whoever came before has stopped or is still at it; either may end it.
                lease_id = case when s.lease_source_id = $3 then s.lease_id else $2 end
            where s.scope_id = $1
            returning s.lease_id";
        let _turn = self.queues.turn(app.app, scope).await.map_err(|ScopeBusy| EraseError::Busy)?;
        let query = sqlx::query_as(in_schema(&app.schema, SQL))
            .bind(scope)
            .bind(Uuid::new_v4())
            .bind(SourceId::server(WRITER))
            .bind(self.clock.now() + CLOSED_FOR);
        let lease: Option<(Uuid,)> = self.apps.optional(&app.schema, query).await?;
        Ok(lease.map(|(lease,)| lease))
    }

    async fn open_erased(
        &self,
        app: &AppCatalog,
        scope: &ScopeId,
        lease: Uuid,
        erased_by: &str,
    ) -> Result<(), EraseError> {
        let source = SourceId::server(WRITER);
        let query = sqlx::query_as(in_schema(&app.schema, OPEN))
            .bind(scope)
            .bind(lease)
            .bind(&source)
            .bind(app.schema_version)
            .bind(self.clock.now())
            .bind(erased_by);
        let opened: Option<(BundleSeq,)> = self.apps.optional(&app.schema, query).await?;
        if let Some((seq,)) = opened {
            let scope = scope.clone();
            self.committed(CommitEvent { app: app.app, scope, source, source_bundle_id: 1, seq });
        }
        Ok(())
    }

    /// The app's own tables, children before parents.
    async fn erase_rows(&self, app: &AppCatalog, scope: &ScopeId) -> Result<(), sqlx::Error> {
        for group in groups(app.tables()) {
            match group.as_slice() {
                [table] if !refers_to(table, &group) => {
                    let mut batch = BATCH;
                    loop {
                        let mut tx = self.begin_erasing(app, scope).await?;
                        match erase_some(&mut tx, app, table, scope, batch).await {
                            Ok(erased) => {
                                tx.commit().await?;
                                if erased < batch {
                                    break;
                                }
                            }
                            Err(error) if batch > 1 && is_too_much(&error) => batch /= 4,
                            Err(error) => return Err(error),
                        }
                        batch = batch.max(1);
                    }
                }
                // Rows that refer to each other in circles go together: foreign keys are looked at when all are gone.
                tables => {
                    let mut tx = self.begin_erasing(app, scope).await?;
                    for table in tables {
                        while erase_some(&mut tx, app, table, scope, BATCH).await? == BATCH {}
                    }
                    tx.commit().await?;
                }
            }
        }
        Ok(())
    }

    /// A transaction that is the scope's managed writer.
    async fn begin_erasing(&self, app: &AppCatalog, scope: &ScopeId) -> Result<AppTx, sqlx::Error> {
        let mut tx = self.apps.begin(&app.schema).await?;
        sqlx::query(
            "select set_config('syncline.scope', $1, true), set_config('syncline.effect_no', '0', true)",
        )
        .bind(scope)
        .execute(&mut *tx)
        .await?;
        Ok(tx)
    }

    /// One of the engine's tables.
    async fn empty(&self, app: &AppCatalog, scope: &ScopeId, table: &'static str) -> Result<(), sqlx::Error> {
        let sql = delete_sql(&format!("{}.{table}", app.schema), "scope_id");
        loop {
            let query = sqlx::query(AssertSqlSafe(sql.clone())).bind(scope).bind(BATCH);
            if (self.apps.rows(&app.schema, query).await?.len() as i64) < BATCH {
                return Ok(());
            }
        }
    }
}

/// Some rows of a business table, and what capture made of it. Answers how many; fewer than `batch`: it was the rest.
async fn erase_some(
    tx: &mut AppTx,
    app: &AppCatalog,
    table: &CatalogTable,
    scope: &ScopeId,
    batch: i64,
) -> Result<i64, sqlx::Error> {
    let sql = delete_sql(&format!("{}.{}", app.schema, table.name().quoted()), SCOPE_COLUMN);
    let erased = sqlx::query(AssertSqlSafe(sql)).bind(scope).bind(batch).fetch_all(&mut **tx).await?;
    sqlx::query(in_schema(&app.schema, "delete from {schema}._sync_effect where scope_id = $1"))
        .bind(scope)
        .execute(&mut **tx)
        .await?;
    Ok(erased.len() as i64)
}

/// At most `$2` rows of scope `$1`, found along the primary key, which leads with the scope.
fn delete_sql(table: &str, scope_column: &str) -> String {
    format!(
        "delete from {table} r where r.ctid = any (array( \
             select o.ctid from {table} o where o.{scope_column} = $1 limit $2 \
         )) returning 1"
    )
}

/// The tables in an order in which their rows can go, those that refer to each other in circles together.
fn groups(tables: &[CatalogTable]) -> Vec<Vec<&CatalogTable>> {
    let mut by_rank: Vec<&CatalogTable> = tables.iter().collect();
    by_rank.sort_by_key(|table| table.rank);
    let mut groups = Vec::new();
    while let Some(last) = by_rank.pop() {
        let mut group = vec![last];
        // A table of a lower rank that refers to one of the group, and whatever lies between.
        while let Some(first) = by_rank.iter().position(|table| refers_to(table, &group)) {
            group.extend(by_rank.drain(first..).rev());
        }
        groups.push(group);
    }
    groups
}

fn refers_to(table: &CatalogTable, group: &[&CatalogTable]) -> bool {
    table.spec.foreign_keys.iter().any(|key| group.iter().any(|parent| key.parent == *parent.name()))
}

/// PostgreSQL ran into a limit of its own: a gigabyte of text, or its memory.
fn is_too_much(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("53") || code.starts_with("54"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::AppId,
        tables::{
            ddl,
            ident::Ident,
            spec::{AppSpec, WireProfile},
        },
    };

    fn names(text: &str) -> Vec<Vec<String>> {
        let empty = AppSpec::empty(Ident::parse("main").unwrap());
        let tables = ddl::parse(text, None, &empty).unwrap().tables;
        let catalog = AppCatalog::new(AppId::new(), WireProfile::Strings, AppSpec { tables, ..empty }, 1);
        let named = |group: Vec<&CatalogTable>| group.iter().map(|table| table.name().to_string()).collect();
        groups(catalog.tables()).into_iter().map(named).collect()
    }

    #[test]
    fn children_go_before_parents() {
        let plain = "create table a (id text primary key not null);
            create table b (id text primary key not null, a text references a (id));
            create table c (id text primary key not null, b text references b (id))";
        assert_eq!(names(plain), [["c"], ["b"], ["a"]]);
    }

    #[test]
    fn circles_go_together_with_what_lies_between() {
        let circle = "create table a (id text primary key not null, c text references c (id));
            create table b (id text primary key not null, a text references a (id));
            create table c (id text primary key not null, b text references b (id));
            create table d (id text primary key not null, c text references c (id))";
        assert_eq!(names(circle), [vec!["d"], vec!["c", "b", "a"]]);
    }
}
