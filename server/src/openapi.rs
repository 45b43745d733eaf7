//! The API as an OpenAPI document: generated from the handlers, committed under `openapi/`, and shown by every app's
//! docs page with the app's own base URL filled in.

use serde_json::{Map, Value, json};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

use crate::http::{control, sync};

/// What stands before the relative paths of an app in the specification.
const APP_PREFIX: &str = "/t/{tenant}/{app}";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Syncline",
        description = "Sync offline-first SQLite databases of an app's users, and manage the app.\n\nEvery path hangs \
            under the app's base URL, `https://HOST/t/{tenant}/{app}`. Devices send `Authorization: Bearer <token>` and \
            `Oversync-Source-ID`; a tenant's servers send a secret key. Every failure is \
            `{\"error\": code, \"message\": sentence}`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "Tokens", description = "Who may sync"),
        (name = "Sync", description = "The oversync protocol, version v1: what devices call"),
        (name = "Management", description = "What a tenant's servers call with a secret key"),
    ),
    paths(
        control::api_keys::list,
        control::api_keys::issue,
        control::api_keys::revoke,
        control::schema::publish,
        control::schema::read,
        control::tokens::mint,
        sync::capabilities::capabilities,
        sync::committed_rows::committed_rows,
        sync::connect::connect,
        sync::pull::pull,
        sync::push::commit,
        sync::push::create,
        sync::push::delete,
        sync::push::stage,
        sync::snapshot::chunk,
        sync::snapshot::create,
        sync::snapshot::delete,
        sync::status::health,
        sync::status::status,
        sync::watch::watch,
    ),
    modifiers(&Credentials),
)]
struct Specification;

/// The kinds of credential that operations name.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = |description: &str| {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(description.to_owned());
            SecurityScheme::Http(scheme)
        };
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(
            "user_token",
            bearer("A token of an end user: minted, or the tenant's own JWT"),
        );
        components.add_security_scheme("secret_key", bearer("A secret API key of the app (`sk_…`)"));
    }
}

/// The specification of the whole server, as pretty JSON with a final line feed: what `syncline openapi` prints and
/// `openapi/syncline.json` holds.
pub fn specification() -> String {
    let mut text = serde_json::to_string_pretty(&document()).expect("BUG: the specification is plain JSON");
    text.push('\n');
    text
}

/// The specification as one app's developers read it: paths relative to the app's base URL.
pub fn for_app(app_name: &str, base_url: &str) -> Value {
    let mut document = document();
    document["info"]["title"] = json!(app_name);
    document["servers"] = json!([{ "url": base_url }]);
    if let Some(Value::Object(paths)) = document.get_mut("paths") {
        *paths = std::mem::take(paths)
            .into_iter()
            .filter_map(|(path, item)| {
                Some((path.strip_prefix(APP_PREFIX)?.to_owned(), without_app_parameters(item)))
            })
            .collect::<Map<String, Value>>();
    }
    document
}

/// Members come out sorted by name, so a moved line of code does not move the document.
fn document() -> Value {
    serde_json::to_value(Specification::openapi()).expect("BUG: the specification is plain JSON")
}

fn without_app_parameters(mut item: Value) -> Value {
    for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
        if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
            parameters.retain(|parameter| {
                !(parameter["in"] == "path" && (parameter["name"] == "tenant" || parameter["name"] == "app"))
            });
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apps_document_has_its_base_url_and_no_path_parameters_for_it() {
        let document = for_app("Notes", "https://sync.example/t/acme/notes");
        assert_eq!(document["servers"][0]["url"], "https://sync.example/t/acme/notes");
        let mint = &document["paths"]["/auth/token"]["post"];
        assert_eq!(mint["operationId"], "mint_token");
        let names: Vec<&str> =
            mint["parameters"].as_array().into_iter().flatten().filter_map(|p| p["name"].as_str()).collect();
        assert_eq!(names, Vec::<&str>::new());
    }
}
