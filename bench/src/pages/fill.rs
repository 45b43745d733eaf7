//! Filling an app as if it had been in use for a year: by SQL, set by set, because a million rows take devices an hour.

use anyhow::{Context, Result, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::site::Site;

const NAMES: &str = include_str!("fill/names.sql");
const EMPTY: &str = include_str!("fill/empty.sql");
/// In this order, in one transaction.
const PARTS: [&str; 4] = [
    include_str!("fill/rows.sql"),
    include_str!("fill/devices.sql"),
    include_str!("fill/ledgers.sql"),
    include_str!("fill/tenant.sql"),
];

/// How much of it there is.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Amount {
    #[arg(long, default_value_t = 10_000)]
    users: u32,
    #[arg(long, default_value_t = 100_000)]
    devices: u32,
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
}

/// Fill the app of `site`, which must hold nothing.
pub(super) async fn fill(database: &mut PgConnection, site: &Site, amount: Amount) -> Result<()> {
    let Amount { users, devices, rows } = amount;
    ensure!(
        users >= 10 && devices / 2 >= users && rows / 10 >= users,
        "too few of something to be shared out"
    );
    let holds: bool =
        sqlx::query(AssertSqlSafe(named(EMPTY, site, amount))).fetch_one(&mut *database).await?.get(0);
    ensure!(!holds, "the app holds something already: make another with `syncline provision`");
    let mut tx = database.begin().await?;
    for part in [NAMES].iter().chain(&PARTS) {
        sqlx::raw_sql(AssertSqlSafe(named(part, site, amount)))
            .execute(&mut *tx)
            .await
            .with_context(|| part.lines().next().unwrap_or_default().to_owned())?;
    }
    tx.commit().await?;
    // As autovacuum would leave it.
    let schema = &site.schema;
    let tables = sqlx::query(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ($1, 'platform')",
    );
    for table in tables.bind(schema).fetch_all(&mut *database).await? {
        let sql = format!("vacuum (analyze) {}", table.get::<String, _>(0));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *database).await?;
    }
    Ok(())
}

fn named(sql: &str, site: &Site, amount: Amount) -> String {
    sql.replace("{schema}", &site.schema)
        .replace("{table}", &site.table)
        .replace("{tenant}", &site.tenant_id)
        .replace("{users}", &amount.users.to_string())
        .replace("{devices}", &amount.devices.to_string())
        .replace("{rows}", &amount.rows.to_string())
}
