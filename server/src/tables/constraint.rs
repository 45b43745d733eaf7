//! Names of the constraints and indexes of business tables.
//!
//! A name is made from what the constraint is about, so it is stable without being stored, begins with `_sync_`, so it
//! collides with no tenant's table, and can be read back when PostgreSQL reports a violation.

use sha2::{Digest, Sha256};

use super::{
    ident::Ident,
    spec::{ForeignKeySpec, TableSpec},
};

/// What a constraint of a business table demands. Its names are the tenant's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstraintInfo {
    PrimaryKey {
        column: Ident,
    },
    Unique {
        columns: Vec<Ident>,
    },
    ForeignKey {
        column: Ident,
        parent: Ident,
    },
    Check {
        columns: Vec<Ident>,
        /// As people write it.
        rule: String,
    },
    /// The value has no form on the wire: NaN, an infinity, a date outside the years 1 to 9999.
    Range {
        column: Ident,
    },
}

pub(super) fn primary_key_name(table: &TableSpec) -> String {
    name(table, "key", [table.key.column.as_str()])
}

pub(super) fn unique_name(table: &TableSpec, columns: &[Ident]) -> String {
    name(table, "unique", columns.iter().map(Ident::as_str))
}

pub(super) fn index_name(table: &TableSpec, columns: &[Ident]) -> String {
    name(table, "index", columns.iter().map(Ident::as_str))
}

pub(super) fn foreign_key_name(table: &TableSpec, key: &ForeignKeySpec) -> String {
    name(table, "parent", [key.column.as_str(), key.parent.as_str()])
}

pub(super) fn range_name(table: &TableSpec, column: &Ident) -> String {
    name(table, "range", [column.as_str()])
}

/// Two checks of a table may be about the same columns, so the name has a digest of the expression (`sql`).
pub(super) fn check_name(table: &TableSpec, columns: &[Ident], sql: &str) -> String {
    let digest = digest(sql);
    name(table, "check", columns.iter().map(Ident::as_str).chain([digest.as_str()]))
}

/// `_sync_t3_unique_email`; what does not fit into a name is replaced by a digest of the whole.
fn name<'a>(table: &TableSpec, kind: &str, parts: impl IntoIterator<Item = &'a str>) -> String {
    let parts: Vec<&str> = parts.into_iter().collect();
    let full = format!("_sync_t{}_{kind}_{}", table.table_no, parts.join("_"));
    // Joined by a character that no name has: `a_b` + `c` and `a` + `b_c` are different columns.
    let joins_are_ambiguous = parts.len() > 1 && parts.iter().any(|part| part.contains('_'));
    if full.len() <= Ident::MAX_BYTES && !joins_are_ambiguous {
        return full;
    }
    let digest = digest(&parts.join("\u{0}"));
    let mut end = full.len().min(Ident::MAX_BYTES - digest.len() - 1);
    while !full.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{digest}", &full[..end])
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

impl TableSpec {
    /// What the constraint that PostgreSQL calls `name` demands. Citus may put `_` and a shard's number behind it.
    /// None for a name that is not one of this table's.
    pub fn constraint(&self, name: &str) -> Option<ConstraintInfo> {
        self.constraints().into_iter().find_map(|(known, info)| {
            let rest = name.strip_prefix(known.as_str())?;
            let is_shard = rest.strip_prefix('_').is_some_and(|no| no.bytes().all(|b| b.is_ascii_digit()));
            (rest.is_empty() || is_shard).then_some(info)
        })
    }

    fn constraints(&self) -> Vec<(String, ConstraintInfo)> {
        let key = self.key.column.clone();
        let mut all = vec![(primary_key_name(self), ConstraintInfo::PrimaryKey { column: key })];
        all.extend(self.uniques.iter().map(|columns| {
            (unique_name(self, columns), ConstraintInfo::Unique { columns: columns.clone() })
        }));
        all.extend(self.foreign_keys.iter().map(|key| {
            let (column, parent) = (key.column.clone(), key.parent.clone());
            (foreign_key_name(self, key), ConstraintInfo::ForeignKey { column, parent })
        }));
        all.extend(self.checks.iter().map(|check| {
            let columns = check.columns();
            (
                check_name(self, &columns, &check.sql()),
                ConstraintInfo::Check { columns, rule: check.to_string() },
            )
        }));
        all.extend(self.columns.iter().map(|column| {
            (range_name(self, &column.name), ConstraintInfo::Range { column: column.name.clone() })
        }));
        all
    }
}
