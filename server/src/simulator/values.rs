//! Values for columns: from their types, and from the literals of the checks that name them. Checks are evaluated here as
//! SQL does, NULL included, so that a row is only sent when the server will take it.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::tables::{
    check::{ArithmeticOp, CheckExpr, CheckFunction, Comparison},
    spec::{ColumnSpec, ColumnType, WireProfile},
};

/// Combinations of values that are tried for one row.
const MAX_TRIES: usize = 20_000;
/// Candidates of one column.
const MAX_CANDIDATES: usize = 24;

/// A value of a column, before it is written for the wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sample {
    Null,
    /// Also what is text on the wire only: keys, times, JSON, base64.
    Text(String),
    Number(f64),
    Boolean(bool),
}

/// The values of a row by column.
pub(super) type Samples = BTreeMap<String, Sample>;

impl Sample {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// As a device sends it (PROTOCOL.md section 6).
    pub(super) fn to_wire(&self, profile: WireProfile, ty: ColumnType) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Text(text) => json!(text),
            Self::Boolean(value) if profile == WireProfile::Strings => json!(if *value { "1" } else { "0" }),
            Self::Boolean(value) => json!(i64::from(*value)),
            // Whole or halves, and small: exact, and of one form everywhere.
            Self::Number(number) => {
                let is_whole = number.fract() == 0.0;
                match profile {
                    WireProfile::Strings => json!(number.to_string()),
                    WireProfile::Numbers if is_whole && !ty.is_float() => json!(*number as i64),
                    WireProfile::Numbers => json!(number),
                }
            }
        }
    }
}

/// Values to try for a column of a new row, the nicest first.
pub(super) fn candidates(checks: &[CheckExpr], column: &ColumnSpec) -> Vec<Sample> {
    let mut all = usual(column);
    all.extend(from_checks(checks, column));
    if column.nullable {
        all.push(Sample::Null);
    }
    fitting(all, column.ty)
}

