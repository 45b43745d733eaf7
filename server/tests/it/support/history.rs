//! The historian of a scope: reads every bundle, explains it by what somebody tried to write, and keeps the state that
//! the bundles add up to.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::device::{
    Attempt, Device, Known, Op, Trouble, UploadRow, canonical,
    download::Bundle,
    schema::{self, Kind, Profile, Row, RowId, Value, table},
    store::Store,
};

/// All that was ever committed in one scope.
#[derive(Debug, Clone)]
pub(crate) struct Historian {
    reader: Device,
    past: Past,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    pub(crate) bundles: Vec<Bundle>,
    /// The rows after the last bundle.
    pub(crate) rows: Store,
    /// The version of every row that ever was.
    pub(crate) versions: BTreeMap<RowId, Known>,
    /// The number of the last bundle of each source.
    last_of_source: BTreeMap<String, i64>,
}

impl Historian {
    /// `reader` is a device that never writes.
    pub(crate) fn new(reader: Device) -> Self {
        Self { reader, past: Past::default() }
    }

    pub(crate) fn past(&self) -> &Past {
        &self.past
    }

    pub(crate) fn latest(&self) -> i64 {
        self.past.bundles.len() as i64
    }

    /// Read on. Every bundle must be explained by one of `attempts`, and texts must begin with `marker`.
    pub(crate) async fn catch_up(&mut self, attempts: &[Attempt], marker: &str) {
        let Self { reader, past } = self;
        let profile = reader.profile;
        let read = reader.follow(&mut |_, bundle| past.take(profile, bundle, attempts, marker)).await;
        match read {
            // Nobody has connected yet.
            Ok(()) | Err(Trouble::Later) => {}
            Err(trouble) => panic!("history cannot be read: {trouble:?}"),
        }
    }
}

impl Past {
    fn take(&mut self, profile: Profile, bundle: &Bundle, attempts: &[Attempt], marker: &str) {
        let last = self.last_of_source.entry(bundle.source.clone()).or_default();
        assert_eq!(
            bundle.source_bundle_id,
            *last + 1,
            "source {} skipped or repeated a bundle",
            bundle.source
        );
        *last += 1;

        let mut written: BTreeMap<RowId, (Op, Option<Row>)> = BTreeMap::new();
        for wire in &bundle.rows {
            let id = RowId::of_wire(wire);
            let op = match wire["op"].as_str() {
                Some("INSERT") => Op::Insert,
                Some("UPDATE") => Op::Update,
                _ => Op::Delete,
            };
            let row = (op != Op::Delete).then(|| schema::row_from_wire(profile, &id, &wire["payload"]));
            if let Some(row) = &row {
                assert_marked(&id, row, marker);
            }
            assert_eq!(
                op == Op::Insert,
                self.rows.get(&id).is_none(),
                "bundle {}: {op:?} of {id:?}",
                bundle.seq
            );
            assert!(
                written.insert(id, (op, row)).is_none(),
                "a row is in bundle {} twice: {wire}",
                bundle.seq
            );
        }

        let tried: Vec<_> = attempts
            .iter()
            .filter(|a| a.source == bundle.source && a.source_bundle_id == bundle.source_bundle_id)
            .collect();
        let explained: Vec<_> = tried.iter().map(|attempt| self.explain(&written, attempt)).collect();
        assert!(
            explained.iter().any(Result::is_ok),
            "bundle {} of {} ({}) is nothing that was uploaded: {explained:#?}\nit holds {written:#?}\ntried: {tried:#?}",
            bundle.seq,
            bundle.source,
            bundle.source_bundle_id,
        );

        for (id, (op, row)) in written {
            self.versions.insert(id.clone(), Known { version: bundle.seq, deleted: op == Op::Delete });
            match row {
                Some(row) => self.rows.put(id, row),
                None => drop(self.rows.take(&id)),
            }
        }
        let dangling = self.rows.dangling();
        assert!(dangling.is_empty(), "bundle {} leaves half of something: {dangling:?}", bundle.seq);
        self.bundles.push(bundle.clone());
    }

