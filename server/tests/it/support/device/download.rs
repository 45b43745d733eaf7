//! Pull: follow the history of the scope, whole bundles in order, up to a ceiling the server froze.

use serde_json::Value as Json;

use super::{Device, Trouble, transport::int};

/// A committed bundle as pull tells it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bundle {
    pub(crate) seq: i64,
    pub(crate) source: String,
    pub(crate) source_bundle_id: i64,
    pub(crate) rows: Vec<Json>,
}

impl Device {
    /// Take over every bundle after the checkpoint. Local changes come first: with any left, nothing is done.
    pub(crate) async fn pull(&mut self) -> Result<(), Trouble> {
        if self.must_rebuild {
            return Err(Trouble::HistoryPruned);
        }
        if !self.is_clean() {
            return Ok(());
        }
        self.connect().await?;
        self.follow(&mut |device, bundle| bundle.rows.iter().for_each(|row| device.replay_row(row))).await?;
        let dangling = self.rows.dangling();
        assert!(
            dangling.is_empty(),
            "{} holds half of something at {}: {dangling:?}",
            self.name,
            self.checkpoint
        );
        Ok(())
    }

    /// Hand every bundle after the checkpoint to `take`, page by page, and move the checkpoint with them.
    pub(crate) async fn follow(
        &mut self,
        take: &mut (dyn FnMut(&mut Self, &Bundle) + Send),
    ) -> Result<(), Trouble> {
        let mut target = None;
        loop {
            let ceiling = target.map(|target| format!("&target_bundle_seq={target}")).unwrap_or_default();
            let path = format!(
                "sync/pull?after_bundle_seq={}&max_bundles={}{ceiling}",
                self.checkpoint, self.appetite.bundles_per_pull
            );
            let answer = self.transport.get(&self.source, path).await?;
            if answer.status != 200 {
                return Err(self.refused("pull", &answer));
            }
            let stable = answer.int("stable_bundle_seq");
            assert_eq!(stable, *target.get_or_insert(stable), "the ceiling moved");
            assert!(
                stable >= self.checkpoint,
                "the ceiling {stable} is below what was pulled: {}",
                self.checkpoint
            );
            let bundles = answer.body["bundles"].as_array().expect("the member bundles");
            assert!(bundles.len() <= self.appetite.bundles_per_pull, "more bundles than were asked for");
            for bundle in bundles {
                let bundle = bundle_of_wire(bundle);
                assert_eq!(bundle.seq, self.checkpoint + 1, "{}: a gap, or a bundle twice", self.name);
                take(self, &bundle);
                self.checkpoint = bundle.seq;
            }
            assert!(self.checkpoint <= stable, "a bundle beyond the ceiling {stable}");
            let has_more = answer.body["has_more"].as_bool().expect("the member has_more");
            assert_eq!(has_more, self.checkpoint < stable, "{}: {}", self.name, answer.body);
            if !has_more {
                return Ok(());
            }
            assert!(!bundles.is_empty(), "a page without bundles that is not the last");
        }
    }
}

fn bundle_of_wire(wire: &Json) -> Bundle {
    let bundle = Bundle {
        seq: int(wire, "bundle_seq"),
        source: wire["source_id"].as_str().expect("the member source_id").to_owned(),
        source_bundle_id: int(wire, "source_bundle_id"),
        rows: wire["rows"].as_array().expect("the member rows").clone(),
    };
    assert!(!bundle.rows.is_empty(), "bundle {} has no rows", bundle.seq);
    for row in &bundle.rows {
        assert_eq!(int(row, "row_version"), bundle.seq, "a row of another version: {row}");
    }
    bundle
}
