//! Refused writes.

use syncline_web::pages::{history::Op, rejected_writes::*, values::*};
use time::Duration;

use super::*;

pub fn samples() -> Vec<Sample> {
    [lists(), details()].concat()
}

fn rejected_write(message: &str, state: WriteState) -> RejectedWriteRow {
    RejectedWriteRow {
        id: "rej_1".into(),
        last_at: ago(Duration::minutes(2)),
        code: "push_commit_invalid".into(),
        message: message.into(),
        table: Some("observation".into()),
        scope: "ada@example.org".into(),
        source: "8d1f0b52-5e17-4d3c-9d86-6f7a4c1c0f1e".into(),
        attempts: 14,
        state,
    }
}

fn extreme_write(state: WriteState) -> RejectedWriteRow {
    RejectedWriteRow {
        code: LONG.into(),
        table: Some(worst()),
        scope: worst(),
        source: worst(),
        attempts: i64::MAX,
        ..rejected_write(&worst(), state)
    }
}

const SAID: &str = "A row of \"observation\" breaks the unique constraint on site_id, species.";

fn lists() -> Vec<Sample> {
    let list = |shell: Shell, writes| RejectedWritesPage {
        rows: RejectedWriteRows { shell: shell.clone(), writes, next: None },
        shell: shell.at(Area::RejectedWrites),
        filter: RejectedWriteFilter::default(),
        kept: KeptWrites { days: 90, of_app: 20_000, of_user: 200, row_bytes: 65_536 },
        is_continued: false,
    };
    let typical = vec![
        rejected_write(SAID, WriteState::Open),
        RejectedWriteRow {
            table: None,
            attempts: 1,
            ..rejected_write("It is no JSON.", WriteState::Ignored)
        },
        rejected_write(SAID, WriteState::Resolved),
    ];
    let states = [WriteState::Open, WriteState::Resolved, WriteState::Ignored].map(extreme_write);
    let mut extreme = list(extreme_shell(), full_page(&states));
    extreme.filter = RejectedWriteFilter { state: "open".into(), scope: worst() };
    extreme.kept = KeptWrites { days: 1, of_app: i64::MAX, of_user: i64::MAX, row_bytes: i64::MAX };
    (extreme.rows.next, extreme.is_continued) = (Some(format!("?before={HOSTILE}")), true);
    let mut none = list(app_shell(), vec![]);
    none.filter.state = "open".into();
    vec![
        sample("rejected-empty", &list(app_shell(), vec![])),
        sample("rejected-typical", &list(app_shell(), typical)),
        sample("rejected-extreme", &extreme),
        sample("rejected-none", &none),
    ]
}

fn rejected_page(shell: Shell, write: RejectedWriteRow) -> RejectedWritePage {
    RejectedWritePage {
        shell: shell.at(Area::RejectedWrites),
        write,
        facts: RejectedWriteFacts {
            user: None,
            first_at: ago(Duration::hours(3)),
            constraint: None,
            column: None,
            source_bundle_id: None,
            row_count: 0,
            state_at: None,
            state_by: None,
            rule: None,
        },
        in_the_way: vec![],
        rows: vec![],
        row_bytes: 65_536,
        advice: "Change or delete the row that is in the way, or let the user change theirs.".into(),
    }
}

fn details() -> Vec<Sample> {
    let refused = |op, values: &[(&str, &str)]| RefusedRow {
        table: "observation".into(),
        key: "0197f0c2-a4f8-7c3e-b1d2-f60a9be40000".into(),
        op,
        values: values.iter().map(|(name, value)| ((*name).into(), Value::text(value))).collect(),
    };
    let obstacle = |table: &str, key: &str, said: &str, can_be_restored| Obstacle {
        table: table.into(),
        key: key.into(),
        said: said.into(),
        can_be_restored,
        has_history: true,
    };
    let mut typical = rejected_page(app_shell(), rejected_write(SAID, WriteState::Open));
    typical.facts = RejectedWriteFacts {
        user: Some("ada".into()),
        constraint: Some("observation_site_id_species_key".into()),
        source_bundle_id: Some(18),
        row_count: 40,
        rule: Some("No two rows of a user in observation may have the same site_id, species.".into()),
        ..typical.facts
    };
    typical.rows = vec![
        refused(Some(Op::Insert), &[("species", "Parus major"), ("count", "4")]),
        refused(Some(Op::Update), &[("species", "Parus major")]),
        refused(None, &[]),
    ];
    typical.in_the_way = vec![
        obstacle("observation", "0197f0c2-a4f8-7c3e-b1d2-f60a9be40001", "has the value already", false),
        obstacle("site", "s1", "is referred to, but bundle 12 deleted it", true),
    ];
    let unreadable =
        RejectedWriteRow { table: None, attempts: 1, ..rejected_write("It is no JSON.", WriteState::Open) };
    let extreme = extreme_rejected(extreme_owner());
    vec![
        sample("rejected-detail-empty", &rejected_page(app_shell(), unreadable)),
        sample("rejected-detail-typical", &typical),
        sample("rejected-detail-extreme", &extreme),
        sample("rejected-detail-viewer", &extreme_rejected(extreme_shell())),
    ]
}

fn extreme_rejected(shell: Shell) -> RejectedWritePage {
    let mut page = rejected_page(shell, extreme_write(WriteState::Ignored));
    page.facts = RejectedWriteFacts {
        user: Some(worst()),
        constraint: Some(worst()),
        column: Some(worst()),
        source_bundle_id: Some(i64::MAX),
        row_count: i64::MAX,
        state_at: Some(ago(Duration::hours(1))),
        state_by: Some(worst_email()),
        rule: Some(worst()),
        ..page.facts
    };
    let obstacle = |can_be_restored| Obstacle {
        table: worst(),
        key: worst(),
        said: LONG.into(),
        can_be_restored,
        has_history: true,
    };
    page.in_the_way = vec![obstacle(false), obstacle(true)];
    let row = RefusedRow {
        table: worst(),
        key: worst(),
        op: Some(Op::Update),
        values: (0..COLUMNS).map(|n| (format!("{n} {}", worst()), Value::text(HOSTILE))).collect(),
    };
    page.rows = vec![row.clone()];
    page.rows.extend(vec![RefusedRow { values: vec![], op: None, ..row }; PAGE - 1]);
    page.advice = worst();
    page.row_bytes = i64::MAX;
    page
}
