//! Declared types and what they become in PostgreSQL.

use sqlparser::ast::{CharacterLength, DataType, ExactNumberInfo, ObjectName, TimezoneInfo};

use super::{Dialect, Refusal};
use crate::tables::spec::ColumnType;

/// A declared type in PostgreSQL's terms.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MappedType {
    pub(super) ty: ColumnType,
    /// What the author should know about it.
    pub(super) warning: Option<&'static str>,
}

impl From<ColumnType> for MappedType {
    fn from(ty: ColumnType) -> Self {
        Self { ty, warning: None }
    }
}

pub(super) fn map(dialect: Dialect, declared: &DataType) -> Result<MappedType, Refusal> {
    match dialect {
        Dialect::Sqlite => map_sqlite(declared).map(MappedType::from),
        Dialect::Postgresql => map_postgresql(declared),
    }
}

/// SQLite does not enforce ranges and lengths, so the widest type of the same kind is taken. Dates and times are texts
/// there and stay texts: PostgreSQL would round them to microseconds, and a device refuses its own row back changed.
fn map_sqlite(declared: &DataType) -> Result<ColumnType, Refusal> {
    use DataType as D;
    Ok(match declared {
        D::TinyInt(_)
        | D::TinyIntUnsigned(_)
        | D::Int2(_)
        | D::Int2Unsigned(_)
        | D::SmallInt(_)
        | D::SmallIntUnsigned(_)
        | D::MediumInt(_)
        | D::MediumIntUnsigned(_)
        | D::Int(_)
        | D::IntUnsigned(_)
        | D::Int4(_)
        | D::Int4Unsigned(_)
        | D::Int8(_)
        | D::Int8Unsigned(_)
        | D::Int16
        | D::Int32
        | D::Int64
        | D::Integer(_)
        | D::IntegerUnsigned(_)
        | D::BigInt(_)
        | D::BigIntUnsigned(_)
        | D::UnsignedInteger
        | D::SignedInteger => ColumnType::BigInt,
        D::Real
        | D::RealUnsigned
        | D::Float(_)
        | D::FloatUnsigned(_)
        | D::Float4
        | D::Float8
        | D::Float32
        | D::Float64
        | D::Double(_)
        | D::DoubleUnsigned(_)
        | D::DoublePrecision
        | D::DoublePrecisionUnsigned => ColumnType::Double,
        D::Numeric(info)
        | D::Decimal(info)
        | D::Dec(info)
        | D::DecimalUnsigned(info)
        | D::DecUnsigned(info) => numeric(info)?,
        D::Bool | D::Boolean => ColumnType::Boolean,
        D::Text
        | D::TinyText
        | D::MediumText
        | D::LongText
        | D::String(_)
        | D::Clob(_)
        | D::CharLargeObject(_)
        | D::CharacterLargeObject(_)
        | D::Char(_)
        | D::Character(_)
        | D::Varchar(_)
        | D::Nvarchar(_)
        | D::CharVarying(_)
        | D::CharacterVarying(_)
        | D::JSON
        | D::Date
        | D::Time(..)
        | D::Datetime(_)
        | D::Timestamp(..) => ColumnType::Text,
        D::Blob(_)
        | D::TinyBlob
        | D::MediumBlob
        | D::LongBlob
        | D::Binary(_)
        | D::Varbinary(_)
        | D::Bytea
        | D::Bytes(_) => ColumnType::Bytea,
        D::Uuid => ColumnType::Uuid,
        D::Unspecified => {
            return Err(Refusal::new(
                "the column has no type, so the server cannot tell what its values are",
                "Give it one: INTEGER, REAL, TEXT, BLOB, BOOLEAN or NUMERIC.",
            ));
        }
        D::Custom(name, _) => return by_affinity(name),
        other => return Err(unknown(&other.to_string())),
    })
}

