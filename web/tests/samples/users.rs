//! The users of an app.

use syncline_web::{
    forms::Field,
    pages::{end_users::*, users::*},
};
use time::{Duration, OffsetDateTime};

use super::{devices, history, *};

pub fn samples() -> Vec<Sample> {
    [lists(), details()].concat()
}

fn user(scope: &str, state: ScopeState, many: i64) -> UserRow {
    UserRow {
        scope: scope.into(),
        counted: 1_000,
        state,
        devices: many,
        bundle_seq: many * 140,
        open_conflicts: many / 3,
        last_commit_at: (many > 0).then(|| ago(Duration::minutes(4))),
        created_at: ago(Duration::days(11)),
    }
}

pub(super) fn tokens(user: &str, source: &str, revoked_at: Option<OffsetDateTime>) -> EndUserTokens {
    EndUserTokens { user: user.into(), scope: user.into(), source: source.into(), revoked_at }
}

fn lists() -> Vec<Sample> {
    let list = |shell: Shell, users, prefix: &str| UsersPage {
        rows: UserRows { shell: shell.clone(), users, next: None },
        shell: shell.at(Area::Users),
        prefix: prefix.into(),
        is_continued: false,
    };
    let erased = ScopeState::Erased { at: ago(Duration::minutes(4)) };
    let typical = vec![
        user("ada@example.org", ScopeState::Initialized, 3),
        user("grace@example.org", ScopeState::Initializing, 0),
        user("linus", ScopeState::Uninitialized, 0),
        user("erased", erased, 1),
    ];
    let mut extreme = list(
        extreme_shell(),
        full_page(&[
            user(LONG, ScopeState::Initialized, 99_999),
            user(RIGHT_TO_LEFT, ScopeState::Initializing, 0),
            user(HOSTILE, erased, 99_999),
            user(&worst(), ScopeState::Uninitialized, 99_999),
        ]),
        &worst(),
    );
    (extreme.rows.next, extreme.is_continued) = (Some(format!("?after={HOSTILE}")), true);
    vec![
        sample("users-empty", &list(app_shell(), vec![], "")),
        sample("users-typical", &list(app_shell(), typical, "")),
        sample("users-extreme", &extreme),
        sample("users-none", &list(app_shell(), vec![], "zz")),
    ]
}

fn user_page(shell: Shell, user: UserRow, tables: Vec<TableRows>) -> UserPage {
    UserPage {
        shell: shell.at(Area::Users),
        floor_seq: 0,
        devices: vec![],
        storage: Storage {
            rows: tables.iter().map(|table| table.bytes).fold(0, i64::saturating_add),
            is_exact: tables.iter().all(|table| table.is_exact),
            history: user.bundle_seq.saturating_mul(812),
            bundles: user.bundle_seq,
            conflicts: user.open_conflicts,
        },
        tables,
        bundles: vec![],
        is_being_erased: user.state == ScopeState::Initializing,
        holders: vec![tokens(&user.scope, "", user.last_commit_at)],
        user,
        token: TokenForm::default(),
        confirmation: Field::default(),
    }
}

fn details() -> Vec<Sample> {
    let ada = |state, many| user("ada@example.org", state, many);
    let table = |name: &str, rows, is_exact, bytes| TableRows { name: name.into(), rows, is_exact, bytes };
    let tables = vec![
        table("site", 12, true, 1_400),
        table("observation", 10_000, false, 3_120_000),
        table("tag", 1, true, 80),
    ];
    let typical = || UserPage {
        floor_seq: 12,
        devices: devices::rows(),
        bundles: history::bundles(),
        ..user_page(app_shell(), ada(ScopeState::Initialized, 3), tables.clone())
    };
    let minted =
        MintedToken { plain_text: "eyJhbGciOiJIUzI1NiJ9.".repeat(9), minutes: 15, base_url: BASE_URL.into() };
    let with_token =
        UserPage { token: TokenForm { minted: Some(minted), ..TokenForm::default() }, ..typical() };
    let hostile = table(&worst(), i64::MAX, false, i64::MAX);
    let mut extreme = user_page(
        extreme_owner(),
        user(&worst(), ScopeState::Initialized, 9_999_999),
        vec![hostile; COLUMNS],
    );
    extreme.floor_seq = i64::MAX;
    extreme.devices = devices::extreme_rows().into_iter().cycle().take(UserPage::DEVICES as usize).collect();
    extreme.bundles =
        history::extreme_bundles().into_iter().cycle().take(UserPage::BUNDLES as usize).collect();
    extreme.holders = vec![tokens(&worst(), "", None), tokens(RIGHT_TO_LEFT, "", Some(NOW))];
    extreme.token.user = Field::new(worst());
    extreme.token.user.reject("No such user shares these rows.");
    extreme.confirmation = Field::new(worst());
    extreme.confirmation.reject("This is not the user's id.");
    let erased = ScopeState::Erased { at: ago(Duration::minutes(4)) };
    vec![
        sample("user-empty", &user_page(app_shell(), user("linus", ScopeState::Uninitialized, 0), vec![])),
        sample("user-typical", &typical()),
        sample("user-extreme", &extreme),
        sample("user-extreme-viewer", &UserPage { shell: extreme_shell().at(Area::Users), ..extreme }),
        sample("user-token", &with_token),
        sample("user-erased", &user_page(app_shell(), ada(erased, 0), tables.clone())),
        sample("user-erasing", &user_page(app_shell(), ada(ScopeState::Initializing, 1), tables.clone())),
    ]
}
