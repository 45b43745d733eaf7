//! What a write to an app's rows would do, and the form that does exactly that; or why it cannot be done.
//!
//! For every page that writes rows: the edit of a row, a restored version, an undone bundle, a conflict settled by hand.

use askama::Template;

use super::{errors::WayOut, history::Op, values::Value};
use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// The page between a form that would write rows and the write.
#[derive(Debug, Template)]
#[template(path = "write_preview/page.html")]
pub struct WritePreviewPage {
    pub shell: Shell,
    /// What is about to happen: `Restore version 12`.
    pub title: String,
    /// Where the person comes from.
    pub back: WayOut,
    /// More about it, in a sentence or two; may be empty.
    pub lede: String,
    /// Rows that are left out unless they are chosen.
    pub choices: Option<RowChoices>,
    pub outcome: Previewed,
}

/// Rows that could be written as well, at the price of what happened to them later.
#[derive(Debug, Clone)]
pub struct RowChoices {
    /// Where the form posts to that shows the preview anew.
    pub action: String,
    pub scope: String,
    pub rows: Vec<ChosenRow>,
    /// How many more there are than are listed; they stay out.
    pub not_listed: usize,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct ChosenRow {
    /// The name of its field.
    pub field: String,
    pub table: String,
    pub key: String,
    /// The bundle that touched it later.
    pub touched_by: i64,
    pub is_chosen: bool,
}

/// What looking at a write has led to.
#[derive(Debug)]
pub enum Previewed {
    Ready(WritePreview),
    Refused(WriteRefused),
}

/// What a write would do.
#[derive(Debug, Clone)]
pub struct WritePreview {
    pub scope: String,
    /// The number that the bundle will have unless another is committed first.
    pub bundle_seq: i64,
    /// Devices that will receive it.
    pub devices: i64,
    pub tables: Vec<TableChanges>,
    /// The first rows, in the order of the bundle.
    pub rows: Vec<PreviewRow>,
    /// The rows had changed since the person looked at them: this is the new preview.
    pub is_renewed: bool,
    /// More that the person should know before they go on.
    pub remarks: Vec<String>,
    pub confirm: Confirm,
}

/// How many rows of a table change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChanges {
    pub table: String,
    pub inserted: i64,
    pub updated: i64,
    pub deleted: i64,
}

/// A row before and after.
#[derive(Debug, Clone)]
pub struct PreviewRow {
    pub table: String,
    pub key: String,
    pub op: Op,
    /// The bundle that touched it last; None: it is new.
    pub version: Option<i64>,
    /// Nobody asked for it: it changes because another row does.
    pub is_consequence: bool,
    pub columns: Vec<ChangedColumn>,
    /// The bytes of a row that is too large to be shown.
    pub too_large: Option<i64>,
}

/// One column before and after; None where there is no row.
#[derive(Debug, Clone)]
pub struct ChangedColumn {
    pub name: String,
    pub is_key: bool,
    pub before: Option<Value>,
    pub after: Option<Value>,
    /// Both are there and differ, although they may be too long to see it.
    pub changed: bool,
}

/// The form that does what is shown.
#[derive(Debug, Clone)]
pub struct Confirm {
    pub action: String,
    /// What its button says: `Restore version 12`.
    pub label: String,
    /// Hidden fields, the token of the preview among them as [`Confirm::TOKEN`].
    pub fields: Vec<(String, String)>,
    /// Where `Cancel` leads.
    pub cancel: String,
}

/// Why a write cannot be done.
#[derive(Debug, Clone)]
pub struct WriteRefused {
    pub title: String,
    pub sentence: String,
    /// The row and columns that are at fault, where they are known.
    pub place: Option<RefusedPlace>,
    pub ways_out: Vec<WayOut>,
}

/// Where a write breaks a rule.
#[derive(Debug, Clone)]
pub struct RefusedPlace {
    pub table: String,
    pub key: Option<String>,
    pub columns: Option<String>,
    pub constraint: Option<String>,
}

