//! Where the configuration comes from.

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Format, Serialized, Toml},
    value::Value,
};

use super::Config;

/// A configuration that has been read and checked.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// Variables that begin like ours and set nothing: most likely misspelt.
    pub unknown_variables: Vec<String>,
}

/// Why there is no configuration. One line that names the key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration file {} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the configuration file {} is not valid: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{variable} is not valid: {reason}")]
    Variable { variable: String, reason: String },
    #[error("{key} ({variable}) {rule}")]
    Rule { key: String, variable: String, rule: String },
}

/// Variables with names of their own.
const SHORT_NAMES: [(&str, &str); 6] = [
    ("SYNCLINE_LISTEN", "http.listen"),
    ("SYNCLINE_PUBLIC_URL", "http.public_url"),
    ("SYNCLINE_DATA_DIR", "database.data_dir"),
    ("DATABASE_URL", "database.url"),
    ("SYNCLINE_SECRET_KEY", "secrets.key"),
    ("SYNCLINE_SECRET_KEY_FILE", "secrets.key_file"),
];
/// A variable of ours that is no setting: which file to read.
pub(super) const FILE_VARIABLE: &str = "SYNCLINE_CONFIG";
const PREFIX: &str = "SYNCLINE_";

impl Config {
    /// Defaults, over them the file, over them the variables of the environment. A key `limits.max_bytes_per_pull` is
    /// set by `SYNCLINE_LIMITS_MAX_BYTES_PER_PULL`; a variable that is set to nothing counts as not set.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = file {
            figment = figment.merge(Toml::string(&read(path)?));
            // Read now, so that a mistake in the file is not blamed on a variable.
            figment
                .extract::<Self>()
                .map_err(|error| ConfigError::File { path: path.to_owned(), reason: first_line(&error) })?;
        }
        let keys = keys();
        let mut unknown_variables = Vec::new();
        for (variable, value) in environment {
            let is_ours = variable.starts_with(PREFIX) || variable == "DATABASE_URL";
            if !is_ours || variable == FILE_VARIABLE || value.is_empty() {
                continue;
            }
            match keys.iter().find(|key| variable_of(key) == variable || long_variable_of(key) == variable) {
                Some(key) => figment = set(figment, key, &variable, value)?,
                None => unknown_variables.push(variable),
            }
        }
        let mut config: Self = figment.extract().map_err(|error| ConfigError::Variable {
            variable: "the environment".to_owned(),
            reason: first_line(&error),
        })?;
        config.normalize();
        config.validate()?;
        Ok(Loaded { config, unknown_variables })
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// Set one key from a variable's text, or say what the text should be.
fn set(figment: Figment, key: &str, variable: &str, text: String) -> Result<Figment, ConfigError> {
    // The text means what the key's type makes of it: try it as number or truth value, then as plain text.
    let parsed: Value = text.parse().expect("BUG: parsing a value cannot fail");
    let typed = figment.clone().merge((key, parsed));
    let Err(error) = typed.extract::<Config>() else { return Ok(typed) };
    let plain = figment.merge((key, text));
    if plain.extract::<Config>().is_ok() {
        return Ok(plain);
    }
    Err(ConfigError::Variable { variable: variable.to_owned(), reason: error.kind.to_string() })
}

/// Every key, as `section.key`.
pub(super) fn keys() -> Vec<String> {
    let sections = serde_json::to_value(Config::default()).expect("BUG: the configuration is plain data");
    let sections = sections.as_object().expect("BUG: the configuration has sections");
    let keys_of = |(section, keys): (&String, &serde_json::Value)| {
        let keys = keys.as_object().expect("BUG: a section has keys");
        keys.keys().map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
    };
    sections.iter().flat_map(keys_of).collect()
}

/// The variable that the documentation names for a key.
pub(super) fn variable_of(key: &str) -> String {
    let short = SHORT_NAMES.iter().find(|(_, named)| *named == key);
    short.map_or_else(|| long_variable_of(key), |(variable, _)| (*variable).to_owned())
}

fn long_variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

