//! Reading CREATE TABLE text: what is taken and as what, what is refused and where.

use std::fmt::Write;

use proptest::prelude::*;
use syncline::tables::{
    ddl::{self, Dialect, Problem},
    ident::Ident,
    spec::AppSpec,
};

pub(super) const SQLITE: &str = "PRAGMA foreign_keys = ON;
         BEGIN TRANSACTION;
         -- People
         CREATE TABLE IF NOT EXISTS \"Users\" (
             id BLOB PRIMARY KEY NOT NULL,
             name VARCHAR(40) NOT NULL DEFAULT 'new',
             email TEXT COLLATE NOCASE,
             age INTEGER CHECK (age >= 0 AND age < 200),
             score REAL DEFAULT -1.50,
             balance DECIMAL(10, 2) NOT NULL DEFAULT 0,
             is_admin BOOLEAN NOT NULL DEFAULT FALSE CHECK (is_admin IN (0, 1)),
             avatar BLOB DEFAULT x'00FF',
             created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
             updated_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
             seen INT DEFAULT (unixepoch()),
             token TEXT DEFAULT (hex(randomblob(8))),
             big UNSIGNED BIG INT,
             alias VARYING CHARACTER(255)
         ) WITHOUT ROWID, STRICT;
         CREATE TABLE [notes] (
             `id` text not null,
             user_id BLOB NOT NULL REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE,
             parent_id TEXT REFERENCES notes(id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
             kind TEXT NOT NULL DEFAULT \"plain\" CHECK (kind IN ('plain', 'todo') OR kind IS NULL),
             title TEXT CHECK (length(trim(title)) BETWEEN 1 AND 80),
             CONSTRAINT pk PRIMARY KEY (id),
             UNIQUE (user_id, title) ON CONFLICT REPLACE,
             CHECK (NOT (kind = 'todo' AND title ISNULL))
         );
         CREATE UNIQUE INDEX notes_by_title ON notes (title, kind DESC);
         CREATE INDEX notes_by_kind ON notes (kind);
         CREATE INDEX notes_lower ON notes (lower(title));
         COMMIT;";

pub(super) const POSTGRESQL: &str = "SET statement_timeout = 0;
         SELECT pg_catalog.set_config('search_path', '', false);
         CREATE TABLE public.projects (
             id uuid DEFAULT gen_random_uuid() NOT NULL,
             name character varying(40) NOT NULL,
             code char(3),
             budget numeric(12,2) DEFAULT 0.00,
             ratio real, weight double precision, f float(53),
             n2 smallint DEFAULT '7'::smallint, n4 integer, n8 bigint,
             meta json DEFAULT '{}', extra jsonb DEFAULT '[]'::jsonb,
             starts_on date DEFAULT CURRENT_DATE, at time, local timestamp(3) DEFAULT '2024-05-06 07:08:09',
             created_at timestamp with time zone DEFAULT now() NOT NULL,
             logo bytea DEFAULT '\\x00ff'
         );
         ALTER TABLE ONLY public.projects ADD CONSTRAINT projects_pkey PRIMARY KEY (id);
         ALTER TABLE public.projects OWNER TO someone;
         CREATE TABLE tasks (
             id text PRIMARY KEY,
             project_id uuid NOT NULL,
             blocked_by text REFERENCES tasks ON DELETE SET DEFAULT ON UPDATE SET NULL,
             FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE RESTRICT,
             CHECK (char_length(id) <= 40 AND id = lower(id))
         );";

fn nothing() -> AppSpec {
    AppSpec::empty(Ident::parse("main").unwrap())
}

/// What was made of a text that has to be taken.
fn taken(text: &str) -> String {
    let schema = ddl::parse(text, None, &nothing()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let mut out = format!("{}\n", schema.dialect.name());
    for table in &schema.tables {
        let _ = writeln!(out, "table {} key {} {:?}", table.name, table.key.column, table.key.kind);
        for column in &table.columns {
            let declared =
                schema.mappings.iter().find(|m| m.table == table.name && m.column == column.name).unwrap();
            let null = if column.nullable { "" } else { " not null" };
            let _ = write!(out, "  {}: {} -> {}{null}", column.name, declared.declared, column.ty);
            match &column.default {
                Some(default) => writeln!(out, " default {default:?}").unwrap(),
                None => out.push('\n'),
            }
        }
        let list = |columns: &[Ident]| columns.iter().map(Ident::as_str).collect::<Vec<_>>().join(", ");
        for columns in &table.uniques {
            let _ = writeln!(out, "  unique ({})", list(columns));
        }
        for columns in &table.indexes {
            let _ = writeln!(out, "  index ({})", list(columns));
        }
        for key in &table.foreign_keys {
            let (delete, update) = (key.on_delete.sql(), key.on_update.sql());
            let _ = writeln!(out, "  {} -> {} on delete {delete} on update {update}", key.column, key.parent);
        }
        for check in &table.checks {
            let _ = writeln!(out, "  check {}", check.sql());
        }
    }
    for (what, remarks) in [("note", &schema.notes), ("warning", &schema.warnings)] {
        for remark in remarks {
            let _ = writeln!(out, "{what} {}:{} {}", remark.line, remark.column, remark.text);
        }
    }
    out
}

fn problems(text: &str) -> Vec<Problem> {
    ddl::parse(text, None, &nothing()).map(|schema| panic!("taken: {schema:#?}")).unwrap_err()
}

/// The problems of a text that has to be refused.
fn refused(text: &str) -> String {
    problems(text)
        .iter()
        .map(|Problem { line, column, reason, remedy }| format!("{line}:{column} {reason}. {remedy}\n"))
        .collect()
}

/// A table with this column besides a good key.
fn with_column(column: &str) -> String {
    format!("CREATE TABLE t (\n  id TEXT PRIMARY KEY NOT NULL,\n  {column}\n);")
}

#[test]
fn an_ordinary_sqlite_schema_is_taken() {
    insta::assert_snapshot!(taken(SQLITE));
}

#[test]
fn an_ordinary_postgresql_schema_is_taken() {
    insta::assert_snapshot!(taken(POSTGRESQL));
}

#[test]
fn tables_may_refer_to_each_other_in_circles() {
    insta::assert_snapshot!(taken(
        "CREATE TABLE a (id TEXT PRIMARY KEY NOT NULL, b_id TEXT REFERENCES b(id));
         CREATE TABLE b (id TEXT PRIMARY KEY NOT NULL, a_id TEXT REFERENCES a(id));"
    ));
}

#[test]
fn a_table_needs_one_key_that_devices_can_make() {
    insta::assert_snapshot!(refused(
        "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT);
         CREATE TABLE composite (a TEXT, b TEXT, PRIMARY KEY (a, b));
         CREATE TABLE keyless (a TEXT);
         CREATE TABLE twice (a TEXT PRIMARY KEY, b TEXT PRIMARY KEY);
         CREATE TABLE blind (id TEXT COLLATE NOCASE PRIMARY KEY);
         CREATE TABLE real_key (id REAL PRIMARY KEY);
         CREATE TABLE absent (a TEXT, PRIMARY KEY (b));"
    ));
}

#[test]
fn the_engines_names_and_unusable_ones_are_refused() {
    insta::assert_snapshot!(refused(&format!(
        "CREATE TABLE _sync_x (id TEXT PRIMARY KEY);
         CREATE TABLE t (id TEXT PRIMARY KEY, _sync_scope_id TEXT, xmin INT, ID TEXT);
         CREATE TABLE pg_t (id TEXT PRIMARY KEY);
         CREATE TABLE T (id TEXT PRIMARY KEY);
         CREATE TABLE {} (id TEXT PRIMARY KEY);
         CREATE TABLE sqlite_sequence (name, seq);",
        "x".repeat(64)
    )));
}

#[test]
fn a_reference_must_lead_to_the_key_of_a_table_of_the_set() {
    insta::assert_snapshot!(refused(
        "CREATE TABLE u (id BLOB PRIMARY KEY NOT NULL, email TEXT UNIQUE);
         CREATE TABLE n (
             id TEXT PRIMARY KEY NOT NULL,
             a TEXT REFERENCES elsewhere(id),
             b TEXT REFERENCES u(email),
             c TEXT REFERENCES u(id),
             d BLOB NOT NULL REFERENCES u(id) ON DELETE SET NULL,
             e BLOB NOT NULL REFERENCES u(id) ON DELETE SET DEFAULT,
             f BLOB REFERENCES u(id) ON DELETE CASCADE,
             FOREIGN KEY (f) REFERENCES u(id) ON DELETE SET NULL,
             FOREIGN KEY (g) REFERENCES u(id),
             FOREIGN KEY (a, b) REFERENCES u(id, email)
         );"
    ));
}

#[test]
fn types_without_a_counterpart_are_refused() {
    let sqlite = ["x", "x ANY", "x MONEYBAG", "x DECIMAL(4, 9)", "x TEXT AS (id || 'x') STORED"];
    let postgresql = [
        "x serial",
        "x bigserial",
        "x text[]",
        "x interval",
        "x citext",
        "x timetz",
        "x mood",
        "x bigint generated always as identity",
        "x numeric(10,-2)",
    ];
    let mut all = String::new();
    for column in sqlite {
        all.push_str(&refused(&with_column(column)));
    }
    for column in postgresql {
        let text = with_column(column);
        for problem in ddl::parse(&text, Some(Dialect::Postgresql), &nothing()).unwrap_err() {
            let _ =
                writeln!(all, "{}:{} {}. {}", problem.line, problem.column, problem.reason, problem.remedy);
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn defaults_must_be_values_of_their_columns() {
    let columns = [
        "x INTEGER DEFAULT 'abc'",
        "x INTEGER DEFAULT 1.5",
        "x INTEGER DEFAULT 9223372036854775808",
        "x REAL DEFAULT 1e999",
        "x BOOLEAN DEFAULT 2",
        "x BLOB DEFAULT x'0'",
        "x UUID DEFAULT 'me'",
        "x NUMERIC DEFAULT 'NaN'",
    ];
    insta::assert_snapshot!(columns.map(|column| refused(&with_column(column))).concat());
}

#[test]
fn checks_that_the_databases_see_differently_are_refused() {
    let checks = [
        "x GLOB 'a*'",
        "x LIKE 'a%'",
        "n / 2 = 1",
        "json_valid(x)",
        "x = 1",
        "n IN ('a')",
        "n = NULL",
        "typeof(n) = 'integer'",
        "n IN (SELECT 1)",
        "CASE WHEN n > 1 THEN 1 ELSE 0 END",
        "n",
        "nosuch > 1",
        "b > 7",
        "c = 'A'",
        "n & 1 = 1",
        "CAST(n AS TEXT) = '1'",
        "n + x > 1",
    ];
    let texts = checks.map(|check| {
        with_column(&format!("x TEXT, n INTEGER, b BOOLEAN, c TEXT COLLATE NOCASE, CHECK ({check})"))
    });
    insta::assert_snapshot!(texts.map(|text| refused(&text)).concat());
}

#[test]
fn other_statements_are_refused_by_name() {
    insta::assert_snapshot!(refused(
        "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, x TEXT COLLATE NOCASE UNIQUE);
         INSERT INTO t VALUES ('1', 'a;b');
         CREATE VIEW v AS SELECT * FROM t;
         CREATE TRIGGER tr AFTER INSERT ON t BEGIN
             UPDATE t SET x = CASE WHEN x = 'a' THEN 'b' ELSE x END;
             DELETE FROM t WHERE x = ';';
         END;
         CREATE VIRTUAL TABLE f USING fts5(x);
         CREATE TEMP TABLE s (id TEXT PRIMARY KEY);
         CREATE TABLE c AS SELECT 1;
         DROP TABLE t;
         UPDATE t SET x = 1;
         CREATE UNIQUE INDEX i ON t (x) WHERE x > 'a';
         CREATE UNIQUE INDEX j ON t (lower(x));
         CREATE INDEX k ON nosuch (x);
         ALTER TABLE t RENAME TO s;
         ALTER TABLE nosuch ADD COLUMN x TEXT;"
    ));
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    insta::assert_snapshot!(refused(
        "CREATE TABLE a (id TEXT PRIMARY KEY NOT NULL);\n\
         CREATE TABLE b (\n  id TEXT PRIMARY KEY NOT NULL,\n  x TEXT NOT NUL,\n  y TEXT\n);\n\
         CREATE TABLE c (id TEXT PRIMARY KEY NOT NULL,);\n\
         CREATE TABLE d (id TEXT PRIMARY KEY NOT NULL"
    ));
    let texts = [
        "CREATE TABLE a (\n  id TEXT DEFAULT 'open\n);",
        "\nCREATE TABLE a\u{0} (id TEXT);",
        "  -- a comment",
    ];
    insta::assert_snapshot!("and_unreadable_texts_too", texts.map(refused).concat());
}

#[test]
fn hostile_texts_are_refused_quickly() {
    let with_check = |check: String| with_column(&format!("n INTEGER CHECK ({check})"));
    let texts = [
        with_check(format!("{}n > 1{}", "(".repeat(10_000), ")".repeat(10_000))),
        with_check(format!("n = {} > 1", "1 + ".repeat(100_000) + "1")),
        with_check(format!("n = {} > 1", "1 + ".repeat(450) + "1")),
        with_check(vec!["n > 1"; 100_000].join(" AND ")),
        with_check(format!("{} n", "NOT ".repeat(100_000))),
        with_check(format!("n = {}1", "- ".repeat(100_000))),
        with_check(format!("n = {}n{}", "abs(".repeat(40), ")".repeat(40))),
        with_check(format!("n IN ({}1{})", "SELECT (".repeat(300), ")".repeat(300))),
        format!("CREATE TRIGGER t BEGIN {}", "; CASE".repeat(50_000)),
        format!("CREATE TABLE t (id TEXT PRIMARY KEY{})", ", x TEXT ON CONFLICT FAIL".repeat(20_000)),
        "CREATE TABLE t (id TEXT PRIMARY KEY);".repeat(10_000),
        "x".repeat(ddl::MAX_TEXT_BYTES + 1),
        "(".repeat(100_000),
        "\u{feff}[".to_owned(),
    ];
    for text in texts {
        let started = std::time::Instant::now();
        let first = &problems(&text)[0];
        // Most take milliseconds; a machine that is busy with other tests gets time, something quadratic does not.
        assert!(started.elapsed().as_secs() < 20, "{}", &first.reason);
    }
}

/// Words and signs that mean something in DDL, in any order.
fn word_salad() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "CREATE",
        "TABLE",
        "INDEX",
        "UNIQUE",
        "TRIGGER",
        "BEGIN",
        "END",
        "ALTER",
        "ADD",
        "COLUMN",
        "CONSTRAINT",
        "t",
        "id",
        "x",
        "TEXT",
        "BLOB",
        "INTEGER",
        "REAL",
        "NUMERIC",
        "BOOLEAN",
        "UUID",
        "PRIMARY",
        "KEY",
        "NOT",
        "NULL",
        "DEFAULT",
        "CHECK",
        "REFERENCES",
        "FOREIGN",
        "ON",
        "DELETE",
        "CASCADE",
        "SET",
        "CONFLICT",
        "COLLATE",
        "NOCASE",
        "AUTOINCREMENT",
        "WITHOUT",
        "ROWID",
        "STRICT",
        "GENERATED",
        "AS",
        "IN",
        "BETWEEN",
        "AND",
        "OR",
        "IS",
        "ISNULL",
        "length",
        "abs",
        "CASE",
        "WHEN",
        "(",
        "(",
        "(",
        ")",
        ")",
        ")",
        ",",
        ",",
        ";",
        ".",
        "=",
        "<",
        "+",
        "-",
        "*",
        "/",
        "||",
        "::",
        "1",
        "1.5",
        "1e400",
        "0x1F",
        "x'00'",
        "'a'",
        "\"a\"",
        "[a]",
        "`a`",
        "$$",
        "--\n",
        "/*",
        "*/",
        "?",
        "é",
        "\u{1f600}",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.join(" "))
}

/// A good table in which one piece has been replaced.
fn nearly_good() -> impl Strategy<Value = String> {
    (0..SQLITE.len(), 0..40usize, word_salad()).prop_map(|(at, length, salad)| {
        let boundary = |mut at: usize| {
            while !SQLITE.is_char_boundary(at) {
                at += 1;
            }
            at
        };
        let (start, end) = (boundary(at), boundary((at + length).min(SQLITE.len())));
        format!("{}{salad}{}", &SQLITE[..start], &SQLITE[end..])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in prop_oneof![word_salad(), nearly_good(), any::<String>()]) {
        for dialect in [None, Some(Dialect::Sqlite), Some(Dialect::Postgresql)] {
            if let Err(problems) = ddl::parse(&text, dialect, &nothing()) {
                prop_assert!(!problems.is_empty());
                prop_assert!(problems.iter().all(|problem| problem.line >= 1 && problem.column >= 1));
            }
        }
    }
}

#[test]
fn a_long_list_and_a_long_condition_are_taken() {
    let members = (0..300).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
    let condition = vec!["n > 1"; 200].join(" AND ");
    taken(&with_column(&format!("x TEXT CHECK (x IN ({members})), n INTEGER CHECK ({condition})")));
}

#[test]
fn the_text_may_add_to_tables_that_the_app_has() {
    let before = ddl::parse(&with_column("x TEXT"), None, &nothing()).unwrap();
    let known = AppSpec { version: 1, logical_schema: Ident::parse("main").unwrap(), tables: before.tables };
    let text = "ALTER TABLE t ADD COLUMN y INTEGER DEFAULT 0;
                CREATE TABLE u (id TEXT PRIMARY KEY NOT NULL, t_id TEXT REFERENCES t);
                CREATE INDEX i ON t (y);";
    let schema = ddl::parse(text, None, &known).unwrap();
    let names: Vec<_> = schema.tables[0].columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "x", "y"]);
    assert_eq!(schema.tables[0].indexes.len(), 1);
    assert_eq!(schema.tables[1].foreign_keys[0].parent.as_str(), "t");
    let mapped: Vec<_> = schema.mappings.iter().map(|mapping| mapping.column.as_str()).collect();
    assert_eq!(mapped, ["y", "id", "t_id"]);
}
