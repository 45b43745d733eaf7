//! The tests' own databases.

use std::time::Duration;

use crate::support::database;

#[tokio::test]
async fn every_test_has_a_database_of_its_own_with_the_platforms_schema() {
    let (one, other) = tokio::join!(database::fresh(), database::fresh());
    let (one, other) = (one.databases().await.platform, other.pool().await);
    sqlx::query("create table public.only_here ()").execute(&one).await.unwrap();
    for (pool, expected) in [(&one, true), (&other, false)] {
        let there: bool = sqlx::query_scalar("select to_regclass('public.only_here') is not null")
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(there, expected);
        let accounts: i64 =
            sqlx::query_scalar("select count(*) from platform.account").fetch_one(pool).await.unwrap();
        assert_eq!(accounts, 0);
    }
}

#[tokio::test]
async fn a_database_is_dropped_when_its_test_lets_go() {
    let watcher = database::empty().await;
    let pool = watcher.pool().await;
    let gone = database::fresh().await;
    let name = gone.url.rsplit('/').next().unwrap().to_owned();
    let exists = "select exists (select from pg_database where datname = $1)";
    assert!(sqlx::query_scalar::<_, bool>(exists).bind(&name).fetch_one(&pool).await.unwrap());
    drop(gone);
    while sqlx::query_scalar::<_, bool>(exists).bind(&name).fetch_one(&pool).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
