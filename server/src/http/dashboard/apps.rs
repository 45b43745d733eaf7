//! Making an app.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    pages::apps::{NewAppForm, NewAppInput, NewAppPage},
    shell::{Area, Notice},
};

use super::{show, show_as};
use crate::{
    control::{
        ControlPlane,
        apps::life::{CreateAppError, LogicalSchema, NewApp},
        slugs::Slug,
        tenants::AppName,
    },
    directory::Directory,
    http::{
        PublicUrl,
        error::ApiError,
        extract::{form::Posted, member::TenantDeveloper},
        page_error::PageError,
    },
    tables::spec::WireProfile,
};

pub async fn page(
    member: TenantDeveloper,
    State(public_url): State<PublicUrl>,
) -> Result<Response, PageError> {
    show(&new_app_page(&member, &public_url, NewAppForm::default()))
}

pub async fn submit(
    member: TenantDeveloper,
    State(control): State<ControlPlane>,
    State(directory): State<Directory>,
    State(public_url): State<PublicUrl>,
    Posted(input): Posted<NewAppInput>,
) -> Result<Response, PageError> {
    let mut form = NewAppForm::from(&input);
    if let Some(new) = check(&input, &mut form) {
        match control.create_app(&member.actor(), member.tenant(), &new).await {
            Ok(app) => {
                directory.refresh().await;
                let done = format!("{} is ready. Give it tables next: paste your schema.", app.name);
                member.notify(Notice::Done(done)).await?;
                let links = member.shell(Area::Apps).tenant_links().app(app.slug.as_str());
                return Ok(Redirect::to(&links.schema()).into_response());
            }
            Err(CreateAppError::SlugTaken) => {
                form.slug.reject("Your organisation has an app at this address. Choose another.");
            }
            Err(CreateAppError::Database(error)) => return Err(error.into()),
            Err(error) => return Err(ApiError::internal(error).into()),
        }
    }
    show_as(StatusCode::UNPROCESSABLE_ENTITY, &new_app_page(&member, &public_url, form))
}

fn new_app_page(member: &TenantDeveloper, public_url: &PublicUrl, form: NewAppForm) -> NewAppPage {
    NewAppPage {
        shell: member.shell(Area::Apps),
        base_url_prefix: format!("{}/t/{}/", public_url.as_str(), member.tenant().slug),
        form,
    }
}

/// What was typed as a new app, or a sentence at each field that is not right.
fn check(input: &NewAppInput, form: &mut NewAppForm) -> Option<NewApp> {
    let name = AppName::parse(&input.name).map_err(|reason| form.name.reject(reason.to_string())).ok();
    let slug = if input.slug.trim().is_empty() {
        let suggested = Slug::suggest(&input.name);
        if suggested.is_none() && name.is_some() {
            form.slug.reject("No address can be made from this name. Type one: letters a–z, digits, dashes.");
        }
        suggested
    } else {
        Slug::parse_new(&input.slug).map_err(|reason| form.slug.reject(reason.to_string())).ok()
    };
    let profile = WireProfile::parse(&input.wire_profile);
    if profile.is_none() {
        form.wire_profile.reject("Choose one of the two.");
    }
    let logical_schema = LogicalSchema::parse(&input.logical_schema)
        .map_err(|reason| form.logical_schema.reject(reason.to_string()))
        .ok();
    Some(NewApp { name: name?, slug: slug?, profile: profile?, logical_schema: logical_schema? })
}
