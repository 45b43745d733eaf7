//! What is written in the background for many apps, one after the other, while requests are served.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt as _, stream};

use super::fair_share::FairShares;
use crate::ids::AppId;

/// So many apps more, and one more is written at the same time.
const APPS_FOR_ONE_MORE: usize = 100;
const MOST_AT_ONCE: usize = 4;

/// How long a moment without requests is waited for, before each app and before all of them together.
const MOST_PATIENCE: Duration = Duration::from_millis(20);
const PATIENCE_FOR_ALL: Duration = Duration::from_secs(1);

/// Write something for each app: best when no request is under way, of few apps one at a time, so that requests find
/// a processor free, of many some at once, so that all are written within seconds.
pub(super) async fn for_each_app<T, F>(
    shares: &FairShares,
    apps: HashMap<AppId, T>,
    write: impl Fn(AppId, T) -> F,
) where
    F: Future<Output = ()>,
{
    let at_once = (apps.len() / APPS_FOR_ONE_MORE).clamp(1, MOST_AT_ONCE);
    let patience = MOST_PATIENCE.min(PATIENCE_FOR_ALL * at_once as u32 / apps.len().max(1) as u32);
    let write = |(app, what)| {
        let written = write(app, what);
        async move {
            shares.lull(patience).await;
            written.await;
        }
    };
    stream::iter(apps).for_each_concurrent(at_once, write).await;
}
