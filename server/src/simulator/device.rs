//! A virtual device: it keeps rows, goes offline, and speaks the protocol over HTTP with the server that it runs in, as any
//! device does (PROTOCOL.md). It keeps to what it needs: a few rows, one bundle at a time.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Client, Method};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::{
    plan::PlannedRow,
    story::{Exchange, Shelf, ShelfRow},
};
use crate::tables::{
    catalog::AppCatalog,
    spec::{ColumnType, WireProfile},
};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of a body, to be shown.
const MAX_SHOWN: usize = 6_000;
/// Columns of a row, to be shown.
const SHOWN_COLUMNS: usize = 6;

/// Why a device cannot go on. A sentence for the person who looks on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Stuck(pub(super) String);

/// What became of an upload.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pushed {
    /// Into this bundle.
    Committed(i64),
    /// A row had another version; the `conflict` member of the answer.
    Conflict(Json),
}

/// One installation.
pub(super) struct Device {
    name: &'static str,
    source: String,
    client: Client,
    base_url: String,
    token: String,
    profile: WireProfile,
    logical_schema: String,
    /// Types of columns, for the values that go out in another form than they come in.
    types: BTreeMap<(String, String), ColumnType>,
    is_online: bool,
    checkpoint: i64,
    next_source_bundle_id: i64,
    /// In the order in which they came: parents first.
    rows: Vec<Held>,
    exchanges: Vec<Exchange>,
}

#[derive(Debug, Clone)]
struct Held {
    table: String,
    key_column: String,
    key: String,
    values: BTreeMap<String, Json>,
    version: i64,
    pending: Option<&'static str>,
}

/// Where a device connects, and as whom.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) base_url: String,
    pub(super) token: String,
    pub(super) client: Client,
}

impl Device {
    pub(super) fn new(name: &'static str, source: String, place: Place, app: &AppCatalog) -> Self {
        let types = app.tables().iter().flat_map(|table| {
            let of = move |name: &str| (table.name().to_string(), name.to_owned());
            table.columns().iter().map(move |column| (of(column.name.as_str()), column.ty))
        });
        Self {
            name,
            source,
            client: place.client,
            base_url: place.base_url,
            token: place.token,
            profile: app.profile,
            logical_schema: app.logical_schema.to_string(),
            types: types.collect(),
            is_online: true,
            checkpoint: 0,
            next_source_bundle_id: 1,
            rows: Vec::new(),
            exchanges: Vec::new(),
        }
    }

    pub(super) fn go_offline(&mut self) {
        self.is_online = false;
    }

    pub(super) fn go_online(&mut self) {
        self.is_online = true;
    }

    /// The requests since the last time that this was asked.
    pub(super) fn take_exchanges(&mut self) -> Vec<Exchange> {
        std::mem::take(&mut self.exchanges)
    }

    /// Put a new row on the device.
    pub(super) fn insert(&mut self, row: &PlannedRow) {
        self.rows.push(Held {
            table: row.table.clone(),
            key_column: row.key_column.clone(),
            key: row.key.clone(),
            values: row.values.clone(),
            version: 0,
            pending: Some("INSERT"),
        });
    }

    /// Change a column of the device's last row.
    pub(super) fn change(&mut self, column: &str, value: Json) {
        if let Some(row) = self.rows.last_mut() {
            row.values.insert(column.to_owned(), value);
            row.pending = Some("UPDATE");
        }
    }

