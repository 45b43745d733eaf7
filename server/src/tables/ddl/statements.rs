//! From text to statements: tokens by `sqlparser`, cut at semicolons, so that one bad statement hides no other.
//!
//! SQLite accepts a few spellings that the parser does not. They are rewritten as tokens, here and nowhere else.

use sqlparser::{
    ast::Statement,
    dialect::{PostgreSqlDialect, SQLiteDialect},
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word},
};

use super::{At, Dialect, MAX_TEXT_BYTES, Problem, Report};

/// Tokens of one statement, without white space, comments and its semicolon. Never empty.
pub(super) struct Tokens(Vec<TokenWithSpan>);

/// A tree of expressions is at most as deep as it has tokens; this keeps every walk over it within a small stack.
const MAX_TOKENS_PER_ITEM: usize = 1_000;

/// Cut `text` into statements. With `dialect` None the text tells which it is.
pub(super) fn split(text: &str, dialect: Option<Dialect>) -> Result<(Dialect, Vec<Tokens>), Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_TEXT_BYTES {
        let reason = format!("the text has {} bytes, more than the {MAX_TEXT_BYTES} allowed", text.len());
        return Err(problem(At::START, reason, "Leave out what is not CREATE TABLE."));
    }
    if let Some(before) = text.find('\0') {
        let line = 1 + text[..before].matches('\n').count() as u64;
        let reason = "the text contains a NUL character";
        return Err(problem(At { line, column: 1 }, reason, "Save the file as UTF-8 text and try again."));
    }
    let (dialect, tokens) = match dialect {
        Some(dialect) => (dialect, tokenize(text, dialect)?),
        None => {
            let tokens = tokenize(text, Dialect::Sqlite);
            match &tokens {
                Ok(sqlite) if !sounds_like_postgresql(sqlite) => (Dialect::Sqlite, tokens?),
                // What SQLite cannot even spell may still be PostgreSQL; if not, SQLite's complaint is the better one.
                _ => match tokenize(text, Dialect::Postgresql) {
                    Ok(postgresql) if sounds_like_postgresql(&postgresql) => {
                        (Dialect::Postgresql, postgresql)
                    }
                    _ => (Dialect::Sqlite, tokens?),
                },
            }
        }
    };
    Ok((dialect, cut(tokens)))
}

fn problem(at: At, reason: impl Into<String>, remedy: &str) -> Problem {
    Problem { line: at.line, column: at.column, reason: reason.into(), remedy: remedy.to_owned() }
}

fn tokenize(text: &str, dialect: Dialect) -> Result<Vec<TokenWithSpan>, Problem> {
    let tokens = match dialect {
        Dialect::Sqlite => Tokenizer::new(&SQLiteDialect {}, text).tokenize_with_location(),
        Dialect::Postgresql => Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location(),
    };
    let tokens = tokens.map_err(|error| {
        let reason = format!("the text cannot be read: {}", lower_first(&error.message));
        problem(error.location.into(), reason, "Close the quote or comment that is open here.")
    })?;
    Ok(tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)).collect())
}

/// Words and signs that PostgreSQL has and SQLite's DDL does not.
fn sounds_like_postgresql(tokens: &[TokenWithSpan]) -> bool {
    const TYPES: [&str; 12] = [
        "timestamptz",
        "timetz",
        "jsonb",
        "bytea",
        "serial",
        "bigserial",
        "smallserial",
        "int4",
        "float4",
        "float8",
        "gen_random_uuid",
        "uuid_generate_v4",
    ];
    let is =
        |token: &TokenWithSpan, word: &str| unquoted(token).is_some_and(|w| w.eq_ignore_ascii_case(word));
    tokens.iter().enumerate().any(|(i, token)| {
        let with_time_zone = ["with", "time", "zone"];
        token.token == Token::DoubleColon
            || TYPES.iter().any(|word| is(token, word))
            || (tokens.len() >= i + 3 && (0..3).all(|n| is(&tokens[i + n], with_time_zone[n])))
    })
}

