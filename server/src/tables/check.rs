//! CHECK constraints, as trees: the expressions that mean the same in SQLite and in PostgreSQL.

use serde::{Deserialize, Serialize};

use super::ident::Ident;

/// An expression of a CHECK constraint.
///
/// Only what both databases evaluate alike is representable; `ddl` refuses the rest with a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckExpr {
    Column(Ident),
    /// In the grammar of JSON numbers.
    Number(String),
    Text(String),
    Boolean(bool),
    Null,
    Not(Box<CheckExpr>),
    And(Vec<CheckExpr>),
    Or(Vec<CheckExpr>),
    Compare {
        left: Box<CheckExpr>,
        op: Comparison,
        right: Box<CheckExpr>,
    },
    IsNull {
        of: Box<CheckExpr>,
        negated: bool,
    },
    In {
        of: Box<CheckExpr>,
        list: Vec<CheckExpr>,
        negated: bool,
    },
    Between {
        of: Box<CheckExpr>,
        low: Box<CheckExpr>,
        high: Box<CheckExpr>,
        negated: bool,
    },
    Arithmetic {
        left: Box<CheckExpr>,
        op: ArithmeticOp,
        right: Box<CheckExpr>,
    },
    Call {
        function: CheckFunction,
        argument: Box<CheckExpr>,
    },
}

/// A comparison; texts compare by their bytes, as SQLite does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Arithmetic without division, which fails in one database and gives NULL in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArithmeticOp {
    Add,
    Subtract,
    Multiply,
}

/// Functions of one argument that both databases have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckFunction {
    /// Characters of a text, bytes of a bytea.
    Length,
    /// ASCII letters only, as SQLite does.
    Lower,
    /// ASCII letters only, as SQLite does.
    Upper,
    /// Spaces at both ends.
    Trim,
    /// Absolute value.
    Abs,
}