    /// Delete the device's last row.
    pub(super) fn delete(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.pending = Some("DELETE");
        }
    }

    /// Let go of what has not been uploaded: the server's row counts.
    pub(super) fn give_way(&mut self) {
        self.rows.iter_mut().for_each(|row| row.pending = None);
    }

    /// What the server has is the same here, row by row. None of the two has anything to upload.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let facts = |device: &Self| {
            let mut rows: Vec<_> = device
                .rows
                .iter()
                .map(|row| (row.table.clone(), row.key.clone(), row.version, row.values.clone(), row.pending))
                .collect();
            rows.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
            rows
        };
        self.checkpoint == other.checkpoint && facts(self) == facts(other)
    }

    /// What it holds; `first` is the column to be shown first.
    pub(super) fn shelf(&self, first: Option<&str>) -> Shelf {
        let shown = |row: &Held| {
            let rank = |name: &str| match name {
                name if Some(name) == first => 0,
                name if name == row.key_column => 1,
                _ => 2,
            };
            let mut values: Vec<_> = row.values.clone().into_iter().collect();
            values.sort_by_key(|(name, value)| (rank(name), value.is_null()));
            values.truncate(SHOWN_COLUMNS);
            ShelfRow {
                table: row.table.clone(),
                values,
                version: row.version,
                is_pending: row.pending.is_some(),
                is_deleted: row.pending == Some("DELETE"),
            }
        };
        Shelf {
            is_online: self.is_online,
            checkpoint: self.checkpoint,
            rows: self.rows.iter().rev().map(shown).collect(),
        }
    }

    /// Ask what the server syncs.
    pub(super) async fn capabilities(&mut self) -> Result<(), Stuck> {
        let answer = self
            .ask(Method::GET, "sync/capabilities", None, "What do you sync, and within which limits?")
            .await?;
        let tables = answer["registered_tables"].as_array().map_or(0, Vec::len);
        self.say(format!(
            "{tables} {}, schema version {}.",
            if tables == 1 { "table" } else { "tables" },
            answer["schema_version"]
        ));
        Ok(())
    }

    pub(super) async fn connect(&mut self) -> Result<(), Stuck> {
        let body = json!({ "has_local_pending_rows": false });
        let answer = self
            .ask(Method::POST, "sync/connect", Some(body), "I am new here and have no rows of my own.")
            .await?;
        self.say(match answer["resolution"].as_str() {
            Some("initialize_empty") => "You are the first: begin with nothing.".to_owned(),
            Some("remote_authoritative") => "This user has data already: download it.".to_owned(),
            other => return Err(self.stuck(format!("sync/connect answered {other:?}"))),
        });
        Ok(())
    }

    /// Upload what has been changed here.
    pub(super) async fn push(&mut self) -> Result<Pushed, Stuck> {
        let wire: Vec<Json> = self.rows.iter().filter_map(|row| self.upload_row(row)).collect();
        let count = format!("{} {}", wire.len(), if wire.len() == 1 { "row" } else { "rows" });
        let mut body =
            json!({ "source_bundle_id": self.next_source_bundle_id, "planned_row_count": wire.len() });
        if self.profile == WireProfile::Strings {
            body["canonical_request_hash"] = json!(request_hash(&wire).map_err(|why| self.stuck(why))?);
        }
        let sent = format!("I am going to upload {count}, as my bundle {}.", self.next_source_bundle_id);
        let answer = self.ask(Method::POST, "sync/push-sessions", Some(body), &sent).await?;
        let Some(push) = answer["push_id"].as_str().map(str::to_owned) else {
            return Err(self.stuck("the server opened no upload".to_owned()));
        };
        self.say("Go ahead.".to_owned());
        let body = json!({ "start_row_ordinal": 0, "rows": wire });
        self.ask(
            Method::POST,
            &format!("sync/push-sessions/{push}/chunks"),
            Some(body),
            &format!("Here {} {count}.", if wire.len() == 1 { "is" } else { "are" }),
        )
        .await?;
        self.say("Received and checked. Nothing is changed yet.".to_owned());
        let path = format!("sync/push-sessions/{push}/commit");
        let (status, answer) =
            self.call(Method::POST, &path, Some(json!({})), "Commit them, all or none.").await?;
        if status == 409 && answer["error"] == "push_conflict" {
            let message = answer["message"].as_str().unwrap_or_default();
            self.say(format!("No: {message} Nothing was changed."));
            return Ok(Pushed::Conflict(answer["conflict"].clone()));
        }
        let answer = self.accepted(status, answer)?;
        let seq = answer["bundle_seq"]
            .as_i64()
            .ok_or_else(|| self.stuck("a commit without a number".to_owned()))?;
        self.say(format!("Done: they are bundle {seq} of this user."));
        self.next_source_bundle_id += 1;
        self.replay(seq).await?;
        Ok(Pushed::Committed(seq))
    }

    /// Read the device's own commit back: what the server made of it, defaults and triggers included.
    async fn replay(&mut self, seq: i64) -> Result<(), Stuck> {
        let path = format!("sync/committed-bundles/{seq}/rows");
        let answer = self.ask(Method::GET, &path, None, "What did my rows become?").await?;
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        self.say(format!("As stored, with version {seq}."));
        rows.iter().for_each(|row| self.take(row));
        self.rows.iter_mut().for_each(|row| row.pending = None);
        if self.checkpoint == seq - 1 {
            self.checkpoint = seq;
        }
        Ok(())
    }

    /// Download what is new.
    pub(super) async fn pull(&mut self) -> Result<(), Stuck> {
        let path = format!("sync/pull?after_bundle_seq={}", self.checkpoint);
        let sent = format!("I have everything up to bundle {}. What came after?", self.checkpoint);
        let answer = self.ask(Method::GET, &path, None, &sent).await?;
        let bundles = answer["bundles"].as_array().cloned().unwrap_or_default();
        self.say(match bundles.as_slice() {
            [] => "Nothing.".to_owned(),
            [one] => format!("Bundle {}.", one["bundle_seq"]),
            [first, .., last] => format!("Bundles {} to {}.", first["bundle_seq"], last["bundle_seq"]),
        });
        for bundle in &bundles {
            bundle["rows"].as_array().into_iter().flatten().for_each(|row| self.take(row));
            self.checkpoint = bundle["bundle_seq"].as_i64().unwrap_or(self.checkpoint);
        }
        Ok(())
    }

    /// A row as the server has it. What has been changed here stays, based on the new version.
    fn take(&mut self, row: &Json) {
        let (Some(table), Some((key_column, key))) =
            (row["table"].as_str(), row["key"].as_object().and_then(|key| key.iter().next()))
        else {
            return;
        };
        let key = key.as_str().unwrap_or_default();
        let version = row["row_version"].as_i64().unwrap_or_default();
        let place = self.rows.iter().position(|held| held.table == table && held.key == key);
        if row["op"] == "DELETE" {
            if let Some(place) = place {
                self.rows.remove(place);
            }
            return;
        }
        let values: BTreeMap<String, Json> = row["payload"]
            .as_object()
            .map(|payload| payload.clone().into_iter().collect())
            .unwrap_or_default();
        match place {
            Some(place) if self.rows[place].version >= version => {}
            Some(place) => {
                let held = &mut self.rows[place];
                held.version = version;
                if held.pending != Some("UPDATE") {
                    held.values = values;
                }
            }
            None => self.rows.push(Held {
                table: table.to_owned(),
                key_column: key_column.clone(),
                key: key.to_owned(),
                values,
                version,
                pending: None,
            }),
        }
    }

    fn upload_row(&self, row: &Held) -> Option<Json> {
        let op = row.pending?;
        let payload = match op {
            "DELETE" => Json::Null,
            _ => {
                let value =
                    |(name, value): (&String, &Json)| (name.clone(), self.outgoing(&row.table, name, value));
                Json::Object(row.values.iter().map(value).collect())
            }
        };
        Some(json!({
            "schema": self.logical_schema,
            "table": row.table,
            "key": { row.key_column.as_str(): row.key },
            "op": op,
            "base_row_version": row.version,
            "payload": payload,
        }))
    }

    /// BOOLEAN is `true` when it comes and `"1"` or `1` when it goes.
    fn outgoing(&self, table: &str, column: &str, value: &Json) -> Json {
        let ty = self.types.get(&(table.to_owned(), column.to_owned()));
        match (ty, value) {
            (Some(ColumnType::Boolean), Json::Bool(value)) if self.profile == WireProfile::Strings => {
                json!(if *value { "1" } else { "0" })
            }
            (_, value) => value.clone(),
        }
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Json>,
        sent: &str,
    ) -> Result<Json, Stuck> {
        let (status, answer) = self.call(method, path, body, sent).await?;
        self.accepted(status, answer)
    }

    fn accepted(&mut self, status: u16, answer: Json) -> Result<Json, Stuck> {
        if status == 200 {
            return Ok(answer);
        }
        let message = answer["message"].as_str().unwrap_or("no reason given").to_owned();
        self.say(message.clone());
        Err(self.stuck(format!("the server answered {status}: {message}")))
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Json>,
        sent: &str,
    ) -> Result<(u16, Json), Stuck> {
        let mut request = self
            .client
            .request(method.clone(), format!("{}/{path}", self.base_url))
            .timeout(PATIENCE)
            .bearer_auth(&self.token)
            .header("Oversync-Source-ID", &self.source);
        let mut shown =
            format!("{method} …/{path}\nAuthorization: Bearer …\nOversync-Source-ID: {}", self.source);
        if let Some(body) = &body {
            request = request.json(body);
            shown.push_str(&format!("\n\n{}", pretty(body)));
        }
        self.exchanges.push(Exchange {
            device: self.name.to_owned(),
            method: method.to_string(),
            path: path.to_owned(),
            sent: sent.to_owned(),
            status: None,
            answered: String::new(),
            request: short(shown),
            response: String::new(),
        });
        let response =
            request.send().await.map_err(|_| self.stuck("the server did not answer in time".to_owned()))?;
        let status = response.status().as_u16();
        let answer: Json =
            response.json().await.map_err(|_| self.stuck("the answer is no JSON".to_owned()))?;
        if let Some(exchange) = self.exchanges.last_mut() {
            exchange.status = Some(status);
            exchange.response = short(pretty(&answer));
        }
        Ok((status, answer))
    }

    /// Put the answer into words.
    fn say(&mut self, words: String) {
        if let Some(exchange) = self.exchanges.last_mut() {
            exchange.answered = words;
        }
    }

    fn stuck(&self, why: String) -> Stuck {
        Stuck(format!("The {} cannot go on: {why}.", self.name.to_lowercase()).replace("..", "."))
    }
}

