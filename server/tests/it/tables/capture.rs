//! Every write to a synced table becomes rows of a bundle, in the wire's form.

use serde_json::json;
use syncline::tables::spec::WireProfile;

use super::support::{TestTables, column, table};

/// The check value of PROTOCOL.md section 3.
#[tokio::test]
async fn a_bundle_has_the_hash_that_clients_compute() {
    let app = TestTables::new(WireProfile::Strings).await;
    app.publish_specs(json!([table(
        "numeric_values",
        vec![
            column("small_count", json!("smallint")),
            column("count", json!("integer")),
            column("large_count", json!("bigint")),
            column("ratio", json!("real")),
            column("score", json!("double")),
            column("amount", json!({"numeric": {"precision": 20, "scale": 10}})),
            column("enabled", json!("boolean")),
        ]
    )]))
    .await;
    app.sql(
        "insert into {schema}.numeric_values
         values ('ann', 'n-1', -32768, 2147483647, 9007199254740993, 1.2345678901234567, 5e-324,
             1234567890.123456789, true)",
    )
    .await
    .unwrap();

    let (rows, hash) = app.latest_bundle("ann").await;
    assert_eq!(
        rows,
        [json!({
            "schema": "business", "table": "numeric_values", "key": {"id": "n-1"}, "op": "INSERT", "row_version": 1,
            "payload": {
                "amount": "1234567890.1234567890", "count": "2147483647", "enabled": true, "id": "n-1",
                "large_count": "9007199254740993", "ratio": "1.2345678806304932", "score": "5e-324",
                "small_count": "-32768"
            }
        })]
    );
    assert_eq!(hash, "92fe0879f22de1e60f1bec5655f94cc641389e2ba5624666402a2a5cdd7150e3");
}
