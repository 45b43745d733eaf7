//! What a simulation shows: steps, each with its requests and with what both devices hold after it. Kept as JSON while the
//! simulation is there.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::plan::Plan;

/// A simulation from its first step to wherever it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// The table whose row the devices disagree on.
    pub table: String,
    /// Tables whose rows it needs.
    pub parents: Vec<String>,
    pub steps: Vec<Step>,
    /// Of the conflict in the ledger, once there is one.
    pub conflict: Option<String>,
    /// Why it could not go on.
    pub failure: Option<String>,
}

impl Story {
    /// What is known before the first step.
    pub(super) fn about(plan: &Plan) -> Self {
        let tables: Vec<String> = plan.rows.iter().map(|row| row.table.clone()).collect();
        let (parents, table) = tables.split_at(tables.len() - 1);
        Self { table: table.concat(), parents: parents.to_vec(), ..Self::default() }
    }

    pub(super) fn as_json(&self) -> Json {
        serde_json::to_value(self).expect("BUG: a story is always JSON")
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub title: String,
    pub sentence: String,
    pub kind: StepKind,
    pub exchanges: Vec<Exchange>,
    pub phone: Shelf,
    pub tablet: Shelf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Plain,
    Offline,
    Conflict,
    Converged,
}

/// A request of a device and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    pub device: String,
    pub method: String,
    /// Below the app's base URL.
    pub path: String,
    /// What was sent, in words.
    pub sent: String,
    /// None: no answer came.
    pub status: Option<u16>,
    /// What was answered, in words.
    pub answered: String,
    /// As sent and as answered, cut to a bound.
    pub request: String,
    pub response: String,
}

/// What a device holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shelf {
    pub is_online: bool,
    /// The bundle up to which it has everything.
    pub checkpoint: i64,
    pub rows: Vec<ShelfRow>,
}

/// A row on a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShelfRow {
    pub table: String,
    /// Columns with their values, the one that is changed first, then the key and a few others.
    pub values: Vec<(String, Json)>,
    /// The server's version that it is based on; 0: the server has not seen it.
    pub version: i64,
    /// Changed here and not uploaded yet.
    pub is_pending: bool,
    /// Deleted here and not uploaded yet.
    pub is_deleted: bool,
}
