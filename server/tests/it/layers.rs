//! The arrows of import go one way: edge → domain → ground (STYLE.md, "The tree tells the architecture").

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A part of `server/src`, and what its files must not name.
struct Layer {
    /// Files whose path below `src/` begins with one of these.
    files: &'static [&'static str],
    /// Modules of ours.
    never: &'static [&'static str],
    /// Crates.
    never_crates: &'static [&'static str],
}

const EDGE_CRATES: &[&str] = &["axum", "tower_http", "hyper", "askama", "syncline_web"];

const LAYERS: &[Layer] = &[
    Layer {
        files: &["control/", "control.rs"],
        never: &["http", "sync", "app", "directory", "openapi", "jobs"],
        never_crates: EDGE_CRATES,
    },
    Layer {
        files: &["sync/", "sync.rs"],
        never: &["http", "control", "app", "directory", "openapi", "jobs"],
        never_crates: EDGE_CRATES,
    },
    Layer {
        files: &["tables/", "tables.rs"],
        never: &["http", "control", "sync", "app", "directory", "openapi", "jobs"],
        never_crates: EDGE_CRATES,
    },
    Layer {
        files: &["auth/", "auth.rs", "ids.rs", "clock.rs", "ops/", "ops.rs"],
        never: &["http", "control", "sync", "tables", "app", "directory", "openapi", "jobs"],
        never_crates: EDGE_CRATES,
    },
    Layer { files: &["directory.rs"], never: &["http", "sync", "app"], never_crates: EDGE_CRATES },
];

fn source_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The source without comments: docs may speak of anything.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The modules that `crate::…` paths of the code begin with: `crate::ids`, and both of `crate::{ids, ops::config}`.
fn modules_named(code: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => named.extend(heads_of_group(group)),
            None => named.push(identifier(rest)),
        }
    }
    named
}

/// The first segment of every path of a `{…}` group, whatever is nested in it.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut at_head) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if depth == 0 && at_head && !c.is_whitespace() => {
                heads.push(identifier(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_go_from_the_edge_to_the_ground() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    let mut wrong = Vec::new();
    for path in source_files(&src) {
        let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        let code = code(&fs::read_to_string(&path).unwrap());
        let named = modules_named(&code);
        for layer in LAYERS.iter().filter(|layer| layer.files.iter().any(|start| name.starts_with(start))) {
            checked += 1;
            for module in layer.never.iter().filter(|module| named.iter().any(|name| name == *module)) {
                wrong.push(format!("{name} names crate::{module}"));
            }
            // The words of HTTP (`Uri`, `StatusCode`) are no edge by themselves.
            let code = code.replace("axum::http::", "");
            for krate in layer.never_crates.iter().filter(|krate| code.contains(&format!("{krate}::"))) {
                wrong.push(format!("{name} names the crate {krate}"));
            }
        }
    }
    assert!(checked > 30, "the sources have moved; this test has not");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// SQL text is put together in few files, where names are `Ident`s or `SchemaName`s. A new file on this list is a
/// decision: everywhere else SQL is a literal and values are bound.
#[test]
fn dynamic_sql_is_fenced() {
    const FENCED: &[&str] = &[
        "ops/app_pool.rs",
        "ops/app_pool/slots.rs",
        "ops/database.rs",
        "ops/embedded_postgres/mod.rs",
        "tables/browse.rs",
        "tables/engine_schema.rs",
        "tables/in_the_way.rs",
        "tables/inspect.rs",
        "tables/publish.rs",
        "tables/size.rs",
        "tables/sizes.rs",
        "sync/apply.rs",
        "sync/erase.rs",
        "sync/export.rs",
        "sync/live_rows.rs",
        "sync/snapshot/build.rs",
    ];
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in source_files(&src) {
        let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        if FENCED.contains(&name.as_str()) {
            continue;
        }
        let code = code(&fs::read_to_string(&path).unwrap());
        assert!(!code.contains("AssertSqlSafe"), "{name} builds SQL text");
    }
}

/// Pages are structs without I/O: the crate of pages cannot reach the database or the server.
#[test]
fn pages_know_neither_server_nor_database() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
    for forbidden in ["sqlx", "axum", "tokio", "syncline."] {
        assert!(!dependencies.contains(forbidden), "web depends on {forbidden}");
    }
}

#[test]
fn groups_are_read_to_their_depth() {
    let named = modules_named("use crate::{\n auth::{a::{b}, http}, ids,\n ops::x };\n crate::sync::y();");
    assert_eq!(named, ["auth", "ids", "ops", "sync"]);
}
