//! From statements to drafts of tables.

use sqlparser::ast::{
    AlterTableOperation, CreateIndex, CreateTable, Ident as Name, ObjectName, Spanned, Statement,
};

use super::{
    At, Dialect, MAX_TABLES, Refusal, Report,
    draft::{Columns, Draft},
    statements::Tokens,
};
use crate::tables::{ident::Ident, spec::AppSpec};

/// Read all statements; what is wrong with them goes into the report.
pub(super) fn read(
    dialect: Dialect,
    statements: Vec<Tokens>,
    known: &AppSpec,
    report: &mut Report,
) -> Vec<Draft> {
    let mut reader = Reader { dialect, known, report, drafts: Vec::new() };
    for statement in statements {
        let at = statement.at();
        if let Err(refusal) = reader.statement(statement) {
            reader.report.refuse(at, refusal);
        }
    }
    reader.drafts
}

pub(super) struct Reader<'a> {
    pub(super) dialect: Dialect,
    known: &'a AppSpec,
    pub(super) report: &'a mut Report,
    drafts: Vec<Draft>,
}

impl Reader<'_> {
    /// A refusal is about the statement as a whole; what has a place of its own is reported where it is found.
    fn statement(&mut self, tokens: Tokens) -> Result<(), Refusal> {
        let at = tokens.at();
        let words = [tokens.word(0), tokens.word(1), tokens.word(2)];
        let [first, second, third] = words.each_ref().map(String::as_str);
        match (first, second, third) {
            ("CREATE", "TABLE" | "INDEX", _) | ("CREATE", "UNIQUE", "INDEX") | ("ALTER", "TABLE", _) => {
                match tokens.parse(self.dialect, self.report) {
                    Ok(statement) => self.parsed(at, statement),
                    Err(problem) => {
                        self.report.problems.push(problem);
                        Ok(())
                    }
                }
            }
            ("DROP", _, "IF") => {
                self.report.note(at, "DROP … IF EXISTS is left out: nothing is ever dropped here.");
                Ok(())
            }
            ("SELECT", "PG_CATALOG", _) => Ok(()),
            (
                "PRAGMA" | "BEGIN" | "COMMIT" | "END" | "START" | "SAVEPOINT" | "RELEASE" | "ANALYZE"
                | "VACUUM" | "REINDEX" | "SET" | "COMMENT" | "GRANT" | "REVOKE",
                ..,
            )
            | ("CREATE", "EXTENSION" | "SCHEMA", _) => {
                self.report.note(at, format!("{first} is left out: it says nothing about tables that sync."));
                Ok(())
            }
            _ => Err(refused_statement(first, second, third)),
        }
    }

    fn parsed(&mut self, at: At, statement: Statement) -> Result<(), Refusal> {
        match statement {
            Statement::CreateTable(table) => self.create_table(table),
            Statement::CreateIndex(index) => self.create_index(index),
            Statement::AlterTable(alter) => {
                let Some(name) = self.table_name(&alter.name) else { return Ok(()) };
                for operation in alter.operations {
                    self.alter_table(at, &name, operation)?;
                }
                Ok(())
            }
            _ => Err(Refusal::new("the statement is not understood", "Leave it out.")),
        }
    }

    fn create_table(&mut self, table: CreateTable) -> Result<(), Refusal> {
        let at = At::from(table.name.span());
        refuse_unusual_tables(&table)?;
        let Some(name) = self.table_name(&table.name) else { return Ok(()) };
        if self.drafts.iter().any(|draft| draft.name == name) {
            self.report.problem(at, format!("table {name} is there twice"), "Leave one of them out.");
            return Ok(());
        }
        if self.drafts.len() == MAX_TABLES {
            return Err(Refusal::new(
                format!("there are more than {MAX_TABLES} tables"),
                "Leave out the tables that need not sync.",
            ));
        }
        let mut draft = Draft::new(name, at);
        for column in table.columns {
            self.column(&mut draft, column);
        }
        for constraint in table.constraints {
            self.constraint(&mut draft, constraint, at);
        }
        self.drafts.push(draft);
        Ok(())
    }

    fn alter_table(&mut self, at: At, name: &Ident, operation: AlterTableOperation) -> Result<(), Refusal> {
        match operation {
            AlterTableOperation::AddColumn { column_def, .. } => {
                self.with_draft(name, at, |reader, draft| reader.column(draft, column_def))
            }
            AlterTableOperation::AddConstraint { constraint, .. } => {
                self.with_draft(name, at, |reader, draft| reader.constraint(draft, constraint, at))
            }
            AlterTableOperation::OwnerTo { .. } => {
                self.report.note(at, "OWNER TO is left out: the app owns its tables.");
                Ok(())
            }
            _ => Err(Refusal::new(
                "tables are only ever added to, because older app versions go on syncing against them",
                "Use ADD COLUMN or ADD CONSTRAINT; for anything else add a new column or table.",
            )),
        }
    }

    /// Hand the draft of table `name` to `add`: that of the text, or one made from what the app has.
    fn with_draft(
        &mut self,
        name: &Ident,
        at: At,
        add: impl FnOnce(&mut Self, &mut Draft),
    ) -> Result<(), Refusal> {
        let position = match self.drafts.iter().position(|draft| draft.name == *name) {
            Some(position) => position,
            None => {
                let Some(known) = self.known.table(name.as_str()) else {
                    return Err(Refusal::new(
                        format!("there is no table {name}"),
                        "Put its CREATE TABLE statement before this one.",
                    ));
                };
                self.drafts.push(Draft::of_known(known, at));
                self.drafts.len() - 1
            }
        };
        // Taken out for the moment, so that the reader can be used beside it.
        let mut draft = std::mem::replace(&mut self.drafts[position], Draft::new(name.clone(), at));
        add(self, &mut draft);
        self.drafts[position] = draft;
        Ok(())
    }

    fn create_index(&mut self, index: CreateIndex) -> Result<(), Refusal> {
        let at = At::from(index.table_name.span());
        let Some(table) = self.table_name(&index.table_name) else { return Ok(()) };
        let Some(names) = self.plain_columns(&index.columns) else {
            if index.unique {
                return Err(Refusal::new(
                    "a unique index on an expression, or with a collation, cannot be kept on the server, which would \
                     let in rows that devices refuse",
                    "Make it UNIQUE on plain columns, or leave it out and accept duplicates everywhere.",
                ));
            }
            self.report.note(at, "The index is not on plain columns; only devices have it.");
            return Ok(());
        };
        if index.predicate.is_some() {
            if index.unique {
                return Err(Refusal::new(
                    "a unique index with WHERE cannot be kept on the server: it could not be checked at the end of a \
                     push, and devices may push rows in any order",
                    "Make it UNIQUE without WHERE, or leave it out and accept duplicates everywhere.",
                ));
            }
            self.report.note(at, "The index has a WHERE; only devices have it.");
            return Ok(());
        }
        self.with_draft(&table, at, |_, draft| {
            let list = if index.unique { &mut draft.uniques } else { &mut draft.indexes };
            list.push(Columns { names, at });
        })
    }

    /// The last part of a table's name: the schema it would be in on a device or server says nothing here.
    pub(super) fn table_name(&mut self, name: &ObjectName) -> Option<Ident> {
        let last = name.0.last()?.as_ident()?;
        let ident = self.ident("table", last)?;
        if ident.as_str().starts_with("sqlite_") || ident.as_str() == "android_metadata" {
            self.report.problem(
                last.span.into(),
                format!("{ident} belongs to SQLite or Android and is different on every device"),
                "Leave it out.",
            );
            return None;
        }
        Some(ident)
    }

    /// A name as it is on the wire: clients write all names in lower case.
    pub(super) fn ident(&mut self, what: &str, name: &Name) -> Option<Ident> {
        const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"];
        let folded = name.value.to_lowercase();
        if what == "column" && SYSTEM_COLUMNS.contains(&folded.as_str()) {
            let reason = format!("every PostgreSQL table has a hidden column {folded} of its own");
            self.report.problem(name.span.into(), reason, "Choose another name.");
            return None;
        }
        match Ident::parse(&folded) {
            Ok(ident) => {
                let note =
                    format!("{} is {folded} on the wire: clients write names in lower case.", name.value);
                if folded != name.value && !self.report.notes.iter().any(|known| known.text == note) {
                    self.report.note(name.span.into(), note);
                }
                Some(ident)
            }
            Err(error) => {
                let reason = format!("{what} {:?} cannot be used: {error}", name.value);
                self.report.problem(name.span.into(), reason, "Choose another name.");
                None
            }
        }
    }
}

