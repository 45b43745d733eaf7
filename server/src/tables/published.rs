//! What was published: the latest version with its text, for people.

use time::OffsetDateTime;

use crate::{
    ids::AppId,
    ops::database::{AppPool, in_schema},
};

/// A published version.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PublishedVersion {
    pub version: i32,
    /// The text as it was submitted.
    pub ddl: String,
    pub published_at: OffsetDateTime,
    /// In words an administrator knows.
    pub published_by: String,
}

/// The latest published version of an app's tables; None before the first.
pub async fn latest(apps: &AppPool, app: AppId) -> Result<Option<PublishedVersion>, sqlx::Error> {
    let schema = app.schema();
    let query = sqlx::query_as(in_schema(
        &schema,
        "select v.version, v.ddl, v.published_at, v.published_by
         from {schema}._sync_schema_version v
         order by v.version desc
         limit 1",
    ));
    apps.optional(&schema, query).await
}
