//! Many apps: a load on one app and spread over all of them, each cycle in the next app, turn by turn.

use std::{
    cell::Cell,
    mem,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{Run, at_once, finished, push_cycle};
use crate::{
    device::Device,
    figures::{Figures, print_comparison, round},
    pace::Pace,
    process::resident_mib,
    rows::{Keys, PreparedPush},
    target::Target,
};

/// What asks for cycles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) users: usize,
    /// Cycles a second of each user, so that one app and many get the same load; None: as fast as they can, so that each gets
    /// what it can take.
    pub(crate) rate: Option<f64>,
}

/// A load that has been warmed up and goes on whenever it is asked to.
pub(crate) struct Tour {
    run: Run,
    apps: Rc<[Rc<Target>]>,
    load: Load,
    travellers: Vec<Traveller>,
}

/// A user whose cycles go round the apps.
struct Traveller {
    user: String,
    device: Device,
    /// The number of the source's last push in each app.
    committed: Vec<u64>,
    keys: Keys,
}

/// A cycle of each user in each app, or as many in fewer apps, so that what a connection or a statement costs the first few
/// times is not what is measured.
const WARM_UP: usize = 100;

impl Tour {
    /// Users who are known in all of `apps`, and have pushed there.
    pub(crate) async fn begin(run: &Run, apps: &[Rc<Target>], load: Load) -> Result<Self> {
        let first = apps.first().context("no app given")?;
        let mut travellers = Vec::with_capacity(load.users);
        for number in 0..load.users {
            let user = run.user(number);
            let device = Device::open(first, &user, "bench-device").await?;
            travellers.push(Traveller { user, device, committed: vec![0; apps.len()], keys: Keys::new() });
        }
        let apps: Rc<[Rc<Target>]> = apps.into();
        // Each begins somewhere else: no more connections shall get to know an app than its load needs.
        let apart = apps.len() / load.users.max(1);
        let travellers = at_once(travellers, |number, mut traveller| {
            let apps = apps.clone();
            async move {
                for turn in 0..apps.len().max(WARM_UP) {
                    traveller.cycle(&apps, (number * apart + turn) % apps.len()).await?;
                }
                Ok(traveller)
            }
        });
        let travellers = travellers.await.into_iter().collect::<Result<_>>()?;
        Ok(Self { run: run.clone(), apps, load, travellers })
    }

    /// The load for the run's time.
    pub(crate) async fn go_on(&mut self) -> Figures {
        let recorder = self.run.recorder();
        let turn = Rc::new(Cell::new(0_usize));
        let end = Instant::now() + self.run.duration;
        let travellers = at_once(mem::take(&mut self.travellers), |_, mut traveller| {
            let (recorder, turn, apps) = (recorder.clone(), turn.clone(), self.apps.clone());
            let mut pace = self.load.rate.map(Pace::of);
            async move {
                while Instant::now() < end {
                    if let Some(pace) = &mut pace {
                        pace.turn().await;
                    }
                    let app = turn.get() % apps.len();
                    turn.set(turn.get() + 1);
                    match traveller.cycle(&apps, app).await {
                        Ok(took) => recorder.borrow_mut().took(took),
                        Err(error) => recorder.borrow_mut().failed(&error),
                    }
                }
                traveller
            }
        });
        self.travellers = travellers.await;
        let recorder = finished(recorder);
        let cycles = recorder.succeeded();
        let figures = recorder.end("apps", &self.apps[0].base_url, cycles, "cycles/s");
        let memory = self.run.watched.server.map(|pid| round(resident_mib(pid)));
        figures
            .with("apps", self.apps.len())
            .with("users", self.load.users)
            .with("rate_of_each", self.load.rate)
            .with("server_memory_after_mib", memory)
    }
}

impl Traveller {
    /// A cycle in the app of this number; answers how long it took.
    async fn cycle(&mut self, apps: &[Rc<Target>], app: usize) -> Result<Duration> {
        let (target, committed) = (&apps[app], self.committed[app]);
        self.device.turn_to(target, &self.user, committed).await?;
        if committed == 0 {
            self.device.connect().await?;
        }
        let push = PreparedPush::new(target, &self.keys.rows(1));
        let began = Instant::now();
        push_cycle(&mut self.device, &push).await?;
        self.committed[app] += 1;
        Ok(began.elapsed())
    }
}

/// The load on the first of `apps`, then spread over all of them, turn by turn, and a last line with the medians of both.
pub(crate) async fn run(runs: [Run; 2], apps: &[Rc<Target>], load: Load, rounds: usize) -> Result<()> {
    let [one, all] = runs;
    let mut tours =
        [Tour::begin(&one, &apps[..apps.len().min(1)], load).await?, Tour::begin(&all, apps, load).await?];
    let mut found = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (tour, found) in tours.iter_mut().zip(&mut found) {
            let figures = tour.go_on().await;
            figures.print()?;
            found.push(figures);
        }
    }
    let [one, all] = &found;
    print_comparison(&format!("{} apps against one", apps.len()), all, one)
}
