//! From statements to drafts of tables.

use sqlparser::ast::{
    AlterTableOperation, ColumnDef, ColumnOption, CreateIndex, CreateTable, DataType, Expr,
    ForeignKeyConstraint, Ident as Name, IndexColumn, NullsDistinctOption, ObjectName, ReferentialAction,
    Spanned, Statement, TableConstraint,
};

use super::{
    At, Dialect, MAX_COLUMNS, MAX_TABLES, Refusal, Report,
    draft::{ColumnDraft, Columns, Draft, ForeignKeyDraft},
    statements::Tokens,
    types,
};
use crate::tables::{
    ident::Ident,
    spec::{AppSpec, ColumnSpec, ForeignKeyAction},
};

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

struct Reader<'a> {
    dialect: Dialect,
    known: &'a AppSpec,
    report: &'a mut Report,
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

    fn column(&mut self, draft: &mut Draft, column: ColumnDef) {
        let at = At::from(column.name.span);
        let Some(name) = self.ident("column", &column.name) else { return };
        if draft.column(&name).is_some() {
            let reason = format!("column {name} of {} is there twice", draft.name);
            self.report.problem(
                at,
                reason,
                "Leave one of them out; names that differ in case only are the same.",
            );
            return;
        }
        if draft.columns.len() == MAX_COLUMNS {
            let reason = format!("{} has more than {MAX_COLUMNS} columns", draft.name);
            self.report.problem(at, reason, "Split the table.");
            return;
        }
        let mapped = match types::map(self.dialect, &column.data_type) {
            Ok(mapped) => mapped,
            Err(refusal) => return self.report.refuse(at, refusal),
        };
        if let Some(warning) = mapped.warning {
            self.report.warn(at, format!("{}.{name}: {warning}", draft.name));
        }
        let declared = match column.data_type {
            DataType::Unspecified => String::new(),
            declared => declared.to_string(),
        };
        let spec = ColumnSpec { name: name.clone(), ty: mapped.ty, nullable: true, default: None };
        draft.columns.push(ColumnDraft {
            spec,
            default: None,
            declared: Some(declared),
            at,
            ignores_case: false,
        });
        for option in column.options {
            if let Err(refusal) = self.column_option(draft, &name, option.option, at) {
                self.report.refuse(at, refusal);
            }
        }
    }

    /// An option of the column that was added to the draft last.
    fn column_option(
        &mut self,
        draft: &mut Draft,
        name: &Ident,
        option: ColumnOption,
        at: At,
    ) -> Result<(), Refusal> {
        let columns = Columns { names: vec![name.clone()], at };
        let column = draft.columns.last_mut().expect("BUG: an option without its column");
        match option {
            ColumnOption::Null => column.spec.nullable = true,
            ColumnOption::NotNull => column.spec.nullable = false,
            ColumnOption::Default(expression) => column.default = Some(expression),
            ColumnOption::PrimaryKey(_) => draft.keys.push(columns),
            ColumnOption::Unique(unique) => {
                refuse_nulls_not_distinct(unique.nulls_distinct)?;
                draft.uniques.push(columns);
            }
            ColumnOption::ForeignKey(key) => self.foreign_key(draft, columns, key),
            ColumnOption::Check(check) => draft.checks.push((*check.expr, at)),
            ColumnOption::Collation(collation) => {
                let collation = collation.to_string().to_ascii_uppercase();
                if matches!(collation.as_str(), "NOCASE" | "RTRIM") {
                    column.ignores_case = true;
                    self.report
                        .note(at, format!("COLLATE {collation} is left to devices; it does not sync."));
                }
            }
            ColumnOption::Generated { generation_expr: None, .. } | ColumnOption::Identity(_) => {
                return Err(Refusal::new(
                    format!("{name} is counted on the server, and devices that are offline cannot ask it"),
                    "Let the app fill it.",
                ));
            }
            ColumnOption::Generated { .. } => {
                return Err(Refusal::new(
                    format!("{name} is a generated column, which clients neither send nor accept"),
                    "Leave it out of the text; devices may keep it.",
                ));
            }
            // AUTOINCREMENT and the direction of a key: said of an INTEGER key, which is refused as such, or of nothing.
            ColumnOption::DialectSpecific(_) | ColumnOption::Comment(_) | ColumnOption::OnConflict(_) => {}
            other => return Err(Refusal::new(format!("{other} is not understood"), "Leave it out.")),
        }
        Ok(())
    }

    fn constraint(&mut self, draft: &mut Draft, constraint: TableConstraint, table_at: At) {
        let at = match At::from(constraint.span()) {
            At::START => table_at,
            at => at,
        };
        let result = match constraint {
            TableConstraint::PrimaryKey(key) => {
                self.constraint_columns(&key.columns).map(|names| draft.keys.push(Columns { names, at }))
            }
            TableConstraint::Unique(unique) => refuse_nulls_not_distinct(unique.nulls_distinct)
                .and_then(|()| self.constraint_columns(&unique.columns))
                .map(|names| draft.uniques.push(Columns { names, at })),
            TableConstraint::ForeignKey(mut key) => {
                let names = std::mem::take(&mut key.columns);
                if let Some(names) = names.iter().map(|name| self.ident("column", name)).collect() {
                    self.foreign_key(draft, Columns { names, at }, key);
                }
                Ok(())
            }
            TableConstraint::Check(check) => {
                draft.checks.push((*check.expr, at));
                Ok(())
            }
            other => Err(Refusal::new(format!("{other} is not understood"), "Leave it out.")),
        };
        if let Err(refusal) = result {
            self.report.refuse(at, refusal);
        }
    }

    fn constraint_columns(&mut self, columns: &[IndexColumn]) -> Result<Vec<Ident>, Refusal> {
        self.plain_columns(columns).ok_or_else(|| {
            Refusal::new(
                "a key or UNIQUE on an expression, or with a collation, does not mean the same in PostgreSQL",
                "Name plain columns.",
            )
        })
    }

    /// The names, if all are plain columns. Their direction does not matter.
    fn plain_columns(&mut self, columns: &[IndexColumn]) -> Option<Vec<Ident>> {
        columns
            .iter()
            .map(|column| match (&column.column.expr, &column.operator_class) {
                (Expr::Identifier(name), None) => self.ident("column", name),
                _ => None,
            })
            .collect()
    }

    fn foreign_key(&mut self, draft: &mut Draft, columns: Columns, key: ForeignKeyConstraint) {
        let at = columns.at;
        let Some(parent) = self.table_name(&key.foreign_table) else { return };
        let parent_columns: Option<Vec<Ident>> =
            key.referred_columns.iter().map(|name| self.ident("column", name)).collect();
        let Some(mut parent_columns) = parent_columns else { return };
        let Ok([column]) = <[Ident; 1]>::try_from(columns.names) else {
            self.report.problem(
                at,
                format!("a foreign key of {} has several columns", draft.name),
                "Refer to the parent's sync key, which is one column.",
            );
            return;
        };
        draft.foreign_keys.push(ForeignKeyDraft {
            column,
            parent,
            parent_column: parent_columns.pop(),
            on_delete: action(key.on_delete),
            on_update: action(key.on_update),
            at,
        });
    }

    /// The last part of a table's name: the schema it would be in on a device or server says nothing here.
    fn table_name(&mut self, name: &ObjectName) -> Option<Ident> {
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
    fn ident(&mut self, what: &str, name: &Name) -> Option<Ident> {
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

fn action(action: Option<ReferentialAction>) -> ForeignKeyAction {
    match action {
        None | Some(ReferentialAction::NoAction) => ForeignKeyAction::NoAction,
        Some(ReferentialAction::Restrict) => ForeignKeyAction::Restrict,
        Some(ReferentialAction::Cascade) => ForeignKeyAction::Cascade,
        Some(ReferentialAction::SetNull) => ForeignKeyAction::SetNull,
        Some(ReferentialAction::SetDefault) => ForeignKeyAction::SetDefault,
    }
}

fn refuse_nulls_not_distinct(nulls: NullsDistinctOption) -> Result<(), Refusal> {
    match nulls {
        NullsDistinctOption::NotDistinct => Err(Refusal::new(
            "UNIQUE NULLS NOT DISTINCT has no counterpart in SQLite, where NULLs are distinct",
            "Leave NULLS NOT DISTINCT out, or make the columns NOT NULL.",
        )),
        _ => Ok(()),
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
