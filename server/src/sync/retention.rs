//! Pruning history by count and age. In the background, in bounded batches, and never the rows themselves: what goes
//! is how they came to be.
//!
//! A scope's floor moves first, for good; what lies at or below it is removed after. In between, and from then on, a
//! device whose checkpoint is below the floor is told `history_pruned` and rebuilds from a snapshot.

use time::{Duration, OffsetDateTime};

use super::Engine;
use crate::{ids::SchemaName, ops::database::in_schema};

/// Devices that are looked at to tell how many would have to rebuild: those seen last.
const DEVICES: i64 = 20_000;

/// Scopes looked at in one statement, and bundles removed by one.
const SCOPES: i64 = 500;
const BUNDLES: i64 = 500;

/// How much history stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Bundles per scope that stay whatever their age. The latest always stays: a device that has just rebuilt has
    /// its number as checkpoint.
    pub min_bundles: i64,
    /// Age from which the others go.
    pub max_age: Duration,
}

/// What pruning did to an app.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Scopes whose floor has moved.
    pub scopes: i64,
    /// Bundles removed; more than are newly below a floor if an earlier run was interrupted.
    pub bundles: i64,
}

/// How many devices a change of retention would force to rebuild.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilds {
    pub devices: i64,
    /// There are more devices than were looked at.
    pub is_capped: bool,
}

/// Devices whose next bundle is there and would go: it is beyond the last `$1` of its scope and older than `$2`. One
/// look at an index for each device, whatever the length of the history.
const WOULD_REBUILD: &str = "with looked_at as (
        select d.scope_id, d.source_id, greatest(d.last_pull_seq, d.last_served_seq) as has_seq
        from {schema}._sync_device d
        order by d.last_seen_at desc, d.scope_id, d.source_id
        limit $3
    )
    select (
            select count(*)
            from looked_at l
            join {schema}._sync_scope s on s.scope_id = l.scope_id
            join {schema}._sync_bundle b on b.scope_id = l.scope_id and b.bundle_seq = l.has_seq + 1
            left join {schema}._sync_source r on r.scope_id = l.scope_id and r.source_id = l.source_id
            where l.has_seq >= s.floor_seq
                and l.has_seq < s.bundle_seq - $1
                and b.committed_at <= $2
                and r.state is distinct from 'retired'
        ),
        (select count(*) from looked_at)";

/// Scopes after `$1` with more bundles than stay in any case, and where their floor may go: below the first bundle
/// that is young enough, and below the last `$2`. A scope that somebody is writing to is left for the next time.
const RAISE_FLOORS: &str = "with looked_at as (
        select s.scope_id, s.floor_seq, s.bundle_seq
        from {schema}._sync_scope s
        where s.scope_id > $1 and s.bundle_seq - s.floor_seq > $2
        order by s.scope_id
        limit $4
        for update skip locked
    ),
    raised as (
        update {schema}._sync_scope s
        set floor_seq = f.floor_seq
        from (
            select l.scope_id, least(l.bundle_seq - $2, y.bundle_seq - 1) as floor_seq
            from looked_at l
            left join lateral (
                select b.bundle_seq
                from {schema}._sync_bundle b
                where b.scope_id = l.scope_id and b.bundle_seq > l.floor_seq and b.committed_at > $3
                order by b.bundle_seq
                limit 1
            ) y on true
        ) f
        where s.scope_id = f.scope_id and f.floor_seq > s.floor_seq
        returning s.scope_id
    )
    select (select max(l.scope_id) from looked_at l), (select count(*) from raised)";

const REMOVE_BUNDLES: &str = "with due as (
        select b.scope_id, b.bundle_seq
        from {schema}._sync_scope s
        cross join lateral (
            select b.scope_id, b.bundle_seq
            from {schema}._sync_bundle b
            where b.scope_id = s.scope_id and b.bundle_seq <= s.floor_seq
            limit $1
        ) b
        where s.floor_seq > 0
        limit $1
    ),
    unrowed as (
        delete from {schema}._sync_bundle_rows r
        using due d
        where r.scope_id = d.scope_id and r.bundle_seq = d.bundle_seq
    ),
    removed as (
        delete from {schema}._sync_bundle b
        using due d
        where b.scope_id = d.scope_id and b.bundle_seq = d.bundle_seq
        returning b.bundle_seq
    )
    select count(*) from removed";

impl Engine {
    /// How many devices would have to rebuild when they come next, were the app pruned like this now.
    pub async fn would_rebuild(&self, schema: &SchemaName, keep: Keep) -> Result<Rebuilds, sqlx::Error> {
        let query = sqlx::query_as(in_schema(schema, WOULD_REBUILD))
            .bind(keep.min_bundles.max(1))
            .bind(self.clock.now() - keep.max_age)
            .bind(DEVICES);
        let (devices, looked_at): (i64, i64) = self.apps.one(schema, query).await?;
        Ok(Rebuilds { devices, is_capped: looked_at == DEVICES })
    }

    /// Prune an app's history. Can be interrupted and repeated at any point, by several nodes at once.
    ///
    /// # Errors
    /// When the database fails; what was done until then stays done.
    pub async fn prune_history(&self, schema: &SchemaName, keep: Keep) -> Result<Pruned, sqlx::Error> {
        let (min_bundles, old) = (keep.min_bundles.max(1), self.clock.now() - keep.max_age);
        let scopes = self.raise_floors(schema, min_bundles, old).await?;
        let mut bundles = 0;
        loop {
            let query = sqlx::query_as(in_schema(schema, REMOVE_BUNDLES)).bind(BUNDLES);
            let (removed,): (i64,) = self.apps.one(schema, query).await?;
            bundles += removed;
            if removed < BUNDLES {
                return Ok(Pruned { scopes, bundles });
            }
        }
    }

    async fn raise_floors(
        &self,
        schema: &SchemaName,
        min_bundles: i64,
        old: OffsetDateTime,
    ) -> Result<i64, sqlx::Error> {
        let (mut after, mut scopes) = (String::new(), 0);
        loop {
            let query = sqlx::query_as(in_schema(schema, RAISE_FLOORS))
                .bind(&after)
                .bind(min_bundles)
                .bind(old)
                .bind(SCOPES);
            let (last, raised): (Option<String>, i64) = self.apps.one(schema, query).await?;
            scopes += raised;
            match last {
                Some(last) => after = last,
                None => return Ok(scopes),
            }
        }
    }
}
