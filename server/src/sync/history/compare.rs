//! Two states of a row beside each other, column by column.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Cell;
use crate::tables::catalog::CatalogTable;

/// A row as it is served: its values by column.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RowImage(pub BTreeMap<String, Cell>);

/// A column before and after. None: there was no row, or not this column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComparedColumn {
    pub name: String,
    pub is_key: bool,
    pub before: Option<Cell>,
    pub after: Option<Cell>,
    /// Both are there and differ. Of a row that comes or goes no column is marked.
    pub changed: bool,
}

impl RowImage {
    /// From the JSON object that clients get.
    pub fn read(payload: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(payload)
    }

    pub fn get(&self, column: &str) -> Option<&Cell> {
        self.0.get(column)
    }
}

impl<'de> Deserialize<'de> for RowImage {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members: BTreeMap<String, Box<RawValue>> = BTreeMap::deserialize(deserializer)?;
        let cells = members.into_iter().map(|(column, value)| Ok((column, Cell::read(&value)?)));
        Ok(Self(cells.collect::<Result<_, serde_json::Error>>().map_err(serde::de::Error::custom)?))
    }
}

/// The columns of the table in their order, then those that only the rows know: they may be older than the table is now.
pub fn compare(
    table: Option<&CatalogTable>,
    before: Option<&RowImage>,
    after: Option<&RowImage>,
) -> Vec<ComparedColumn> {
    let known: Vec<&str> =
        table.iter().flat_map(|table| table.columns()).map(|column| column.name.as_str()).collect();
    let mut unknown: Vec<&str> = [before, after]
        .into_iter()
        .flatten()
        .flat_map(|row| row.0.keys())
        .map(String::as_str)
        .filter(|name| !known.contains(name))
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    let key = table.map(|table| table.key().column.as_str());
    known
        .into_iter()
        .chain(unknown)
        .map(|name| {
            let [before, after] = [before, after].map(|row| row.and_then(|row| row.get(name)));
            ComparedColumn {
                name: name.to_owned(),
                is_key: key == Some(name),
                changed: before.zip(after).is_some_and(|(before, after)| before != after),
                before: before.cloned(),
                after: after.cloned(),
            }
        })
        .filter(|column| column.before.is_some() || column.after.is_some())
        .collect()
}
