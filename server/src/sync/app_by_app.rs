//! What is written in the background for many apps, one after the other, while requests are served.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream};

use crate::ids::AppId;

/// So many apps more, and one more is written at the same time.
const APPS_FOR_ONE_MORE: usize = 100;
const MOST_AT_ONCE: usize = 4;

/// Write something for each app: of few apps one at a time, so that requests find a processor free, of many some at once, so
/// that all are written within seconds.
pub(super) async fn for_each_app<T, F>(apps: HashMap<AppId, T>, write: impl FnMut((AppId, T)) -> F)
where
    F: Future<Output = ()>,
{
    let at_once = (apps.len() / APPS_FOR_ONE_MORE).clamp(1, MOST_AT_ONCE);
    stream::iter(apps).for_each_concurrent(at_once, write).await;
}