impl Confirm {
    /// The name of the hidden field that carries what was looked at.
    pub const TOKEN: &'static str = "preview";
}

impl TableChanges {
    fn rows(&self) -> i64 {
        self.inserted + self.updated + self.deleted
    }

    /// `1 inserted, 2 deleted`.
    fn sentence(&self) -> String {
        [(self.inserted, "inserted"), (self.updated, "changed"), (self.deleted, "deleted")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl WritePreview {
    fn row_count(&self) -> i64 {
        self.tables.iter().map(TableChanges::rows).sum()
    }

    fn rows_left_out(&self) -> i64 {
        self.row_count() - i64::try_from(self.rows.len()).unwrap_or(i64::MAX)
    }

    /// `3 rows` in `2 tables` `change; 2 devices receive this as bundle 18.`: of one table, its name.
    fn consequence(&self) -> (String, String, String) {
        let counted = |count: i64, one: &str, many: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        };
        let rows = self.row_count();
        let places = match self.tables.as_slice() {
            [table] => table.table.clone(),
            tables => format!("{} tables", tables.len()),
        };
        let all = |of: fn(&TableChanges) -> i64| self.tables.iter().map(of).sum::<i64>() == rows;
        let verb = match (all(|table| table.deleted), all(|table| table.inserted), rows) {
            (true, _, 1) => "is deleted",
            (true, ..) => "are deleted",
            (_, true, 1) => "is inserted",
            (_, true, _) => "are inserted",
            (.., 1) => "changes",
            _ => "change",
        };
        let received = match self.devices {
            0 => format!(
                "no device has synced yet, the first to do so receives this as bundle {}",
                self.bundle_seq
            ),
            1 => format!("1 device receives this as bundle {}", self.bundle_seq),
            devices => format!("{devices} devices receive this as bundle {}", self.bundle_seq),
        };
        (counted(rows, "row", "rows"), places, format!("{verb}; {received}."))
    }

    /// Whether rows go.
    fn deletes(&self) -> bool {
        self.tables.iter().any(|table| table.deleted > 0)
    }

    /// Rows that change although nobody asked for them, among those shown.
    fn has_consequences(&self) -> bool {
        self.rows.iter().any(|row| row.is_consequence)
    }
}

impl PreviewRow {
    /// Columns to show of a changed row: those that change and the key. Of one that comes or goes: all.
    fn shown(&self) -> Vec<&ChangedColumn> {
        let is_update = self.op == Op::Update;
        self.columns.iter().filter(|column| !is_update || column.changed).collect()
    }

    /// Columns of a changed row that stay as they are.
    fn unchanged(&self) -> usize {
        self.columns.len() - self.shown().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview(tables: &[(&str, i64)], devices: i64) -> WritePreview {
        let changes = |(table, updated): &(&str, i64)| TableChanges {
            table: (*table).to_owned(),
            inserted: 0,
            updated: *updated,
            deleted: 0,
        };
        WritePreview {
            scope: "ada".into(),
            bundle_seq: 18,
            devices,
            tables: tables.iter().map(changes).collect(),
            rows: vec![],
            is_renewed: false,
            remarks: vec![],
            confirm: Confirm {
                action: String::new(),
                label: String::new(),
                fields: vec![],
                cancel: String::new(),
            },
        }
    }

    #[test]
    fn the_consequence_is_one_sentence() {
        let said = |preview: WritePreview| {
            let (rows, place, rest) = preview.consequence();
            format!("{rows} in {place} {rest}")
        };
        assert_eq!(
            said(preview(&[("site", 1), ("note", 2)], 2)),
            "3 rows in 2 tables change; 2 devices receive this as bundle 18."
        );
        assert_eq!(
            said(preview(&[("site", 1)], 1)),
            "1 row in site changes; 1 device receives this as bundle 18."
        );
        assert!(said(preview(&[("site", 1)], 0)).contains("no device has synced yet"));
    }
}
