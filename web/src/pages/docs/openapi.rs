//! Reads an OpenAPI document into what the reference shows.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Body, Group, Member, Operation, Paragraph, Piece, Reference, Response};

/// How deep members of members are listed.
const MAX_DEPTH: usize = 4;

/// See [`Reference::read`].
pub(super) fn read(document: &Value) -> Reference {
    let reader = Reader { document };
    let info = &document["info"];
    Reference {
        version: text(&info["version"]),
        introduction: paragraphs(&text(&info["description"])),
        groups: list(&document["tags"])
            .map(|tag| reader.group(tag))
            .filter(|group| !group.operations.is_empty())
            .collect(),
    }
}

struct Reader<'a> {
    document: &'a Value,
}

impl<'a> Reader<'a> {
    fn group(&self, tag: &Value) -> Group {
        let name = text(&tag["name"]);
        let mut operations = Vec::new();
        for (path, methods) in object(&self.document["paths"]) {
            for method in ["get", "post", "put", "patch", "delete"] {
                let operation = &methods[method];
                if list(&operation["tags"]).any(|tag| *tag == name.as_str()) {
                    operations.push(self.operation(path, method, operation));
                }
            }
        }
        Group { name, description: text(&tag["description"]), operations }
    }

    fn operation(&self, path: &str, method: &str, operation: &'a Value) -> Operation {
        let parameters = list(&operation["parameters"]).map(|parameter| self.parameter(parameter)).collect();
        let request =
            object(&operation["requestBody"]["content"]).next().map(|(kind, media)| self.body(kind, media));
        let credential = list(&operation["security"]).flat_map(object).next().map(|(scheme, _)| {
            let scheme = &self.document["components"]["securitySchemes"][scheme.as_str()];
            scheme["description"].as_str().unwrap_or("a bearer token").to_owned()
        });
        let mut operation = Operation {
            id: text(&operation["operationId"]),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: text(&operation["summary"]),
            description: paragraphs(&text(&operation["description"])),
            credential,
            parameters,
            request,
            responses: object(&operation["responses"])
                .map(|(status, response)| self.response(status, response))
                .collect(),
            curl: String::new(),
        };
        operation.curl = self.curl(&operation);
        operation
    }

    fn parameter(&self, parameter: &'a Value) -> Member {
        let schema = self.resolve(&parameter["schema"]);
        Member {
            name: text(&parameter["name"]),
            ty: format!("{} · {}", self.type_of(schema), text(&parameter["in"])),
            required: parameter["required"] == true,
            description: paragraphs(&text(&parameter["description"])),
        }
    }

    fn response(&self, status: &str, response: &'a Value) -> Response {
        let body = object(&response["content"]).next().map(|(kind, media)| self.body(kind, media));
        Response { status: status.to_owned(), description: paragraphs(&text(&response["description"])), body }
    }

    fn body(&self, content_type: &str, media: &'a Value) -> Body {
        let mut members = Vec::new();
        self.members(&media["schema"], "", &mut members, 0);
        let example = [&media["example"], &media["examples"]]
            .into_iter()
            .find_map(|example| match example {
                Value::Null => None,
                Value::Object(named) if std::ptr::eq(example, &media["examples"]) => {
                    named.values().next().map(|first| first["value"].clone())
                }
                example => Some(example.clone()),
            })
            .or_else(|| self.example(&media["schema"], 0));
        let example = example.filter(|example| example.is_object() || example.is_array());
        let pretty = |example| serde_json::to_string_pretty(&example).expect("BUG: JSON prints");
        Body { content_type: content_type.to_owned(), members, example: example.map(pretty) }
    }

