//! Keys and values of the rows that runs write.
//!
//! Keys come from small sets, so that devices meet; the same keys occur in every scope, so that scopes would meet if
//! they could. Texts begin with their scope, and every one is new, so that no write is a repetition of another.

use crate::support::device::{
    schema::{Kind, Row, RowId, TABLES, Table, Value},
    store::Store,
};

/// Texts that writers of JSON disagree about.
const SPICES: [&str; 8] = [
    "",
    "naïve ☃ 😀",
    "<b> & \u{2028}\u{2029}",
    "\"quoted\\slashed/\"",
    "tab\tline\nreturn\rbell\u{7}\u{8}\u{c}\u{1f}",
    "\u{7f}\u{80}\u{fffd}\u{10ffff}",
    "e\u{301} \u{feff}\u{200d}",
    "'; drop table users; --",
];

const REALS: [f64; 12] = [
    0.0,
    1.0,
    -1.5,
    0.1,
    5e-324,
    1.797_693_134_862_315_7e308,
    1e21,
    1e20,
    1e-6,
    1e-7,
    123_456_789.123,
    -2.5e-10,
];

const INTS: [i64; 7] = [0, -1, i64::MAX, i64::MIN, 9_007_199_254_740_993, -9_007_199_254_740_993, 42];

/// The n-th key of a table.
pub(crate) fn key(table: &Table, pick: u8) -> RowId {
    let key = match table.name {
        "users" => format!("user {}", pick % 4),
        "folders" => format!("folder/{}", pick % 3),
        "tags" => uuid_text(0x7a, pick % 4),
        "notes" => uuid_text(0x0e, pick % 10),
        _ => format!("comment-é-{}", pick % 12),
    };
    RowId::new(table.name, &key)
}

fn uuid_text(kind: u8, pick: u8) -> String {
    let mut bytes = [kind; 16];
    bytes[15] = pick;
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// A row under `id` whose parents are rows of `store`; none when a parent that it must have is not there.
pub(crate) fn row(id: &RowId, marker: &str, seed: u32, store: &Store) -> Option<Row> {
    let table = TABLES.iter().find(|table| table.name == id.table)?;
    let mut dice = Dice(u64::from(seed));
    let mut row = Row::new();
    for (name, kind) in table.columns {
        let value = if *name == table.key() {
            Value::Text(id.key.clone())
        } else if let Some(parent) = table.foreign_keys.iter().find(|key| key.column == *name) {
            let parents = store.keys(parent.parent);
            let required = matches!(*name, "user_id" | "note_id");
            // A row that refers to itself, or round in a circle, is allowed too.
            match dice.pick(parents.len() + usize::from(!required)) {
                Some(n) if n < parents.len() => Value::Text(parents[n].key.clone()),
                None => return None,
                Some(_) => Value::Null,
            }
        } else {
            value(&mut dice, table.name, name, *kind, marker)
        };
        row.insert(name, value);
    }
    Some(row)
}

fn value(dice: &mut Dice, table: &str, column: &str, kind: Kind, marker: &str) -> Value {
    let required = matches!((table, column), ("users", "active")) || kind == Kind::Text;
    if !required && dice.next().is_multiple_of(4) {
        return Value::Null;
    }
    let n = dice.next();
    match kind {
        Kind::Text => Value::Text(format!("{marker} {}", SPICES[n as usize % SPICES.len()])),
        Kind::Int => Value::Int(INTS[n as usize % INTS.len()]),
        Kind::Real => Value::Real(REALS[n as usize % REALS.len()]),
        Kind::Decimal => Value::Decimal((n % 200_000_000) as i64 - 100_000_000),
        Kind::Bool => Value::Bool(n.is_multiple_of(2)),
        Kind::Blob => Value::Blob(n.to_be_bytes()[..n as usize % 8].to_vec()),
        Kind::Uuid => Value::Null,
    }
}

/// Repeatable chance (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick(&mut self, among: usize) -> Option<usize> {
        (among > 0).then(|| self.next() as usize % among)
    }
}
