//! An app's settings: its name, its history, its end users' tokens, its end.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    forms::Field,
    pages::settings::{
        AppFacts, DeleteInput, EndUserAuthForm, EndUserAuthInput, GeneralForm, GeneralInput,
        RetentionQuestion, SettingsPage, TokenTestInput, TokenTestResult,
    },
    shell::{Area, Notice},
};

use super::{show, show_as, sign_up::sentence};
use crate::{
    app::Syncline,
    auth::end_user::UnverifiedToken,
    control::{
        ControlPlane,
        apps::{Retention, base_url, life::DeleteAppError},
        end_user_auth::{EndUserAuthSettings, JwtSecretChange, NewEndUserAuthSettings, UnfitSetting},
        tenants::AppName,
    },
    directory::Directory,
    http::{
        PublicUrl,
        extract::{
            form::Posted,
            member::{AppAdmin, AppDeveloper, AppViewer},
        },
        page_error::PageError,
    },
};

pub async fn page(
    viewer: AppViewer,
    State(control): State<ControlPlane>,
    State(public_url): State<PublicUrl>,
) -> Result<Response, PageError> {
    show(&settings_page(&viewer, &control, &public_url).await?)
}

/// Change the app's name and how much history it keeps. What devices would notice of it is told before it is done.
pub async fn change_general(
    developer: AppDeveloper,
    State(server): State<Syncline>,
    State(public_url): State<PublicUrl>,
    Posted(input): Posted<GeneralInput>,
) -> Result<Response, PageError> {
    let control = &server.control;
    let mut form = GeneralForm::from(&input);
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some((name, retention)) = check_general(&input, &mut form) {
        form.question = question(&developer, &server, &input, &retention).await?;
        if form.question.is_none() {
            control.change_app_settings(&developer.actor(), developer.app(), &name, retention).await?;
            return saved(&developer, &server.directory).await;
        }
        status = StatusCode::OK;
    }
    let page = SettingsPage { general: form, ..settings_page(&developer, control, &public_url).await? };
    show_as(status, &page)
}

/// What the person should know before less history is kept; None: nothing, or they know it.
async fn question(
    developer: &AppDeveloper,
    server: &Syncline,
    input: &GeneralInput,
    retention: &Retention,
) -> Result<Option<RetentionQuestion>, PageError> {
    let app = developer.app();
    let accepted = input.retention();
    let (Some(keep), true) = (server.history_kept(retention), input.accepted != accepted) else {
        return Ok(None);
    };
    if server.history_kept(&app.retention) == Some(keep) {
        return Ok(None);
    }
    let rebuilds = server.engine.would_rebuild(&app.app_id.schema(), keep).await?;
    Ok((rebuilds.devices > 0).then_some(RetentionQuestion {
        devices: rebuilds.devices,
        at_least: rebuilds.is_capped,
        accepted,
    }))
}

