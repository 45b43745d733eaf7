//! Publishing an app's tables: what `tables` does in the app's schema, and making every node notice.
//!
//! The app's schema and the control plane cannot be changed in one transaction. So:
//!
//! 1. the app's row says that a publication is under way; from now on no node caches the app's tables;
//! 2. the version is published in the app's schema, in one transaction;
//! 3. the row has the new version and says no longer that one is under way; every node drops what it has cached.
//!
//! A process that dies in between leaves the row as after step 1: nodes read the tables anew for each request, which is
//! slow but right, until [`ControlPlane::settle_publications`] does step 3.

use serde_json::json;
use time::OffsetDateTime;

use super::{App, app_columns};
use crate::{
    control::{
        ControlPlane,
        audit::{Action, Actor},
        changes,
    },
    ids::AppId,
    tables::{
        catalog::AppCatalog,
        ddl::{self, Dialect, ParsedSchema, Problem},
        ident::Ident,
        plan::{self, Plan, Refusal},
        publish::{self, Publication, PublishError},
        spec::AppSpec,
    },
};

/// What a text would make of an app's tables.
#[derive(Debug, Clone)]
pub struct SchemaDraft {
    /// The version that it was compared with; publishing asks for it again.
    pub current: AppSpec,
    pub parsed: ParsedSchema,
    /// Without changes: the app has these tables already.
    pub plan: Plan,
}

/// A text that was published.
#[derive(Debug, Clone)]
pub struct PublishedSchema {
    /// The version that the app has now.
    pub version: i32,
    /// False: it had these tables already, and no version was added.
    pub changed: bool,
    pub draft: SchemaDraft,
}

/// Why a text was not published, or cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The text is not what it should be, in these places.
    #[error("{}", lines(.0.iter().map(problem_line)))]
    Problems(Vec<Problem>),
    /// It would break devices that sync already.
    #[error("{}", lines(.0.iter().map(refusal_line)))]
    Refusals(Vec<Refusal>),
    /// Another version was published since the text was looked at.
    #[error("another version was published meanwhile")]
    Outdated,
    #[error("rows of {table} break a new constraint")]
    RowsInTheWay { table: String },
    /// A table stayed locked by somebody's long transaction.
    #[error("a table is in use")]
    Busy,
    #[error("the tables could not be read or published")]
    Database(#[from] sqlx::Error),
}

fn problem_line(problem: &Problem) -> String {
    let Problem { line, column, reason, remedy } = problem;
    format!("line {line}, column {column}: {reason}. {remedy}")
}

fn refusal_line(refusal: &Refusal) -> String {
    let Refusal { table, column, reason, remedy } = refusal;
    let column = column.as_ref().map(|column| format!(", column {column}")).unwrap_or_default();
    format!("table {table}{column}: {reason}. {remedy}")
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

impl From<PublishError> for SchemaError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Outdated => Self::Outdated,
            PublishError::RowsInTheWay { table } => Self::RowsInTheWay { table },
            PublishError::Busy => Self::Busy,
            PublishError::Database(error) => Self::Database(error),
        }
    }
}

impl ControlPlane {
    /// The app's latest published tables, read from its schema.
    pub async fn latest_tables(&self, app: &App) -> Result<AppCatalog, sqlx::Error> {
        let logical_schema =
            Ident::parse(&app.logical_schema).map_err(|error| sqlx::Error::Decode(error.into()))?;
        AppCatalog::load(&self.apps, app.app_id, app.profile, &logical_schema).await
    }

    /// What publishing `text` would do. Changes nothing.
    pub async fn draft_schema(
        &self,
        app: &App,
        text: &str,
        dialect: Option<Dialect>,
    ) -> Result<SchemaDraft, SchemaError> {
        let current = self.latest_tables(app).await?.spec();
        let parsed = ddl::parse(text, dialect, &current).map_err(SchemaError::Problems)?;
        let plan = plan::plan(&current, parsed.tables.clone()).map_err(SchemaError::Refusals)?;
        Ok(SchemaDraft { current, parsed, plan })
    }