/// The word that a token is, unless it is quoted.
fn unquoted(token: &TokenWithSpan) -> Option<&str> {
    match &token.token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value),
        _ => None,
    }
}

fn cut(tokens: Vec<TokenWithSpan>) -> Vec<Tokens> {
    let mut statements = Vec::new();
    let mut current = Vec::new();
    let mut body = TriggerBody::default();
    for token in tokens {
        if token.token != Token::SemiColon {
            body.read(current.len(), &token);
            current.push(token);
        } else if !body.is_open() && !current.is_empty() {
            statements.push(Tokens(std::mem::take(&mut current)));
            body = TriggerBody::default();
        }
    }
    if !current.is_empty() {
        statements.push(Tokens(current));
    }
    statements
}

/// Whether we are inside the body of a CREATE TRIGGER, where a semicolon ends no statement.
#[derive(Default)]
struct TriggerBody {
    is_create: bool,
    is_trigger: bool,
    /// BEGIN and CASE that have not met their END.
    depth: i32,
}

impl TriggerBody {
    /// Take note of the statement's token at `position`.
    fn read(&mut self, position: usize, token: &TokenWithSpan) {
        let Some(word) = unquoted(token) else { return };
        let is = |what: &str| word.eq_ignore_ascii_case(what);
        match position {
            0 => self.is_create = is("create"),
            1 | 2 => self.is_trigger |= self.is_create && is("trigger"),
            _ if is("begin") || (self.depth > 0 && is("case")) => self.depth += 1,
            _ if is("end") => self.depth -= 1,
            _ => {}
        }
    }

    fn is_open(&self) -> bool {
        self.is_trigger && self.depth > 0
    }
}

impl Tokens {
    /// Where the statement begins.
    pub(super) fn at(&self) -> At {
        self.0.first().map_or(At::START, |token| token.span.into())
    }

    /// The `n`th word in capitals; empty when that is no word or there is none.
    pub(super) fn word(&self, n: usize) -> String {
        self.0.get(n).and_then(unquoted).unwrap_or_default().to_ascii_uppercase()
    }

    /// The statement as the parser's tree.
    pub(super) fn parse(mut self, dialect: Dialect, report: &mut Report) -> Result<Statement, Problem> {
        self.refuse_long_items()?;
        if dialect == Dialect::Sqlite {
            self.rewrite_sqlite(report);
        }
        let end = self.0.last().map_or(Location::new(1, 1), |token| token.span.end);
        let parsed = match dialect {
            Dialect::Sqlite => {
                Parser::new(&SQLiteDialect {}).with_tokens_with_locations(self.0).parse_statements()
            }
            Dialect::Postgresql => {
                Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(self.0).parse_statements()
            }
        };
        match parsed {
            Ok(mut statements) if statements.len() == 1 => Ok(statements.remove(0)),
            Ok(_) => Err(problem(
                end.into(),
                "the statement cannot be read",
                "Put a semicolon between statements.",
            )),
            Err(error) => Err(parser_problem(error, end, dialect)),
        }
    }