/// Change which tokens of the app's own are accepted.
pub async fn change_end_user_auth(
    developer: AppDeveloper,
    State(control): State<ControlPlane>,
    State(directory): State<Directory>,
    State(public_url): State<PublicUrl>,
    Posted(input): Posted<EndUserAuthInput>,
) -> Result<Response, PageError> {
    let had_secret = control.end_user_auth_settings(developer.app()).await?.has_jwt_secret;
    let mut form = EndUserAuthForm::retry(&input, had_secret);
    let new = new_auth(&input);
    match new.check() {
        Ok(()) => {
            control.change_end_user_auth(&developer.actor(), developer.app(), &new).await?;
            saved(&developer, &directory).await
        }
        Err(unfit) => {
            reject_auth(unfit, &mut form);
            let page = SettingsPage { auth: form, ..settings_page(&developer, &control, &public_url).await? };
            show_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
    }
}

/// Say what a token is worth, with the particulars that the wire does not tell.
pub async fn test_token(
    developer: AppDeveloper,
    State(control): State<ControlPlane>,
    State(public_url): State<PublicUrl>,
    Posted(input): Posted<TokenTestInput>,
) -> Result<Response, PageError> {
    let token = input.token.reveal().trim();
    let verified =
        UnverifiedToken::parse(token).and_then(|token| developer.live().auth.verify(&token, control.now()));
    let result = match verified {
        Ok(user) => TokenTestResult::Accepted {
            user: user.user().to_string(),
            scope: user.scope().to_string(),
            expires_at: user.expires_at(),
        },
        Err(failure) => TokenTestResult::Refused { sentence: sentence(&failure) },
    };
    let page =
        SettingsPage { token_test: Some(result), ..settings_page(&developer, &control, &public_url).await? };
    show(&page)
}

/// Delete the app, if its name was typed.
pub async fn delete(
    admin: AppAdmin,
    State(control): State<ControlPlane>,
    State(directory): State<Directory>,
    State(public_url): State<PublicUrl>,
    Posted(input): Posted<DeleteInput>,
) -> Result<Response, PageError> {
    match control.delete_app(&admin.actor(), admin.app(), &input.confirmation).await {
        Ok(()) => {
            directory.refresh().await;
            let done = format!("{} is deleted, with everything that was in it.", admin.app().name);
            admin.notify(Notice::Done(done)).await?;
            Ok(Redirect::to(admin.shell(Area::Settings).tenant_links().home()).into_response())
        }
        Err(DeleteAppError::NameDiffers) => {
            let mut confirmation = Field::new(&input.confirmation);
            confirmation.reject(format!("Type the app's name: {}", admin.app().name));
            let page = SettingsPage { confirmation, ..settings_page(&admin, &control, &public_url).await? };
            show_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
        Err(DeleteAppError::Database(error)) => Err(error.into()),
    }
}

async fn saved(developer: &AppDeveloper, directory: &Directory) -> Result<Response, PageError> {
    directory.refresh().await;
    developer.notify(Notice::Done("Saved. It takes effect within a second.".to_owned())).await?;
    Ok(Redirect::to(&developer.shell(Area::Settings).links().settings()).into_response())
}

async fn settings_page(
    viewer: &AppViewer,
    control: &ControlPlane,
    public_url: &PublicUrl,
) -> Result<SettingsPage, PageError> {
    let app = viewer.app();
    let auth = control.end_user_auth_settings(app).await?;
    let number = |number: Option<i64>| Field::new(number.map(|n| n.to_string()).unwrap_or_default());
    Ok(SettingsPage {
        shell: viewer.shell(Area::Settings),
        facts: AppFacts {
            app_id: app.app_id.to_string(),
            base_url: base_url(public_url.as_str(), &viewer.tenant().slug, &app.slug),
            wire_profile: app.profile.to_string(),
            logical_schema: app.logical_schema.clone(),
        },
        general: GeneralForm {
            name: Field::new(&app.name),
            min_bundles: number(app.retention.min_bundles),
            max_age_days: number(app.retention.max_age_days.map(i64::from)),
            question: None,
        },
        auth: auth_form(auth),
        token_test: None,
        confirmation: Field::default(),
    })
}

fn auth_form(auth: EndUserAuthSettings) -> EndUserAuthForm {
    EndUserAuthForm {
        has_secret: auth.has_jwt_secret,
        issuer: Field::new(auth.issuer.unwrap_or_default()),
        audience: Field::new(auth.audience.unwrap_or_default()),
        user_claim: Field::new(auth.user_claim),
        scope_claim: Field::new(auth.scope_claim.unwrap_or_default()),
        clock_skew_seconds: Field::new(auth.clock_skew_seconds.to_string()),
        ..EndUserAuthForm::default()
    }
}

fn check_general(input: &GeneralInput, form: &mut GeneralForm) -> Option<(AppName, Retention)> {
    let name = AppName::parse(&input.name).map_err(|reason| form.name.reject(reason.to_string())).ok();
    let min_bundles = number_or_nothing(&input.min_bundles, 0..=1_000_000_000).map_err(|()| {
        form.min_bundles.reject("Type a number from 0 to 1000000000, or nothing.");
    });
    let max_age_days = number_or_nothing(&input.max_age_days, 1..=36_500).map_err(|()| {
        form.max_age_days.reject("Type a number of days from 1 to 36500, or nothing.");
    });
    let max_age_days = max_age_days.ok()?.and_then(|days| i32::try_from(days).ok());
    Some((name?, Retention { min_bundles: min_bundles.ok()?, max_age_days }))
}

fn number_or_nothing(typed: &str, bounds: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, ()> {
    match typed.trim() {
        "" => Ok(None),
        digits => digits.parse().ok().filter(|number| bounds.contains(number)).map(Some).ok_or(()),
    }
}

fn new_auth(input: &EndUserAuthInput) -> NewEndUserAuthSettings {
    let text = |typed: &str| Some(typed.trim().to_owned()).filter(|text| !text.is_empty());
    NewEndUserAuthSettings {
        jwt_secret: match (&input.jwt_hs256_secret, input.forget_secret.0) {
            (secret, _) if !secret.is_empty() => JwtSecretChange::Set(secret.reveal().to_owned()),
            (_, true) => JwtSecretChange::Remove,
            (_, false) => JwtSecretChange::Keep,
        },
        issuer: text(&input.issuer),
        audience: text(&input.audience),
        // Out of bounds, whatever was typed, unless it is a number.
        clock_skew_seconds: input.clock_skew_seconds.trim().parse().unwrap_or(-1),
        user_claim: input.user_claim.trim().to_owned(),
        scope_claim: text(&input.scope_claim),
    }
}

fn reject_auth(unfit: UnfitSetting, form: &mut EndUserAuthForm) {
    let sentence = unfit.to_string();
    match unfit {
        UnfitSetting::JwtSecret => form.jwt_hs256_secret.reject(sentence),
        UnfitSetting::Issuer => form.issuer.reject(sentence),
        UnfitSetting::Audience => form.audience.reject(sentence),
        UnfitSetting::ClockSkew => form.clock_skew_seconds.reject(sentence),
        UnfitSetting::UserClaim => form.user_claim.reject(sentence),
        UnfitSetting::ScopeClaim => form.scope_claim.reject(sentence),
    }
}
