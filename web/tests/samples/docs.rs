//! The API reference.

use serde_json::json;
use syncline_web::pages::docs::*;

use super::*;

/// An API of one operation, of which this is said.
fn reference(text: &str, code: &str, many: usize) -> Reference {
    let schema = json!({
        "type": "object",
        "required": [code],
        "properties": { code: { "type": "string", "description": text }, "rows": { "type": "integer" } },
    });
    let media = json!({ "application/json": { "schema": schema } });
    let parameters = vec![
        json!({
            "name": code, "in": "query", "required": true, "description": text,
            "schema": { "type": "string" },
        });
        many
    ];
    Reference::read(&json!({
        "info": { "version": "1.0.0", "description": format!("{text}\n\n{text} `{code}`") },
        "servers": [{ "url": BASE_URL }],
        "tags": [{ "name": "sync", "description": text }],
        "paths": { "/sync/pull": { "post": {
            "operationId": "pull",
            "tags": ["sync"],
            "summary": text,
            "description": text,
            "security": [{ "token": [] }],
            "parameters": parameters,
            "requestBody": { "content": media },
            "responses": {
                "200": { "description": text, "content": media },
                "409": { "description": text },
                "500": { "description": text },
            },
        } } },
        "components": { "securitySchemes": { "token": { "description": text } } },
    }))
}

pub fn samples() -> Vec<Sample> {
    let document = include_str!("../../../openapi/syncline.json").replace("/t/{tenant}/{app}", "");
    let mut document: serde_json::Value =
        serde_json::from_str(&document).expect("the committed document is JSON");
    document["servers"][0]["url"] = BASE_URL.into();
    let page = |shell: Shell, base_url: &str, reference| DocsPage {
        shell: shell.at(Area::Docs),
        base_url: base_url.into(),
        reference,
    };
    let said = reference("The bundles that a device does not have yet.", "after", 1);
    let long_url = format!("https://{0}.example.org/t/{0}/{0}", "x".repeat(40));
    vec![
        sample("docs-empty", &page(app_shell(), BASE_URL, Reference::default())),
        sample("docs-typical", &page(app_shell(), BASE_URL, said)),
        sample(
            "docs-extreme",
            &page(extreme_shell(), &long_url, reference(&format!("{LONG} {HOSTILE}"), LONG, COLUMNS)),
        ),
        sample(WHOLE_REFERENCE, &page(app_shell(), BASE_URL, Reference::read(&document))),
    ]
}
