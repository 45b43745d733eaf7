//! The private PostgreSQL.

use syncline::ops::embedded_postgres::{
    Durability, EmbeddedPostgres, EmbeddedPostgresError, EmbeddedSettings,
};

use crate::support::database::{remove_after_our_death, temporary_folder};

#[tokio::test]
async fn a_second_server_on_the_same_data_folder_is_refused() {
    let data_dir = temporary_folder("syncline-embedded");
    let _remover = remove_after_our_death(&data_dir);
    let settings = EmbeddedSettings { data_dir, max_connections: 10, durability: Durability::Disposable };
    let postgres = EmbeddedPostgres::start(&settings).await.unwrap();
    let refused = EmbeddedPostgres::start(&settings).await.unwrap_err();
    assert!(matches!(refused, EmbeddedPostgresError::InUse { pid: Some(_), .. }), "{refused}");
    postgres.stop().await;
    EmbeddedPostgres::start(&settings).await.expect("the folder is free again").stop().await;
}
