//! Whatever a row holds, it is rendered as the wire wants it, and bundles hash to what clients compute.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;
use syncline::tables::spec::WireProfile;
use time::{Date, Duration, OffsetDateTime, macros::format_description};
use uuid::Uuid;

use super::support::TestTables;

/// Names that the two profiles sort differently (beyond U+FFFF), and that need escapes.
const TABLE: &str = r#"
    create table everything (
        id text primary key,
        n2 smallint, n4 integer, n8 bigint, f4 real, f8 double precision, n numeric, b boolean,
        t text, v varchar(1000), j json, at timestamptz, d date, u uuid, bytes bytea,
        "z😀" text, "z～" text, "a<&b" text, "q""\" text
    )"#;

/// One row of the table.
#[derive(Debug, Clone)]
struct Everything {
    n2: Option<i16>,
    n4: Option<i32>,
    n8: Option<i64>,
    f4: Option<f32>,
    f8: Option<f64>,
    /// Mantissa and scale.
    n: Option<(i64, u32)>,
    b: Option<bool>,
    texts: [Option<String>; 6],
    j: Option<String>,
    at: Option<OffsetDateTime>,
    d: Option<Date>,
    u: Option<Uuid>,
    bytes: Option<Vec<u8>>,
}

const TEXT_COLUMNS: [&str; 6] = ["t", "v", "z😀", "z～", "a<&b", "q\"\\"];

fn text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        '"', '\\', '\u{8}', '\u{c}', '\n', '\r', '\t', '\u{1}', '\u{1f}', '\u{7f}', '<', '>', '&',
        '\u{2028}', '\u{2029}', '/', 'é', '😀', '\u{ffff}', '\u{e000}',
    ]);
    let any = any::<char>().prop_filter("PostgreSQL has no NUL", |c| *c != '\0');
    prop::collection::vec(prop_oneof![special, any], 0..20).prop_map(|chars| chars.into_iter().collect())
}

fn float() -> impl Strategy<Value = f64> {
    let edges = prop::sample::select(vec![
        0.0,
        -0.0,
        1e-4,
        9.999e-5,
        1e-6,
        1e-7,
        1e15,
        999_999_999_999_999.9,
        1e20,
        1e21,
        1.5e21,
        5e-324,
        f64::MAX,
        f64::MIN_POSITIVE,
        9_007_199_254_740_993.0,
        123_456_789_012_345_680.0,
        0.1,
        -1.0,
    ]);
    let finite = prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO;
    prop_oneof![edges, finite, -1e6..1e6f64, -1e-5..1e-5f64]
}

fn everything() -> impl Strategy<Value = Everything> {
    let integers = (any::<Option<i16>>(), any::<Option<i32>>(), any::<Option<i64>>());
    let f4 = prop::option::of(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO);
    let floats = (f4, prop::option::of(float()), prop::option::of((any::<i64>(), 0u32..25)));
    let texts = prop::array::uniform6(prop::option::of(text()));
    let json = prop::option::of(
        text().prop_map(|text| serde_json::json!({ "b": text, "a": [1.50, null] }).to_string()),
    );
    // Years 1 to 9999, in microseconds; whole seconds often.
    let micros = -62_135_510_400_000_000i64..253_402_214_400_000_000;
    let at = prop::option::of(prop_oneof![micros.clone(), micros.prop_map(|at| at / 1_000_000 * 1_000_000)]);
    let at = at.prop_map(|at| at.map(|micros| OffsetDateTime::UNIX_EPOCH + Duration::microseconds(micros)));
    let date =
        prop::option::of((1_721_426..=5_373_484i32).prop_map(|day| Date::from_julian_day(day).unwrap()));
    let uuid = prop::option::of(any::<u128>().prop_map(Uuid::from_u128));
    let bytes = prop::option::of(prop::collection::vec(any::<u8>(), 0..120));
    (integers, floats, any::<Option<bool>>(), texts, json, (at, date, uuid, bytes)).prop_map(
        |((n2, n4, n8), (f4, f8, n), b, texts, j, (at, d, u, bytes))| Everything {
            n2,
            n4,
            n8,
            f4,
            f8,
            n,
            b,
            texts,
            j,
            at,
            d,
            u,
            bytes,
        },
    )
}