fn refuse_unusual_tables(table: &CreateTable) -> Result<(), Refusal> {
    let what = if table.temporary {
        "a temporary table"
    } else if table.query.is_some() {
        "CREATE TABLE … AS"
    } else if table.like.is_some() || table.inherits.is_some() || table.clone.is_some() {
        "a table made from another"
    } else if table.partition_by.is_some() || table.partition_of.is_some() {
        "a partitioned table"
    } else {
        return Ok(());
    };
    Err(Refusal::new(
        format!("{what} cannot be synced"),
        "Write a plain CREATE TABLE with its columns, or leave it out.",
    ))
}

fn refused_statement(first: &str, second: &str, third: &str) -> Refusal {
    let what = match (first, second, third) {
        ("CREATE", "TEMP" | "TEMPORARY", kind) => format!("CREATE {second} {kind}"),
        ("CREATE", ..) => format!("CREATE {second}"),
        ("", ..) => "this".to_owned(),
        _ => first.to_owned(),
    };
    let reason = match second {
        "VIEW" => "a view has no rows of its own to sync",
        "TRIGGER" => "triggers run on devices; what they write is synced like any other change",
        "VIRTUAL" => "a virtual table is kept up by each device from the tables it indexes",
        _ if first == "INSERT" => "rows come from devices, not from the schema",
        _ => "only tables and indexes are read",
    };
    Refusal::new(format!("{} cannot be published: {reason}", what.trim_end()), "Leave it out.")
}
