//! An app in a database of its own, written to by plain SQL.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};
use syncline::{
    ids::AppId,
    ops::database::{AppTx, Databases},
    tables::{
        catalog::AppCatalog,
        ddl, engine_schema,
        ident::Ident,
        plan,
        publish::{self, Publication, PublishError},
        spec::{TableSpec, WireProfile},
    },
};
use time::{OffsetDateTime, macros::datetime};

use crate::support::database::{self, TestDatabase};

pub(super) const AT: OffsetDateTime = datetime!(2026-07-01 12:00 UTC);

/// An app with its tables.
pub(super) struct TestTables {
    pub(super) app: AppId,
    pub(super) profile: WireProfile,
    pub(super) databases: Databases,
    _database: TestDatabase,
}

impl TestTables {
    /// An app without tables.
    pub(super) async fn new(profile: WireProfile) -> Self {
        let database = database::fresh().await;
        let databases = database.databases().await;
        let app = AppId::new();
        engine_schema::create(&databases.apps, app, profile, AT).await.unwrap();
        Self { app, profile, databases, _database: database }
    }

    pub(super) async fn catalog(&self) -> AppCatalog {
        let logical_schema = Ident::parse("business").unwrap();
        AppCatalog::load(&self.databases.apps, self.app, self.profile, &logical_schema).await.unwrap()
    }

    /// Publish tables given as the JSON of their specs.
    pub(super) async fn publish_specs(&self, tables: Value) {
        let tables: Vec<TableSpec> = serde_json::from_value(tables).unwrap();
        let current = self.catalog().await.spec();
        let plan = plan::plan(&current, tables).unwrap();
        let publication = Publication { ddl: "", by: "test", at: AT };
        publish::publish(&self.databases.apps, self.app, self.profile, &plan, &publication).await.unwrap();
    }

    /// Publish CREATE TABLE text on top of what the app has.
    pub(super) async fn publish(&self, ddl: &str) -> Result<AppCatalog, PublishError> {
        let current = self.catalog().await.spec();
        let plan = plan::plan(&current, ddl::parse(ddl, None, &current).unwrap().tables).unwrap();
        let publication = Publication { ddl, by: "test", at: AT };
        publish::publish(&self.databases.apps, self.app, self.profile, &plan, &publication).await?;
        Ok(self.catalog().await)
    }

    pub(super) async fn begin(&self) -> AppTx {
        self.databases.apps.begin(&self.app.schema()).await.unwrap()
    }

    /// Run plain SQL as the app's role, `{schema}` filled in, in one transaction.
    pub(super) async fn sql(&self, sql: &str) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await;
        sqlx::raw_sql(AssertSqlSafe(self.fill_in(sql))).execute(&mut *tx).await?;
        tx.commit().await
    }

    pub(super) fn fill_in(&self, sql: &str) -> String {
        sql.replace("{schema}", self.app.schema().as_str())
    }

    /// The rows of the scope's latest bundle, and the bundle's hash.
    pub(super) async fn latest_bundle(&self, scope: &str) -> (Vec<Value>, String) {
        let (body, hash) = self.latest(scope).await;
        (body.iter().map(|row| serde_json::from_str(row).unwrap()).collect(), hash)
    }

    /// The rows of the scope's latest bundle, byte for byte as they are served.
    pub(super) async fn latest_served(&self, scope: &str) -> Vec<String> {
        self.latest(scope).await.0
    }

    async fn latest(&self, scope: &str) -> (Vec<String>, String) {
        let mut tx = self.begin().await;
        let sql = self.fill_in(
            "select b.bundle_hash,
                (select string_agg(r.body, E',\\n' order by r.first_ordinal)
                 from {schema}._sync_bundle_rows r
                 where r.scope_id = b.scope_id and r.bundle_seq = b.bundle_seq) as body
             from {schema}._sync_bundle b
             where b.scope_id = $1
             order by b.bundle_seq desc
             limit 1",
        );
        let row = sqlx::query(AssertSqlSafe(sql)).bind(scope).fetch_one(&mut *tx).await.unwrap();
        let body = row.get::<&str, _>("body").split(",\n").map(str::to_owned).collect();
        (body, row.get("bundle_hash"))
    }
}

/// A column of a spec.
pub(super) fn column(name: &str, ty: Value) -> Value {
    json!({"name": name, "type": ty, "nullable": true})
}

/// A table with a text key `id` and these columns besides.
pub(super) fn table(name: &str, mut columns: Vec<Value>) -> Value {
    columns.insert(0, json!({"name": "id", "type": "text", "nullable": false}));
    json!({
        "name": name, "table_no": 0, "key": {"column": "id", "kind": "text"}, "columns": columns,
        "uniques": [], "indexes": [], "foreign_keys": [], "checks": []
    })
}
