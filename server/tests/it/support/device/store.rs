//! A device's own tables: rows by key, with foreign key actions as its local database would run them.

use std::collections::BTreeMap;

use super::schema::{OnDelete, Row, RowId, TABLES, Value, table};

/// Rows of all tables. Also what the checks replay bundles into.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Store {
    rows: BTreeMap<RowId, Row>,
}

/// What a statement did to a row, foreign key actions included.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Put(Row),
    Gone,
}

impl Store {
    pub(crate) fn get(&self, id: &RowId) -> Option<&Row> {
        self.rows.get(id)
    }

    /// The keys of one table, in order.
    pub(crate) fn keys(&self, table: &str) -> Vec<RowId> {
        self.rows.keys().filter(|id| id.table == table).cloned().collect()
    }

    pub(crate) fn put(&mut self, id: RowId, row: Row) {
        self.rows.insert(id, row);
    }

    /// Take a row away without any action: what replaying a bundle does, which names every row it touched.
    pub(crate) fn take(&mut self, id: &RowId) -> Option<Row> {
        self.rows.remove(id)
    }

    /// Whether a row that refuses its parent's deletion would be left behind by deleting `id`.
    pub(crate) fn refuses_delete(&self, id: &RowId) -> bool {
        let mut after = self.clone();
        after.delete(id);
        let before = self.dangling();
        after.dangling().iter().any(|left| !before.contains(left))
    }

    /// Delete a row and run the foreign key actions of its children. Every row touched, in order; none when the row
    /// is not there.
    pub(crate) fn delete(&mut self, id: &RowId) -> Vec<(RowId, Effect)> {
        let mut effects = Vec::new();
        let mut doomed = vec![id.clone()];
        while let Some(id) = doomed.pop() {
            if self.rows.remove(&id).is_none() {
                continue;
            }
            for child in TABLES.iter() {
                for key in child.foreign_keys.iter().filter(|key| key.parent == id.table) {
                    let referring = Value::Text(id.key.clone());
                    let children: Vec<RowId> = self
                        .rows
                        .iter()
                        .filter(|(other, row)| other.table == child.name && row[key.column] == referring)
                        .map(|(other, _)| other.clone())
                        .collect();
                    for other in children {
                        match key.on_delete {
                            OnDelete::Cascade => doomed.push(other),
                            OnDelete::SetNull => {
                                let row = self.rows.get_mut(&other).expect("a child just found");
                                row.insert(key.column, Value::Null);
                                effects.push((other, Effect::Put(row.clone())));
                            }
                            OnDelete::Refuse => {}
                        }
                    }
                }
            }
            effects.push((id, Effect::Gone));
        }
        effects
    }

    /// References to rows that are not there, in words.
    pub(crate) fn dangling(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (id, row) in &self.rows {
            for key in table(id.table).foreign_keys {
                if let Value::Text(parent) = &row[key.column]
                    && !self.rows.contains_key(&RowId::new(key.parent, parent))
                {
                    found.push(format!("{}/{} refers by {} to {parent}", id.table, id.key, key.column));
                }
            }
        }
        found
    }

    /// Where this and `other` differ, a line a row; empty when they are the same.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let ids: std::collections::BTreeSet<_> = self.rows.keys().chain(other.rows.keys()).collect();
        ids.into_iter()
            .filter(|id| self.rows.get(*id) != other.rows.get(*id))
            .map(|id| {
                format!("{}/{}: {:?} against {:?}", id.table, id.key, self.rows.get(id), other.rows.get(id))
            })
            .collect()
    }
}
