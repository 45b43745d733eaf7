//! One simulation: what the two devices do, in order, and what is told of it.

use std::{sync::Arc, time::Duration};

use super::{
    device::{Device, Place, Pushed, Stuck},
    plan::{Change, Plan},
    story::{Step, StepKind, Story},
};
use crate::{
    control::ControlPlane,
    ids::ScopeId,
    sync::{Engine, conflict::ledger::ConflictFilter},
    tables::catalog::AppCatalog,
};

/// Between two steps, for whoever looks on: faster than one can read would show nothing.
const PACE: Duration = Duration::from_millis(450);

/// Where the story is written, and what it is about.
pub(super) struct Telling {
    pub(super) control: ControlPlane,
    pub(super) engine: Engine,
    pub(super) catalog: Arc<AppCatalog>,
    pub(super) scope: ScopeId,
}

pub(super) struct Run {
    plan: Plan,
    phone: Device,
    tablet: Device,
    story: Story,
    telling: Telling,
}

impl Telling {
    /// The conflict that the ledger has of the simulation.
    async fn conflict(&self) -> Option<String> {
        let filter = ConflictFilter { scope: Some(self.scope.clone()), ..ConflictFilter::default() };
        let found = self.engine.conflicts(&self.catalog, &filter, None, 1).await.ok()?;
        found.items.into_iter().next().map(|conflict| conflict.id.to_string())
    }
}

impl Run {
    pub(super) fn new(plan: Plan, place: Place, id: &str, telling: Telling) -> Self {
        let app = &telling.catalog;
        Self {
            phone: Device::new("Phone", format!("simulated-phone-{id}"), place.clone(), app),
            tablet: Device::new("Tablet", format!("simulated-tablet-{id}"), place, app),
            story: Story::about(&plan),
            plan,
            telling,
        }
    }

