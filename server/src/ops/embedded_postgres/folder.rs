//! The data folder: what is in it, whose it is, and that only one server uses it.
//!
//! ```text
//! {data_dir}/lock      flock held by the server for as long as its PostgreSQL may run; holds the server's pid
//! {data_dir}/pg        the cluster; appears by a rename when it is complete
//! {data_dir}/pg.new    a cluster that is being made; thrown away when found at start
//! {data_dir}/socket    the Unix socket (in the temporary folder when this path is too long for one)
//! ```

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write as _},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::{Uid, User};
use sha2::{Digest, Sha256};

use super::EmbeddedPostgresError;

/// The longest path of a socket that every system accepts, in bytes (Linux 107, macOS 103).
const MAX_SOCKET_PATH: usize = 103;
/// The name that PostgreSQL gives to the socket of port 5432.
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// A data folder that exists.
#[derive(Debug, Clone)]
pub(super) struct DataFolder {
    root: PathBuf,
    /// The folder of the Unix socket.
    pub(super) socket: PathBuf,
    pub(super) owner: Owner,
}

/// The operating system's user that PostgreSQL runs as, which owns its files.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) name: String,
    /// We are root and PostgreSQL refuses to be: its processes must change user.
    pub(super) switch: bool,
}

/// Held for as long as a PostgreSQL of ours may run on the folder.
#[derive(Debug)]
pub(super) struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread is just starting has a copy until it execs.
        let _ = self.0.unlock();
    }
}

impl DataFolder {
    /// Open the data folder at `path`, made when it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, EmbeddedPostgresError> {
        let failed = |source| EmbeddedPostgresError::io("cannot open the data folder", path, source);
        fs::create_dir_all(path).map_err(failed)?;
        let root = path.canonicalize().map_err(failed)?;
        let owner = Owner::of(&root)?;
        let socket = socket_folder(&root);
        let folder = Self { root, socket, owner };
        folder.check_reachable()?;
        Ok(folder)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn cluster(&self) -> PathBuf {
        self.root.join("pg")
    }

    pub(super) fn unfinished_cluster(&self) -> PathBuf {
        self.root.join("pg.new")
    }

    pub(super) fn socket_file(&self) -> PathBuf {
        self.socket.join(SOCKET_NAME)
    }

