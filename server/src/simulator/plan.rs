//! What the virtual devices write: a row of one of the app's tables, with the parents that it must have, and a change that
//! both make to it.
//!
//! Values come from the columns' types and the literals of their checks; a value is taken when every check holds.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::values::{self, Sample, Samples};
use crate::tables::{
    catalog::{AppCatalog, CatalogTable},
    spec::{ColumnSpec, ColumnType, WireProfile},
};

/// Rows that one plan may need; a longer chain of parents is nothing to look at.
const MAX_ROWS: usize = 12;

/// What the devices do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Parents first; the last is the one that the devices disagree on.
    pub rows: Vec<PlannedRow>,
    pub change: Change,
}

/// A row to insert, as the protocol carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRow {
    pub table: String,
    pub key_column: String,
    pub key: String,
    pub values: BTreeMap<String, Json>,
}

/// What both do to the row while they are offline.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Column {
        column: String,
        phone: Json,
        tablet: Json,
    },
    /// It has no column that could be changed to two other values.
    Delete,
}

/// Why nothing can be simulated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    #[error("The app has no tables yet. Publish its schema first; then two devices can sync them.")]
    NoTables,
    #[error(
        "No table of this app can be filled by itself: each needs parents that go round in a circle, or has a CHECK that \
         the simulator finds no values for. Connect a device of yours instead; the quick start shows how."
    )]
    NoTableFits,
}

/// The best plan for these tables: a row that needs few parents and has a text to change.
pub fn make(app: &AppCatalog) -> Result<Plan, NoPlan> {
    if app.tables().is_empty() {
        return Err(NoPlan::NoTables);
    }
    let plans = app.tables().iter().filter_map(|table| Some((score(app, table)?, table)));
    let mut plans: Vec<_> = plans.collect();
    plans.sort_by_key(|(score, table)| (*score, table.table_no()));
    plans.into_iter().find_map(|(_, table)| plan_for(app, table)).ok_or(NoPlan::NoTableFits)
}

/// Less is better: a text to change counts for more than a parent or two.
fn score(app: &AppCatalog, table: &CatalogTable) -> Option<usize> {
    let rows = chain(app, table)?.len();
    let changes_text = changeable(table).any(|column| is_text(column.ty));
    let changes = changeable(table).next().is_some();
    Some(
        rows * 2
            + if changes_text {
                0
            } else if changes {
                5
            } else {
                40
            },
    )
}

/// The table after those that it cannot be without. None: they go round in a circle, or are too many.
fn chain<'a>(app: &'a AppCatalog, table: &'a CatalogTable) -> Option<Vec<&'a CatalogTable>> {
    fn visit<'a>(
        app: &'a AppCatalog,
        table: &'a CatalogTable,
        above: &mut Vec<&'a str>,
        done: &mut Vec<&'a CatalogTable>,
    ) -> Option<()> {
        if done.iter().any(|known| known.name() == table.name()) {
            return Some(());
        }
        if above.len() >= MAX_ROWS || above.contains(&table.name().as_str()) {
            return None;
        }
        above.push(table.name().as_str());
        for key in &table.spec.foreign_keys {
            let nullable = table.column(key.column.as_str())?.nullable;
            if !nullable && key.parent != *table.name() {
                visit(app, app.table(key.parent.as_str())?, above, done)?;
            }
        }
        above.pop();
        done.push(table);
        (done.len() <= MAX_ROWS).then_some(())
    }
    let mut done = Vec::new();
    visit(app, table, &mut Vec::new(), &mut done)?;
    Some(done)
}

/// Columns that can be changed without touching another row, texts first.
fn changeable(table: &CatalogTable) -> impl Iterator<Item = &ColumnSpec> {
    let of = |texts: bool| {
        table.columns().iter().filter(move |column| {
            let names = |name: &crate::tables::ident::Ident| *name == column.name;
            let is_apart = !names(&table.key().column)
                && !table.spec.foreign_keys.iter().any(|key| names(&key.column))
                && column.ty != ColumnType::Boolean;
            is_apart && is_text(column.ty) == texts
        })
    };
    of(true).chain(of(false))
}

fn is_text(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Text | ColumnType::Varchar { .. })
}

fn plan_for(app: &AppCatalog, table: &CatalogTable) -> Option<Plan> {
    let tables = chain(app, table)?;
    let mut keys: BTreeMap<&str, String> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut subject = None;
    for table in &tables {
        let samples = row_samples(table, &keys)?;
        let key = samples.get(table.key().column.as_str())?.text()?.to_owned();
        keys.insert(table.name().as_str(), key.clone());
        rows.push(planned(app.profile, table, key, &samples));
        subject = Some(samples);
    }
    let change = change_of(app.profile, table, &subject?);
    Some(Plan { rows, change })
}

