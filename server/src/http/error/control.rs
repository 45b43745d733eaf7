//! The control plane's outcomes: status, code and sentence of each.

use super::ApiError;
use crate::control::api_keys::KeyError;

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
