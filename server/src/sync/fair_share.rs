//! How many requests of one app are worked on at once while other apps are at work too.
//!
//! What is under way takes processor time, here and in PostgreSQL, from whatever comes next. So a small app would wait behind
//! all that an app which asks flat out has under way, however fairly connections are shared. Therefore an app is light or
//! heavy, by how many of its requests were here on average of late. Requests of light apps never wait here. Those of
//! heavy apps share a number of places while other apps are at work, and each request of a light app that is under way takes
//! some of these places away: on a small machine all of them. A heavy app that had none for a while gets one all the
//! same, and one that is alone has no bound.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::oneshot, time::sleep};

use crate::ids::AppId;

/// An app is at work for so long after its last request began.
const AT_WORK_FOR: Duration = Duration::from_secs(1);

/// The time over which the requests of an app are averaged.
const OF_LATE: Duration = Duration::from_secs(1);

/// Lanes are looked through when there are so many.
const MANY_LANES: usize = 64;

/// Averages of fewer requests than this are forgotten.
const FORGOTTEN_BELOW: f64 = 0.01;

/// Places of heavy apps that a request of a light one takes away: as many as two cores have, at two a core.
const LIGHT_TAKES: usize = 4;

/// When a light app's last request has gone, its next is expected for so long, and counts as one that is there: most come
/// in a row, and what began between two of them would be in the way of each.
const NEXT_WITHIN: Duration = Duration::from_millis(3);

/// A heavy app without a place gets one after this time, whatever others do.
const AT_LATEST: Duration = Duration::from_millis(50);

/// The places of all apps. One a process; cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::sync) struct FairShares(Arc<Mutex<State>>);

/// A place: a request that has one is worked on. Dropping it gives it to the app's next request.
#[derive(Debug)]
pub(in crate::sync) struct Share {
    shares: FairShares,
    app: AppId,
}

#[derive(Debug)]
struct State {
    /// What heavy apps may have under way among them while other apps are at work.
    places: usize,
    /// More requests than this, on average, make an app heavy.
    heavy_above: f64,
    /// Apps with requests here, now or of late.
    lanes: HashMap<AppId, Lane>,
    /// Light apps that turn heavy with what they have here, and when: nothing need happen in their lanes for that.
    turning: BTreeSet<(Instant, AppId)>,
    /// When there are so many lanes, those that are forgotten go.
    tidied_at: usize,
    sums: Sums,
    /// The app whose request began last, and the one that was last before it.
    last: Option<(AppId, Instant)>,
    last_other: Option<(AppId, Instant)>,
}

/// The requests of an app.
#[derive(Debug)]
struct Lane {
    under_way: usize,
    waiting: VecDeque<oneshot::Sender<Share>>,
    /// How many were here on average, up to `until`.
    average: f64,
    until: Instant,
    is_heavy: bool,
    /// With what is here, if that makes it heavy in the end.
    turns_heavy_at: Option<Instant>,
    last_served: Instant,
    /// None is under way that would serve the next when it ends: somebody comes back for that.
    is_held: bool,
}

/// What all lanes come to.
#[derive(Debug)]
struct Sums {
    /// Requests of light apps under way.
    light_under_way: usize,
    light_expected_until: Instant,
    /// Heavy apps with requests here.
    heavy_apps: usize,
}

/// What happens in a lane.
enum Step {
    Came(oneshot::Sender<Share>),
    Left,
    /// Somebody came back to a lane that was held.
    CameBack,
}

/// What follows.
#[derive(Debug, Default)]
struct Then {
    served: Vec<oneshot::Sender<Share>>,
    /// Somebody is to come back.
    come_back: bool,
}

impl FairShares {
    /// `per_core`: what heavy apps may have under way among them, for each of `cores`.
    pub(in crate::sync) fn new(per_core: usize, cores: usize) -> Self {
        // What is light could do with a quarter of the machine.
        let state = State::new(per_core * cores, cores as f64 / 4.0, Instant::now());
        Self(Arc::new(Mutex::new(state)))
    }

    /// Wait for a place for a request of `app`, first come, first served. Whoever holds one must not wait for another
    /// request of the same app. Giving up while waiting loses nothing.
    pub(in crate::sync) async fn enter(&self, app: AppId) -> Share {
        let (serve, served) = oneshot::channel();
        self.step(app, Step::Came(serve));
        served.await.expect("BUG: a request that waits was forgotten")
    }

