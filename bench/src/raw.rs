//! The same writes in plain SQL on a PostgreSQL: the limit that the protocol's figures are held against.
//!
//! What a commit has to leave behind, in tables of a schema of its own: the business row, its history as served, its row
//! state, and the scope's counter.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::Result;
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::JoinSet;

use crate::{
    figures::{Figures, Recorder},
    process::Watched,
    rows::Keys,
    scenario::{SharedRecorder, finished},
};

const SETUP: &str = include_str!("raw/setup.sql");
/// One row: $1 scope, $2 key, $3 amount, $4 history.
const ONE_ROW: &str = include_str!("raw/one_row.sql");
/// Many rows: $1 scope, $2 keys, $3 amounts, $4 histories.
const MANY_ROWS: &str = include_str!("raw/many_rows.sql");
/// Business row and history only, parameters as in [`MANY_ROWS`].
const ROWS_AND_HISTORY: &str = include_str!("raw/rows_and_history.sql");

const BODY: &str = "A note of the usual length, as people write them on the way.";

/// Which writes.
#[derive(Debug, Clone, Copy)]
enum Work {
    OneRow,
    /// So many rows a statement.
    ManyRows(usize),
    RowsAndHistory(usize),
    CopyHistory(usize),
}

/// Measure all kinds of writes on the database at `url`, one row by each number of `clients` at once.
pub(crate) async fn run(
    url: &str,
    clients: &[usize],
    watched: Watched,
    duration: Duration,
    mut found: impl FnMut(Figures) -> Result<()>,
) -> Result<()> {
    let mut owner = PgConnection::connect(url).await?;
    owner.execute(SETUP).await?;
    for clients in clients {
        found(measure(url, watched, duration, Work::OneRow, *clients).await?)?;
    }
    for work in
        [Work::ManyRows(1_000), Work::ManyRows(5_000), Work::RowsAndHistory(5_000), Work::CopyHistory(5_000)]
    {
        for clients in [1, 4] {
            found(measure(url, watched, duration, work, clients).await?)?;
        }
    }
    owner.execute("drop schema bench_raw cascade").await?;
    Ok(owner.close().await?)
}

async fn measure(
    url: &str,
    watched: Watched,
    duration: Duration,
    work: Work,
    clients: usize,
) -> Result<Figures> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        let mut connection = PgConnection::connect(url).await?;
        let scope = format!("{}-{}", work.name(), uuid::Uuid::new_v4().simple());
        sqlx::query("insert into bench_raw.scope values ($1, 0)")
            .bind(&scope)
            .execute(&mut connection)
            .await?;
        connections.push((scope, connection));
    }
    let recorder: SharedRecorder = Rc::new(std::cell::RefCell::new(Recorder::start(watched)));
    let end = Instant::now() + duration;
    let mut workers = JoinSet::new();
    for (scope, mut connection) in connections {
        let recorder = recorder.clone();
        workers.spawn_local(async move {
            let mut keys = Keys::new();
            while Instant::now() < end {
                let (began, outcome) = work.once(&mut connection, &scope, &mut keys).await;
                recorder.borrow_mut().note(began, outcome);
            }
        });
    }
    workers.join_all().await;
    let recorder = finished(recorder);
    let rows = recorder.succeeded() * work.rows() as u64;
    Ok(recorder.end(work.name(), "postgresql", rows, "rows/s").with("clients", clients))
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::OneRow => "raw-one-row",
            Self::ManyRows(1_000) => "raw-1000-rows",
            Self::ManyRows(_) => "raw-5000-rows",
            Self::RowsAndHistory(_) => "raw-rows-and-history",
            Self::CopyHistory(_) => "raw-copy-history",
        }
    }

    fn rows(self) -> usize {
        match self {
            Self::OneRow => 1,
            Self::ManyRows(rows) | Self::RowsAndHistory(rows) | Self::CopyHistory(rows) => rows,
        }
    }

    /// One transaction; the values are made before the time that is answered.
    async fn once(
        self,
        connection: &mut PgConnection,
        scope: &str,
        keys: &mut Keys,
    ) -> (Instant, Result<()>) {
        let rows = keys.rows(self.rows());
        let amounts: Vec<i64> = rows.iter().map(|row| row.amount as i64).collect();
        let histories: Vec<String> = rows
            .iter()
            .map(|row| {
                format!(
                    r#"{{"schema":"main","table":"items","key":{{"id":"{}"}},"op":"INSERT","row_version":1,"payload":{{"amount":"{}","body":"{BODY}","done":true,"id":"{}","ratio":"0.5","title":"Item"}}}}"#,
                    row.key, row.amount, row.key
                )
            })
            .collect();
        let keys: Vec<String> = rows.into_iter().map(|row| row.key).collect();
        if let Self::CopyHistory(_) = self {
            return copy_history(connection, scope, &histories).await;
        }
        let began = Instant::now();
        let done = match self {
            Self::OneRow => {
                let query = sqlx::query(ONE_ROW).bind(scope).bind(&keys[0]).bind(amounts[0]);
                query.bind(&histories[0]).execute(connection).await
            }
            _ => {
                let text = if matches!(self, Self::ManyRows(_)) { MANY_ROWS } else { ROWS_AND_HISTORY };
                let query = sqlx::query(text).bind(scope).bind(&keys).bind(&amounts);
                query.bind(&histories).execute(connection).await
            }
        };
        (began, done.map(drop).map_err(Into::into))
    }
}

async fn copy_history(
    connection: &mut PgConnection,
    scope: &str,
    histories: &[String],
) -> (Instant, Result<()>) {
    let copy = uuid::Uuid::new_v4().simple();
    let text = histories.iter().enumerate().fold(String::new(), |mut text, (ordinal, history)| {
        text.push_str(&format!("{scope}-{copy}\t1\t{ordinal}\t{history}\n"));
        text
    });
    let began = Instant::now();
    let outcome = async {
        let mut copy = connection.copy_in_raw("copy bench_raw.history from stdin").await?;
        copy.send(text.as_bytes()).await?;
        copy.finish().await?;
        Ok(())
    };
    (began, outcome.await)
}