fn pretty(json: &Json) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default()
}

/// The beginning of a text.
fn short(text: String) -> String {
    if text.len() <= MAX_SHOWN {
        return text;
    }
    let cut: String = text.chars().take(MAX_SHOWN).collect();
    format!("{cut}\n…")
}

/// SHA-256 over the canonical JSON of the rows with their ordinals (PROTOCOL.md, Hashes), in profile `strings`.
fn request_hash(rows: &[Json]) -> Result<String, String> {
    let numbered = rows.iter().enumerate().map(|(ordinal, row)| {
        let mut row = row.clone();
        row["row_ordinal"] = json!(ordinal.to_string());
        row["base_row_version"] = json!(row["base_row_version"].to_string());
        row
    });
    let numbered: Vec<Json> = numbered.collect();
    let canonical =
        serde_json_canonicalizer::to_vec(&numbered).map_err(|_| "its rows are no JSON".to_owned())?;
    Ok(Sha256::digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_hash_is_the_protocols() {
        let row = json!({
            "schema": "business", "table": "numeric_values", "key": {"id": "n-1"}, "op": "INSERT", "base_row_version": 0,
            "payload": {
                "amount": "1234567890.123456789", "count": "2147483647", "enabled": "1", "id": "n-1",
                "large_count": "9007199254740993", "ratio": "1.2345678901234567", "score": "5e-324",
                "small_count": "-32768",
            },
        });
        assert_eq!(
            request_hash(&[row]).unwrap(),
            "ce9f4105cdda62a7705ef32476ebb3b3737fb44866a4bf4eedfeaaa571eb443a"
        );
    }
}
