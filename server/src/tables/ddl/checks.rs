//! CHECK constraints: the expressions that SQLite and PostgreSQL evaluate alike, and no others.
//!
//! A check that the two saw differently would be worse than none: the server would take a row that other devices
//! cannot apply. So types are inferred, mixed comparisons refused, and every function is on a list.

use std::cell::Cell;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident as Name,
    UnaryOperator, Value,
};

use super::{Dialect, Refusal, defaults::json_number, draft::ColumnDraft};
use crate::tables::{
    check::{ArithmeticOp, CheckExpr, CheckFunction, Comparison},
    spec::ColumnType,
};

/// What kind of value an expression has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Boolean,
    Bytes,
    /// Compared with its own kind only.
    Other(ColumnType),
    /// NULL, which is of every kind.
    Null,
}

type Typed = (CheckExpr, Kind);

/// The condition of a CHECK on a table with these columns.
pub(super) fn translate(
    dialect: Dialect,
    columns: &[ColumnDraft],
    condition: &Expr,
) -> Result<CheckExpr, Refusal> {
    let translator = Translator { dialect, columns, depth: Cell::new(0) };
    match translator.expression(condition)? {
        (check, Kind::Boolean) => Ok(check),
        _ => Err(not_portable("a CHECK that is not a condition")),
    }
}

struct Translator<'a> {
    dialect: Dialect,
    columns: &'a [ColumnDraft],
    /// How many expressions the present one is inside of.
    depth: Cell<usize>,
}

/// Deeper ones could not be read back from the JSON of the spec.
const MAX_DEPTH: usize = 32;

fn not_portable(what: &str) -> Refusal {
    Refusal::new(
        format!("{what} does not mean the same in SQLite and in PostgreSQL"),
        "Leave the CHECK out of the text you paste here; devices go on enforcing theirs.",
    )
}

