//! Two virtual devices that sync an app's own tables, step by step.

use askama::Template;
use time::OffsetDateTime;

use super::values::Value;
use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// The page: how to begin, or the simulation that is there.
#[derive(Debug, Template)]
#[template(path = "simulator/page.html")]
pub struct SimulatorPage {
    pub shell: Shell,
    /// The table that would be used; or why none can.
    pub table: Result<String, String>,
    pub simulation: Option<Simulation>,
}

/// The steps from `first` on, and what comes after them; also what the page fetches while it goes on.
#[derive(Debug, Template)]
#[template(path = "simulator/_steps.html")]
pub struct SimulationSteps {
    pub shell: Shell,
    pub simulation: Simulation,
    /// The number of the first step that is shown, from 0.
    pub first: usize,
}

/// A simulation.
#[derive(Debug, Clone)]
pub struct Simulation {
    pub user: String,
    pub table: String,
    pub parents: Vec<String>,
    pub started_at: OffsetDateTime,
    pub started_by: String,
    /// When it is removed by itself.
    pub removed_at: OffsetDateTime,
    pub steps: Vec<Step>,
    /// More steps are to come.
    pub is_running: bool,
    /// Of the conflict in the ledger.
    pub conflict: Option<String>,
    pub failure: Option<String>,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    pub title: String,
    pub sentence: String,
    pub kind: StepKind,
    pub exchanges: Vec<Exchange>,
    pub phone: Shelf,
    pub tablet: Shelf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    Plain,
    Offline,
    Conflict,
    Converged,
}

/// A request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub device: String,
    pub method: String,
    pub path: String,
    /// What was sent, in words.
    pub sent: String,
    pub status: Option<u16>,
    /// What was answered, in words.
    pub answered: String,
    pub request: String,
    pub response: String,
}

/// What a device holds after a step.
#[derive(Debug, Clone)]
pub struct Shelf {
    pub is_online: bool,
    pub checkpoint: i64,
    pub rows: Vec<ShelfRow>,
}

/// A row on a device.
#[derive(Debug, Clone)]
pub struct ShelfRow {
    pub table: String,
    pub values: Vec<(String, Value)>,
    /// 0: the server has not seen it.
    pub version: i64,
    pub is_pending: bool,
    pub is_deleted: bool,
}

impl SimulatorPage {
    fn steps(&self) -> Option<SimulationSteps> {
        let simulation = self.simulation.clone()?;
        Some(SimulationSteps { shell: self.shell.clone(), simulation, first: 0 })
    }
}

impl SimulationSteps {
    /// Where the steps come from that are not there yet.
    fn more_href(&self) -> String {
        let next = self.simulation.steps.len().to_string();
        links::with_query(&self.shell.links().simulator_steps(), &[("from", &next)])
    }
}

impl Step {
    fn devices(&self) -> [(&'static str, &Shelf); 2] {
        [("Phone", &self.phone), ("Tablet", &self.tablet)]
    }
}

impl StepKind {
    fn tone(self) -> &'static str {
        match self {
            Self::Plain => "info",
            Self::Offline => "plain",
            Self::Conflict => "warn",
            Self::Converged => "good",
        }
    }
}

impl Exchange {
    fn is_refused(&self) -> bool {
        self.status.is_none_or(|status| status >= 400)
    }
}
