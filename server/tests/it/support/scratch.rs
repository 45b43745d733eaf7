//! Folders of a test that do not outlive it, however it ends.

use std::{
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

/// A folder that is removed when this is dropped or this process has died, once PostgreSQL has left it.
///
/// A small process of the shell does it: its standard input ends when we are gone, whatever took us away.
#[derive(Debug)]
pub(crate) struct ScratchFolder {
    path: PathBuf,
    to_remover: ChildStdin,
    _remover: Child,
}

/// Reads the ids of processes to kill when the folder goes, each line replacing the one before.
const WAIT_AND_REMOVE: &str = r#"
    process=
    while read -r line; do process=$line; done
    [ -n "$process" ] && kill -9 "$process" 2>/dev/null
    waited=0
    while [ -e "$1/pg/postmaster.pid" ] && [ "$waited" -lt 100 ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    rm -rf "$1""#;

impl ScratchFolder {
    /// A new empty folder that PostgreSQL's user can reach. (`TMPDIR` of root may lie where only root can go.)
    pub(crate) fn new(prefix: &str) -> Self {
        let is_root = nix::unistd::Uid::effective().is_root();
        let parent = if is_root { PathBuf::from("/tmp") } else { std::env::temp_dir() };
        let path = parent.join(format!("{prefix}-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir(&path).unwrap();
        let mut remover = Command::new("sh")
            .args(["-c", WAIT_AND_REMOVE, "remover"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C that ends the tests must not end it.
            .process_group(0)
            .spawn()
            .unwrap();
        let to_remover = remover.stdin.take().unwrap();
        Self { path, to_remover, _remover: remover }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Kill the group that this process leads, and no longer another one, before the folder is removed.
    pub(crate) fn kill_group_at_the_end(&mut self, leader: u32) {
        self.tell(&format!("-{leader}"));
    }

    /// Kill this process, and no longer another, before the folder is removed. None: no process.
    pub(crate) fn kill_at_the_end(&mut self, process: Option<u32>) {
        self.tell(&process.map_or_else(String::new, |process| process.to_string()));
    }

    fn tell(&mut self, line: &str) {
        // It can only be gone when somebody killed it; the folder then stays.
        let _ = writeln!(self.to_remover, "{line}");
    }
}