fn first_line(error: &figment::Error) -> String {
    let mut line = error.kind.to_string();
    if !error.path.is_empty() {
        line.push_str(&format!(" for {}", error.path.join(".")));
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Write};

    use super::*;

    fn from_environment(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        Config::load(None, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn from_file(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let path = std::env::temp_dir().join(format!("syncline-config-{}.toml", uuid::Uuid::now_v7()));
        std::fs::File::create_new(&path).unwrap().write_all(text.as_bytes()).unwrap();
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let loaded = Config::load(Some(&path), environment);
        std::fs::remove_file(path).unwrap();
        loaded
    }

    #[test]
    fn without_file_and_variables_the_defaults_hold() {
        assert_eq!(from_environment(&[("PATH", "/bin")]).unwrap().config, Config::default());
    }

    #[test]
    fn a_variable_wins_over_the_file_and_the_file_over_the_default() {
        let file = "[http]\nlisten = \"0.0.0.0:9000\"\n[database]\nplatform_connections = 3\n";
        let config = from_file(file, &[("SYNCLINE_LISTEN", "127.0.0.1:7000")]).unwrap().config;
        assert_eq!(config.http.listen.port(), 7000);
        assert_eq!(config.database.platform_connections, 3);
        assert_eq!(config.database.app_connections, Config::default().database.app_connections);
    }

    #[test]
    fn every_key_can_be_set_by_its_variable() {
        for key in keys() {
            let value = match key.as_str() {
                "http.listen" => "127.0.0.1:7000",
                "http.public_url" => "https://sync.example.com",
                "http.behind_proxy" => "true",
                "database.url" => "postgres://db.example.com/syncline",
                "database.data_dir" => "/srv/1234",
                "secrets.key" => "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=",
                "telemetry.log" => "warn",
                "telemetry.format" => "json",
                // Within the rules about other keys, and no default.
                "limits.default_bytes_per_snapshot_chunk" => "5000000",
                key if key.contains("default_") || key == "limits.max_bytes_per_snapshot_row" => "17",
                _ => "16777215",
            };
            let variable = variable_of(&key);
            let loaded =
                from_environment(&[(&variable, value)]).unwrap_or_else(|e| panic!("{variable}: {e}"));
            assert_ne!(loaded.config, Config::default(), "{variable} sets {key}");
            assert!(loaded.unknown_variables.is_empty());
        }
    }

    #[test]
    fn text_that_looks_like_a_number_is_text_where_text_is_wanted() {
        let config = from_environment(&[("SYNCLINE_DATA_DIR", "2026")]).unwrap().config;
        assert_eq!(config.database.data_dir(), Path::new("2026"));
    }

    #[test]
    fn a_mistake_is_told_in_one_line_that_names_the_key() {
        let wrong = |variables| from_environment(variables).unwrap_err().to_string();
        assert_eq!(
            wrong(&[("SYNCLINE_LISTEN", "nowhere")]),
            "SYNCLINE_LISTEN is not valid: invalid socket address syntax"
        );
        assert_eq!(
            wrong(&[("SYNCLINE_DATABASE_APP_CONNECTIONS", "many")]),
            "SYNCLINE_DATABASE_APP_CONNECTIONS is not valid: invalid type: found string \"many\", expected u32"
        );
        let in_file = from_file("[http]\nlisen = \"x\"", &[]).unwrap_err().to_string();
        assert!(in_file.contains("unknown field: found `lisen`"), "{in_file}");
        assert!(!in_file.contains('\n'));
        let not_toml = from_file("[http\n", &[]).unwrap_err().to_string();
        assert!(!not_toml.contains('\n'), "{not_toml}");
        let missing = Config::load(Some(Path::new("/nowhere/syncline.toml")), []).unwrap_err().to_string();
        assert!(
            missing.starts_with("the configuration file /nowhere/syncline.toml cannot be read"),
            "{missing}"
        );
    }

    #[test]
    fn a_misspelt_variable_is_told() {
        let loaded = from_environment(&[("SYNCLINE_LISTN", "1"), ("SYNCLINE_CONFIG", "x")]).unwrap();
        assert_eq!(loaded.unknown_variables, ["SYNCLINE_LISTN"]);
    }

    #[test]
    fn the_example_file_lists_every_key_with_a_comment_and_its_default() {
        let example = include_str!("../../../../deploy/config.example.toml");
        assert_eq!(from_file(example, &[]).unwrap().config, Config::default());

        let mut listed = BTreeMap::new();
        let (mut section, mut commented) = ("", false);
        for line in example.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
            }
            // A key without a default is there as a comment: `#key = …`.
            let entry = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line);
            if let Some((key, _)) = entry.split_once(" = ").filter(|_| !entry.starts_with('#')) {
                assert!(commented, "{section}.{key} has a comment above it");
                listed.insert(format!("{section}.{key}"), ());
            }
            commented = line.starts_with("# ");
        }
        let mut keys = keys();
        keys.sort();
        assert_eq!(listed.into_keys().collect::<Vec<_>>(), keys);
    }
}
