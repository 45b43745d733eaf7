//! CHECK constraints, as trees: the expressions that mean the same in SQLite and in PostgreSQL.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ident::{Ident, quote_literal};

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
        /// Both sides are texts, which compare by their bytes.
        texts: bool,
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
        /// All three are texts, which compare by their bytes.
        texts: bool,
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

/// A comparison.
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

impl CheckExpr {
    /// The columns it is about, in the order of their first mention.
    pub fn columns(&self) -> Vec<Ident> {
        let mut found = Vec::new();
        self.visit(&mut |name| {
            if !found.contains(name) {
                found.push(name.clone());
            }
        });
        found
    }

    fn visit(&self, on_column: &mut impl FnMut(&Ident)) {
        match self {
            Self::Column(name) => on_column(name),
            Self::Number(_) | Self::Text(_) | Self::Boolean(_) | Self::Null => {}
            Self::And(all) | Self::Or(all) => all.iter().for_each(|one| one.visit(on_column)),
            Self::Compare { left, right, .. } | Self::Arithmetic { left, right, .. } => {
                left.visit(on_column);
                right.visit(on_column);
            }
            Self::Not(of) | Self::IsNull { of, .. } | Self::Call { argument: of, .. } => of.visit(on_column),
            Self::In { of, list, .. } => {
                of.visit(on_column);
                list.iter().for_each(|one| one.visit(on_column));
            }
            Self::Between { of, low, high, .. } => {
                of.visit(on_column);
                low.visit(on_column);
                high.visit(on_column);
            }
        }
    }

    /// The expression in PostgreSQL's SQL, fully parenthesised.
    pub fn sql(&self) -> String {
        match self {
            Self::Column(name) => name.quoted(),
            Self::Number(number) if number.starts_with('-') => format!("({number})"),
            Self::Number(number) => number.clone(),
            Self::Text(text) => quote_literal(text),
            Self::Boolean(value) => value.to_string(),
            Self::Null => "null".to_owned(),
            Self::Not(of) => format!("(not {})", of.sql()),
            Self::And(all) => joined(all, " and "),
            Self::Or(all) => joined(all, " or "),
            Self::Compare { left, op, right, texts } => {
                format!("({}{} {} {})", left.sql(), collation(*texts), op.sql(), right.sql())
            }
            Self::IsNull { of, negated } => format!("({} is {}null)", of.sql(), not(*negated)),
            Self::In { of, list, negated } => {
                let list: Vec<String> = list.iter().map(Self::sql).collect();
                format!("({} {}in ({}))", of.sql(), not(*negated), list.join(", "))
            }
            Self::Between { of, low, high, negated, texts } => format!(
                "({}{} {}between {} and {})",
                of.sql(),
                collation(*texts),
                not(*negated),
                low.sql(),
                high.sql()
            ),
            Self::Arithmetic { left, op, right } => format!("({} {} {})", left.sql(), op.sql(), right.sql()),
            Self::Call { function, argument } => function.call(&argument.sql()),
        }
    }
}

/// As people write it, with the parentheses that it takes.
impl fmt::Display for CheckExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) => f.write_str(name.as_str()),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Null => f.write_str("null"),
            Self::Not(of) => write!(f, "not ({of})"),
            Self::And(all) => said(f, all, " and "),
            Self::Or(all) => said(f, all, " or "),
            Self::Compare { left, op, right, .. } => write!(f, "{left} {} {right}", op.sql()),
            Self::IsNull { of, negated } => write!(f, "{of} is {}null", not(*negated)),
            Self::In { of, list, negated } => {
                write!(f, "{of} {}in (", not(*negated))?;
                said(f, list, ", ")?;
                f.write_str(")")
            }
            Self::Between { of, low, high, negated, .. } => {
                write!(f, "{of} {}between {low} and {high}", not(*negated))
            }
            Self::Arithmetic { left, op, right } => write!(f, "({left} {} {right})", op.sql()),
            Self::Call { function, argument } => write!(f, "{}({argument})", function.name()),
        }
    }
}

fn said(f: &mut fmt::Formatter<'_>, all: &[CheckExpr], with: &str) -> fmt::Result {
    for (place, one) in all.iter().enumerate() {
        f.write_str(if place > 0 { with } else { "" })?;
        match one {
            CheckExpr::And(_) | CheckExpr::Or(_) => write!(f, "({one})")?,
            one => write!(f, "{one}")?,
        }
    }
    Ok(())
}

/// SQLite compares texts by their bytes; PostgreSQL does where it is told to.
fn collation(texts: bool) -> &'static str {
    if texts { " collate \"C\"" } else { "" }
}

fn not(negated: bool) -> &'static str {
    if negated { "not " } else { "" }
}

fn joined(all: &[CheckExpr], with: &str) -> String {
    let all: Vec<String> = all.iter().map(CheckExpr::sql).collect();
    format!("({})", all.join(with))
}

impl Comparison {
    const fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl ArithmeticOp {
    const fn sql(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
        }
    }
}

impl CheckFunction {
    const fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Trim => "trim",
            Self::Abs => "abs",
        }
    }

    fn call(self, argument: &str) -> String {
        match self {
            Self::Length => format!("length({argument})"),
            // In the C locale only ASCII letters have a case, as in SQLite.
            Self::Lower => format!("lower({argument} collate \"C\")"),
            Self::Upper => format!("upper({argument} collate \"C\")"),
            Self::Trim => format!("btrim({argument}, ' ')"),
            Self::Abs => format!("abs({argument})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_told_as_people_write_it() {
        let stars = || Box::new(CheckExpr::Column(Ident::parse("stars").unwrap()));
        let at_least = |number: &str| CheckExpr::Compare {
            left: stars(),
            op: Comparison::GreaterOrEqual,
            right: Box::new(CheckExpr::Number(number.to_owned())),
            texts: false,
        };
        let known = CheckExpr::In {
            of: Box::new(CheckExpr::Call { function: CheckFunction::Lower, argument: stars() }),
            list: vec![CheckExpr::Text("few".to_owned()), CheckExpr::Text("many".to_owned())],
            negated: true,
        };
        let check = CheckExpr::Or(vec![
            CheckExpr::IsNull { of: stars(), negated: false },
            CheckExpr::And(vec![at_least("-1"), known]),
        ]);
        assert_eq!(
            check.to_string(),
            "stars is null or (stars >= -1 and lower(stars) not in ('few', 'many'))"
        );
    }
}
