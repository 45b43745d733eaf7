//! What was committed: bundles and what is in them.

use syncline_web::pages::{history::*, values::*};
use time::Duration;

use super::*;

pub fn samples() -> Vec<Sample> {
    [lists(), details()].concat()
}

fn bundle(seq: i64, writer: Writer) -> BundleRow {
    BundleRow {
        scope: "ada@example.org".into(),
        seq,
        committed_at: ago(Duration::minutes(60 - seq)),
        writer,
        rows: seq * 7,
        bytes: seq * 812,
    }
}

pub(super) fn bundles() -> Vec<BundleRow> {
    let maya = Writer::Server {
        source: "server:dashboard".into(),
        on_behalf_of: Some("maya@fieldnotes.example".into()),
    };
    vec![
        bundle(41, Writer::Device { source: "pixel-9-4f1c".into() }),
        bundle(40, maya),
        bundle(39, Writer::Device { source: "laptop".into() }),
        bundle(38, Writer::Server { source: "server:api".into(), on_behalf_of: None }),
    ]
}

pub(super) fn extreme_bundles() -> Vec<BundleRow> {
    let bundle = |scope: &str, writer| BundleRow {
        scope: scope.into(),
        seq: i64::MAX,
        rows: i64::MAX,
        bytes: i64::MAX,
        ..bundle(38, writer)
    };
    vec![
        bundle(LONG, Writer::Device { source: "!~".repeat(127) }),
        bundle(HOSTILE, Writer::Server { source: RIGHT_TO_LEFT.into(), on_behalf_of: None }),
        bundle(RIGHT_TO_LEFT, Writer::Server { source: LONG.into(), on_behalf_of: Some(worst_email()) }),
        bundle(&worst(), Writer::Device { source: worst() }),
    ]
}

fn lists() -> Vec<Sample> {
    let list = |shell: Shell, bundles| HistoryPage {
        rows: BundleRows { shell: shell.clone(), bundles, next: None },
        shell: shell.at(Area::History),
        filter: HistoryFilter::default(),
        filter_error: None,
        is_continued: false,
    };
    let mut none = list(app_shell(), vec![]);
    none.filter.scope = "nobody".into();
    let mut extreme = list(extreme_shell(), full_page(&extreme_bundles()));
    extreme.filter = HistoryFilter { scope: worst(), source: worst() };
    (extreme.filter_error, extreme.is_continued) = (Some(worst()), true);
    extreme.rows.next = Some(format!("?before={HOSTILE}"));
    vec![
        sample("history-empty", &list(app_shell(), vec![])),
        sample("history-typical", &list(app_shell(), bundles())),
        sample("history-extreme", &extreme),
        sample("history-none", &none),
    ]
}

fn change(ordinal: i64, op: Op, values: &[(&str, Value)]) -> Change {
    Change {
        ordinal,
        table: "observation".into(),
        key: format!("0197f0c2-a4f8-7c3e-b1d2-f60a9be4{ordinal:04}"),
        op,
        values: values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect(),
        prior_version: (op != Op::Insert).then_some(12),
    }
}

fn details() -> Vec<Sample> {
    let page = |shell: Shell, bundle: BundleRow, changes| BundlePage {
        rows: ChangeRows { shell: shell.clone(), scope: bundle.scope.clone(), changes, next: None },
        shell: shell.at(Area::History),
        bundle,
        facts: BundleFacts {
            source_bundle_id: 17,
            bundle_hash: "92fe0879f22de1e60f1bec5655f94cc641389e2ba5624666402a2a5cdd7150e3".into(),
            request_hash: Some("ce9f4105cdda62a7705ef32476ebb3b3737fb44866a4bf4eedfeaaa571eb443a".into()),
            user: Some("ada@example.org".into()),
            schema_version: 3,
            previous: Some(40),
            next: None,
        },
        is_continued: false,
    };
    let values = |number: &str, species: &str, note| {
        let number = Value::text(&format!("0197f0c2-a4f8-7c3e-b1d2-f60a9be4{number}"));
        [("id", number), ("species", Value::text(species)), ("count", Value::text("4")), ("note", note)]
    };
    let remark = Value::text(&"The bird was on the fence. ".repeat(30));
    let changes = vec![
        change(0, Op::Insert, &values("0000", "Parus major", Value::Null)),
        change(1, Op::Update, &values("0001", "Erithacus rubecula", remark)),
        change(2, Op::Delete, &[]),
    ];
    let mut empty = page(app_shell(), BundleRow { rows: 0, ..bundles().remove(3) }, vec![]);
    (empty.facts.request_hash, empty.facts.user, empty.facts.previous) = (None, None, None);
    vec![
        sample("bundle-empty", &empty),
        sample("bundle-typical", &page(app_shell(), bundles().remove(0), changes)),
        sample("bundle-extreme", &extreme_bundle(page(extreme_owner(), extreme_bundles().remove(3), vec![]))),
        sample("bundle-by-nobody", &page(extreme_shell(), extreme_bundles().remove(2), vec![])),
    ]
}

fn extreme_bundle(mut page: BundlePage) -> BundlePage {
    let column = |n: usize| {
        let value = [HOSTILE, LONG, RIGHT_TO_LEFT][n % 3];
        (format!("{n} {}", worst()), Value::text(value))
    };
    let wide = Change {
        table: worst(),
        key: worst(),
        values: (0..COLUMNS).map(column).collect(),
        ..change(i64::MAX, Op::Update, &[])
    };
    let gone = Change { values: vec![], op: Op::Delete, prior_version: Some(i64::MAX), ..wide.clone() };
    page.rows.changes = vec![wide];
    page.rows.changes.extend(vec![gone; PAGE - 1]);
    page.rows.next = Some("?after=1".into());
    (page.facts.user, page.facts.source_bundle_id) = (Some(worst()), i64::MAX);
    (page.facts.previous, page.facts.next) = (Some(i64::MAX), Some(i64::MAX));
    page.is_continued = true;
    page
}
