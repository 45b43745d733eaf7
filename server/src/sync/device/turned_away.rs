//! Requests that name a device and whose token is refused: facts too, but of doubtful origin.
//!
//! What may be believed: the *scope* in a token that bears the app's signature was given to its holder by the app, even
//! if the token has expired or is revoked. Where the signature itself fails, anybody may have written it. Both are noted
//! only with devices that exist already (the flush updates, it never inserts), apart from what the device itself did, and
//! a success of the device after it ends it. So a stranger makes no device, and can do no more to one whose scope and
//! source they know than have its page say, until it calls again, that somebody's token was refused. What is unsigned is
//! bounded far lower, an app at a time, so that a flood against one app leaves room for others.

use std::{collections::HashMap, sync::Arc};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Verb,
    facts::{Facts, Gathered, short},
};
use crate::{
    ids::{AppId, ScopeId, SourceId},
    ops::database::in_schema,
    sync::Engine,
    tables::catalog::AppCatalog,
};

/// Devices that are named by unsigned tokens between two flushes: of one app, and of all.
const MAX_UNSIGNED_OF_APP: usize = 200;
const MAX_UNSIGNED: usize = 2_000;
/// Devices that are named by signed ones.
const MAX_SIGNED: usize = 20_000;

/// A request whose token was refused.
#[derive(Debug, Clone, Copy)]
pub struct TurnedAway<'a> {
    pub at: OffsetDateTime,
    pub verb: Verb,
    /// The check that failed, and its particulars.
    pub check: &'static str,
    pub message: &'a str,
    /// The token bears the app's signature.
    pub is_signed: bool,
    pub scope: &'a ScopeId,
    pub source: &'a SourceId,
}

/// Requests of that kind in a row, as far as they name one device.
#[derive(Debug, Clone)]
pub(in crate::sync) struct Refusals {
    /// Of the event that tells it, if one does.
    event_id: Uuid,
    pub(in crate::sync) at: OffsetDateTime,
    pub(in crate::sync) since: OffsetDateTime,
    pub(in crate::sync) verb: Verb,
    pub(in crate::sync) check: &'static str,
    pub(in crate::sync) message: String,
    pub(in crate::sync) is_signed: bool,
    pub(in crate::sync) count: i64,
}

/// Those of one app since the last flush.
#[derive(Debug)]
pub(in crate::sync) struct AppRefusals {
    pub(in crate::sync) catalog: Arc<AppCatalog>,
    /// By scope and source.
    pub(in crate::sync) devices: HashMap<(String, String), Refusals>,
    unsigned: usize,
}

/// Those of all apps.
#[derive(Debug, Default)]
pub(in crate::sync) struct AllRefusals {
    pub(in crate::sync) apps: HashMap<AppId, AppRefusals>,
    signed: usize,
    unsigned: usize,
}

/// Only devices that exist, and only if they were not let in since. An event tells that it began, or became another check;
/// of an unsigned token only the former, so that a stranger cannot fill a timeline.
const WRITE: &str = "with noted as (
        update {schema}._sync_device d
        set auth_failed_at = u.at,
            auth_failed_since = case
                when d.auth_failed_at is not null and d.auth_failed_check = u.failed then d.auth_failed_since
                else u.since
            end,
            auth_failed_count = case
                when d.auth_failed_at is not null and d.auth_failed_check = u.failed then d.auth_failed_count + u.count
                else u.count
            end,
            auth_failed_check = u.failed, auth_failed_message = u.message, auth_failed_signed = u.signed
        from unnest(
            $1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::boolean[],
            $8::bigint[], $9::text[], $10::uuid[]
        ) as u (scope_id, source_id, at, since, failed, message, signed, count, verb, event_id),
            {schema}._sync_device o
        where d.scope_id = u.scope_id and d.source_id = u.source_id and d.last_seen_at < u.at
            and o.scope_id = d.scope_id and o.source_id = d.source_id
            -- What is signed outweighs what is not.
            and (u.signed or d.auth_failed_at is null or not d.auth_failed_signed)
        returning d.scope_id, d.source_id, u.event_id, u.at, u.verb, u.message,
            o.auth_failed_at is null or (u.signed and o.auth_failed_check is distinct from u.failed) as is_news
    )
    insert into {schema}._sync_device_event (scope_id, source_id, event_id, at, verb, status, code, message)
    select n.scope_id, n.source_id, n.event_id, n.at, n.verb, 401, 'authentication_failed', n.message
    from noted n
    where n.is_news";

impl Engine {
    pub(super) async fn write_refusals(&self, facts: &AppRefusals) -> Result<(), sqlx::Error> {
        let devices: Vec<_> = facts.devices.iter().collect();
        if devices.is_empty() {
            return Ok(());
        }
        let schema = &facts.catalog.schema;
        let mut tx = self.apps.begin_for_looking_at(schema).await?;
        sqlx::query(in_schema(schema, WRITE))
            .bind(devices.iter().map(|((scope, _), _)| scope.as_str()).collect::<Vec<_>>())
            .bind(devices.iter().map(|((_, source), _)| source.as_str()).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, refusals)| refusals.at).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, refusals)| refusals.since).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, refusals)| refusals.check).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, refusals)| refusals.message.as_str()).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, refusals)| refusals.is_signed).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, refusals)| refusals.count).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, refusals)| refusals.verb.as_str()).collect::<Vec<_>>())
            .bind(devices.iter().map(|(_, refusals)| refusals.event_id).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }
}

impl Facts {
    /// Note a request whose token was refused. Never waits. Beyond the bounds nothing is noted.
    pub fn turned_away(&self, app: &Arc<AppCatalog>, refused: TurnedAway<'_>) {
        self.gather(|Gathered { refusals, .. }| refusals.note(app, refused));
    }
}

impl AllRefusals {
    fn note(&mut self, app: &Arc<AppCatalog>, refused: TurnedAway<'_>) {
        let of_app = self.apps.entry(app.app).or_insert_with(|| AppRefusals {
            catalog: Arc::clone(app),
            devices: HashMap::new(),
            unsigned: 0,
        });
        let key = (refused.scope.as_str().to_owned(), refused.source.as_str().to_owned());
        if let Some(known) = of_app.devices.get_mut(&key) {
            return known.add(refused);
        }
        let has_room = if refused.is_signed {
            self.signed < MAX_SIGNED
        } else {
            self.unsigned < MAX_UNSIGNED && of_app.unsigned < MAX_UNSIGNED_OF_APP
        };
        if !has_room {
            return;
        }
        self.signed += usize::from(refused.is_signed);
        self.unsigned += usize::from(!refused.is_signed);
        of_app.unsigned += usize::from(!refused.is_signed);
        of_app.devices.insert(key, Refusals::first(refused));
    }
}

impl Refusals {
    fn first(refused: TurnedAway<'_>) -> Self {
        let TurnedAway { at, verb, check, message, is_signed, .. } = refused;
        Self {
            event_id: Uuid::now_v7(),
            at,
            since: at,
            verb,
            check,
            message: short(message),
            is_signed,
            count: 1,
        }
    }

    /// What is signed outweighs what is not.
    fn add(&mut self, refused: TurnedAway<'_>) {
        if self.is_signed && !refused.is_signed {
            return;
        }
        let before = (self.is_signed == refused.is_signed && self.check == refused.check)
            .then_some((self.since, self.count));
        *self = Self::first(refused);
        if let Some((since, count)) = before {
            (self.since, self.count) = (since, count + 1);
        }
    }
}