/// Values for every column that satisfy the checks; `keys` are those of the parents.
fn row_samples(table: &CatalogTable, keys: &BTreeMap<&str, String>) -> Option<Samples> {
    let own_key = Sample::Text(Uuid::new_v4().to_string());
    let choices = table.columns().iter().map(|column| {
        let parent = table.spec.foreign_keys.iter().find(|key| key.column == column.name);
        let candidates = match parent {
            _ if column.name == table.key().column => {
                let mut all = vec![own_key.clone()];
                all.extend(values::from_checks(&table.spec.checks, column));
                all
            }
            Some(key) if column.nullable => {
                let known = keys.get(key.parent.as_str()).cloned().map(Sample::Text);
                [Some(Sample::Null), known].into_iter().flatten().collect()
            }
            Some(key) if key.parent == *table.name() => vec![own_key.clone()],
            Some(key) => vec![Sample::Text(keys.get(key.parent.as_str())?.clone())],
            None => values::candidates(&table.spec.checks, column),
        };
        Some((column.name.to_string(), candidates))
    });
    values::choose(&table.spec.checks, choices.collect::<Option<Vec<_>>>()?)
}

fn planned(profile: WireProfile, table: &CatalogTable, key: String, samples: &Samples) -> PlannedRow {
    let value = |column: &ColumnSpec| {
        let sample = samples.get(column.name.as_str()).unwrap_or(&Sample::Null);
        (column.name.to_string(), sample.to_wire(profile, column.ty))
    };
    PlannedRow {
        table: table.name().to_string(),
        key_column: table.key().column.to_string(),
        key,
        values: table.columns().iter().map(value).collect(),
    }
}

/// Two other values for a column, with which the checks still hold.
fn change_of(profile: WireProfile, table: &CatalogTable, row: &Samples) -> Change {
    for column in changeable(table) {
        let before = row.get(column.name.as_str()).cloned().unwrap_or(Sample::Null);
        let mut others = values::changes(&table.spec.checks, column).into_iter().filter(|sample| {
            let mut changed = row.clone();
            changed.insert(column.name.to_string(), sample.clone());
            *sample != before && values::all_hold(&table.spec.checks, &changed)
        });
        if let (Some(phone), Some(tablet)) = (others.next(), others.next()) {
            return Change::Column {
                column: column.name.to_string(),
                phone: phone.to_wire(profile, column.ty),
                tablet: tablet.to_wire(profile, column.ty),
            };
        }
    }
    Change::Delete
}

impl PlannedRow {
    /// The `key` member of the wire.
    pub fn wire_key(&self) -> Json {
        json!({ self.key_column.as_str(): self.key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::AppId,
        tables::{ddl, ident::Ident, spec::AppSpec},
    };

    fn plan(text: &str) -> Result<Plan, NoPlan> {
        let empty = AppSpec::empty(Ident::parse("main").unwrap());
        let tables = match text {
            "" => Vec::new(),
            text => ddl::parse(text, None, &empty).unwrap().tables,
        };
        make(&AppCatalog::new(AppId::new(), WireProfile::Strings, AppSpec { tables, ..empty }, 1))
    }

    fn tables(plan: &Plan) -> Vec<&str> {
        plan.rows.iter().map(|row| row.table.as_str()).collect()
    }

    #[test]
    fn parents_come_first_and_optional_ones_not_at_all() {
        let plan = plan(
            "create table a (id text primary key not null, n integer);
             create table b (id blob primary key not null, a text not null references a (id),
                 c text references c (id), title text not null check (length(title) between 3 and 9));
             create table c (id text primary key not null, b blob references b (id))",
        )
        .unwrap();
        assert_eq!(tables(&plan), ["a", "b"]);
        assert_eq!(plan.rows[1].values["a"], plan.rows[0].key.as_str());
        assert_eq!(plan.rows[1].values["c"], Json::Null);
        let Change::Column { column, phone, tablet } = &plan.change else { panic!("{plan:?}") };
        assert_eq!(column, "title");
        let fits = |value: &Json| (3..=9).contains(&value.as_str().unwrap().len());
        assert!(fits(phone) && fits(tablet) && phone != tablet, "{phone} {tablet}");
    }

    #[test]
    fn checks_are_honoured() {
        let plan = plan(
            "create table t (id text primary key not null, kind text not null check (kind in ('x', 'y', 'z')),
                 n integer not null check (n > 40 and n < 90), m integer not null, check (m > n + 1))",
        )
        .unwrap();
        let values = &plan.rows[0].values;
        let number = |name: &str| values[name].as_str().unwrap().parse::<i64>().unwrap();
        assert!((41..90).contains(&number("n")));
        assert!(number("m") > number("n") + 1);
        assert!(matches!(&plan.change, Change::Column { column, .. } if column == "kind"));
    }

    #[test]
    fn what_cannot_be_simulated_is_said() {
        assert_eq!(plan(""), Err(NoPlan::NoTables));
        let circle = "create table a (id text primary key not null, b text not null references b (id));
            create table b (id text primary key not null, a text not null references a (id))";
        assert_eq!(plan(circle), Err(NoPlan::NoTableFits));
        let impossible =
            "create table a (id text primary key not null, n integer not null check (n > 5 and n < 3))";
        assert_eq!(plan(impossible), Err(NoPlan::NoTableFits));
        let only_keys = "create table a (id text primary key not null)";
        assert_eq!(plan(only_keys).unwrap().change, Change::Delete);
    }
}