    /// Whether the attempt, made on the rows as they were, comes to exactly what was written.
    fn explain(&self, written: &BTreeMap<RowId, (Op, Option<Row>)>, attempt: &Attempt) -> Result<(), String> {
        for upload in attempt.rows.iter().filter(|row| row.base != UploadRow::WHATEVER) {
            let now = self.versions.get(&upload.id);
            let fits = match (upload.op, now) {
                (Op::Insert, None) => upload.base == 0,
                (Op::Insert, Some(now)) => now.deleted && now.version == upload.base,
                (Op::Update | Op::Delete, Some(now)) => !now.deleted && now.version == upload.base,
                (Op::Update | Op::Delete, None) => false,
            };
            if !fits {
                return Err(format!("a lost update: {upload:?} was applied to {now:?}"));
            }
        }
        let mut after = self.rows.clone();
        let mut touched: BTreeSet<RowId> = BTreeSet::new();
        for upload in &attempt.rows {
            match &upload.row {
                // An update of what an earlier deletion of the same upload has taken along finds nothing.
                Some(_) if upload.op == Op::Update && after.get(&upload.id).is_none() => {}
                Some(row) => {
                    after.put(upload.id.clone(), row.clone());
                    touched.insert(upload.id.clone());
                }
                None => touched.extend(after.delete(&upload.id).into_iter().map(|(id, _)| id)),
            }
        }
        // A row that came and went within the bundle is nothing.
        touched.retain(|id| self.rows.get(id).is_some() || after.get(id).is_some());
        let expected: BTreeMap<RowId, (Op, Option<Row>)> = touched
            .into_iter()
            .map(|id| {
                let op = match (self.rows.get(&id), after.get(&id)) {
                    (None, _) => Op::Insert,
                    (Some(_), Some(_)) => Op::Update,
                    (Some(_), None) => Op::Delete,
                };
                let row = after.get(&id).cloned();
                (id, (op, row))
            })
            .collect();
        if &expected == written { Ok(()) } else { Err(format!("expected {expected:#?}")) }
    }
}

/// The row was written in this scope and in no other.
fn assert_marked(id: &RowId, row: &Row, marker: &str) {
    let table = table(id.table);
    for (name, kind) in &table.columns[1..] {
        let refers = table.foreign_keys.iter().any(|key| key.column == *name);
        if let (Kind::Text, false, Value::Text(text)) = (kind, refers, &row[name]) {
            assert!(text.starts_with(marker), "a row of another scope: {id:?} {row:?}");
        }
    }
}

impl Past {
    /// Every acknowledged upload is in history once, where and as it was acknowledged.
    pub(crate) fn assert_acknowledged(&self, profile: Profile, attempts: &[Attempt]) {
        let mut claimed: BTreeMap<i64, (&str, i64)> = BTreeMap::new();
        for attempt in attempts {
            let Some((seq, hash)) = &attempt.acknowledged else { continue };
            let bundle = usize::try_from(*seq - 1).ok().and_then(|n| self.bundles.get(n));
            let bundle = bundle.unwrap_or_else(|| panic!("acknowledged and lost: {attempt:#?}"));
            assert_eq!(
                (&bundle.source, bundle.source_bundle_id),
                (&attempt.source, attempt.source_bundle_id),
                "bundle {seq} was acknowledged to {}",
                attempt.source
            );
            assert_eq!(
                &canonical::bundle_hash(profile, &bundle.rows),
                hash,
                "bundle {seq} is not what it was"
            );
            let upload = (attempt.source.as_str(), attempt.source_bundle_id);
            let first = *claimed.entry(*seq).or_insert(upload);
            assert_eq!(first, upload, "one bundle acknowledges two uploads");
        }
    }

    /// A device knows every live row by its version, and none that is gone as live.
    pub(crate) fn assert_versions(&self, known: &BTreeMap<RowId, Known>) {
        let live = |versions: &BTreeMap<RowId, Known>| -> BTreeMap<RowId, i64> {
            versions
                .iter()
                .filter(|(_, known)| !known.deleted)
                .map(|(id, known)| (id.clone(), known.version))
                .collect()
        };
        assert_eq!(live(known), live(&self.versions), "versions differ");
    }
}
