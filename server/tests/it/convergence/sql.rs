//! The tenant's own program: plain SQL as the app's role, which knows nothing of bundles.

use sqlx::{AssertSqlSafe, PgPool, Row as _};

use crate::support::{
    app_for_devices::AppForDevices,
    device::{
        Attempt, Op, UploadRow,
        schema::{Kind, Row, RowId, TABLES, Value, table},
        store::Store,
    },
};

/// The source that plain SQL writes as.
const SOURCE: &str = "server:sql";

/// An app's schema, seen from inside.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pool: PgPool,
    schema: String,
}

impl Tables {
    pub(crate) fn of(app: &AppForDevices) -> Self {
        let inside = app.inside.as_ref().expect("a server of this process");
        Self { pool: inside.pool.clone(), schema: inside.schema.clone() }
    }

    /// Write one row of a scope, or delete it. What was committed, if anything; `number` counts such commits.
    pub(crate) async fn write(
        &self,
        scope: &str,
        id: &RowId,
        row: Option<&Row>,
        number: i64,
    ) -> Option<Attempt> {
        let statement = match row {
            Some(_) => self.upsert(id),
            None => {
                let (schema, key) = (&self.schema, key_parameter(id));
                format!("delete from {schema}.{} where _sync_scope_id = $1 and id = {key}", id.table)
            }
        };
        let mut query = sqlx::query(AssertSqlSafe(statement)).bind(scope);
        match row {
            Some(row) => {
                for (name, _) in table(id.table).columns {
                    query = query.bind(input_text(&row[name]));
                }
            }
            None => query = query.bind(&id.key),
        }
        let mut tx = self.begin().await;
        let affected = query.execute(&mut *tx).await.map(|done| done.rows_affected());
        match affected {
            // A foreign key that refuses at once, or a scope that a device is filling.
            Err(error) => return refused(&error),
            Ok(affected) => {
                if let Err(error) = tx.commit().await {
                    return refused(&error);
                }
                if affected == 0 {
                    return None;
                }
            }
        }
        let op = if row.is_some() { Op::Insert } else { Op::Delete };
        let rows = vec![UploadRow { id: id.clone(), op, base: UploadRow::WHATEVER, row: row.cloned() }];
        Some(Attempt { source: SOURCE.to_owned(), source_bundle_id: number, rows, acknowledged: None })
    }

