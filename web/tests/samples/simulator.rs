//! The two-device simulator.

use syncline_web::pages::{simulator::*, values::*};
use time::Duration;

use super::*;

fn shelf(is_online: bool, rows: Vec<ShelfRow>) -> Shelf {
    Shelf { is_online, checkpoint: 1, rows }
}

fn row(table: &str, title: &str, version: i64, is_pending: bool) -> ShelfRow {
    let id = "0197f0c2-a4f8-7c3e-b1d2-f60a9be40000";
    ShelfRow {
        table: table.into(),
        values: vec![
            ("title".into(), Value::text(title)),
            ("id".into(), Value::text(id)),
            ("done".into(), Value::text("false")),
            ("due".into(), Value::Null),
        ],
        version,
        is_pending,
        is_deleted: false,
    }
}

fn exchange(path: &str, sent: &str, status: u16, answered: &str) -> Exchange {
    Exchange {
        device: "Tablet".into(),
        method: if path.contains("pull") { "GET" } else { "POST" }.into(),
        path: path.into(),
        sent: sent.into(),
        status: Some(status),
        answered: answered.into(),
        request: format!(
            "POST …/{path}\nAuthorization: Bearer …\nOversync-Source-ID: simulated-tablet-1\n\n{{}}"
        ),
        response: "{\n  \"error\": \"push_conflict\"\n}".into(),
    }
}

fn steps() -> Vec<Step> {
    let both =
        |version| vec![row("task", "Made on the phone", version, false), row("project", "phone", 1, false)];
    let step = |title: &str, sentence: &str, kind, exchanges, phone, tablet| Step {
        title: title.into(),
        sentence: sentence.into(),
        kind,
        exchanges,
        phone,
        tablet,
    };
    vec![
        step(
            "Two devices connect",
            "A phone and a tablet of one user introduce themselves. Nobody has written anything yet.",
            StepKind::Plain,
            vec![exchange(
                "sync/connect",
                "I am new here and have no rows of my own.",
                200,
                "You are the first: begin with nothing.",
            )],
            shelf(true, vec![]),
            shelf(true, vec![]),
        ),
        step(
            "Both go offline and change the row",
            "On a train, and in a cellar, both change title of the same row. No request is made: the app goes on working.",
            StepKind::Offline,
            vec![],
            shelf(false, vec![row("task", "Changed on the phone", 1, true)]),
            shelf(false, vec![row("task", "Changed on the tablet", 1, true)]),
        ),
        step(
            "The tablet meets a conflict",
            "The tablet’s change is based on version 1 too, but the row has version 2 now.",
            StepKind::Conflict,
            vec![
                exchange(
                    "sync/push-sessions",
                    "I am going to upload 1 row, as my bundle 1.",
                    200,
                    "Go ahead.",
                ),
                exchange(
                    "sync/push-sessions/0197f0c2-a4f8-7c3e-b1d2-f60a9be40000/commit",
                    "Commit them, all or none.",
                    409,
                    "No: UPDATE of table \"task\", key \"1\", is based on version 1, but the server has version 2. Nothing was changed.",
                ),
            ],
            shelf(true, both(2)),
            shelf(true, vec![row("task", "Changed on the tablet", 1, true)]),
        ),
        step(
            "Both hold the same rows",
            "The two are the same.",
            StepKind::Converged,
            vec![],
            shelf(true, both(3)),
            shelf(true, both(3)),
        ),
    ]
}

pub fn samples() -> Vec<Sample> {
    let simulation = |steps: Vec<Step>, is_running| Simulation {
        user: "simulator:1f0a9be4".into(),
        table: "task".into(),
        parents: vec!["account".into(), "project".into()],
        started_at: ago(Duration::seconds(20)),
        started_by: "maya@fieldnotes.example".into(),
        removed_at: ago(Duration::minutes(-14)),
        conflict: (steps.len() > 2).then(|| "cfl_1".into()),
        steps,
        is_running,
        failure: None,
    };
    let page = |shell: Shell, table: Result<&str, &str>, simulation| SimulatorPage {
        shell: shell.at(Area::Simulator),
        table: table.map(str::to_owned).map_err(str::to_owned),
        simulation,
    };
    let stopped = Simulation { steps: vec![], ..simulation(vec![], false) };
    vec![
        sample("simulator-empty", &page(app_shell(), Ok("task"), None)),
        sample("simulator-typical", &page(app_shell(), Ok("task"), Some(simulation(steps(), false)))),
        sample(
            "simulator-extreme",
            &page(extreme_owner(), Ok(LONG), Some(extreme(simulation(steps(), false)))),
        ),
        sample("simulator-extreme-empty", &page(extreme_shell(), Ok(&worst()), None)),
        sample(
            "simulator-running",
            &page(app_shell(), Ok("task"), Some(simulation(steps()[..2].to_vec(), true))),
        ),
        sample("simulator-stopped", &page(app_shell(), Ok("task"), Some(stopped))),
        sample(
            "simulator-none",
            &page(app_shell(), Err("The app has no tables yet. Publish its schema first."), None),
        ),
    ]
}

fn extreme(simulation: Simulation) -> Simulation {
    let mut steps = simulation.steps;
    for (number, step) in steps.iter_mut().enumerate() {
        let mut row = row(&worst(), &worst(), i64::MAX, true);
        let value = (worst(), Value::text(&worst()));
        row.values = vec![value; if number == 2 { COLUMNS } else { 1 }];
        let deleted = ShelfRow { is_deleted: true, ..row.clone() };
        (step.title, step.sentence) = (worst(), worst());
        step.tablet.rows = vec![row.clone(), row, deleted];
        for exchange in &mut step.exchanges {
            (exchange.sent, exchange.answered, exchange.path) = (worst(), worst(), worst());
            exchange.response = HOSTILE.repeat(99);
            exchange.status = None;
        }
    }
    Simulation {
        user: worst(),
        table: worst(),
        parents: vec![worst(), worst()],
        started_by: worst_email(),
        failure: Some(worst()),
        steps,
        ..simulation
    }
}
