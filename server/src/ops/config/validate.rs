//! What a configuration must obey beyond its types. Clients check some of these rules on what
//! `sync/capabilities` tells them, so a server that broke them would be refused by every device.

use axum::http::Uri;

use super::{Config, ConfigError, LimitsConfig, load::variable_of};
use crate::auth::sealing::SecretKey;

impl Config {
    /// Bring values into the one form that the code expects.
    pub(super) fn normalize(&mut self) {
        if let Some(url) = &mut self.http.public_url {
            url.truncate(url.trim_end_matches('/').len());
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if let Some(url) = &self.http.public_url {
            check(
                is_origin(url),
                "http.public_url",
                "must be a URL like https://sync.example.com, without a path",
            )?;
        }
        let url = self.database.url.as_ref();
        let is_postgres = url.is_none_or(|url| {
            url.as_str().starts_with("postgres://") || url.as_str().starts_with("postgresql://")
        });
        check(is_postgres, "database.url", "must begin with postgres://")?;
        positive("database.platform_connections", i64::from(self.database.platform_connections))?;
        positive("database.app_connections", i64::from(self.database.app_connections))?;
        check(
            self.database.acquire_timeout_seconds > 0,
            "database.acquire_timeout_seconds",
            "must be positive",
        )?;
        positive("retention.min_bundles", self.retention.min_bundles)?;
        positive("retention.max_age_days", self.retention.max_age_days.unwrap_or(1))?;
        if let Some(Err(rule)) = self.secrets.key.as_ref().map(|key| SecretKey::parse(key.expose())) {
            check(false, "secrets.key", rule.to_string())?;
        }
        self.limits.validate()
    }
}

impl LimitsConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let limits = serde_json::to_value(self).expect("BUG: the limits are plain data");
        for (key, value) in limits.as_object().expect("BUG: the limits have keys") {
            positive(&format!("limits.{key}"), value.as_i64().unwrap_or(i64::MAX))?;
        }
        at_most(
            "default_bundles_per_pull",
            self.default_bundles_per_pull,
            "max_bundles_per_pull",
            self.max_bundles_per_pull,
        )?;
        at_most(
            "max_bytes_per_pull",
            self.max_bytes_per_pull,
            "max_bytes_per_pulled_bundle",
            self.max_bytes_per_pulled_bundle,
        )?;
        at_most(
            "default_rows_per_push_chunk",
            self.default_rows_per_push_chunk,
            "max_rows_per_push_chunk",
            self.max_rows_per_push_chunk,
        )?;
        at_most(
            "default_rows_per_committed_bundle_chunk",
            self.default_rows_per_committed_bundle_chunk,
            "max_rows_per_committed_bundle_chunk",
            self.max_rows_per_committed_bundle_chunk,
        )?;
        at_most(
            "default_rows_per_snapshot_chunk",
            self.default_rows_per_snapshot_chunk,
            "max_rows_per_snapshot_chunk",
            self.max_rows_per_snapshot_chunk,
        )?;
        at_most(
            "max_bytes_per_snapshot_row",
            self.max_bytes_per_snapshot_row,
            "default_bytes_per_snapshot_chunk",
            self.default_bytes_per_snapshot_chunk,
        )?;
        at_most(
            "default_bytes_per_snapshot_chunk",
            self.default_bytes_per_snapshot_chunk,
            "max_bytes_per_snapshot_chunk",
            self.max_bytes_per_snapshot_chunk,
        )
    }
}

fn check(holds: bool, key: &str, rule: impl Into<String>) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Rule { key: key.to_owned(), variable: variable_of(key), rule: rule.into() })
}

fn positive(key: &str, value: i64) -> Result<(), ConfigError> {
    check(value > 0, key, format!("must be positive, and is {value}"))
}

/// One limit must not be above another.
fn at_most(key: &str, value: i64, other: &str, maximum: i64) -> Result<(), ConfigError> {
    check(
        value <= maximum,
        &format!("limits.{key}"),
        format!("is {value} and must not be above limits.{other}, which is {maximum}"),
    )
}

/// `http` or `https`, a host, perhaps a port, and nothing more.
fn is_origin(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.path() == "/"
        && uri.query().is_none()
        && !url.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(variables: &[(&str, &str)]) -> String {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, environment).unwrap_err().to_string()
    }

    #[test]
    fn what_clients_check_is_checked_here_first() {
        assert_eq!(
            rejected(&[("SYNCLINE_LIMITS_MAX_BYTES_PER_SNAPSHOT_ROW", "5000000")]),
            "limits.max_bytes_per_snapshot_row (SYNCLINE_LIMITS_MAX_BYTES_PER_SNAPSHOT_ROW) is 5000000 and must not be above limits.default_bytes_per_snapshot_chunk, which is 4194304"
        );
        assert_eq!(
            rejected(&[("SYNCLINE_LIMITS_DEFAULT_ROWS_PER_PUSH_CHUNK", "6000")]),
            "limits.default_rows_per_push_chunk (SYNCLINE_LIMITS_DEFAULT_ROWS_PER_PUSH_CHUNK) is 6000 and must not be above limits.max_rows_per_push_chunk, which is 5000"
        );
    }

    #[test]
    fn zero_and_less_are_refused_for_every_limit() {
        for key in super::super::load::keys().iter().filter(|key| key.starts_with("limits.")) {
            let variable = variable_of(key);
            assert!(rejected(&[(&variable, "0")]).contains("must be positive"), "{variable}");
        }
    }

    #[test]
    fn the_public_url_is_an_origin() {
        let with = |url: &str| {
            Config::load(None, [("SYNCLINE_PUBLIC_URL".to_owned(), url.to_owned())])
                .map(|loaded| loaded.config.http.base_url())
        };
        assert_eq!(with("https://sync.example.com/").unwrap(), "https://sync.example.com");
        assert_eq!(with("http://localhost:8080").unwrap(), "http://localhost:8080");
        for wrong in
            ["sync.example.com", "ftp://a", "https://a/b", "https://a?b", "https://u@a", "https://", "/"]
        {
            assert!(with(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_in_the_database_url_is_not_shown() {
        let environment = [("DATABASE_URL".to_owned(), "postgres://u:hunter2@h/d".to_owned())];
        let loaded = Config::load(None, environment).unwrap();
        assert!(!format!("{loaded:?}").contains("hunter2"));
        assert_eq!(
            rejected(&[("DATABASE_URL", "mysql://u:hunter2@h/d")]),
            "database.url (DATABASE_URL) must begin with postgres://"
        );
    }
}
