//! The app whose pages are looked at: its addresses, and where its data is.

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::target::Place;

pub(super) struct Site {
    pub(super) place: Place,
    pub(super) tenant_id: String,
    /// The app's id, and its schema's name.
    pub(super) schema: String,
    pub(super) table: String,
    /// `/d/TENANT` and `/d/TENANT/APP`, of the app that is filled and of the empty one.
    pub(super) tenant: String,
    pub(super) app: String,
    pub(super) empty_app: String,
}

impl Site {
    /// `base_url` is `http://host:port/t/TENANT/APP`.
    pub(super) async fn find(
        database: &mut PgConnection,
        base_url: &str,
        table: &str,
        empty_app: &str,
    ) -> Result<Self> {
        let place = Place::read(base_url)?;
        let slugs = place.path.strip_prefix("/t/").and_then(|path| path.split_once('/'));
        let (tenant, app) = slugs.context("the base URL is not http://HOST/t/TENANT/APP")?;
        let found = sqlx::query(
            "select t.tenant_id::text, 'app_' || replace(a.app_id::text, '-', '')
             from platform.tenant t
             join platform.app a using (tenant_id)
             where t.slug = $1 and a.slug = $2",
        )
        .bind(tenant)
        .bind(app)
        .fetch_one(database)
        .await
        .context("the database has no such app")?;
        let tenant = format!("/d/{tenant}");
        Ok(Self {
            tenant_id: found.get(0),
            schema: found.get(1),
            table: table.to_owned(),
            app: format!("{tenant}/{app}"),
            empty_app: format!("{tenant}/{empty_app}"),
            tenant,
            place,
        })
    }

    /// The texts of the one row that the statement finds in the app's schema, where `{schema}` and `{table}` stand for
    /// their names.
    pub(super) async fn sample<const N: usize>(
        &self,
        database: &mut PgConnection,
        sql: &str,
    ) -> Result<[String; N]> {
        let named = sql.replace("{schema}", &self.schema).replace("{table}", &self.table);
        let row =
            sqlx::query(AssertSqlSafe(named)).fetch_one(database).await.with_context(|| sql.to_owned())?;
        let mut texts = [const { String::new() }; N];
        for (place, text) in texts.iter_mut().enumerate() {
            *text = row.try_get(place).with_context(|| sql.to_owned())?;
        }
        Ok(texts)
    }
}
