//! Where the PostgreSQL programs of this machine are, and of which version they are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::EmbeddedPostgresError;
use crate::ops::database::MINIMUM_MAJOR;

/// One installed PostgreSQL.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    /// Folder of `postgres` and `initdb`.
    pub(super) bin: PathBuf,
    /// The major version, for instance 15.
    pub(super) major: u32,
}

impl Programs {
    /// Find the programs to use: those of major version `wanted` (the data folder's) when there is a data folder,
    /// otherwise the first of `PG_BIN`, `pg_config --bindir`, `PATH`, the newest of `/usr/lib/postgresql`, Homebrew.
    pub(super) fn find(wanted: Option<u32>) -> Result<Self, EmbeddedPostgresError> {
        if let Some(bin) = env::var_os("PG_BIN").filter(|bin| !bin.is_empty()) {
            let bin = PathBuf::from(bin);
            return Self::at(&bin).ok_or(EmbeddedPostgresError::NotInPgBin(bin));
        }
        let mut found = candidates().into_iter().filter_map(|bin| Self::at(&bin));
        match wanted {
            None => found.next().ok_or(EmbeddedPostgresError::NoPrograms),
            Some(major) => {
                let found: Vec<_> = found.collect();
                let matching = found.iter().find(|programs| programs.major == major);
                matching.or(found.first()).cloned().ok_or(EmbeddedPostgresError::NoPrograms)
            }
        }
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.bin.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.bin.join("initdb")
    }

    /// The programs in `bin`, when it holds a server (a client package has `pg_config` and `psql` only) that is
    /// new enough to make a data folder with.
    fn at(bin: &Path) -> Option<Self> {
        let postgres = bin.join("postgres");
        if !postgres.is_file() || !bin.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(&postgres).arg("--version").output().ok()?;
        let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { bin: bin.to_owned(), major })
    }

    /// Refuse programs that are too old for our SQL.
    pub(super) fn new_enough(self) -> Result<Self, EmbeddedPostgresError> {
        match self.major {
            major if major < MINIMUM_MAJOR => {
                Err(EmbeddedPostgresError::TooOld { bin: self.bin, found: major, minimum: MINIMUM_MAJOR })
            }
            _ => Ok(self),
        }
    }
}

/// Folders that may hold the programs, best first.
fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    if let Some(path) = env::var_os("PATH") {
        folders.extend(env::split_paths(&path));
    }
    folders.extend(newest_first(Path::new("/usr/lib/postgresql"), "bin"));
    for homebrew in ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"] {
        folders.extend(newest_first(Path::new(homebrew), "bin"));
    }
    folders.retain(|folder| folder.is_absolute());
    folders
}

/// `{parent}/{version}/{below}` for every `15` or `postgresql@15` in `parent`, the newest version first.
fn newest_first(parent: &Path, below: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("postgresql@").unwrap_or(&name).parse().ok()?;
            Some((version, entry.path().join(below)))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// 15 of `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, 18 of `postgres (PostgreSQL) 18beta1`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split(") ").nth(1)?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_prints() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_version("postgres: not found"), None);
    }
}