/// SQLite takes any word for a type and looks for syllables in it (<https://www.sqlite.org/datatype3.html>, 3.1).
fn by_affinity(name: &ObjectName) -> Result<ColumnType, Refusal> {
    let name = name.to_string().to_ascii_uppercase();
    let has = |syllables: &[&str]| syllables.iter().any(|syllable| name.contains(syllable));
    if name == "ANY" {
        return Err(Refusal::new(
            "an ANY column holds values of different types, which PostgreSQL has no counterpart for",
            "Give it one type: INTEGER, REAL, TEXT, BLOB, BOOLEAN or NUMERIC.",
        ));
    }
    if has(&["INT"]) {
        Ok(ColumnType::BigInt)
    } else if has(&["CHAR", "CLOB", "TEXT", "DATE", "TIME"]) {
        Ok(ColumnType::Text)
    } else if has(&["BLOB"]) {
        Ok(ColumnType::Bytea)
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Ok(ColumnType::Double)
    } else if name == "GUID" {
        Ok(ColumnType::Uuid)
    } else {
        Err(unknown(&name))
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::new(
        format!("type {name} is not known"),
        "Use INTEGER, REAL, TEXT, BLOB, BOOLEAN, NUMERIC(p,s), UUID, or one of the names SQLite documents for them.",
    )
}

fn map_postgresql(declared: &DataType) -> Result<MappedType, Refusal> {
    use DataType as D;
    let warned = |ty, warning| MappedType { ty, warning: Some(warning) };
    Ok(match declared {
        D::SmallInt(_) | D::Int2(_) => ColumnType::SmallInt.into(),
        D::Int(_) | D::Integer(_) | D::Int4(_) => ColumnType::Integer.into(),
        D::BigInt(_) | D::Int8(_) => ColumnType::BigInt.into(),
        D::Real | D::Float4 | D::Float(ExactNumberInfo::Precision(1..=24)) => ColumnType::Real.into(),
        D::DoublePrecision | D::Float8 | D::Double(_) => ColumnType::Double.into(),
        D::Float(ExactNumberInfo::None | ExactNumberInfo::Precision(25..=53)) => ColumnType::Double.into(),
        D::Numeric(info) | D::Decimal(info) | D::Dec(info) => numeric(info)?.into(),
        D::Bool | D::Boolean => ColumnType::Boolean.into(),
        D::Text => ColumnType::Text.into(),
        D::Varchar(None) | D::CharacterVarying(None) | D::CharVarying(None) => ColumnType::Text.into(),
        D::Varchar(Some(length)) | D::CharacterVarying(Some(length)) | D::CharVarying(Some(length)) => {
            varchar(length)?.into()
        }
        D::Char(length) | D::Character(length) => {
            let one = CharacterLength::IntegerLength { length: 1, unit: None };
            warned(
                varchar(length.as_ref().unwrap_or(&one))?,
                "char(n) became varchar(n): PostgreSQL would pad values with spaces, which devices do not write.",
            )
        }
        D::JSON => ColumnType::Json.into(),
        D::JSONB => warned(
            ColumnType::Jsonb,
            "jsonb respells what it is given, so a device gets its JSON back with other spaces and order; json keeps it.",
        ),
        D::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            warned(ColumnType::Timestamptz, MICROSECONDS)
        }
        D::Timestamp(..) => warned(ColumnType::Timestamp, MICROSECONDS),
        D::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            warned(ColumnType::Time, MICROSECONDS)
        }
        D::Date => ColumnType::Date.into(),
        D::Uuid => ColumnType::Uuid.into(),
        D::Bytea => ColumnType::Bytea.into(),
        other => return Err(not_synced(&other.to_string())),
    })
}

const MICROSECONDS: &str = "PostgreSQL keeps microseconds. A device that writes nanoseconds, or another spelling of the \
                            same time, gets its value back changed and may refuse it; text keeps what was written.";

fn not_synced(name: &str) -> Refusal {
    let name = name.to_ascii_lowercase();
    if name.contains("serial") {
        return Refusal::new(
            format!("{name} counts on the server, and devices that are offline cannot ask it"),
            "Use integer or bigint and let the app fill it, or a uuid.",
        );
    }
    Refusal::new(
        format!("type {name} has no counterpart in SQLite and no form on the wire"),
        "Use smallint, integer, bigint, real, double precision, numeric, boolean, text, varchar(n), json, jsonb, \
         timestamptz, timestamp, date, time, uuid or bytea.",
    )
}

fn varchar(length: &CharacterLength) -> Result<ColumnType, Refusal> {
    match length {
        CharacterLength::IntegerLength { length, .. } if (1..=10_485_760).contains(length) => {
            Ok(ColumnType::Varchar {
                max: u32::try_from(*length).expect("BUG: the length was just compared"),
            })
        }
        _ => Err(Refusal::new("the length of a varchar is from 1 to 10485760", "Use text.")),
    }
}

fn numeric(info: &ExactNumberInfo) -> Result<ColumnType, Refusal> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => return Ok(ColumnType::Numeric { precision: None, scale: 0 }),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    match (u16::try_from(precision), u16::try_from(scale)) {
        (Ok(precision @ 1..=300), Ok(scale)) if scale <= precision => {
            Ok(ColumnType::Numeric { precision: Some(precision), scale })
        }
        _ => Err(Refusal::new(
            "a NUMERIC has 1 to 300 digits, and at most as many of them behind the point",
            "Write NUMERIC(p,s) with s no larger than p, or NUMERIC alone.",
        )),
    }
}
