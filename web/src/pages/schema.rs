//! Publishing an app's tables: paste, look, apply.

use askama::Template;
use serde::Deserialize;
use time::OffsetDateTime;

use super::tables::TableShape;
use crate::{
    filters, links,
    shell::{Area, Shell},
};

/// The schema that is published, and the way to the next version.
#[derive(Debug, Template)]
#[template(path = "schema/page.html")]
pub struct SchemaPage {
    pub shell: Shell,
    /// The newest published version; None before the first.
    pub published: Option<Published>,
    pub form: SchemaForm,
    pub outcome: Outcome,
}

/// A published version.
#[derive(Debug, Clone)]
pub struct Published {
    pub version: i64,
    pub at: OffsetDateTime,
    pub by: String,
    pub tables: Vec<TableShape>,
    /// The text as it was submitted.
    pub ddl: String,
}

/// A submitted schema.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SchemaInput {
    pub ddl: String,
    /// `sqlite`, `postgresql`; empty: found out.
    pub dialect: String,
    /// The version on which the preview was based, as a number; applying on top of another is refused.
    pub base_version: String,
}

/// The form between two attempts.
#[derive(Debug, Clone, Default)]
pub struct SchemaForm {
    pub ddl: String,
    pub dialect: String,
    /// What is wrong with the submission as a whole.
    pub error: Option<String>,
}

impl From<&SchemaInput> for SchemaForm {
    fn from(input: &SchemaInput) -> Self {
        Self { ddl: input.ddl.clone(), dialect: input.dialect.clone(), error: None }
    }
}

/// The languages a text may be in, with their names.
const DIALECTS: [(&str, &str); 3] =
    [("", "Find out the language"), ("sqlite", "SQLite"), ("postgresql", "PostgreSQL")];

/// What became of what was submitted.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Nothing was submitted.
    None,
    Refused(Vec<Problem>),
    Preview(Box<Preview>),
}

/// Why a text is refused.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Where in the text; None when it is about devices of older versions.
    pub place: Option<Place>,
    /// A sentence: what is wrong.
    pub reason: String,
    /// A sentence: what to do about it.
    pub remedy: String,
}

/// A place in the submitted text.
#[derive(Debug, Clone)]
pub struct Place {
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
    /// The line up to the place, and from there on.
    pub excerpt: (String, String),
}

impl Place {
    /// Characters of a line that are shown on each side of the place.
    const AROUND: usize = 60;

    /// The place in `text`; `line` and `column` count from 1.
    pub fn new(text: &str, line: u64, column: u64) -> Self {
        let at = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        let content: Vec<char> = text.lines().nth(at(line)).unwrap_or_default().chars().collect();
        let split = at(column).min(content.len());
        let before = content[split.saturating_sub(Self::AROUND)..split].iter().collect::<String>();
        let after = content[split..].iter().take(Self::AROUND).collect();
        Self { line, column, excerpt: (before.trim_start().to_owned(), after) }
    }
}

/// What applying would do.
#[derive(Debug, Clone)]
pub struct Preview {
    /// `SQLite` or `PostgreSQL`.
    pub dialect: String,
    /// The version it is based on; 0 before the first.
    pub base_version: i64,
    pub next_version: i64,
    /// One line for each step, for instance `Adds column done to notes`; empty: nothing would change.
    pub changes: Vec<String>,
    /// What publishing means for devices built for an older version.
    pub devices: String,
    /// The tables of the text.
    pub tables: Vec<TableShape>,
    pub warnings: Vec<Remark>,
    pub notes: Vec<Remark>,
}

/// A sentence about a line of the text.
#[derive(Debug, Clone)]
pub struct Remark {
    pub line: u64,
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_shows_the_line_around_it() {
        let place = Place::new("create table t (\n  id integr\n)", 2, 6);
        assert_eq!(place.excerpt, ("id ".to_owned(), "integr".to_owned()));
        assert_eq!(Place::new("ä", 9, 9).excerpt, (String::new(), String::new()));
    }
}