    /// `schema`, or what its `$ref` names.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.document.pointer(pointer).unwrap_or(schema),
            None => schema,
        }
    }

    /// The alternatives of a schema that is not null, itself included.
    fn parts(&self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolve(schema);
        let of = |word| list(&schema[word]).filter(|part| part["type"] != "null");
        let combined: Vec<_> = of("allOf").chain(of("oneOf")).chain(of("anyOf")).collect();
        let mut parts = vec![schema];
        parts.extend(combined.into_iter().flat_map(|part| self.parts(part)));
        parts
    }

    /// Append the members of `schema`, and of the objects in it, each named from `path` on.
    fn members(&self, schema: &'a Value, path: &str, members: &mut Vec<Member>, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for part in self.parts(schema) {
            if part["items"].is_object() {
                self.members(&part["items"], &format!("{path}[]"), members, depth + 1);
            }
            let required: HashSet<_> = list(&part["required"]).filter_map(Value::as_str).collect();
            for (name, member) in object(&part["properties"]) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let resolved = self.resolve(member);
                let said = [member, resolved].into_iter().map(|schema| text(&schema["description"]));
                members.push(Member {
                    ty: self.type_of(member),
                    required: required.contains(name.as_str()),
                    description: said
                        .map(|said| paragraphs(&said))
                        .find(|said| !said.is_empty())
                        .unwrap_or_default(),
                    name: path.clone(),
                });
                self.members(member, &path, members, depth + 1);
            }
        }
    }

    /// The type in words: `integer`, `string or null`, `array of objects`, `one of "a", "b"`.
    fn type_of(&self, schema: &'a Value) -> String {
        let mut kinds: Vec<String> = Vec::new();
        for part in self.parts(schema) {
            let values: Vec<_> = list(&part["enum"]).map(Value::to_string).collect();
            if !values.is_empty() {
                kinds.push(format!("one of {}", values.join(", ")));
                continue;
            }
            let named =
                part["type"].as_str().into_iter().chain(list(&part["type"]).filter_map(Value::as_str));
            for kind in named {
                kinds.push(match (kind, part["format"].as_str()) {
                    ("array", _) => format!("array of {}", self.type_of(&part["items"])),
                    ("string", Some("date-time")) => "time (RFC 3339)".to_owned(),
                    ("string", Some(format)) => format.to_owned(),
                    (kind, _) => kind.to_owned(),
                });
            }
        }
        if list(&self.resolve(schema)["oneOf"]).any(|part| part["type"] == "null") {
            kinds.push("null".to_owned());
        }
        kinds.dedup();
        if kinds.is_empty() { "any JSON".to_owned() } else { kinds.join(" or ") }
    }

    /// An example put together from the examples of the members.
    fn example(&self, schema: &'a Value, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut object_example = Map::new();
        for part in self.parts(schema) {
            if let Some(example) =
                [&part["example"], &part["examples"][0]].into_iter().find(|it| !it.is_null())
            {
                return Some(example.clone());
            }
            if let Some(first) = list(&part["enum"]).next() {
                return Some(first.clone());
            }
            if part["items"].is_object() {
                return self.example(&part["items"], depth + 1).map(|item| Value::Array(vec![item]));
            }
            for (name, member) in object(&part["properties"]) {
                if let Some(example) = self.example(member, depth + 1) {
                    object_example.insert(name.clone(), example);
                }
            }
        }
        (!object_example.is_empty()).then_some(Value::Object(object_example))
    }

    /// A request with curl.
    fn curl(&self, operation: &Operation) -> String {
        let base_url = self.document["servers"][0]["url"].as_str().unwrap_or_default();
        let method =
            if operation.method == "GET" { String::new() } else { format!(" -X {}", operation.method) };
        let mut curl = format!("curl{method} \"{base_url}{}\"", operation.path);
        if let Some(credential) = &operation.credential {
            let variable = if credential.contains("secret") { "SYNCLINE_KEY" } else { "TOKEN" };
            curl.push_str(&format!(" \\\n  -H \"Authorization: Bearer ${variable}\""));
        }
        if operation.parameters.iter().any(|parameter| parameter.name == "Oversync-Source-ID") {
            curl.push_str(" \\\n  -H \"Oversync-Source-ID: ada-laptop\"");
        }
        if let Some(request) = &operation.request {
            curl.push_str(&format!(" \\\n  -H \"Content-Type: {}\"", request.content_type));
            if let Some(example) = &request.example {
                curl.push_str(&format!(" \\\n  -d '{}'", example.replace('\'', r"'\''")));
            }
        }
        curl
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Paragraphs of Markdown, of which only code spans mean something here.
fn paragraphs(markdown: &str) -> Vec<Paragraph> {
    markdown.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()).map(paragraph).collect()
}

fn paragraph(markdown: &str) -> Paragraph {
    let pieces = markdown.split('`').enumerate().filter(|(_, piece)| !piece.is_empty());
    // Between the first and the second backtick is code, between the second and the third is not, and so on.
    let piece = |(index, piece): (usize, &str)| {
        let piece = piece.replace('\n', " ");
        if index % 2 == 1 { Piece::Code(piece) } else { Piece::Text(piece) }
    };
    Paragraph(pieces.map(piece).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "info": { "version": "1", "description": "One.\n\nTwo `code`." },
            "tags": [{ "name": "Sync", "description": "Devices" }, { "name": "Empty" }],
            "servers": [{ "url": "https://x.example/t/a/b" }],
            "paths": { "/sync/pull": { "get": {
                "tags": ["Sync"], "operationId": "pull", "summary": "Pull",
                "security": [{ "user_token": [] }],
                "parameters": [
                    { "in": "query", "name": "max_bundles", "schema": { "type": ["integer", "null"] } }
                ],
                "responses": { "200": { "description": "Bundles", "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Page" }
                } } } }
            } } },
            "components": {
                "securitySchemes": { "user_token": { "description": "A token of a user" } },
                "schemas": {
                    "Page": { "properties": {
                        "rows": { "type": "array", "items": { "$ref": "#/components/schemas/Row" } }
                    }, "required": ["rows"] },
                    "Row": { "properties": {
                        "op": { "enum": ["INSERT", "DELETE"] },
                        "child": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Row" }] }
                    } }
                }
            }
        })
    }

    #[test]
    fn an_operation_is_read_with_the_apps_own_address() {
        let reference = read(&document());
        assert_eq!(reference.groups.len(), 1);
        let pull = &reference.groups[0].operations[0];
        assert_eq!((pull.method.as_str(), pull.path.as_str()), ("GET", "/sync/pull"));
        assert_eq!(pull.parameters.len(), 1);
        assert_eq!(pull.parameters[0].ty, "integer or null · query");
        assert_eq!(
            pull.curl,
            "curl \"https://x.example/t/a/b/sync/pull\" \\\n  -H \"Authorization: Bearer $TOKEN\""
        );
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let reference = read(&document());
        let body = reference.groups[0].operations[0].responses[0].body.clone().unwrap();
        let names: Vec<_> = body.members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(&names[..3], ["rows", "rows[].child", "rows[].child.child"]);
        let op = body.members.iter().find(|member| member.name == "rows[].op").unwrap();
        assert_eq!(op.ty, r#"one of "INSERT", "DELETE""#);
        assert!(body.example.unwrap().contains("\"op\": \"INSERT\""));
    }

    #[test]
    fn code_spans_are_told_from_text() {
        let pieces = vec![Piece::Text("Two ".into()), Piece::Code("code".into()), Piece::Text(".".into())];
        assert_eq!(paragraphs("One.\n\nTwo `code`.")[1], Paragraph(pieces));
    }
}
