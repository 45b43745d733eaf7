//! `GET sync/capabilities`: what the server speaks and how much it takes (PROTOCOL.md section 8).
//!
//! Clients compare the tables exactly with their own and refuse to sync on any difference.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::Engine;
use crate::{ops::config::LimitsConfig, tables::catalog::AppCatalog};

/// Rows and bytes that a snapshot is built by at once: what clients are told, and the size of a snapshot's pages.
const SNAPSHOT_BATCH_ROWS: i64 = 5_000;
pub(in crate::sync) const SNAPSHOT_BATCH_BYTES: i64 = 256 * 1024;

/// What a client must know before it syncs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Capabilities {
    /// Always `v1`.
    #[schema(example = "v1")]
    pub protocol_version: &'static str,
    /// The version of the app's tables that this URL serves; 0 before the first is published.
    pub schema_version: i32,
    pub app_name: String,
    /// `schema.table`, sorted.
    #[schema(example = json!(["main.notes"]))]
    pub registered_tables: Vec<String>,
    pub registered_table_specs: Vec<TableCapability>,
    /// What the server can do, by name.
    pub features: BTreeMap<&'static str, bool>,
    /// Bounds on requests and answers, by name; all positive.
    pub bundle_limits: BTreeMap<&'static str, i64>,
}

/// A table as clients compare it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TableCapability {
    #[schema(example = "main")]
    pub schema: String,
    #[schema(example = "notes")]
    pub table: String,
    /// Exactly one.
    #[schema(example = json!(["id"]))]
    pub sync_key_columns: Vec<String>,
}

impl Engine {
    /// What the devices of an app are told.
    pub fn capabilities(&self, app: &AppCatalog, app_name: &str) -> Capabilities {
        let schema = app.logical_schema.as_str();
        let mut tables: Vec<_> = app.tables().iter().collect();
        tables.sort_by(|a, b| a.name().cmp(b.name()));
        Capabilities {
            protocol_version: "v1",
            schema_version: app.schema_version,
            app_name: app_name.to_owned(),
            registered_tables: tables.iter().map(|table| format!("{schema}.{}", table.name())).collect(),
            registered_table_specs: tables
                .iter()
                .map(|table| TableCapability {
                    schema: schema.to_owned(),
                    table: table.name().to_string(),
                    sync_key_columns: vec![table.key().column.to_string()],
                })
                .collect(),
            features: features(self.limits()),
            bundle_limits: limits(self.limits()),
        }
    }
}

fn features(limits: &LimitsConfig) -> BTreeMap<&'static str, bool> {
    BTreeMap::from([
        ("connect_lifecycle", true),
        ("bundle_push", true),
        ("bundle_pull", true),
        ("push_session_chunking", true),
        ("committed_bundle_row_fetch", true),
        ("snapshot_chunking", true),
        ("history_pruned_errors", true),
        ("bundle_change_watch", limits.max_watch_streams > 0),
        ("accepted_push_replay_visibility", true),
        ("committed_bundle_visibility", true),
        ("registered_write_rejection_enforced", true),
    ])
}

fn limits(limits: &LimitsConfig) -> BTreeMap<&'static str, i64> {
    BTreeMap::from([
        ("max_rows_per_bundle", limits.max_rows_per_bundle),
        ("max_bytes_per_bundle", limits.max_bytes_per_bundle),
        ("max_bundles_per_pull", limits.max_bundles_per_pull),
        ("default_rows_per_push_chunk", limits.default_rows_per_push_chunk),
        ("max_rows_per_push_chunk", limits.max_rows_per_push_chunk),
        ("push_session_ttl_seconds", limits.push_session_ttl_seconds),
        ("default_rows_per_committed_bundle_chunk", limits.default_rows_per_committed_bundle_chunk),
        ("max_rows_per_committed_bundle_chunk", limits.max_rows_per_committed_bundle_chunk),
        ("default_rows_per_snapshot_chunk", limits.default_rows_per_snapshot_chunk),
        ("max_rows_per_snapshot_chunk", limits.max_rows_per_snapshot_chunk),
        ("default_bytes_per_snapshot_chunk", limits.default_bytes_per_snapshot_chunk),
        ("max_bytes_per_snapshot_chunk", limits.max_bytes_per_snapshot_chunk),
        ("max_bytes_per_snapshot_row", limits.max_bytes_per_snapshot_row),
        ("snapshot_materialization_batch_rows", SNAPSHOT_BATCH_ROWS),
        ("snapshot_materialization_batch_bytes", SNAPSHOT_BATCH_BYTES),
        ("max_concurrent_snapshot_builds", limits.max_concurrent_snapshot_builds),
        ("max_concurrent_snapshot_chunk_requests", limits.max_concurrent_snapshot_chunk_requests),
        ("max_rows_per_snapshot_session", limits.max_rows_per_snapshot_session),
        ("max_bytes_per_snapshot_session", limits.max_bytes_per_snapshot_session),
        ("snapshot_session_ttl_seconds", limits.snapshot_session_ttl_seconds),
        ("initialization_lease_ttl_seconds", limits.initialization_lease_ttl_seconds),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_positive_and_defaults_fit_their_maxima() {
        let limits = limits(&LimitsConfig::default());
        assert_eq!(limits.len(), 21);
        assert!(limits.values().all(|limit| *limit > 0));
        for (name, default) in
            limits.iter().filter_map(|(name, limit)| Some((name.strip_prefix("default_")?, limit)))
        {
            assert!(*default <= limits[format!("max_{name}").as_str()], "{name}");
        }
        assert!(limits["max_bytes_per_snapshot_row"] <= limits["default_bytes_per_snapshot_chunk"]);
    }
}