    /// Lock the folder, or say which process has it.
    pub(super) fn lock(&self) -> Result<FolderLock, EmbeddedPostgresError> {
        let path = self.root.join("lock");
        let failed = |source| EmbeddedPostgresError::io("cannot lock the data folder", &path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                let folder = self.root.clone();
                return Err(EmbeddedPostgresError::InUse { folder, pid: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(FolderLock(file))
    }

    /// The major version that made the cluster; None when there is no cluster yet.
    pub(super) fn cluster_version(&self) -> Result<Option<u32>, EmbeddedPostgresError> {
        let cluster = self.cluster();
        match fs::read_to_string(cluster.join("PG_VERSION")) {
            Ok(text) => match text.trim().parse() {
                Ok(major) => Ok(Some(major)),
                Err(_) => Err(EmbeddedPostgresError::NotACluster(cluster)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let empty = fs::read_dir(&cluster).map_or(true, |mut entries| entries.next().is_none());
                if empty { Ok(None) } else { Err(EmbeddedPostgresError::NotACluster(cluster)) }
            }
            Err(source) => Err(EmbeddedPostgresError::io("cannot read", &cluster, source)),
        }
    }

    /// Make the folder of the socket, private to PostgreSQL's user.
    pub(super) fn make_socket_folder(&self) -> Result<(), EmbeddedPostgresError> {
        let failed =
            |source| EmbeddedPostgresError::io("cannot make the socket's folder", &self.socket, source);
        self.make_private_dir(&self.socket).map_err(failed)?;
        // Somebody else's folder of that name could be in the temporary folder.
        let found = fs::symlink_metadata(&self.socket).map_err(failed)?;
        if !found.is_dir() || found.uid() != self.owner.uid {
            return Err(failed(io::Error::other("it belongs to another user")));
        }
        fs::set_permissions(&self.socket, fs::Permissions::from_mode(0o700)).map_err(failed)
    }

    /// A folder with mode 0700 that PostgreSQL's user owns; fine when it is there already.
    pub(super) fn make_private_dir(&self, path: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) if self.owner.switch => {
                std::os::unix::fs::chown(path, Some(self.owner.uid), Some(self.owner.gid))
            }
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Replace a file of the cluster. The new file is made under a name of its own and renamed, so a crash leaves
    /// one of the two whole, and a symbolic link in its place is replaced and not followed.
    pub(super) fn write_cluster_file(&self, name: &str, text: &str) -> Result<(), EmbeddedPostgresError> {
        let path = self.cluster().join(name);
        let next = self.cluster().join(format!("{name}.next"));
        let write = || -> io::Result<()> {
            match fs::remove_file(&next) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
            file.write_all(text.as_bytes())?;
            if self.owner.switch {
                std::os::unix::fs::fchown(&file, Some(self.owner.uid), Some(self.owner.gid))?;
            }
            fs::rename(&next, &path)
        };
        write().map_err(|source| EmbeddedPostgresError::io("cannot write", &path, source))
    }

    /// Root can put the folder where PostgreSQL's user cannot go (under `/root`, say): tell before initdb fails.
    fn check_reachable(&self) -> Result<(), EmbeddedPostgresError> {
        let closed = self.root.ancestors().find(|folder| {
            fs::metadata(folder).is_ok_and(|found| {
                let may_enter = match () {
                    () if found.uid() == self.owner.uid => 0o100,
                    () if found.gid() == self.owner.gid => 0o010,
                    () => 0o001,
                };
                found.mode() & may_enter == 0
            })
        });
        match closed {
            None => Ok(()),
            Some(closed) => Err(EmbeddedPostgresError::Unreachable {
                folder: self.root.clone(),
                closed: closed.to_owned(),
                user: self.owner.name.clone(),
            }),
        }
    }
}

impl Owner {
    /// Ourselves; for root the owner of the cluster or its folder, or else the user `postgres`.
    fn of(root: &Path) -> Result<Self, EmbeddedPostgresError> {
        let lookup = |source: nix::Error| {
            EmbeddedPostgresError::io("cannot look up the owner of", root, io::Error::from(source))
        };
        let us = Uid::effective();
        if !us.is_root() {
            let user = User::from_uid(us).map_err(lookup)?;
            let user = user.ok_or(EmbeddedPostgresError::NamelessUser(us.as_raw()))?;
            return Ok(Self::new(user, false));
        }
        for folder in [root.join("pg"), root.to_owned()] {
            let uid = fs::metadata(folder).map_or(0, |found| found.uid());
            if uid != 0 {
                let user = User::from_uid(Uid::from_raw(uid)).map_err(lookup)?;
                return user
                    .map(|user| Self::new(user, true))
                    .ok_or(EmbeddedPostgresError::NamelessUser(uid));
            }
        }
        let user = User::from_name("postgres").map_err(lookup)?;
        user.map(|user| Self::new(user, true)).ok_or(EmbeddedPostgresError::NoPostgresUser)
    }

    fn new(user: User, switch: bool) -> Self {
        Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name, switch }
    }
}

/// `{root}/socket`, or a folder with a short name in the temporary folder that every start finds again.
fn socket_folder(root: &Path) -> PathBuf {
    let beside = root.join("socket");
    if beside.join(SOCKET_NAME).as_os_str().len() <= MAX_SOCKET_PATH {
        return beside;
    }
    let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
    let name = digest.iter().take(8).fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    });
    Path::new("/tmp").join(format!("syncline-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_lies_beside_the_cluster_unless_its_path_would_be_too_long() {
        assert_eq!(socket_folder(Path::new("/var/lib/syncline")), Path::new("/var/lib/syncline/socket"));
        let deep = PathBuf::from(format!("/{}", "d".repeat(120)));
        let short = socket_folder(&deep);
        assert!(short.join(SOCKET_NAME).as_os_str().len() <= MAX_SOCKET_PATH);
        assert_eq!(short, socket_folder(&deep));
        assert_ne!(short, socket_folder(&deep.join("other")));
    }
}