/// Values that a column can be changed to.
pub(super) fn changes(checks: &[CheckExpr], column: &ColumnSpec) -> Vec<Sample> {
    let text = |text: &str| Sample::Text(text.to_owned());
    let mut all = match column.ty {
        ColumnType::Text | ColumnType::Varchar { .. } => {
            vec![text("Changed on the phone"), text("Changed on the tablet"), text("phone"), text("tablet")]
        }
        ty if ty.is_number() => vec![Sample::Number(2.0), Sample::Number(3.0)],
        ColumnType::Json | ColumnType::Jsonb => {
            vec![text(r#"{"changed_on":"phone"}"#), text(r#"{"changed_on":"tablet"}"#)]
        }
        ColumnType::Timestamptz => vec![text("2026-02-02T08:00:00Z"), text("2026-03-03T09:00:00Z")],
        ColumnType::Timestamp => vec![text("2026-02-02T08:00:00"), text("2026-03-03T09:00:00")],
        ColumnType::Date => vec![text("2026-02-02"), text("2026-03-03")],
        ColumnType::Time => vec![text("08:00:00"), text("09:00:00")],
        ColumnType::Uuid => vec![text(&Uuid::new_v4().to_string()), text(&Uuid::new_v4().to_string())],
        ColumnType::Bytea => vec![text("cGhvbmU="), text("dGFibGV0")],
        _ => Vec::new(),
    };
    all.extend(usual(column));
    all.extend(from_checks(checks, column));
    fitting(all, column.ty)
}

fn usual(column: &ColumnSpec) -> Vec<Sample> {
    let text = |text: &str| vec![Sample::Text(text.to_owned())];
    match column.ty {
        ColumnType::Text | ColumnType::Varchar { .. } => {
            ["Made on the phone", "phone", "a", ""].into_iter().flat_map(text).collect()
        }
        ty if ty.is_number() => [1.0, 0.0, 10.0, 100.0, 0.5, -1.0].map(Sample::Number).to_vec(),
        ColumnType::Boolean => vec![Sample::Boolean(true), Sample::Boolean(false)],
        ColumnType::Json | ColumnType::Jsonb => text(r#"{"made_on":"phone"}"#),
        ColumnType::Timestamptz => text("2026-01-01T07:00:00Z"),
        ColumnType::Timestamp => text("2026-01-01T07:00:00"),
        ColumnType::Date => text("2026-01-01"),
        ColumnType::Time => text("07:00:00"),
        ColumnType::Uuid => text(&Uuid::new_v4().to_string()),
        ColumnType::Bytea => text("c2ltdWxhdG9y"),
        _ => Vec::new(),
    }
}

/// The literals of the checks that name the column, and what lies beside them.
pub(super) fn from_checks(checks: &[CheckExpr], column: &ColumnSpec) -> Vec<Sample> {
    let is_text = matches!(column.ty, ColumnType::Text | ColumnType::Varchar { .. });
    let mut literals = Vec::new();
    for check in checks.iter().filter(|check| check.columns().contains(&column.name)) {
        collect_literals(check, &mut literals);
    }
    let mut all = Vec::new();
    for literal in literals {
        match literal {
            Sample::Number(number) if is_text => {
                for length in [number, number + 1.0, number - 1.0] {
                    if (0.0..=512.0).contains(&length) {
                        let filled = "Made on the phone ".chars().cycle().take(length as usize);
                        let alike =
                            |letter: char| std::iter::repeat_n(letter, length as usize).collect::<String>();
                        all.extend([filled.collect::<String>(), alike('a'), alike('b')].map(Sample::Text));
                    }
                }
            }
            Sample::Number(number) => {
                all.extend([number, number + 1.0, number - 1.0, number + 2.0].map(Sample::Number));
            }
            literal => all.push(literal),
        }
    }
    all
}

fn collect_literals(check: &CheckExpr, into: &mut Vec<Sample>) {
    match check {
        CheckExpr::Number(number) => into.extend(number.parse().ok().map(Sample::Number)),
        CheckExpr::Text(text) => into.push(Sample::Text(text.clone())),
        CheckExpr::Boolean(value) => into.push(Sample::Boolean(*value)),
        CheckExpr::Column(_) | CheckExpr::Null => {}
        CheckExpr::Not(of) | CheckExpr::IsNull { of, .. } | CheckExpr::Call { argument: of, .. } => {
            collect_literals(of, into);
        }
        CheckExpr::And(all) | CheckExpr::Or(all) => all.iter().for_each(|one| collect_literals(one, into)),
        CheckExpr::Compare { left, right, .. } | CheckExpr::Arithmetic { left, right, .. } => {
            collect_literals(left, into);
            collect_literals(right, into);
        }
        CheckExpr::In { of, list, .. } => {
            collect_literals(of, into);
            list.iter().for_each(|one| collect_literals(one, into));
        }
        CheckExpr::Between { of, low, high, .. } => {
            [of, low, high].into_iter().for_each(|one| collect_literals(one, into));
        }
    }
}

/// Those that the type can hold, each once.
fn fitting(all: Vec<Sample>, ty: ColumnType) -> Vec<Sample> {
    let mut fitting: Vec<Sample> = Vec::new();
    for sample in all {
        let fits = match (&sample, ty) {
            (Sample::Null, _) => true,
            (Sample::Text(text), ColumnType::Varchar { max }) => text.chars().count() <= max as usize,
            (Sample::Number(number), ColumnType::SmallInt) => {
                number.fract() == 0.0 && number.abs() < 32_000.0
            }
            (Sample::Number(number), ColumnType::Integer) => number.fract() == 0.0 && number.abs() < 2e9,
            (Sample::Number(number), ColumnType::BigInt) => number.fract() == 0.0 && number.abs() < 9e15,
            (Sample::Number(number), ColumnType::Numeric { precision, scale }) => {
                let whole_digits = precision.map_or(15, |precision| precision.saturating_sub(scale).min(15));
                number.abs() < 10f64.powi(whole_digits.into()) && (scale > 0 || number.fract() == 0.0)
            }
            (Sample::Number(number), ColumnType::Real) => number.abs() < 1e6,
            (Sample::Number(number), _) => ty.is_number() && number.abs() < 9e15,
            (Sample::Boolean(_), _) => ty == ColumnType::Boolean,
            (Sample::Text(_), _) => !ty.is_number() && ty != ColumnType::Boolean,
        };
        if fits && !fitting.contains(&sample) && fitting.len() < MAX_CANDIDATES {
            fitting.push(sample);
        }
    }
    fitting
}

/// One candidate for each column, so that every check holds; the first ones where it does not matter.
pub(super) fn choose(checks: &[CheckExpr], choices: Vec<(String, Vec<Sample>)>) -> Option<Samples> {
    let mut row = Samples::new();
    let mut open = Vec::new();
    for (name, candidates) in choices {
        row.insert(name.clone(), candidates.first()?.clone());
        if checks.iter().any(|check| check.columns().iter().any(|column| column.as_str() == name)) {
            open.push((name, candidates));
        }
    }
    let mut tries = 0;
    search(checks, &open, &mut row, &mut tries).then_some(row)
}

fn search(
    checks: &[CheckExpr],
    open: &[(String, Vec<Sample>)],
    row: &mut Samples,
    tries: &mut usize,
) -> bool {
    let Some(((name, candidates), rest)) = open.split_first() else {
        *tries += 1;
        return all_hold(checks, row);
    };
    // A check whose columns are all decided and which fails needs no further look.
    let decided = |check: &&CheckExpr| {
        !check.columns().iter().any(|column| rest.iter().any(|(name, _)| name == column.as_str()))
    };
    let decided: Vec<&CheckExpr> = checks.iter().filter(decided).collect();
    for candidate in candidates {
        if *tries > MAX_TRIES {
            return false;
        }
        row.insert(name.clone(), candidate.clone());
        *tries += 1;
        if decided.iter().all(|check| holds(check, row)) && search(checks, rest, row, tries) {
            return true;
        }
    }
    false
}

pub(super) fn all_hold(checks: &[CheckExpr], row: &Samples) -> bool {
    checks.iter().all(|check| holds(check, row))
}

/// A check holds unless it is false: NULL is good enough.
fn holds(check: &CheckExpr, row: &Samples) -> bool {
    evaluate(check, row) != Sample::Boolean(false)
}

fn evaluate(check: &CheckExpr, row: &Samples) -> Sample {
    let truth = |value: Option<bool>| value.map_or(Sample::Null, Sample::Boolean);
    let as_truth = |check: &CheckExpr| match evaluate(check, row) {
        Sample::Boolean(value) => Some(value),
        _ => None,
    };
    match check {
        CheckExpr::Column(name) => row.get(name.as_str()).cloned().unwrap_or(Sample::Null),
        CheckExpr::Number(number) => number.parse().map_or(Sample::Null, Sample::Number),
        CheckExpr::Text(text) => Sample::Text(text.clone()),
        CheckExpr::Boolean(value) => Sample::Boolean(*value),
        CheckExpr::Null => Sample::Null,
        CheckExpr::Not(of) => truth(as_truth(of).map(|value| !value)),
        CheckExpr::And(all) => truth(fold(all.iter().map(as_truth), false)),
        CheckExpr::Or(all) => truth(fold(all.iter().map(as_truth), true)),
        CheckExpr::Compare { left, op, right, .. } => {
            truth(compare(*op, &evaluate(left, row), &evaluate(right, row)))
        }
        CheckExpr::IsNull { of, negated } => Sample::Boolean((evaluate(of, row) == Sample::Null) != *negated),
        CheckExpr::In { of, list, negated } => {
            let of = evaluate(of, row);
            let equal = |one| compare(Comparison::Equal, &of, &evaluate(one, row));
            truth(fold(list.iter().map(equal), true).map(|found| found != *negated))
        }
        CheckExpr::Between { of, low, high, negated, .. } => {
            let of = evaluate(of, row);
            let above = compare(Comparison::GreaterOrEqual, &of, &evaluate(low, row));
            let below = compare(Comparison::LessOrEqual, &of, &evaluate(high, row));
            truth(fold([above, below].into_iter(), false).map(|within| within != *negated))
        }
        CheckExpr::Arithmetic { left, op, right } => {
            let (left, right) = (evaluate(left, row).number(), evaluate(right, row).number());
            let result = left.zip(right).map(|(left, right)| match op {
                ArithmeticOp::Add => left + right,
                ArithmeticOp::Subtract => left - right,
                ArithmeticOp::Multiply => left * right,
            });
            result.map_or(Sample::Null, Sample::Number)
        }
        CheckExpr::Call { function, argument } => call(*function, evaluate(argument, row)),
    }
}

/// SQL's AND (`decisive` false) and OR (`decisive` true).
fn fold(all: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut outcome = Some(!decisive);
    for one in all {
        match one {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => outcome = None,
        }
    }
    outcome
}

fn compare(op: Comparison, left: &Sample, right: &Sample) -> Option<bool> {
    let order = match (left, right) {
        (Sample::Number(left), Sample::Number(right)) => left.partial_cmp(right)?,
        (Sample::Text(left), Sample::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Sample::Boolean(left), Sample::Boolean(right)) => left.cmp(right),
        _ => return None,
    };
    Some(match op {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}

fn call(function: CheckFunction, argument: Sample) -> Sample {
    match (function, argument) {
        (CheckFunction::Length, Sample::Text(text)) => Sample::Number(text.chars().count() as f64),
        (CheckFunction::Lower, Sample::Text(text)) => Sample::Text(text.to_ascii_lowercase()),
        (CheckFunction::Upper, Sample::Text(text)) => Sample::Text(text.to_ascii_uppercase()),
        (CheckFunction::Trim, Sample::Text(text)) => Sample::Text(text.trim_matches(' ').to_owned()),
        (CheckFunction::Abs, Sample::Number(number)) => Sample::Number(number.abs()),
        _ => Sample::Null,
    }
}