    /// All steps, within `limit`; or as many as there can be, and why there are no more.
    pub(super) async fn play(mut self, limit: Duration) {
        let outcome = tokio::time::timeout(limit, self.steps()).await;
        let failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(stuck)) => Some(stuck.to_string()),
            Err(_) => Some(format!("It took longer than {} seconds and was given up.", limit.as_secs())),
        };
        if failure.is_some() {
            // The requests that led there belong to the story.
            self.step(StepKind::Plain, "It stops here", "The last request below tells why.".to_owned());
        }
        self.story.failure = failure;
        self.tell(false).await;
    }

    async fn steps(&mut self) -> Result<(), Stuck> {
        self.connect().await?;
        self.insert().await?;
        self.download().await?;
        self.change_offline().await;
        let first = self.phone_first().await?;
        self.conflict(first).await?;
        self.settle().await?;
        self.converge().await
    }

    async fn connect(&mut self) -> Result<(), Stuck> {
        self.phone.capabilities().await?;
        self.phone.connect().await?;
        self.tablet.connect().await?;
        self.finish(
            StepKind::Plain,
            "Two devices connect",
            "A phone and a tablet of one user introduce themselves. Nobody has written anything yet."
                .to_owned(),
        )
        .await;
        Ok(())
    }

    async fn insert(&mut self) -> Result<(), Stuck> {
        for row in &self.plan.rows {
            self.phone.insert(row);
        }
        let Pushed::Committed(seq) = self.phone.push().await? else {
            return Err(Stuck("The first rows met a conflict, which cannot be.".to_owned()));
        };
        let parents = match self.story.parents.len() {
            0 => String::new(),
            1 => format!(", with the row of {} that it needs", self.story.parents[0]),
            more => format!(", with the {more} rows that it needs"),
        };
        let sentence = format!(
            "It makes a row of {}{parents}, and uploads it: announced, sent, committed. The server calls the commit bundle {seq}.",
            self.story.table
        );
        self.finish(StepKind::Plain, "The phone inserts a row", sentence).await;
        Ok(())
    }

    async fn download(&mut self) -> Result<(), Stuck> {
        self.tablet.pull().await?;
        self.finish(
            StepKind::Plain,
            "The tablet downloads it",
            "It asks what is new and gets the whole bundle. Both hold the same rows now.".to_owned(),
        )
        .await;
        Ok(())
    }

    async fn change_offline(&mut self) {
        self.phone.go_offline();
        self.tablet.go_offline();
        match self.plan.change.clone() {
            Change::Column { column, phone, tablet } => {
                self.phone.change(&column, phone);
                self.tablet.change(&column, tablet);
                let sentence = format!(
                    "On a train, and in a cellar, both change {column} of the same row. No request is made: the app goes on working."
                );
                self.finish(StepKind::Offline, "Both go offline and change the row", sentence).await;
            }
            Change::Delete => {
                self.phone.delete();
                self.tablet.delete();
                self.finish(
                    StepKind::Offline,
                    "Both go offline and delete the row",
                    "On a train, and in a cellar. No request is made: the app goes on working.".to_owned(),
                )
                .await;
            }
        }
    }

    async fn phone_first(&mut self) -> Result<i64, Stuck> {
        self.phone.go_online();
        let Pushed::Committed(seq) = self.phone.push().await? else {
            return Err(Stuck("The phone met a conflict, although it was first.".to_owned()));
        };
        let sentence = format!(
            "Its change is based on version 1, which is what the server has: it becomes bundle {seq}."
        );
        self.finish(StepKind::Plain, "The phone comes back first", sentence).await;
        Ok(seq)
    }

    async fn conflict(&mut self, first: i64) -> Result<(), Stuck> {
        self.tablet.go_online();
        let Pushed::Conflict(_) = self.tablet.push().await? else {
            return Err(Stuck("The tablet met no conflict, although it was late.".to_owned()));
        };
        let sentence = format!(
            "The tablet’s change is based on version 1 too, but the row has version {first} now. The server refuses the upload, tells what it has, and writes both rows into the conflict ledger. Nothing is lost."
        );
        // First, so that the step leads there as soon as it is told.
        self.story.conflict = self.telling.conflict().await;
        self.finish(StepKind::Conflict, "The tablet meets a conflict", sentence).await;
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Stuck> {
        if self.plan.change == Change::Delete {
            self.tablet.give_way();
            self.tablet.pull().await?;
            self.finish(
                StepKind::Plain,
                "The tablet gives way",
                "The row is gone already: the tablet drops its own change and downloads the phone’s."
                    .to_owned(),
            )
            .await;
            return Ok(());
        }
        self.tablet.pull().await?;
        let Pushed::Committed(seq) = self.tablet.push().await? else {
            return Err(Stuck(
                "The tablet met another conflict, although it knew of the phone’s change.".to_owned(),
            ));
        };
        let sentence = format!(
            "It downloads the phone’s change, keeps its own value, now based on that, and uploads again: bundle {seq}. A client library can as well take the server’s row or merge the two; the ledger says which it was."
        );
        self.finish(StepKind::Plain, "The tablet decides, and keeps its own", sentence).await;
        Ok(())
    }

    async fn converge(&mut self) -> Result<(), Stuck> {
        self.phone.pull().await?;
        if !self.phone.agrees_with(&self.tablet) {
            return Err(Stuck("The two devices hold different rows.".to_owned()));
        }
        self.finish(StepKind::Converged, "Both hold the same rows", "The phone asks once more and downloads what the tablet decided. Row by row and version by version the two are the same.".to_owned()).await;
        Ok(())
    }

    /// The step is over: put it down, tell it, and give people time to read.
    async fn finish(&mut self, kind: StepKind, title: &str, sentence: String) {
        self.step(kind, title, sentence);
        let is_last = kind == StepKind::Converged;
        if !is_last {
            self.tell(true).await;
            tokio::time::sleep(PACE).await;
        }
    }

    fn step(&mut self, kind: StepKind, title: &str, sentence: String) {
        let column = match &self.plan.change {
            Change::Column { column, .. } => Some(column.as_str()),
            Change::Delete => None,
        };
        let mut exchanges = self.phone.take_exchanges();
        exchanges.extend(self.tablet.take_exchanges());
        self.story.steps.push(Step {
            title: title.to_owned(),
            sentence,
            kind,
            exchanges,
            phone: self.phone.shelf(column),
            tablet: self.tablet.shelf(column),
        });
    }

    /// Whoever looks on sees less when this fails; the run goes on.
    async fn tell(&self, is_running: bool) {
        let story = self.story.as_json();
        let (app, scope) = (self.telling.catalog.app, &self.telling.scope);
        if let Err(error) = self.telling.control.tell_simulation(app, scope, &story, is_running).await {
            tracing::warn!(app.id = %app, error.cause = %error, "a step of a simulation could not be told");
        }
    }
}
