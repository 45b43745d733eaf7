//! The files that tell PostgreSQL how to run. They are written anew at every start, so a new version of ours takes
//! effect on an old data folder; what an operator sets with `alter system` or in `custom.conf` wins.

use super::{Durability, folder::DataFolder};

/// `postgresql.conf`.
///
/// Sized for `memory`, the machine's in MiB: a quarter of it for buffers, where 2 GiB hold the hot rows of a thousand apps, and
/// the rest for connections and the page cache. Errors of statements are not logged, because their text holds rows of users; the server
/// logs them at its edge without.
pub(super) fn postgresql_conf(
    folder: &DataFolder,
    max_connections: u32,
    durability: Durability,
    memory: u64,
) -> String {
    let shared_buffers = (memory / 4).clamp(128, 2_048);
    let effective_cache_size = (memory / 2).max(256);
    let socket = folder.socket.display().to_string().replace('\'', "''");
    let durable = match durability {
        Durability::Durable => "on",
        Durability::Disposable => "off",
    };
    format!(
        "# Written by syncline at every start: put settings of your own into custom.conf.
listen_addresses = ''
port = 5432
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
max_connections = {max_connections}

# What was acknowledged is on disk.
fsync = {durable}
synchronous_commit = {durable}
full_page_writes = {durable}

shared_buffers = {shared_buffers}MB
effective_cache_size = {effective_cache_size}MB
maintenance_work_mem = 64MB
work_mem = 8MB
min_wal_size = 128MB
max_wal_size = 2GB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
random_page_cost = 1.1
# Statements are short; compiling them costs more than it saves.
jit = off
max_parallel_workers_per_gather = 0
# Many small schemas: dropping one takes a lock for each of its tables and indexes.
max_locks_per_transaction = 256
autovacuum_naptime = 15s
# A client that vanished in the middle of a transaction must not hold a scope's lock for ever.
idle_in_transaction_session_timeout = 5min

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_line_prefix = '%m [%p] %q%u@%d '
log_min_messages = log
log_checkpoints = off

include_if_exists = 'custom.conf'
"
    )
}

/// `pg_hba.conf`: the Unix socket only, and there the operating system says who it is.
pub(super) const PG_HBA_CONF: &str = "# Written by syncline at every start.
# TYPE  DATABASE  USER  METHOD
local   all       all   peer map=syncline
";

/// `pg_ident.conf`: root and the owner of the data folder may be the server's login role or the superuser.
pub(super) fn pg_ident_conf(folder: &DataFolder) -> String {
    let mut text = String::from("# Written by syncline at every start.\n# MAPNAME  SYSTEM-USER  ROLE\n");
    let mut users = vec!["root", folder.owner.name.as_str()];
    users.dedup();
    for user in users {
        for role in [super::LOGIN_ROLE, super::SUPERUSER] {
            text.push_str(&format!("syncline  \"{user}\"  {role}\n"));
        }
    }
    text
}