impl Translator<'_> {
    fn expression(&self, expression: &Expr) -> Result<Typed, Refusal> {
        let depth = self.depth.get();
        if depth == MAX_DEPTH {
            return Err(Refusal::new(
                "the CHECK is nested too deeply",
                "Make it shorter, or several CHECKs.",
            ));
        }
        self.depth.set(depth + 1);
        let typed = self.typed(expression);
        self.depth.set(depth);
        typed
    }

    fn typed(&self, expression: &Expr) -> Result<Typed, Refusal> {
        match expression {
            Expr::Nested(inner) => self.expression(inner),
            Expr::Identifier(name) => self.name(name),
            Expr::CompoundIdentifier(names) => match names.last() {
                Some(name) => self.name(name),
                None => Err(not_portable("an empty name")),
            },
            Expr::Value(value) => self.value(&value.value),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } => {
                self.chain(expression, op)
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::IsNull(of) => self.is_null(of, false),
            Expr::IsNotNull(of) => self.is_null(of, true),
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Expr::Between { expr, negated, low, high } => self.between(expr, low, high, *negated),
            Expr::Function(function) => self.function(function),
            Expr::Trim { trim_where: None, trim_what: None, trim_characters: None, expr } => {
                self.call(CheckFunction::Trim, expr)
            }
            Expr::Like { .. } | Expr::ILike { .. } => {
                Err(not_portable("LIKE, which ignores case in one of them,"))
            }
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                Err(not_portable("a query inside a CHECK"))
            }
            Expr::Case { .. } => Err(not_portable("CASE")),
            Expr::Cast { .. } => Err(not_portable("a cast")),
            _ => Err(not_portable("this expression")),
        }
    }

    fn name(&self, name: &Name) -> Result<Typed, Refusal> {
        let folded = name.value.to_lowercase();
        match self.columns.iter().find(|column| column.spec.name.as_str() == folded) {
            Some(column) if column.ignores_case => Err(not_portable("a column that ignores case")),
            Some(column) => {
                let kind = match column.spec.ty {
                    ty if ty.is_number() => Kind::Number,
                    ColumnType::Text | ColumnType::Varchar { .. } => Kind::Text,
                    ColumnType::Boolean => Kind::Boolean,
                    ColumnType::Bytea => Kind::Bytes,
                    ColumnType::Json | ColumnType::Jsonb => return Err(not_portable("a check of JSON")),
                    ty => Kind::Other(ty),
                };
                Ok((CheckExpr::Column(column.spec.name.clone()), kind))
            }
            // SQLite takes "x" for a string when there is no such column.
            None if self.dialect == Dialect::Sqlite && name.quote_style == Some('"') => {
                Ok((CheckExpr::Text(name.value.clone()), Kind::Text))
            }
            None => Err(Refusal::new(
                format!("the CHECK names {}, and the table has no such column", name.value),
                "Correct the name.",
            )),
        }
    }

    fn value(&self, value: &Value) -> Result<Typed, Refusal> {
        match value {
            Value::Null => Ok((CheckExpr::Null, Kind::Null)),
            Value::Boolean(value) => Ok((CheckExpr::Boolean(*value), Kind::Boolean)),
            Value::Number(number, _) => match json_number(&number.replace('_', "")) {
                Some(number) => Ok((CheckExpr::Number(number), Kind::Number)),
                None => Err(not_portable("this number")),
            },
            Value::SingleQuotedString(text) => Ok((CheckExpr::Text(text.clone()), Kind::Text)),
            _ => Err(not_portable("this literal")),
        }
    }

    fn unary(&self, op: UnaryOperator, of: &Expr) -> Result<Typed, Refusal> {
        let (of, kind) = self.expression(of)?;
        match (op, of, kind) {
            (UnaryOperator::Not, of, Kind::Boolean) => Ok((CheckExpr::Not(Box::new(of)), Kind::Boolean)),
            (UnaryOperator::Plus, of, Kind::Number) => Ok((of, Kind::Number)),
            (UnaryOperator::Minus, CheckExpr::Number(number), Kind::Number) => {
                let number = number.strip_prefix('-').map_or_else(|| format!("-{number}"), str::to_owned);
                Ok((CheckExpr::Number(number), Kind::Number))
            }
            _ => Err(not_portable("this sign or NOT")),
        }
    }

    /// `a AND b AND c`, a deep tree in the parser's eyes and a list in ours.
    fn chain(&self, expression: &Expr, of: &BinaryOperator) -> Result<Typed, Refusal> {
        let mut parts = Vec::new();
        let mut rest = expression;
        while let Expr::BinaryOp { left, op, right } = rest
            && op == of
        {
            parts.push(right.as_ref());
            rest = left;
        }
        parts.push(rest);
        let conditions = parts
            .into_iter()
            .rev()
            .map(|part| match self.expression(part)? {
                (condition, Kind::Boolean) => Ok(condition),
                _ => Err(not_portable("AND or OR between values that are no conditions")),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let chained =
            if *of == BinaryOperator::And { CheckExpr::And(conditions) } else { CheckExpr::Or(conditions) };
        Ok((chained, Kind::Boolean))
    }

    fn binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed, Refusal> {
        let comparison = match op {
            BinaryOperator::Eq => Comparison::Equal,
            BinaryOperator::NotEq => Comparison::NotEqual,
            BinaryOperator::Lt => Comparison::Less,
            BinaryOperator::LtEq => Comparison::LessOrEqual,
            BinaryOperator::Gt => Comparison::Greater,
            BinaryOperator::GtEq => Comparison::GreaterOrEqual,
            _ => return self.arithmetic(left, op, right),
        };
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        let (left, right, kind) = comparable(left, right)?;
        let (left, right) = (Box::new(left), Box::new(right));
        Ok((CheckExpr::Compare { left, op: comparison, right, texts: kind == Kind::Text }, Kind::Boolean))
    }

    fn arithmetic(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed, Refusal> {
        let op = match op {
            BinaryOperator::Plus => ArithmeticOp::Add,
            BinaryOperator::Minus => ArithmeticOp::Subtract,
            BinaryOperator::Multiply => ArithmeticOp::Multiply,
            BinaryOperator::Divide | BinaryOperator::Modulo => {
                return Err(not_portable(
                    "division, which by zero is NULL in one and an error in the other,",
                ));
            }
            other => return Err(not_portable(&format!("the operator {other}"))),
        };
        match (self.expression(left)?, self.expression(right)?) {
            ((left, Kind::Number), (right, Kind::Number)) => {
                let (left, right) = (Box::new(left), Box::new(right));
                Ok((CheckExpr::Arithmetic { left, op, right }, Kind::Number))
            }
            _ => Err(not_portable("arithmetic with what is no number")),
        }
    }

    fn is_null(&self, of: &Expr, negated: bool) -> Result<Typed, Refusal> {
        let (of, _) = self.expression(of)?;
        Ok((CheckExpr::IsNull { of: Box::new(of), negated }, Kind::Boolean))
    }

    fn in_list(&self, of: &Expr, list: &[Expr], negated: bool) -> Result<Typed, Refusal> {
        let of = self.expression(of)?;
        if list.is_empty() {
            return Err(not_portable("IN with an empty list"));
        }
        let list = list
            .iter()
            .map(|member| {
                let member = self.expression(member)?;
                comparable(of.clone(), member).map(|(_, member, _)| member)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok((CheckExpr::In { of: Box::new(of.0), list, negated }, Kind::Boolean))
    }

    fn between(&self, of: &Expr, low: &Expr, high: &Expr, negated: bool) -> Result<Typed, Refusal> {
        let of = self.expression(of)?;
        let (of, low, kind) = comparable(of, self.expression(low)?)?;
        let (of, high, _) = comparable((of, kind), self.expression(high)?)?;
        let (of, low, high) = (Box::new(of), Box::new(low), Box::new(high));
        Ok((CheckExpr::Between { of, low, high, negated, texts: kind == Kind::Text }, Kind::Boolean))
    }

    fn function(&self, function: &Function) -> Result<Typed, Refusal> {
        let name = function.name.to_string().to_ascii_lowercase();
        let known = match name.as_str() {
            "length" | "char_length" => Some(CheckFunction::Length),
            "lower" => Some(CheckFunction::Lower),
            "upper" => Some(CheckFunction::Upper),
            "trim" => Some(CheckFunction::Trim),
            "abs" => Some(CheckFunction::Abs),
            _ => None,
        };
        let Some(known) = known else { return Err(not_portable(&format!("the function {name}"))) };
        match &function.args {
            FunctionArguments::List(list) => match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => self.call(known, argument),
                _ => Err(not_portable(&format!("{name} with these arguments"))),
            },
            _ => Err(not_portable(&format!("{name} without an argument"))),
        }
    }

    fn call(&self, function: CheckFunction, argument: &Expr) -> Result<Typed, Refusal> {
        let (argument, of) = self.expression(argument)?;
        let kind = match (function, of) {
            (CheckFunction::Length, Kind::Text | Kind::Bytes) => Kind::Number,
            (CheckFunction::Lower | CheckFunction::Upper | CheckFunction::Trim, Kind::Text) => Kind::Text,
            (CheckFunction::Abs, Kind::Number) => Kind::Number,
            _ => return Err(not_portable("this function of such a value")),
        };
        Ok((CheckExpr::Call { function, argument: Box::new(argument) }, kind))
    }
}

/// Both sides, of one kind. SQLite's truth values are 0 and 1, so beside a BOOLEAN these become false and true.
fn comparable(left: Typed, right: Typed) -> Result<(CheckExpr, CheckExpr, Kind), Refusal> {
    match (left, right) {
        ((left, Kind::Boolean), (CheckExpr::Number(number), Kind::Number)) => {
            Ok((left, truth_value(&number)?, Kind::Boolean))
        }
        ((CheckExpr::Number(number), Kind::Number), (right, Kind::Boolean)) => {
            Ok((truth_value(&number)?, right, Kind::Boolean))
        }
        ((left, kind), (right, other)) if kind == other && kind != Kind::Null => Ok((left, right, kind)),
        ((_, Kind::Null), _) | (_, (_, Kind::Null)) => Err(Refusal::new(
            "a comparison with NULL is never true or false",
            "Write IS NULL or IS NOT NULL.",
        )),
        _ => Err(not_portable("a comparison of values of different types")),
    }
}

fn truth_value(number: &str) -> Result<CheckExpr, Refusal> {
    match number {
        "0" => Ok(CheckExpr::Boolean(false)),
        "1" => Ok(CheckExpr::Boolean(true)),
        _ => Err(not_portable("a comparison of a BOOLEAN with a number other than 0 and 1")),
    }
}
