//! The control plane's outcomes: status, code and sentence of each.

use serde_json::{Value, json};

use super::ApiError;
use crate::control::{api_keys::KeyError, apps::schema::SchemaError, end_user_revocation::RevokeTokensError};

impl From<SchemaError> for ApiError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Problems(problems) => {
                let first = problems.first().map(|problem| format!(" The first: {}.", problem.reason));
                let message = format!("The text cannot be published.{}", first.unwrap_or_default());
                Self::bad_request("schema_invalid", message).with("problems", json!(problems))
            }
            SchemaError::Refusals(refusals) => {
                let refusals: Vec<Value> = refusals
                    .into_iter()
                    .map(|r| json!({ "table": r.table, "column": r.column, "reason": r.reason, "remedy": r.remedy }))
                    .collect();
                Self::conflict("schema_incompatible", "The change would break devices that sync already.")
                    .with("refusals", refusals)
            }
            SchemaError::Outdated => Self::conflict(
                "schema_outdated",
                "Another version was published meanwhile. Look at the latest one and publish again.",
            ),
            SchemaError::RowsInTheWay { table } => Self::conflict(
                "schema_rows_in_the_way",
                format!("Rows of the table {table} break a constraint that is new. Change them first."),
            ),
            SchemaError::Busy => {
                Self::unavailable("A table is in use by a long transaction. Try again in a moment.")
            }
            SchemaError::Database(error) => error.into(),
        }
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unknown => Self::authentication_failed("This is not an API key of this app."),
            KeyError::Revoked => Self::authentication_failed("This API key was revoked."),
            KeyError::Expired => Self::authentication_failed("This API key has expired."),
            KeyError::Database(error) => error.into(),
        }
    }
}

impl From<RevokeTokensError> for ApiError {
    fn from(error: RevokeTokensError) -> Self {
        match error {
            RevokeTokensError::TooMany => Self::conflict("too_many_revocations", error.to_string()),
            RevokeTokensError::Database(error) => error.into(),
        }
    }
}