    fn step(&self, app: AppId, step: Step) {
        let then = self.lock().step(app, step, Instant::now());
        for next in then.served {
            // Whoever has gone away this very moment drops it, and it goes on to the next.
            let _ = next.send(Share { shares: self.clone(), app });
        }
        if then.come_back
            && let Ok(runtime) = Handle::try_current()
        {
            let shares = self.clone();
            runtime.spawn(async move {
                sleep(NEXT_WITHIN).await;
                shares.step(app, Step::CameBack);
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(places: usize, heavy_above: f64, now: Instant) -> Self {
        let sums = Sums { light_under_way: 0, light_expected_until: now, heavy_apps: 0 };
        Self {
            places,
            heavy_above,
            lanes: HashMap::new(),
            turning: BTreeSet::new(),
            tidied_at: MANY_LANES,
            sums,
            last: None,
            last_other: None,
        }
    }

    /// Note what happened in an app's lane.
    fn step(&mut self, app: AppId, step: Step, now: Instant) -> Then {
        if matches!(step, Step::Came(_)) {
            self.tidy(now);
            self.note(app, now);
        }
        self.turn_heavy(now);
        let has_company = self.has_company(app, now);
        let lane = self.lanes.entry(app).or_insert_with(|| Lane::new(now));
        self.sums.leave_out(lane);
        if let Some(at) = lane.turns_heavy_at.take() {
            self.turning.remove(&(at, app));
        }
        (lane.average, lane.until) = (lane.average_at(now), now);
        lane.is_heavy = lane.average > self.heavy_above;
        match step {
            Step::Came(request) => lane.waiting.push_back(request),
            Step::Left => lane.under_way -= 1,
            Step::CameBack => lane.is_held = false,
        }
        let most = if lane.is_heavy && has_company {
            let least = usize::from(now.duration_since(lane.last_served) >= AT_LATEST);
            self.sums.left_for_another_heavy(self.places, now).max(least)
        } else {
            usize::MAX
        };
        let served = lane.serve(most, now);
        let come_back = lane.hold();
        lane.turns_heavy_at = lane.will_turn_heavy_at(self.heavy_above);
        self.turning.extend(lane.turns_heavy_at.map(|at| (at, app)));
        self.sums.add(lane, now);
        Then { served, come_back }
    }

    /// Count apps as heavy that have become so meanwhile: a long request is no reason to hold others up until it ends.
    fn turn_heavy(&mut self, now: Instant) {
        while let Some(&(at, app)) = self.turning.first()
            && at <= now
        {
            self.turning.pop_first();
            let lane = self.lanes.get_mut(&app).expect("BUG: a lane that is used was forgotten");
            self.sums.leave_out(lane);
            (lane.is_heavy, lane.turns_heavy_at) = (true, None);
            self.sums.add(lane, now);
        }
    }

    fn note(&mut self, app: AppId, now: Instant) {
        if self.last.is_some_and(|(last, _)| last != app) {
            self.last_other = self.last;
        }
        self.last = Some((app, now));
    }

    /// Whether another app is at work.
    fn has_company(&self, app: AppId, now: Instant) -> bool {
        let other = self.last.filter(|(last, _)| *last != app).or(self.last_other);
        other.is_some_and(|(_, at)| now.duration_since(at) < AT_WORK_FOR)
    }

    fn tidy(&mut self, now: Instant) {
        if self.lanes.len() >= self.tidied_at {
            self.lanes.retain(|_, lane| lane.is_used() || lane.average_at(now) >= FORGOTTEN_BELOW);
            self.tidied_at = MANY_LANES.max(2 * self.lanes.len());
        }
    }
}

impl Lane {
    fn new(now: Instant) -> Self {
        Self {
            under_way: 0,
            waiting: VecDeque::new(),
            average: 0.0,
            until: now,
            is_heavy: false,
            turns_heavy_at: None,
            last_served: now,
            is_held: false,
        }
    }

    fn is_used(&self) -> bool {
        self.under_way > 0 || !self.waiting.is_empty()
    }

    fn here(&self) -> f64 {
        (self.under_way + self.waiting.len()) as f64
    }

    /// When a light lane's average goes above `heavy_above`, should nothing come or leave.
    fn will_turn_heavy_at(&self, heavy_above: f64) -> Option<Instant> {
        let here = self.here();
        (!self.is_heavy && here > heavy_above).then(|| {
            let periods = ((here - self.average) / (here - heavy_above)).ln();
            self.until + OF_LATE.mul_f64(periods)
        })
    }

    /// The average moves from what it was to what is here now, exponentially.
    fn average_at(&self, now: Instant) -> f64 {
        let here = self.here();
        let spent = now.duration_since(self.until).as_secs_f64() / OF_LATE.as_secs_f64();
        here + (self.average - here) * (-spent).exp()
    }

    /// Those who may go for `most` to be under way.
    fn serve(&mut self, most: usize, now: Instant) -> Vec<oneshot::Sender<Share>> {
        let mut served = Vec::new();
        while self.under_way < most
            && let Some(next) = self.waiting.pop_front()
        {
            if !next.is_closed() {
                self.under_way += 1;
                self.last_served = now;
                served.push(next);
            }
        }
        served
    }

    /// Whether somebody has to come back to it, who does not already.
    fn hold(&mut self) -> bool {
        let is_stuck = self.under_way == 0 && !self.waiting.is_empty();
        is_stuck && !mem::replace(&mut self.is_held, true)
    }
}

impl Sums {
    fn leave_out(&mut self, lane: &Lane) {
        if lane.is_heavy {
            self.heavy_apps -= usize::from(lane.is_used());
        } else {
            self.light_under_way -= lane.under_way;
        }
    }

    fn add(&mut self, lane: &Lane, now: Instant) {
        if lane.is_heavy {
            self.heavy_apps += usize::from(lane.is_used());
        } else {
            self.light_under_way += lane.under_way;
            self.light_expected_until = now + NEXT_WITHIN;
        }
    }

    /// The places of a heavy app that is not counted here.
    fn left_for_another_heavy(&self, places: usize, now: Instant) -> usize {
        let expected = usize::from(now < self.light_expected_until);
        let left = places.saturating_sub(LIGHT_TAKES * self.light_under_way.max(expected));
        left.div_ceil(self.heavy_apps + 1)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.step(self.app, Step::Left);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    /// Four places and a clock of its own; more than one request on average is heavy.
    struct Scene {
        state: State,
        now: Instant,
        /// Who asked for a place, in the order in which they came.
        asked: Vec<oneshot::Receiver<Share>>,
    }

    impl Scene {
        fn new() -> Self {
            let now = Instant::now();
            Self { state: State::new(4, 1.0, now), now, asked: Vec::new() }
        }

        fn step(&mut self, app: AppId, step: Step) -> usize {
            self.state.step(app, step, self.now).served.len()
        }

        /// How many may go when `count` requests of `app` come.
        fn come(&mut self, app: AppId, count: usize) -> usize {
            let mut served = 0;
            for _ in 0..count {
                let (serve, place) = oneshot::channel();
                self.asked.push(place);
                served += self.step(app, Step::Came(serve));
            }
            served
        }

        /// How many may go when `count` requests of `app` have been answered.
        fn leave(&mut self, app: AppId, count: usize) -> usize {
            (0..count).map(|_| self.step(app, Step::Left)).sum()
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
        }

        /// An app beside one that was at work just now: four of its requests are under way, the last since now, nine wait.
        fn crowd(&mut self) -> AppId {
            let (heavy, other) = (AppId::new(), AppId::new());
            assert_eq!(self.come(heavy, 10), 10, "it is alone");
            self.pass(OF_LATE);
            assert_eq!(self.come(other, 1) + self.leave(other, 1), 1);
            self.pass(NEXT_WITHIN);
            assert_eq!([self.come(heavy, 10), self.leave(heavy, 6), self.leave(heavy, 1)], [0, 0, 1]);
            heavy
        }
    }

    #[test]
    fn an_app_alone_has_no_bound() {
        let (mut scene, app) = (Scene::new(), AppId::new());
        assert_eq!(scene.come(app, 100), 100);
        scene.pass(OF_LATE);
        assert_eq!(scene.come(app, 100), 100);
    }

    #[test]
    fn a_heavy_app_is_bound_as_long_as_another_is_at_work() {
        let mut scene = Scene::new();
        let heavy = scene.crowd();
        scene.pass(AT_WORK_FOR / 2);
        assert_eq!(scene.leave(heavy, 1), 1);
        scene.pass(AT_WORK_FOR / 2);
        assert_eq!(scene.leave(heavy, 1), 8);
    }

    #[test]
    fn heavy_apps_share_the_places() {
        let mut scene = Scene::new();
        let (one, other) = (scene.crowd(), AppId::new());
        assert_eq!(scene.come(other, 10), 10, "nothing is known of it yet");
        scene.pass(OF_LATE / 2);
        assert_eq!(scene.come(other, 10), 0);
        assert_eq!([scene.leave(one, 2), scene.leave(one, 1)], [0, 1]);
        assert_eq!([scene.leave(other, 8), scene.leave(other, 1)], [0, 1]);
    }

    #[test]
    fn a_light_app_never_waits_and_heavy_ones_do_for_it_and_for_its_next_request() {
        let mut scene = Scene::new();
        let (heavy, light) = (scene.crowd(), AppId::new());
        assert_eq!(scene.come(light, 8), 8);
        assert_eq!([scene.leave(heavy, 4), scene.leave(light, 8)], [0, 0]);
        scene.pass(NEXT_WITHIN / 2);
        assert_eq!(scene.step(heavy, Step::CameBack), 0);
        scene.pass(NEXT_WITHIN / 2);
        assert_eq!(scene.step(heavy, Step::CameBack), 4);
    }

    #[test]
    fn a_heavy_app_gets_a_place_at_the_latest_after_a_while() {
        let mut scene = Scene::new();
        let (heavy, light) = (scene.crowd(), AppId::new());
        assert_eq!([scene.come(light, 1), scene.leave(heavy, 4)], [1, 0]);
        scene.pass(AT_LATEST);
        assert_eq!([scene.step(heavy, Step::CameBack), scene.step(heavy, Step::CameBack)], [1, 0]);
    }

    #[test]
    fn what_takes_long_turns_its_app_heavy_before_it_ends() {
        let mut scene = Scene::new();
        let (heavy, other) = (scene.crowd(), AppId::new());
        assert_eq!([scene.come(other, 2), scene.leave(heavy, 4)], [2, 0]);
        // Half of two requests, on average, after ln 2 of the time.
        scene.pass(OF_LATE.mul_f64(0.69));
        assert_eq!(scene.step(heavy, Step::CameBack), 1, "it had none for a while");
        scene.pass(OF_LATE.mul_f64(0.01));
        assert_eq!(scene.step(heavy, Step::CameBack), 1, "half of the places");
        assert_eq!([scene.leave(other, 2), scene.leave(heavy, 1)], [0, 3]);
        assert!(scene.state.turning.is_empty());
    }

    #[test]
    fn who_gives_up_takes_nothing_along() {
        let mut scene = Scene::new();
        let heavy = scene.crowd();
        // Twelve have been served, one of them the other app's.
        drop(scene.asked.drain(12..14));
        assert_eq!(scene.leave(heavy, 1), 1);
        scene.pass(AT_WORK_FOR);
        assert_eq!(scene.leave(heavy, 1), 6);
    }

    #[test]
    fn what_is_quiet_again_is_forgotten_in_the_end() {
        let mut scene = Scene::new();
        let heavy = scene.crowd();
        scene.pass(AT_WORK_FOR);
        assert_eq!([scene.leave(heavy, 4), scene.leave(heavy, 9)], [9, 0]);
        scene.pass(10 * OF_LATE);
        let others = (0..2 * MANY_LANES).map(|_| AppId::new());
        for other in others {
            assert_eq!(scene.come(other, 1) + scene.leave(other, 1), 1);
        }
        assert!(!scene.state.lanes.contains_key(&heavy) && scene.state.lanes.len() <= MANY_LANES);
        let Sums { light_under_way, heavy_apps, .. } = scene.state.sums;
        assert_eq!((light_under_way, heavy_apps), (0, 0));
    }

    #[tokio::test]
    async fn somebody_comes_back_to_those_who_were_held() {
        let (shares, heavy) = (FairShares::new(1, 1), AppId::new());
        let crowd = join_all((0..10).map(|_| shares.enter(heavy))).await;
        sleep(OF_LATE / 5).await;
        let _light = shares.enter(AppId::new()).await;
        drop(crowd);
        // It has had none for a while, so the first goes at once.
        let first = shares.enter(heavy).await;
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(shares.enter(heavy))).collect();
        assert!(waiting.iter_mut().all(|one| one.now_or_never().is_none()));
        drop(first);
        for one in waiting {
            drop(one.await);
        }
    }
}