    fn upsert(&self, id: &RowId) -> String {
        let columns = table(id.table).columns;
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        let values: Vec<_> = columns
            .iter()
            .enumerate()
            .map(|(i, (_, kind))| format!("${}::text::{}", i + 2, type_name(*kind)))
            .collect();
        let sets: Vec<_> = names[1..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
        format!(
            "insert into {}.{} (_sync_scope_id, {}) values ($1, {}) on conflict (_sync_scope_id, id) do update set {}",
            self.schema,
            id.table,
            names.join(", "),
            values.join(", "),
            sets.join(", "),
        )
    }

    /// The rows of a scope as they lie in the business tables.
    pub(crate) async fn rows(&self, scope: &str) -> Store {
        let mut store = Store::default();
        let mut tx = self.begin().await;
        for table in &TABLES {
            let columns: Vec<_> = table
                .columns
                .iter()
                .map(|(name, kind)| match kind {
                    Kind::Blob => format!("encode({name}, 'hex')"),
                    _ => format!("{name}::text"),
                })
                .collect();
            let statement = format!(
                "select {} from {}.{} where _sync_scope_id = $1",
                columns.join(", "),
                self.schema,
                table.name
            );
            let found = sqlx::query(AssertSqlSafe(statement)).bind(scope).fetch_all(&mut *tx).await.unwrap();
            for row in found {
                let values: Row = table
                    .columns
                    .iter()
                    .enumerate()
                    .map(|(i, (name, kind))| (*name, from_output_text(*kind, row.get(i))))
                    .collect();
                let Value::Text(key) = &values[table.key()] else { panic!("a row without a key") };
                store.put(RowId::new(table.name, key), values.clone());
            }
        }
        store
    }

    /// Forget the bundles of a scope up to `floor`.
    pub(crate) async fn prune(&self, scope: &str, floor: i64) {
        let mut tx = self.begin().await;
        for statement in [
            "update {schema}._sync_scope set floor_seq = greatest(floor_seq, $2) where scope_id = $1",
            "delete from {schema}._sync_bundle_rows where scope_id = $1 and bundle_seq <= $2",
            "delete from {schema}._sync_bundle where scope_id = $1 and bundle_seq <= $2",
        ] {
            let statement = statement.replace("{schema}", &self.schema);
            sqlx::query(AssertSqlSafe(statement)).bind(scope).bind(floor).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// Let the time of whoever is filling a scope be over.
    pub(crate) async fn expire_lease(&self, scope: &str) {
        let statement = "update {schema}._sync_scope set lease_expires_at = 'epoch' \
            where scope_id = $1 and state = 'initializing'"
            .replace("{schema}", &self.schema);
        let mut tx = self.begin().await;
        sqlx::query(AssertSqlSafe(statement)).bind(scope).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// How many rows the engine holds that only a transaction in flight may have.
    pub(crate) async fn unsealed(&self, scope: &str) -> i64 {
        let statement = "select (select count(*) from {schema}._sync_effect where scope_id = $1) \
            + (select count(*) from {schema}._sync_pending where scope_id = $1)"
            .replace("{schema}", &self.schema);
        let mut tx = self.begin().await;
        sqlx::query_scalar(AssertSqlSafe(statement)).bind(scope).fetch_one(&mut *tx).await.unwrap()
    }

    async fn begin(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        let mut tx = self.pool.begin().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("set local role {}", self.schema)))
            .execute(&mut *tx)
            .await
            .unwrap();
        tx
    }
}

fn refused(error: &sqlx::Error) -> Option<Attempt> {
    const FOREIGN_KEY_VIOLATION: &str = "23503";
    const NOT_IN_PREREQUISITE_STATE: &str = "55000";
    // Plain SQL takes its row before its scope, a push the scope first: PostgreSQL ends one of two that meet.
    const DEADLOCK_DETECTED: &str = "40P01";
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    assert!(
        matches!(
            code.as_deref(),
            Some(FOREIGN_KEY_VIOLATION | NOT_IN_PREREQUISITE_STATE | DEADLOCK_DETECTED)
        ),
        "plain SQL: {error}"
    );
    None
}

fn key_parameter(id: &RowId) -> &'static str {
    match table(id.table).columns[0].1 {
        Kind::Uuid => "$2::text::uuid",
        _ => "$2",
    }
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Uuid => "uuid",
        Kind::Int => "bigint",
        Kind::Real => "double precision",
        Kind::Decimal => "numeric",
        Kind::Bool => "boolean",
        Kind::Blob => "bytea",
    }
}

fn input_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Text(text) => text.clone(),
        Value::Int(int) => int.to_string(),
        Value::Real(real) => real.to_string(),
        Value::Decimal(units) => format!("{units}e-4"),
        Value::Bool(bool) => bool.to_string(),
        Value::Blob(bytes) => bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    })
}

fn from_output_text(kind: Kind, text: Option<String>) -> Value {
    let Some(text) = text else { return Value::Null };
    match kind {
        Kind::Text | Kind::Uuid => Value::Text(text),
        Kind::Int => Value::Int(text.parse().unwrap()),
        Kind::Real => Value::Real(text.parse().unwrap()),
        Kind::Decimal => Value::Decimal(text.replace('.', "").parse().unwrap()),
        Kind::Bool => Value::Bool(text == "true"),
        Kind::Blob => {
            let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            Value::Blob((0..text.len()).step_by(2).map(byte).collect())
        }
    }
}