    /// Publish `text` as the app's next version, unless it has these tables already. With `seen`, only if that is still
    /// the latest version: what a person looked at is what is published.
    pub async fn publish_schema(
        &self,
        actor: &Actor,
        app: &App,
        text: &str,
        dialect: Option<Dialect>,
        seen: Option<i32>,
    ) -> Result<PublishedSchema, SchemaError> {
        let draft = self.draft_schema(app, text, dialect).await?;
        if seen.is_some_and(|seen| seen != draft.current.version) {
            return Err(SchemaError::Outdated);
        }
        if draft.plan.changes.is_empty() {
            return Ok(PublishedSchema { version: draft.current.version, changed: false, draft });
        }
        let since = self.begin_publication(app).await?;
        let publication = Publication { ddl: text, by: &actor.label(), at: since };
        let published =
            publish::publish(&self.apps, app.app_id, app.profile, &draft.plan, &publication).await;
        match published {
            Ok(()) => {
                let version = draft.plan.next.version;
                self.end_publication(app.app_id, since, version, Some((actor, app, &draft.plan))).await?;
                Ok(PublishedSchema { version, changed: true, draft })
            }
            Err(error) => {
                self.end_publication(app.app_id, since, draft.current.version, None).await?;
                Err(error.into())
            }
        }
    }

    /// Do what is left of publications that a process began at least a minute ago and did not end. A job calls it.
    /// Returns how many there were.
    pub async fn settle_publications(&self) -> Result<usize, sqlx::Error> {
        let before = self.clock.now() - time::Duration::minutes(1);
        let apps: Vec<App> = sqlx::query_as(concat!(
            "select ",
            app_columns!(),
            " from platform.app a where a.state = 'ready' and a.publishing_since < $1 order by a.app_id limit 100"
        ))
        .bind(before)
        .fetch_all(&self.pool)
        .await?;
        for app in &apps {
            let version = self.latest_tables(app).await?.schema_version;
            let since: Option<OffsetDateTime> =
                sqlx::query_scalar("select publishing_since from platform.app where app_id = $1")
                    .bind(app.app_id)
                    .fetch_optional(&self.pool)
                    .await?
                    .flatten();
            if let Some(since) = since.filter(|since| *since < before) {
                self.end_publication(app.app_id, since, version, None).await?;
            }
        }
        Ok(apps.len())
    }

    /// Step 1. The time is the publication's own: whoever began later has another, and only its own end ends it.
    async fn begin_publication(&self, app: &App) -> Result<OffsetDateTime, sqlx::Error> {
        let since = self.clock.now();
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "update platform.app set publishing_since = $3
             where tenant_id = $1 and app_id = $2 and state = 'ready'",
        )
        .bind(app.tenant_id)
        .bind(app.app_id)
        .bind(since)
        .execute(&mut *tx)
        .await?;
        changes::bump(&mut tx, &self.clock, Some(app.app_id)).await?;
        tx.commit().await?;
        Ok(since)
    }

    /// Step 3: the app has `version`, and no publication that began at `since` is under way.
    async fn end_publication(
        &self,
        app: AppId,
        since: OffsetDateTime,
        version: i32,
        published: Option<(&Actor, &App, &Plan)>,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "update platform.app
             set schema_version = greatest(schema_version, $3),
                 publishing_since = nullif(publishing_since, $2)
             where app_id = $1",
        )
        .bind(app)
        .bind(since)
        .bind(version)
        .execute(&mut *tx)
        .await?;
        if let Some((actor, app, plan)) = published {
            let detail = json!({ "version": version, "changes": plan.changes.len() });
            self.record_about(&mut tx, actor, app, Action::SchemaPublished, detail).await?;
        }
        changes::bump(&mut tx, &self.clock, Some(app)).await?;
        tx.commit().await
    }
}
