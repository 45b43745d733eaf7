//! An organisation's name, and its end.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use syncline_web::{
    forms::Field,
    links,
    pages::tenants::{DeleteTenantInput, RenameInput, TenantSettingsPage},
    shell::{Area, Notice},
};

use super::{show, show_as};
use crate::{
    control::{
        ControlPlane,
        roles::Role,
        tenants::{DeleteTenantError, TenantName},
    },
    http::{
        extract::{
            form::Posted,
            member::{TenantAdmin, TenantOwner},
        },
        page_error::PageError,
    },
};

pub async fn page(admin: TenantAdmin, State(control): State<ControlPlane>) -> Result<Response, PageError> {
    show(&settings_page(&admin, &control).await?)
}

pub async fn rename(
    admin: TenantAdmin,
    State(control): State<ControlPlane>,
    Posted(input): Posted<RenameInput>,
) -> Result<Response, PageError> {
    match TenantName::parse(&input.name) {
        Ok(name) => {
            control.rename_tenant(&admin.actor(), admin.tenant(), &name).await?;
            admin.notify(Notice::Done(format!("The organisation is called {} now.", name.as_str()))).await?;
            Ok(Redirect::to(&admin.shell(Area::Settings).tenant_links().settings()).into_response())
        }
        Err(reason) => {
            let mut rename = Field::new(&input.name);
            rename.reject(reason.to_string());
            let page = TenantSettingsPage { rename, ..settings_page(&admin, &control).await? };
            show_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
        }
    }
}

/// Delete the organisation, if its name was typed and it has no apps.
pub async fn delete(
    owner: TenantOwner,
    State(control): State<ControlPlane>,
    Posted(input): Posted<DeleteTenantInput>,
) -> Result<Response, PageError> {
    let (tenant, typed) = (owner.tenant(), &input.confirmation);
    let mut confirmation = Field::new(typed);
    match control.delete_tenant(owner.account(), owner.origin(), tenant, typed).await {
        Ok(()) => {
            owner.notify(Notice::Done(format!("{} is deleted.", tenant.name))).await?;
            return Ok(Redirect::to(links::TENANTS).into_response());
        }
        Err(DeleteTenantError::NameDiffers) => {
            confirmation.reject(format!("Type the organisation's name: {}", tenant.name));
        }
        Err(DeleteTenantError::HasApps { .. }) => {
            confirmation.reject("Delete its apps first: each is deleted on its own settings page.");
        }
        Err(DeleteTenantError::Database(error)) => return Err(error.into()),
    }
    let page = TenantSettingsPage { confirmation, ..settings_page(&owner, &control).await? };
    show_as(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

async fn settings_page(admin: &TenantAdmin, control: &ControlPlane) -> Result<TenantSettingsPage, PageError> {
    let tenant = admin.tenant();
    Ok(TenantSettingsPage {
        shell: admin.shell(Area::Settings),
        tenant_id: tenant.tenant_id.to_string(),
        slug: tenant.slug.to_string(),
        created_at: tenant.created_at,
        rename: Field::new(&tenant.name),
        apps: control.apps(tenant.tenant_id).await?.len() as i64,
        may_delete: admin.role() == Role::Owner,
        confirmation: Field::default(),
    })
}
