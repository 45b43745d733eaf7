//! Rows of a chunk as JSON, read without losing anything: numbers keep their text, repeated members are refused,
//! strings are borrowed from the body where they have no escapes.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Members of one object that are looked at; no table of PostgreSQL has as many columns.
const MAX_MEMBERS: usize = 1_700;

/// A string, borrowed if it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Any JSON value; a number as its text, an object or array only as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sync) enum Value<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
    Composite,
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        Ok(match raw.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'{' | b'[') => Self::Composite,
            Some(b'"') if !raw.contains('\\') => Self::Text(Cow::Borrowed(&raw[1..raw.len() - 1])),
            Some(b'"') => Self::Text(Cow::Owned(serde_json::from_str(raw).map_err(de::Error::custom)?)),
            _ => Self::Number(raw),
        })
    }
}

/// The members of an object, in order. Repeated names are found where the names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sync) struct Members<'a>(pub(in crate::sync) Vec<(Cow<'a, str>, Value<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<Text<'de>>()? {
            if members.len() == MAX_MEMBERS {
                return Err(de::Error::custom(format!("an object with more than {MAX_MEMBERS} members")));
            }
            members.push((name.0, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// The `payload` of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sync) enum Payload<'a> {
    /// No such member, or null.
    None,
    Row(Members<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Payload<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PayloadVisitor;
        impl<'de> Visitor<'de> for PayloadVisitor {
            type Value = Payload<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or null as payload")
            }

            fn visit_unit<E>(self) -> Result<Payload<'de>, E> {
                Ok(Payload::None)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Payload<'de>, A::Error> {
                MembersVisitor.visit_map(map).map(Payload::Row)
            }
        }
        deserializer.deserialize_any(PayloadVisitor)
    }
}

/// One row as it is pushed. Members that PROTOCOL.md does not name are passed over: a newer client may send hints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sync) struct JsonRow<'a> {
    pub(in crate::sync) schema: Cow<'a, str>,
    pub(in crate::sync) table: Cow<'a, str>,
    pub(in crate::sync) key: Members<'a>,
    pub(in crate::sync) op: Cow<'a, str>,
    pub(in crate::sync) base_row_version: Value<'a>,
    pub(in crate::sync) payload: Payload<'a>,
}

impl<'de> Deserialize<'de> for JsonRow<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = JsonRow<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row as an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonRow<'de>, A::Error> {
        let (mut schema, mut table, mut op) = (None, None, None);
        let (mut key, mut base_row_version, mut payload) = (None, None, None);
        while let Some(name) = map.next_key::<Text<'de>>()? {
            match name.0.as_ref() {
                "schema" => once("schema", &mut schema, map.next_value::<Text<'de>>()?)?,
                "table" => once("table", &mut table, map.next_value::<Text<'de>>()?)?,
                "key" => once("key", &mut key, map.next_value()?)?,
                "op" => once("op", &mut op, map.next_value::<Text<'de>>()?)?,
                "base_row_version" => once("base_row_version", &mut base_row_version, map.next_value()?)?,
                "payload" => once("payload", &mut payload, map.next_value()?)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let missing = de::Error::missing_field;
        Ok(JsonRow {
            schema: schema.ok_or_else(|| missing("schema"))?.0,
            table: table.ok_or_else(|| missing("table"))?.0,
            key: key.ok_or_else(|| missing("key"))?,
            op: op.ok_or_else(|| missing("op"))?.0,
            base_row_version: base_row_version.ok_or_else(|| missing("base_row_version"))?,
            payload: payload.unwrap_or(Payload::None),
        })
    }
}

/// Keep the value of a member that must not be repeated.
fn once<T, E: de::Error>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), E> {
    if slot.replace(value).is_some() { Err(E::duplicate_field(name)) } else { Ok(()) }
}

/// Hands every element of an array to `each` as soon as it is read, so that a hostile array is never held whole.
///
/// `each` keeps its own error and answers false to stop; the deserializer's error is then without meaning.
pub(super) struct EachRow<'f, F> {
    each: &'f mut F,
}

impl<'f, F> EachRow<'f, F> {
    pub(super) fn new(each: &'f mut F) -> Self {
        Self { each }
    }
}

impl<'de, F: FnMut(JsonRow<'de>) -> bool> DeserializeSeed<'de> for EachRow<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        struct RowsVisitor<'f, 'de, F>(&'f mut F, PhantomData<&'de ()>);
        impl<'de, F: FnMut(JsonRow<'de>) -> bool> Visitor<'de> for RowsVisitor<'_, 'de, F> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
                while let Some(row) = rows.next_element()? {
                    if !(self.0)(row) {
                        return Err(de::Error::custom("stopped"));
                    }
                }
                Ok(())
            }
        }
        deserializer.deserialize_seq(RowsVisitor(self.each, PhantomData))
    }
}

/// Reads the body of a chunk: the start ordinal first if it comes first, else once more over the rows.
pub(super) struct ChunkBody<'f, S, F> {
    /// Told the `start_row_ordinal`, before any row.
    pub(super) start: &'f mut S,
    pub(super) each: &'f mut F,
}

impl<'de, S, F> DeserializeSeed<'de> for ChunkBody<'_, S, F>
where
    S: FnMut(Value<'de>) -> bool,
    F: FnMut(JsonRow<'de>) -> bool,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(ChunkVisitor(self, PhantomData))
    }
}

struct ChunkVisitor<'f, 'de, S, F>(ChunkBody<'f, S, F>, PhantomData<&'de ()>);

impl<'de, S, F> Visitor<'de> for ChunkVisitor<'_, 'de, S, F>
where
    S: FnMut(Value<'de>) -> bool,
    F: FnMut(JsonRow<'de>) -> bool,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with start_row_ordinal and rows")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let ChunkBody { start, each } = self.0;
        let (mut has_start, mut has_rows) = (false, false);
        let mut early_rows: Option<&'de RawValue> = None;
        while let Some(name) = map.next_key::<Text<'de>>()? {
            match name.0.as_ref() {
                "start_row_ordinal" if has_start => {
                    return Err(de::Error::duplicate_field("start_row_ordinal"));
                }
                "start_row_ordinal" => {
                    has_start = true;
                    if !start(map.next_value()?) {
                        return Err(de::Error::custom("stopped"));
                    }
                }
                "rows" if has_rows => return Err(de::Error::duplicate_field("rows")),
                "rows" => {
                    has_rows = true;
                    if has_start {
                        map.next_value_seed(EachRow::new(each))?;
                    } else {
                        early_rows = Some(map.next_value()?);
                    }
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if !has_start {
            return Err(de::Error::missing_field("start_row_ordinal"));
        }
        if !has_rows {
            return Err(de::Error::missing_field("rows"));
        }
        if let Some(rows) = early_rows {
            let mut rows = serde_json::Deserializer::from_str(rows.get());
            EachRow::new(each).deserialize(&mut rows).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}
