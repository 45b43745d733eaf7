//! What PostgreSQL's refusals of a write mean: a client's mistake in words, a reason to try again, or our failure.

mod culprit;

use std::fmt;

use sqlx::postgres::PgDatabaseError;

use self::culprit::Culprit;
use crate::{
    sync::payload::json::JsonRow,
    tables::{
        ConstraintInfo,
        catalog::{AppCatalog, CatalogTable},
    },
};

/// A write that the app's own constraints or triggers refuse: the client's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct Refusal {
    pub kind: RefusalKind,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
    /// The key of the row, where it is known to be one row.
    pub key: Option<String>,
    /// What a trigger of the app said. For the people who run the app; never sent to devices.
    pub trigger_message: Option<String>,
    culprit: Option<Culprit>,
}

/// Which rule a write broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    NotNull,
    ForeignKey,
    Unique,
    Check,
    /// A constraint of another kind.
    Constraint,
    /// A value that its column's type cannot hold.
    Value,
    /// More than PostgreSQL can store or index.
    TooLarge,
    /// A row that no device could read.
    RowTooLarge {
        bytes: u64,
        max: u64,
    },
    /// A trigger of the app raised an exception.
    Trigger,
}

/// How a write failed.
#[derive(Debug)]
pub(in crate::sync) enum WriteFailure {
    Refused(Box<Refusal>),
    /// Other transactions were in the way: the same write may succeed now.
    TryAgain,
    Database(sqlx::Error),
}

impl WriteFailure {
    /// Judge an error; `table` is the one that the failed statement wrote to, if it was one.
    pub(in crate::sync) fn judge(app: &AppCatalog, table: Option<&CatalogTable>, error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else { return Self::Database(error) };
        let Some(error_of_pg) = database.try_downcast_ref::<PgDatabaseError>() else {
            return Self::Database(error);
        };
        let code = error_of_pg.code();
        // Serialization failure, deadlock, lock not available, and a statement that was cancelled for being too slow.
        if matches!(code, "40001" | "40P01" | "55P03" | "57014") {
            return Self::TryAgain;
        }
        // A constraint of the engine's own tables is no client's to mend.
        let of_engine = error_of_pg.table().is_some_and(|name| name.starts_with("_sync_"));
        match RefusalKind::of(code) {
            Some(kind) if !of_engine => Self::Refused(Box::new(Refusal::new(app, table, kind, error_of_pg))),
            _ => Self::Database(error),
        }
    }
}

impl RefusalKind {
    fn of(sqlstate: &str) -> Option<Self> {
        Some(match sqlstate {
            "23502" => Self::NotNull,
            "23503" | "23001" => Self::ForeignKey,
            "23505" => Self::Unique,
            "23514" => Self::Check,
            "P0001" => Self::Trigger,
            _ if sqlstate.starts_with("23") || sqlstate.starts_with("44") => Self::Constraint,
            _ if sqlstate.starts_with("22") => Self::Value,
            _ if sqlstate.starts_with("54") => Self::TooLarge,
            _ => return None,
        })
    }

    /// What `_sync_refuse_large_row` raises (`migrations/app/0019_existing_clients.sql`): its hint is two numbers.
    fn row_too_large(error: &PgDatabaseError) -> Option<Self> {
        let (bytes, max) = error.hint().filter(|_| error.code() == "54000")?.split_once(' ')?;
        Some(Self::RowTooLarge { bytes: bytes.parse().ok()?, max: max.parse().ok()? })
    }

    /// A stable name, kept with rejected writes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotNull => "not_null",
            Self::ForeignKey => "foreign_key",
            Self::Unique => "unique",
            Self::Check => "check",
            Self::Constraint => "constraint",
            Self::Value => "value",
            Self::TooLarge => "too_large",
            Self::RowTooLarge { .. } => "row_too_large",
            Self::Trigger => "trigger",
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotNull => "a value is missing that must not be null",
            Self::ForeignKey => {
                "a row refers to a row that does not exist, or a row that others refer to is deleted"
            }
            Self::Unique => "another row has the same value already",
            Self::Check => "a value breaks a rule of the table",
            Self::Constraint => "a row breaks a rule of the table",
            Self::Value => "a value does not fit the type of its column",
            Self::TooLarge => "a value is too large to be stored or indexed",
            Self::RowTooLarge { bytes, max } => {
                return write!(f, "a row has {bytes} bytes, and devices can read rows of at most {max}");
            }
            Self::Trigger => "a trigger of the table refused the write",
        })
    }
}

impl Refusal {
    fn new(
        app: &AppCatalog,
        written: Option<&CatalogTable>,
        kind: RefusalKind,
        error: &PgDatabaseError,
    ) -> Self {
        let table = error.table().and_then(|name| app.table(name)).or(written);
        // Names that the catalog knows, and nothing else of what PostgreSQL says, go further.
        let named = error.column().and_then(|name| table?.column(name)).map(|column| column.name.to_string());
        let demand = error.constraint().and_then(|name| table?.spec.constraint(name));
        Self {
            kind: match demand {
                Some(ConstraintInfo::Range { .. }) => RefusalKind::Value,
                _ => RefusalKind::row_too_large(error).unwrap_or(kind),
            },
            table: table.map(|table| table.name().to_string()),
            column: named.or_else(|| columns_of(demand.as_ref()?)),
            constraint: error.constraint().map(str::to_owned),
            key: None,
            culprit: error.detail().map(|detail| Culprit::new(detail, error.table())),
            trigger_message: (kind == RefusalKind::Trigger)
                .then(|| error.message().chars().take(500).collect()),
        }
    }

    /// Whether this row of `scope` is known to be one that broke the rule.
    pub(in crate::sync) fn is_about(&self, scope: &str, row: &JsonRow<'_>) -> bool {
        self.culprit.as_ref().is_some_and(|culprit| culprit.is(scope, row))
    }

    fn sentence(&self) -> String {
        let named =
            |what: &str, name: &Option<String>| name.as_ref().map(|name| format!("{what} \"{name}\""));
        let mut place: Vec<_> = [
            named("table", &self.table),
            named("key", &self.key),
            named("column", &self.column),
            named("constraint", &self.constraint),
        ]
        .into_iter()
        .flatten()
        .collect();
        if place.is_empty() {
            place.push("the push".to_owned());
        }
        format!("The write was refused at {}: {}.", place.join(", "), self.kind)
    }
}

/// The columns that a constraint is about, as people read them.
fn columns_of(demand: &ConstraintInfo) -> Option<String> {
    let columns = match demand {
        ConstraintInfo::PrimaryKey { column }
        | ConstraintInfo::ForeignKey { column, .. }
        | ConstraintInfo::Range { column } => std::slice::from_ref(column),
        ConstraintInfo::Unique { columns } | ConstraintInfo::Check { columns, .. } => columns,
    };
    let names: Vec<_> = columns.iter().map(|column| column.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