/// What PostgreSQL prints for a numeric of that mantissa and scale.
fn numeric_text((mantissa, scale): (i64, u32)) -> String {
    let digits = format!("{:0width$}", mantissa.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let sign = if mantissa < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn float_text(value: f64) -> String {
    ryu_js::Buffer::new().format_finite(value).to_owned()
}

impl Everything {
    /// The members as clients see them; numbers as their texts.
    fn members(&self, id: &str) -> Vec<(&'static str, Option<Member>)> {
        let at = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
        let micros =
            format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]");
        let at = self.at.map(|time| {
            let format = if time.microsecond() == 0 { at } else { micros };
            Member::Text(format!("{}Z", time.format(&format).unwrap()))
        });
        let base64 = |bytes: &Vec<u8>| base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes);
        let day = |day: Date| day.format(format_description!("[year]-[month]-[day]")).unwrap();
        let mut members = vec![
            ("id", Some(Member::Text(id.to_owned()))),
            ("n2", self.n2.map(|n| Member::Number(n.to_string()))),
            ("n4", self.n4.map(|n| Member::Number(n.to_string()))),
            ("n8", self.n8.map(|n| Member::Number(n.to_string()))),
            ("f4", self.f4.map(|f| Member::Number(float_text(f64::from(f))))),
            ("f8", self.f8.map(|f| Member::Number(float_text(f)))),
            ("n", self.n.map(|n| Member::Number(numeric_text(n)))),
            ("b", self.b.map(Member::Boolean)),
            ("j", self.j.clone().map(Member::Text)),
            ("at", at),
            ("d", self.d.map(|date| Member::Text(day(date)))),
            ("u", self.u.map(|uuid| Member::Text(uuid.hyphenated().to_string()))),
            ("bytes", self.bytes.as_ref().map(|bytes| Member::Text(base64(bytes)))),
        ];
        let texts = TEXT_COLUMNS.into_iter().zip(&self.texts);
        members.extend(texts.map(|(name, text)| (name, text.clone().map(Member::Text))));
        members
    }

    /// The payload of profile `strings`, by way of the RFC 8785 library.
    fn strings_payload(&self, id: &str) -> Value {
        let members = self.members(id).into_iter().map(|(name, value)| {
            let value = match value {
                None => Value::Null,
                Some(Member::Boolean(value)) => Value::Bool(value),
                Some(Member::Number(text) | Member::Text(text)) => Value::String(text),
            };
            (name.to_owned(), value)
        });
        Value::Object(members.collect::<Map<_, _>>())
    }

    /// The payload of profile `numbers` as it is sent, or as Go writes it again after decoding.
    fn numbers_payload(&self, id: &str, hashed: bool) -> String {
        let mut members = self.members(id);
        members.sort_by_key(|(name, _)| *name);
        let string = |text: &str| {
            let json = serde_json::to_string(text).unwrap();
            if !hashed {
                return json;
            }
            let escapes = [
                ("<", "\\u003c"),
                (">", "\\u003e"),
                ("&", "\\u0026"),
                ("\u{2028}", "\\u2028"),
                ("\u{2029}", "\\u2029"),
            ];
            escapes.iter().fold(json, |json, (plain, escaped)| json.replace(plain, escaped))
        };
        let members: Vec<String> = members
            .into_iter()
            .map(|(name, value)| {
                let value = match value {
                    None => "null".to_owned(),
                    Some(Member::Boolean(value)) => value.to_string(),
                    Some(Member::Text(text)) => string(&text),
                    Some(Member::Number(text)) if hashed => float_text(text.parse().unwrap()),
                    Some(Member::Number(text)) => text,
                };
                format!("{}:{value}", string(name))
            })
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

enum Member {
    Number(String),
    Boolean(bool),
    Text(String),
}

async fn insert(app: &TestTables, scope: &str, rows: &[Everything]) {
    let mut tx = app.begin().await;
    let sql = app.fill_in(
        "insert into {schema}.everything values
         ($1, $2, $3, $4, $5, $6, $7, $8::text::numeric, $9, $10, $11, $12::text::json, $13, $14, $15, $16, $17, $18, $19,
          $20)",
    );
    for (i, row) in rows.iter().enumerate() {
        sqlx::query(AssertSqlSafe(sql.clone()))
            .bind(scope)
            .bind(format!("r{i}"))
            .bind(row.n2)
            .bind(row.n4)
            .bind(row.n8)
            .bind(row.f4)
            .bind(row.f8)
            .bind(row.n.map(numeric_text))
            .bind(row.b)
            .bind(&row.texts[0])
            .bind(&row.texts[1])
            .bind(&row.j)
            .bind(row.at)
            .bind(row.d)
            .bind(row.u)
            .bind(&row.bytes)
            .bind(&row.texts[2])
            .bind(&row.texts[3])
            .bind(&row.texts[4])
            .bind(&row.texts[5])
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

fn bundle_hash(profile: WireProfile, rows: &[Everything]) -> String {
    let quote = if profile == WireProfile::Strings { "\"" } else { "" };
    let rows: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(i, row)| {
            let id = format!("r{i}");
            let payload = match profile {
                WireProfile::Strings => serde_json_canonicalizer::to_string(&row.strings_payload(&id)).unwrap(),
                WireProfile::Numbers => row.numbers_payload(&id, true),
            };
            format!(
                "{{\"key\":{{\"id\":\"{id}\"}},\"op\":\"INSERT\",\"payload\":{payload},\"row_ordinal\":{quote}{i}{quote},\
                 \"row_version\":{quote}1{quote},\"schema\":\"business\",\"table\":\"everything\"}}"
            )
        })
        .collect();
    let digest = Sha256::digest(format!("[{}]", rows.join(",")).as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn any_rows_are_rendered_canonically(profile: WireProfile) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = runtime.block_on(async {
        let app = TestTables::new(profile).await;
        app.publish(TABLE).await.unwrap();
        app
    });
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let scope_number = std::cell::Cell::new(0);
    let rows = prop::collection::vec(everything(), 1..25);
    runner
        .run(&rows, |rows| {
            scope_number.set(scope_number.get() + 1);
            let scope = format!("scope {}", scope_number.get());
            let (served, hash) = runtime.block_on(async {
                insert(&app, &scope, &rows).await;
                (app.latest_served(&scope).await, app.latest_bundle(&scope).await.1)
            });
            for (i, (row, served)) in rows.iter().zip(&served).enumerate() {
                let id = format!("r{i}");
                let payload = match profile {
                    WireProfile::Strings => serde_json_canonicalizer::to_string(&row.strings_payload(&id)).unwrap(),
                    WireProfile::Numbers => row.numbers_payload(&id, false),
                };
                let expected = format!(
                    "{{\"schema\":\"business\",\"table\":\"everything\",\"key\":{{\"id\":\"{id}\"}},\"op\":\"INSERT\",\
                     \"row_version\":1,\"payload\":{payload}}}"
                );
                prop_assert_eq!(served, &expected);
            }
            prop_assert_eq!(served.len(), rows.len());
            prop_assert_eq!(hash, bundle_hash(profile, &rows));
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_rows_are_rendered_canonically_in_profile_strings() {
    any_rows_are_rendered_canonically(WireProfile::Strings);
}

#[test]
fn any_rows_are_rendered_canonically_in_profile_numbers() {
    any_rows_are_rendered_canonically(WireProfile::Numbers);
}

/// Values whose shortest form is the midpoint to a neighbour, or has another layout than PostgreSQL's, or is an edge.
fn awkward_floats() -> Vec<f64> {
    let mut floats =
        vec![23_268_261_582_539_088.0, 9_007_199_254_740_992.0, f64::MAX, f64::MIN_POSITIVE, 5e-324];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        // A xorshift: the same floats in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..5_000 {
        floats.push(f64::from_bits(random()));
        // Integers of 2^53 to 2^70, where midpoints are short.
        floats.push((random() >> 11) as f64 * f64::from(1u32 << (random() % 18)));
        floats.push(i64::from_ne_bytes(random().to_ne_bytes()) as f64);
        floats.push((random() % 1_000_000) as f64 * 10f64.powi((random() % 40) as i32 - 20));
    }
    floats.retain(|float| float.is_finite());
    floats
}

#[tokio::test]
async fn numbers_have_the_form_that_ecmascript_gives_them() {
    let app = TestTables::new(WireProfile::Strings).await;
    let floats = awkward_floats();
    let mut tx = app.begin().await;
    let sql = app.fill_in(
        "select array_agg({schema}._sync_float_text(f.value) order by f.position)
         from unnest($1::double precision[]) with ordinality as f (value, position)",
    );
    let texts: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(&floats).fetch_one(&mut *tx).await.unwrap();
    for (float, text) in floats.iter().zip(&texts) {
        assert_eq!(*text, float_text(*float));
    }
    assert_eq!(texts.len(), floats.len());
}
