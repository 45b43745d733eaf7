//! What rows of a table are asked for: conditions on single columns, and their SQL.
//!
//! Names enter as [`Ident`](super::ident::Ident), values are bound as texts that PostgreSQL casts to the column's type, so
//! that an index of the column serves where there is one.

use super::{
    apply_sql::cast,
    spec::{ColumnSpec, ColumnType},
};

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    Is,
    /// NULL is none of the values that anything is.
    IsNot,
    /// Whatever the case of the letters.
    Contains,
    StartsWith,
    Less,
    AtMost,
    More,
    AtLeast,
    IsNull,
    IsNotNull,
}

/// A condition on one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    column: ColumnSpec,
    test: Test,
    /// In the text form of profile `strings` (PROTOCOL.md section 6); empty where the test takes none.
    value: String,
}

/// The test means nothing for the column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} does not apply to {ty}", .test.as_str())]
pub struct Unfit {
    pub test: Test,
    pub ty: ColumnType,
}

impl Test {
    pub const ALL: [Self; 10] = [
        Self::Is,
        Self::IsNot,
        Self::Contains,
        Self::StartsWith,
        Self::Less,
        Self::AtMost,
        Self::More,
        Self::AtLeast,
        Self::IsNull,
        Self::IsNotNull,
    ];

    /// As it stands in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Is => "is",
            Self::IsNot => "is-not",
            Self::Contains => "contains",
            Self::StartsWith => "starts-with",
            Self::Less => "less",
            Self::AtMost => "at-most",
            Self::More => "more",
            Self::AtLeast => "at-least",
            Self::IsNull => "null",
            Self::IsNotNull => "not-null",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|test| test.as_str() == text)
    }

    /// Compares with a value.
    pub const fn takes_value(self) -> bool {
        !matches!(self, Self::IsNull | Self::IsNotNull)
    }

    /// The value is part of a text rather than a value of the column's type.
    pub const fn takes_part(self) -> bool {
        matches!(self, Self::Contains | Self::StartsWith)
    }

    /// Whether the test means something for columns of that type.
    pub fn fits(self, ty: ColumnType) -> bool {
        let is_text = matches!(ty, ColumnType::Text | ColumnType::Varchar { .. });
        match self {
            Self::IsNull | Self::IsNotNull => true,
            // PostgreSQL knows no equality of json.
            Self::Is | Self::IsNot => ty != ColumnType::Json,
            Self::Contains | Self::StartsWith => {
                is_text || matches!(ty, ColumnType::Json | ColumnType::Jsonb | ColumnType::Uuid)
            }
            Self::Less | Self::AtMost | Self::More | Self::AtLeast => {
                // SQLite's times are texts, and compare as texts.
                is_text
                    || ty.is_number()
                    || matches!(
                        ty,
                        ColumnType::Timestamptz | ColumnType::Timestamp | ColumnType::Date | ColumnType::Time
                    )
            }
        }
    }
}

impl Filter {
    /// The caller has checked that `value` is one of the column's type, or of text where the test takes a part.
    pub fn new(column: &ColumnSpec, test: Test, value: impl Into<String>) -> Result<Self, Unfit> {
        if !test.fits(column.ty) {
            return Err(Unfit { test, ty: column.ty });
        }
        let value = if test.takes_value() { value.into() } else { String::new() };
        Ok(Self { column: column.clone(), test, value })
    }

    pub(super) fn value(&self) -> Option<&str> {
        self.test.takes_value().then_some(self.value.as_str())
    }

    /// The condition on a row whose alias is `r`; parameter `$parameter` is the value.
    pub(super) fn sql(&self, parameter: usize) -> String {
        let column = format!("r.{}", self.column.name.quoted());
        let is_text = matches!(self.column.ty, ColumnType::Text | ColumnType::Varchar { .. });
        let text = if is_text { column.clone() } else { format!("{column}::text") };
        let value = cast(&format!("${parameter}"), self.column.ty);
        match self.test {
            Test::Is => format!("{column} = {value}"),
            Test::IsNot => format!("{column} is distinct from {value}"),
            Test::Contains => format!("strpos(lower({text}), lower(${parameter})) > 0"),
            Test::StartsWith => format!("starts_with({text}, ${parameter})"),
            Test::Less => format!("{column} < {value}"),
            Test::AtMost => format!("{column} <= {value}"),
            Test::More => format!("{column} > {value}"),
            Test::AtLeast => format!("{column} >= {value}"),
            Test::IsNull => format!("{column} is null"),
            Test::IsNotNull => format!("{column} is not null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::ident::Ident;

    #[test]
    fn every_test_reads_back_and_hostile_names_stay_names() {
        for test in Test::ALL {
            assert_eq!(Test::parse(test.as_str()), Some(test));
        }
        let column = ColumnSpec {
            name: Ident::parse("a\" or 1=1 --").unwrap(),
            ty: ColumnType::Bytea,
            nullable: true,
            default: None,
        };
        let filter = Filter::new(&column, Test::Is, "AA==").unwrap();
        assert_eq!(filter.sql(3), "r.\"a\"\" or 1=1 --\" = decode($3, 'base64')");
        assert!(Filter::new(&column, Test::Contains, "x").is_err());
    }
}
