//! Which of a push's rows broke a rule, as far as PostgreSQL tells.

use std::{borrow::Cow, fmt};

use crate::sync::payload::json::{JsonRow, Members, Payload, Value};

/// Bytes of a value that PostgreSQL shows of a row that breaks a rule of its table.
const SHOWN_BYTES: usize = 64;

/// What PostgreSQL says of the values that broke a rule. They are for comparing with the rows that were sent, and nothing of
/// them goes further.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Culprit {
    detail: String,
    /// The table of the constraint.
    table: Option<String>,
}

impl fmt::Debug for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Culprit").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Culprit {
    pub(super) fn new(detail: &str, table: Option<&str>) -> Self {
        Self { detail: detail.to_owned(), table: table.map(str::to_owned) }
    }

    /// Whether it is this row of `scope`. False also where that cannot be told.
    pub(super) fn is(&self, scope: &str, row: &JsonRow<'_>) -> bool {
        let is_of_table = self.table.as_deref() == Some(row.table.as_ref());
        let is_delete = row.op == "DELETE";
        if let Some(values) = self.detail.strip_prefix("Failing row contains (") {
            return is_of_table && !is_delete && begins_with(values, scope, row).unwrap_or(false);
        }
        let Some((columns, values)) = self.detail.strip_prefix("Key (").and_then(|key| key.split_once(")=("))
        else {
            return false;
        };
        // The constraint is then that of the other table, whose rows refer to what is deleted.
        let is_referenced = values.contains(") is still referenced from table ");
        is_referenced == is_delete
            && (is_of_table || is_referenced)
            && has_values(columns, values, scope, row).unwrap_or(false)
    }
}

/// Whether the values of a whole row, in the order of its columns, are of this one: the scope comes first, and then, in
/// nearly every table, the key.
fn begins_with(values: &str, scope: &str, row: &JsonRow<'_>) -> Option<bool> {
    let rest = values.strip_prefix(&*shown(scope))?.strip_prefix(", ")?;
    let rest = rest.strip_prefix(&*shown(&text(key(row)?)?))?;
    Some(rest.starts_with(", ") || rest.starts_with(").") || rest == ")")
}

/// Whether the row has the values that the key of a constraint has; its first column is the scope.
fn has_values(columns: &str, values: &str, scope: &str, row: &JsonRow<'_>) -> Option<bool> {
    let mut wanted = vec![Cow::Borrowed(scope)];
    for column in columns.split(", ").skip(1) {
        wanted.push(text(value(row, &column.trim_matches('"').replace("\"\"", "\""))?)?);
    }
    Some(values.strip_prefix(wanted.join(", ").as_str())?.starts_with(") "))
}

fn key<'r, 'a>(row: &'r JsonRow<'a>) -> Option<&'r Value<'a>> {
    row.key.0.first().map(|(_, value)| value)
}

fn value<'r, 'a>(row: &'r JsonRow<'a>, column: &str) -> Option<&'r Value<'a>> {
    let of =
        |members: &'r Members<'a>| members.0.iter().find(|(name, _)| name == column).map(|(_, value)| value);
    match &row.payload {
        Payload::Row(members) => of(members).or_else(|| of(&row.key)),
        Payload::None => of(&row.key),
    }
}

/// As PostgreSQL writes it, for the types that clients write in the same way.
fn text<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Borrowed(number)),
        Value::Null | Value::Bool(_) | Value::Composite => None,
    }
}

/// A value in a row that PostgreSQL shows.
fn shown(value: &str) -> Cow<'_, str> {
    if value.len() <= SHOWN_BYTES {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{}...", &value[..value.floor_char_boundary(SHOWN_BYTES)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(detail: &str, table: &str, row: &str) -> bool {
        Culprit::new(detail, Some(table)).is("ada", &serde_json::from_str(row).unwrap())
    }

    fn note(key: &str, folder: &str) -> String {
        format!(
            r#"{{"schema":"main","table":"notes","key":{{"id":"{key}"}},"op":"INSERT","base_row_version":"0",
                "payload":{{"id":"{key}","folder_id":"{folder}","n":"7"}}}}"#
        )
    }

    #[test]
    fn a_row_is_found_by_the_values_of_a_key() {
        let detail = r#"Key (_sync_scope_id, folder_id)=(ada, f, 1) is not present in table "folders"."#;
        assert!(is(detail, "notes", &note("n1", "f, 1")));
        assert!(!is(detail, "notes", &note("n1", "f")));
        assert!(!is(detail, "notes", &note("n1", "f, 12")));
        assert!(!is(detail, "folders", &note("n1", "f, 1")));
        let detail = r#"Key (_sync_scope_id, n, "folder_id")=(ada, 7, f) already exists."#;
        assert!(is(detail, "notes", &note("n1", "f")));
        assert!(!is(detail, "notes", &note("n1", "g")));
    }

    #[test]
    fn a_deleted_row_is_found_by_what_refers_to_it() {
        let detail = r#"Key (_sync_scope_id, id)=(ada, f1) is still referenced from table "notes"."#;
        let deleted =
            r#"{"schema":"main","table":"folders","key":{"id":"f1"},"op":"DELETE","base_row_version":"1"}"#;
        assert!(is(detail, "notes", deleted));
        assert!(!is(detail, "notes", &note("f1", "f1")));
        assert!(!is(detail, "notes", &deleted.replace("f1", "f2")));
    }

    #[test]
    fn a_row_is_found_by_its_beginning_also_if_that_is_cut() {
        assert!(is("Failing row contains (ada, n1, f, null).", "notes", &note("n1", "f")));
        assert!(!is("Failing row contains (ada, n12, f, null).", "notes", &note("n1", "f")));
        assert!(!is("Failing row contains (bob, n1, f, null).", "notes", &note("n1", "f")));
        let long = "é".repeat(40);
        let detail = format!("Failing row contains (ada, {}..., f, null).", "é".repeat(32));
        assert!(is(&detail, "notes", &note(&long, "f")));
    }

    #[test]
    fn what_is_not_understood_is_nobody() {
        for detail in ["", "Key", "Key (a)=(", "Failing row contains (", "Array dimensions are wrong."] {
            assert!(!is(detail, "notes", &note("n1", "f")));
        }
    }
}