    fn refuse_long_items(&self) -> Result<(), Problem> {
        let (mut depth, mut tokens) = (0usize, 0usize);
        for token in &self.0 {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                Token::Comma if depth <= 1 => tokens = 0,
                _ => {}
            }
            tokens += 1;
            if tokens > MAX_TOKENS_PER_ITEM {
                let reason = format!("a definition has more than {MAX_TOKENS_PER_ITEM} words and signs");
                return Err(problem(token.span.into(), reason, "Make it shorter."));
            }
        }
        Ok(())
    }

    /// What SQLite reads and the parser does not, in words that both do.
    fn rewrite_sqlite(&mut self, report: &mut Report) {
        self.drop_table_options();
        let mut depth = 0usize;
        let mut rewritten: Vec<TokenWithSpan> = Vec::with_capacity(self.0.len());
        let mut i = 0;
        while let Some(token) = self.0.get(i) {
            let before = rewritten.last().map(|token| &token.token);
            match &token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                Token::SingleQuotedString(name) if names_something(before, depth) => {
                    rewritten.push(TokenWithSpan::new(Token::make_word(name, Some('"')), token.span));
                    i += 1;
                    continue;
                }
                Token::Word(_) if self.has_words(i, &["on", "conflict"]) => {
                    let action = self.word(i + 2);
                    report.warn(
                        token.span.into(),
                        format!(
                            "ON CONFLICT {action} works on the device only: the server refuses a row that breaks the \
                             constraint."
                        ),
                    );
                    i += 3;
                    continue;
                }
                Token::Word(_) if !matches!(before, None | Some(Token::LParen | Token::Comma)) => {
                    let spelling = SPELLINGS.iter().find(|(words, _)| self.has_words(i, words));
                    if let Some((words, with)) = spelling {
                        let with =
                            with.iter().map(|word| TokenWithSpan::new(Token::make_keyword(word), token.span));
                        rewritten.extend(with);
                        i += words.len();
                        continue;
                    }
                }
                _ => {}
            }
            rewritten.push(token.clone());
            i += 1;
        }
        self.0 = rewritten;
    }

    /// Whether these unquoted words stand at `i`.
    fn has_words(&self, i: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(n, word)| {
            self.0.get(i + n).and_then(unquoted).is_some_and(|found| found.eq_ignore_ascii_case(word))
        })
    }

    /// `… ) WITHOUT ROWID, STRICT`: neither says anything about the rows.
    fn drop_table_options(&mut self) {
        let is_option = |token: &TokenWithSpan| {
            token.token == Token::Comma
                || unquoted(token).is_some_and(|word| {
                    ["without", "rowid", "strict"].iter().any(|option| word.eq_ignore_ascii_case(option))
                })
        };
        let end = self.0.iter().rposition(|token| !is_option(token)).map_or(0, |last| last + 1);
        if end > 0 && self.0[end - 1].token == Token::RParen {
            self.0.truncate(end);
        }
    }
}

/// Spellings of SQLite's that stand behind something (so they are no column's name) and what the parser calls them.
const SPELLINGS: [(&[&str], &[&str]); 4] = [
    (&["unsigned", "big", "int"], &["BIGINT"]),
    (&["varying", "character"], &["VARCHAR"]),
    (&["native", "character"], &["VARCHAR"]),
    (&["isnull"], &["IS", "NULL"]),
];

/// Whether a string behind `before` is a name: SQLite takes one (`CREATE TABLE 'notes' ('id' TEXT)`) where nothing else
/// can stand.
fn names_something(before: Option<&Token>, depth: usize) -> bool {
    match before {
        Some(Token::LParen | Token::Comma) => depth == 1,
        Some(Token::Period) => true,
        Some(Token::Word(word)) => ["table", "exists", "references", "index", "constraint"]
            .iter()
            .any(|before| word.value.eq_ignore_ascii_case(before)),
        _ => false,
    }
}

fn parser_problem(error: ParserError, end: Location, dialect: Dialect) -> Problem {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return problem(end.into(), "the statement is nested too deeply", "Take parentheses away.");
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    let (text, place) = message.rsplit_once(" at Line: ").unwrap_or((&message, ""));
    let location = place.split_once(", Column: ").and_then(|(line, column)| {
        let line = line.parse().ok()?;
        (line > 0).then_some(Location::new(line, column.parse().ok()?))
    });
    let text = lower_first(text).replace("expected: ", "expected ").replace(", found: ", " but found ");
    let text = text.replace("found EOF", "found the end of the statement");
    let remedy = format!("Correct the statement; it is read as {}.", dialect.name());
    problem(location.unwrap_or(end).into(), format!("the statement cannot be read: {text}"), &remedy)
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}
