//! Which rows an address asks for: a user, conditions on columns, and a place to go on from.

use serde::{Deserialize, Serialize};
use syncline_web::{
    forms::Field,
    links::with_query,
    pages::tables::{ConditionForm, FilterForm},
};

use super::typed;
use crate::{
    http::{
        dashboard::place::{cursor_text, read_cursor},
        extract::input::Input,
    },
    ids::ScopeId,
    sync::payload,
    tables::{
        browse::Place,
        catalog::CatalogTable,
        filter::{Filter, Test},
        inspect::RowCursor,
        spec::ColumnType,
    },
};

/// Conditions of one address.
const MAX_CONDITIONS: usize = 12;

/// The query as it came: `column`, `test` and `value` again and again, each column beginning another condition.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Vec<(String, String)>")]
pub struct RowsQuery {
    pub(super) scope: String,
    conditions: Vec<Condition>,
    after: String,
    before: String,
    /// How many rows the pages before this one have looked at, if they found none.
    pub(super) looked: i64,
}

impl Input for RowsQuery {}

#[derive(Debug, Clone, Default)]
struct Condition {
    column: String,
    test: String,
    value: String,
}

/// A row's place as the value of a query.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    scope: String,
    key: String,
}

/// What the query means for a table.
pub(super) struct Reading {
    /// With the sentences that say what is wrong; then there is no use in asking for rows.
    pub(super) form: FilterForm,
    pub(super) scope: Option<ScopeId>,
    pub(super) filters: Vec<Filter>,
    pub(super) is_right: bool,
}

impl TryFrom<Vec<(String, String)>> for RowsQuery {
    type Error = String;

    fn try_from(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let mut query = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "scope" => query.scope = value,
                "after" => query.after = value,
                "before" => query.before = value,
                "looked" => query.looked = value.parse().unwrap_or(0).max(0),
                "column" => query.conditions.push(Condition { column: value, ..Condition::default() }),
                "test" => query.last()?.test = value,
                "value" => query.last()?.value = value,
                _ => {}
            }
        }
        // The form always has an empty one for the next.
        query.conditions.retain(|condition| !condition.column.is_empty());
        if query.conditions.len() > MAX_CONDITIONS {
            return Err(format!("at most {MAX_CONDITIONS} conditions can be asked for at once"));
        }
        Ok(query)
    }
}

impl RowsQuery {
    fn last(&mut self) -> Result<&mut Condition, String> {
        self.conditions.last_mut().ok_or_else(|| "a condition begins with its column".to_owned())
    }

    pub(super) fn is_filtered(&self) -> bool {
        !self.scope.is_empty() || !self.conditions.is_empty()
    }

    /// `path` with the same rows asked for, and `place` as the place among them.
    pub(super) fn address(&self, path: &str, place: Option<(&str, &RowCursor)>) -> String {
        self.address_of(path, self.conditions.iter(), place)
    }

    fn without(&self, path: &str, dropped: usize) -> String {
        let kept = self.conditions.iter().enumerate().filter(|(place, _)| *place != dropped);
        self.address_of(path, kept.map(|(_, condition)| condition), None)
    }

    fn address_of<'c>(
        &self,
        path: &str,
        conditions: impl Iterator<Item = &'c Condition>,
        place: Option<(&str, &RowCursor)>,
    ) -> String {
        let cursor = place.map(|(name, row)| {
            let cursor = Cursor { scope: row.scope.as_str().to_owned(), key: row.key.clone() };
            (name, cursor_text(&cursor))
        });
        let mut values = vec![("scope", self.scope.as_str())];
        for condition in conditions {
            values.extend([
                ("column", condition.column.as_str()),
                ("test", &condition.test),
                ("value", &condition.value),
            ]);
        }
        values.extend(cursor.as_ref().map(|(name, text)| (*name, text.as_str())));
        with_query(path, &values)
    }

    /// The page is the one before a place.
    pub(super) fn is_backwards(&self) -> bool {
        matches!(self.place(), Place::Before(_))
    }

    pub(super) fn place(&self) -> Place {
        let cursor = |text: &str| {
            let cursor: Cursor = read_cursor(text)?;
            Some(RowCursor { scope: ScopeId::parse(&cursor.scope).ok()?, key: cursor.key })
        };
        match (cursor(&self.after), cursor(&self.before)) {
            (Some(after), _) => Place::After(after),
            (None, Some(before)) => Place::Before(before),
            (None, None) => Place::Beginning,
        }
    }

    /// Read the conditions as conditions on `table`, whose page is at `path`.
    pub(super) fn read(&self, table: &CatalogTable, path: &str) -> Reading {
        let mut scope_field = Field::new(&self.scope);
        let scope = match ScopeId::parse(&self.scope) {
            _ if self.scope.is_empty() => None,
            Ok(scope) => Some(scope),
            Err(invalid) => {
                scope_field.reject(format!("This is no user’s id: {invalid}."));
                None
            }
        };
        let mut filters = Vec::new();
        let mut conditions = Vec::new();
        for (place, condition) in self.conditions.iter().enumerate() {
            let read = condition.read(table);
            conditions.push(ConditionForm {
                column: condition.column.clone(),
                test: condition.test.clone(),
                value: condition.value.clone(),
                error: read.as_ref().err().cloned(),
                without: self.without(path, place),
            });
            filters.extend(read);
        }
        let is_right = scope_field.error.is_none() && filters.len() == conditions.len();
        let columns = table.columns().iter().map(|column| column.name.to_string()).collect();
        let form = FilterForm { scope: scope_field, conditions, columns };
        Reading { form, scope, filters, is_right }
    }
}

impl Condition {
    /// The condition, or the sentence that says what is wrong with it.
    fn read(&self, table: &CatalogTable) -> Result<Filter, String> {
        let column =
            table.column(&self.column).ok_or_else(|| format!("This table has no column {}.", self.column))?;
        let test = Test::parse(&self.test).ok_or_else(|| "Choose how to compare.".to_owned())?;
        if !test.fits(column.ty) {
            return Err(format!(
                "This does not work on a column of type {}: {}.",
                column.ty,
                fitting(column.ty)
            ));
        }
        let value = match test {
            _ if !test.takes_value() => String::new(),
            _ if test.takes_part() => {
                payload::check_typed(ColumnType::Text, &self.value)
                    .map_err(|invalid| format!("It {invalid}."))?;
                self.value.clone()
            }
            _ => typed::read(column.ty, &self.value)?,
        };
        Filter::new(column, test, value).map_err(|unfit| unfit.to_string())
    }
}

/// What does work, in words.
fn fitting(ty: ColumnType) -> &'static str {
    if Test::Less.fits(ty) {
        "compare it, or ask whether it is NULL"
    } else if Test::Contains.fits(ty) {
        "look for a part of it, or ask whether it is NULL"
    } else {
        "ask whether it is a value, or is NULL"
    }
}
