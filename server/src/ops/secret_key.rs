//! Where the server's secret key is: in the configuration, in a file that it names, or in the data folder, where the
//! first start makes one.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::config::Config;
use crate::{
    auth::sealing::{NoSecretKey, SecretKey},
    ids::Chance,
};

/// The key's file in the data folder.
const FILE: &str = "secret.key";

/// Why there is no key. One line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyError {
    #[error("SYNCLINE_SECRET_KEY {0}")]
    Text(NoSecretKey),
    #[error("the secret key in {} {source}", path.display())]
    File { path: PathBuf, source: NoSecretKey },
    #[error("the secret key cannot be read from {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the secret key cannot be kept in {}: {source}; or set SYNCLINE_SECRET_KEY", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("others may read the secret key in {}: run chmod 600 on it", path.display())]
    OpenToOthers { path: PathBuf },
}

impl SecretKey {
    /// The server's key.
    ///
    /// # Errors
    /// When it is not what it should be, or there is none and none can be kept.
    pub fn of(config: &Config, chance: &Chance) -> Result<Self, SecretKeyError> {
        if let Some(text) = &config.secrets.key {
            return Self::parse(text.expose()).map_err(SecretKeyError::Text);
        }
        if let Some(path) = &config.secrets.key_file {
            return read(path)?.ok_or_else(|| not_there(path));
        }
        let folder = config.database.data_dir();
        let path = folder.join(FILE);
        if let Some(key) = read_own(&path)? {
            return Ok(key);
        }
        let key = Self::generate(chance);
        keep(&folder, &path, &key)
            .map_err(|source| SecretKeyError::Unwritable { path: path.clone(), source })?;
        if config.database.url.is_some() {
            tracing::warn!(
                secret.file = %path.display(),
                "A secret key was made for this node alone. Give every node the same: set SYNCLINE_SECRET_KEY."
            );
        }
        // Somebody else may have been faster.
        read_own(&path)?.ok_or_else(|| not_there(&path))
    }
}

fn not_there(path: &Path) -> SecretKeyError {
    SecretKeyError::Unreadable { path: path.to_owned(), source: io::ErrorKind::NotFound.into() }
}

/// The key in our own folder; None if there is none. Its file is ours to keep from others; one that an orchestrator mounts
/// has what mode it has.
fn read_own(path: &Path) -> Result<Option<SecretKey>, SecretKeyError> {
    match fs::metadata(path) {
        Ok(file) if file.permissions().mode() & 0o077 != 0 => {
            Err(SecretKeyError::OpenToOthers { path: path.to_owned() })
        }
        // What else is wrong with it is found when it is read.
        _ => read(path),
    }
}

/// The key in that file; None if there is none.
fn read(path: &Path) -> Result<Option<SecretKey>, SecretKeyError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SecretKeyError::Unreadable { path: path.to_owned(), source }),
    };
    let key = SecretKey::parse(&text);
    key.map(Some).map_err(|source| SecretKeyError::File { path: path.to_owned(), source })
}

/// Write the key whole or not at all, and never over another.
fn keep(folder: &Path, path: &Path, key: &SecretKey) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!("{FILE}.{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", key.expose())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::File::open(folder)?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        std::env::temp_dir().join(format!("syncline-secret-key-{}", uuid::Uuid::now_v7()))
    }

    #[test]
    fn the_first_start_makes_a_key_that_later_ones_find() {
        let folder = folder();
        let mut config = Config::default();
        config.database.data_dir = Some(folder.clone());
        let chance = Chance::seeded(1);
        let made = SecretKey::of(&config, &chance).unwrap();
        assert_eq!(SecretKey::of(&config, &chance).unwrap().expose(), made.expose());
        let path = folder.join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let told = SecretKey::of(&config, &chance).unwrap_err().to_string();
        assert!(told.contains("chmod 600"), "{told}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nothing").unwrap();
        assert!(matches!(SecretKey::of(&config, &chance), Err(SecretKeyError::File { .. })));

        // Called the same, and mounted so that all may read it.
        let mounted = folder.join("mounted").join(FILE);
        config.secrets.key_file = Some(mounted.clone());
        assert!(matches!(SecretKey::of(&config, &chance), Err(SecretKeyError::Unreadable { .. })));
        fs::create_dir(mounted.parent().unwrap()).unwrap();
        fs::write(&mounted, made.expose()).unwrap();
        fs::set_permissions(&mounted, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(SecretKey::of(&config, &chance).unwrap().expose(), made.expose());
        fs::remove_dir_all(folder).unwrap();
    }
}
