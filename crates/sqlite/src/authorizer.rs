//! Who may do what: one authorizer, installed once, that asks for the current mode.
//!
//! SQLite consults it while it prepares a statement. It also tells which tables a statement reads.
//! A materializer gets the tables that the scope of its event allows; where SQLite's questions do
//! not tell which table is meant, the answer is left to the statement's program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::capture::FUNCTION as CAPTURE;
use crate::date_functions::{is_date_function, is_pure_date_function};
use crate::denial::Denial;
use crate::{Scope, SqliteError, TableAccess, TableDef};

/// In front of every name that is LiveStore's own.
pub(crate) const OWN_PREFIX: &str = "__livestore";

/// Tells whether a name is LiveStore's own, in whatever case a statement spells it.
pub(crate) fn is_own(name: &str) -> bool {
    name.get(..OWN_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX))
}

/// The view on whose behalf statements are prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// LiveStore's own statements.
    System,
    /// The definitions of state tables.
    Define,
    /// The app's queries.
    Read,
    /// The queries of the materializer of an event of a scope.
    Materialize(Scope),
    /// Its writes, whose text the builders made.
    Write(Scope),
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "LiveStore's own statements",
            Self::Define => "a table definition",
            Self::Read => "a query",
            Self::Materialize(_) => "a materializer's query",
            Self::Write(_) => "a materializer",
        }
    }
}

/// The functions that a materializer and a CHECK may call: those whose result depends on their arguments
/// alone, on every platform.
///
/// A list of what is allowed, since what SQLite adds tomorrow is not known to be deterministic.
/// Those about dates have rules of their own, see [`crate::date_functions`].
const DETERMINISTIC: &[&str] = &[
    "->",
    "->>",
    "abs",
    "avg",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "count",
    "cume_dist",
    "dense_rank",
    "first_value",
    "format",
    "glob",
    "group_concat",
    "hex",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_length",
    "json_each",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_pretty",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_tree",
    "json_type",
    "json_valid",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "lower",
    "ltrim",
    "max",
    "min",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "printf",
    "quote",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "string_agg",
    "substr",
    "substring",
    "sum",
    "total",
    "trim",
    "typeof",
    "unhex",
    "unicode",
    "unlikely",
    "upper",
    "zeroblob",
];

/// The columns that statements read, by table, in lower case; nothing in place of the columns if it may
/// be any of them.
#[derive(Debug, Default)]
pub(crate) struct ReadNames(pub(crate) BTreeMap<String, Option<BTreeSet<String>>>);

impl ReadNames {
    /// Notes what SQLite asks about: of a table that is read without any of its columns, such as by
    /// `count(*)`, it names a column without a name.
    fn note(&mut self, table: &str, column: &str) {
        let columns = self.0.entry(table.to_ascii_lowercase());
        let columns = columns.or_insert_with(|| Some(BTreeSet::new()));
        if column.is_empty() {
            *columns = None;
        } else if let Some(columns) = columns {
            columns.insert(column.to_ascii_lowercase());
        }
    }

    /// Notes the columns of an index that a statement goes through; those without a name are
    /// expressions.
    pub(crate) fn note_index(&mut self, table: &str, columns: Vec<Option<String>>) {
        for column in columns {
            self.note(table, column.as_deref().unwrap_or_default());
        }
    }
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// True if SQLite has asked since the mode was set: it has prepared a statement.
    was_asked: bool,
    /// True if some answer was given on the condition that the statement's program is looked at.
    in_doubt: bool,
    /// The state tables' scopes, by name in lower case.
    tables: BTreeMap<String, Scope>,
    /// What full-text indexes consist of, by name in lower case.
    full_texts: BTreeMap<String, FullTextPart>,
    reads: Option<ReadNames>,
    denied: Option<Denial>,
}

/// Something that a full-text index of a table of a scope consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FullTextPart {
    /// The table that queries search.
    Searched(Scope),
    /// One of those in which FTS5 keeps it.
    Shadow(Scope),
    /// A trigger that tells it of changes.
    Trigger,
}

/// The connection's end of the authorizer.
#[derive(Debug, Clone)]
pub(crate) struct Authorizer(Arc<Mutex<State>>);

impl Authorizer {
    pub(crate) fn install(connection: &mut rusqlite::Connection) -> Result<Self, SqliteError> {
        let state = State {
            mode: Mode::System,
            was_asked: false,
            in_doubt: false,
            tables: BTreeMap::new(),
            full_texts: BTreeMap::new(),
            reads: None,
            denied: None,
        };
        let authorizer = Self(Arc::new(Mutex::new(state)));
        let hook = authorizer.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| hook.lock().decide(context)))?;
        Ok(authorizer)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while holding it, and its fields are valid between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_state_tables(&self, tables: &[TableDef]) {
        let scope = |table: &TableDef| (table.name().to_ascii_lowercase(), table.scope());
        let mut state = self.lock();
        state.tables = tables.iter().map(scope).collect();
        state.full_texts.clear();
        for table in tables {
            for index in table.full_texts() {
                let mut add = |name: &str, part: FullTextPart| {
                    state.full_texts.insert(name.to_ascii_lowercase(), part);
                };
                add(index.name(), FullTextPart::Searched(table.scope()));
                index.shadows().for_each(|name| add(&name, FullTextPart::Shadow(table.scope())));
                index.triggers().for_each(|name| add(&name, FullTextPart::Trigger));
            }
        }
    }

    /// Runs a closure in another mode.
    pub(crate) fn with_mode<R>(&self, mode: Mode, run: impl FnOnce() -> R) -> R {
        let reset = self.enter(mode);
        let result = run();
        drop(reset);
        result
    }

    /// Sets the mode until what is returned is dropped.
    fn enter(&self, mode: Mode) -> Reset<'_> {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.mode, mode);
        (state.was_asked, state.in_doubt, state.denied) = (false, false, None);
        Reset(self, before)
    }

    /// Tells whether SQLite has prepared a statement in this mode, rather than take it from the
    /// cache.
    pub(crate) fn was_asked(&self) -> bool {
        self.lock().was_asked
    }

    /// Tells whether the statements prepared in this mode are allowed only if the tables that they
    /// open are.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.lock().in_doubt
    }

    /// Decides about a table that a statement opens for certain.
    pub(crate) fn may_open(&self, table_name: &str, database_name: &str) -> bool {
        let action = AuthAction::Read { table_name, column_name: "" };
        let context = AuthContext { action, database_name: Some(database_name), accessor: None };
        let mut state = self.lock();
        state.in_doubt = false;
        let is_allowed = state.decide(context) == Authorization::Allow;
        if is_allowed && state.in_doubt {
            state.denied = Some(Denial::action(state.mode, action));
            return false;
        }
        is_allowed
    }

    /// Runs a closure that prepares statements, and returns what they read.
    pub(crate) fn recording_reads<R>(&self, prepare: impl FnOnce() -> R) -> (R, ReadNames) {
        self.lock().reads = Some(ReadNames::default());
        let result = prepare();
        (result, self.lock().reads.take().unwrap_or_default())
    }

    /// Notes what a function refuses to do, for the error that it fails its statement with.
    pub(crate) fn deny(&self, what: String) {
        let mut state = self.lock();
        state.denied = Some(Denial::of_event(state.mode, what));
    }

    /// Turns SQLite's bare "not authorized" into what was tried and where.
    ///
    /// What is denied always fails, but not always with the code for it: a function does so with
    /// a plain error, and some statements ask only while they run.
    pub(crate) fn explain(&self, mode: Mode, error: rusqlite::Error, sql: &str) -> SqliteError {
        let denied = self.lock().denied.take();
        let denied = denied.or(match error {
            rusqlite::Error::MultipleStatement => Some(Denial::several_statements()),
            _ => None,
        });
        match denied {
            Some(denial) => denial.into_error(mode, sql),
            None => SqliteError::new(error, sql),
        }
    }
}

/// Goes back to the mode before, also when the closure panics.
struct Reset<'a>(&'a Authorizer, Mode);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.0.lock().mode = self.1;
    }
}

impl State {
    fn decide(&mut self, context: AuthContext<'_>) -> Authorization {
        self.was_asked = true;
        if let (AuthAction::Read { table_name, column_name }, Some(reads)) =
            (context.action, &mut self.reads)
        {
            reads.note(table_name, column_name);
        }
        let denied = match self.mode {
            Mode::System => None,
            Mode::Define => deny_in_definition(context.action),
            Mode::Read if self.is_data_version(context.action) => None,
            Mode::Read => deny_in_read(context.action),
            Mode::Materialize(event) => self.deny_in_materialize(event, &context),
            Mode::Write(event) => self.deny_in_write(event, &context),
        };
        match denied {
            None => Authorization::Allow,
            Some(denial) => {
                self.denied = Some(denial);
                Authorization::Deny
            }
        }
    }

    fn deny_in_materialize(&mut self, event: Scope, context: &AuthContext<'_>) -> Option<Denial> {
        match context.action {
            AuthAction::Select | AuthAction::Recursive => None,
            AuthAction::Read { table_name, column_name } => {
                self.deny_table_read(event, table_name, column_name, context.database_name)
            }
            AuthAction::Function { function_name } if is_pure_date_function(function_name) => None,
            AuthAction::Function { function_name } => deny_function(self.mode, function_name),
            other => Some(Denial::action(self.mode, other)),
        }
    }

    fn deny_table_read(
        &mut self,
        event: Scope,
        table_name: &str,
        column_name: &str,
        database: Option<&str>,
    ) -> Option<Denial> {
        let Some(scope) = self.scope_of(table_name) else {
            if self.full_text_part(table_name).is_some() {
                // Ranks are calculated by the machine's own mathematics.
                let action = AuthAction::Read { table_name, column_name };
                return Some(Denial::action(self.mode, action));
            }
            if matches!(table_name, "json_each" | "json_tree") {
                return None;
            }
            // So does a common table look of which no column is read.
            let may_be_common = column_name.is_empty()
                && database.is_none()
                && !is_own(table_name)
                && !table_name.to_ascii_lowercase().starts_with("sqlite_");
            self.in_doubt |= may_be_common;
            let action = AuthAction::Read { table_name, column_name };
            return (!may_be_common).then(|| Denial::action(self.mode, action));
        };
        if !event.may_read(scope) {
            return Some(out_of_scope(table_name, scope, TableAccess::Read, event));
        }
        // Of one side of a FULL JOIN … USING, SQLite names the other side's database.
        self.in_doubt |= !is_in(database, scope);
        None
    }

    /// SQLite names a trigger and a subquery alike as the `accessor`, so this tells our triggers
    /// only where the text is not the app's own.
    fn deny_in_write(&mut self, event: Scope, context: &AuthContext<'_>) -> Option<Denial> {
        if self.keeps_full_text(event, context) {
            return None;
        }
        let (table, access) = match context.action {
            AuthAction::Insert { table_name } => (table_name, TableAccess::Insert),
            AuthAction::Update { table_name, .. } => (table_name, TableAccess::Update),
            AuthAction::Delete { table_name } => (table_name, TableAccess::Delete),
            AuthAction::Function { function_name: CAPTURE }
            | AuthAction::Read { table_name: "sqlite_sequence", .. }
                if context.accessor.is_some_and(is_own) =>
            {
                return None;
            }
            _ => return self.deny_in_materialize(event, context),
        };
        match self.scope_of(table) {
            Some(scope) if !event.may_write(scope) => {
                Some(out_of_scope(table, scope, access, event))
            }
            Some(scope) if is_in(context.database_name, scope) => None,
            _ => Some(Denial::action(self.mode, context.action)),
        }
    }

    /// Tells whether a write to a table does this to keep its full-text indexes: their triggers
    /// write to them, and FTS5 to its own tables, which no statement of a builder names.
    fn keeps_full_text(&self, event: Scope, context: &AuthContext<'_>) -> bool {
        let table = match context.action {
            AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Read { table_name, .. } => table_name,
            other => return self.is_data_version(other),
        };
        let is_trigger = |name| self.full_text_part(name) == Some(FullTextPart::Trigger);
        match self.full_text_part(table) {
            Some(FullTextPart::Searched(scope)) => {
                event.may_write(scope) && context.accessor.is_some_and(is_trigger)
            }
            Some(FullTextPart::Shadow(scope)) => event.may_write(scope),
            Some(FullTextPart::Trigger) | None => false,
        }
    }

    /// Tells whether FTS5 asks whether somebody else has changed the file.
    fn is_data_version(&self, action: AuthAction<'_>) -> bool {
        let asks = matches!(
            action,
            AuthAction::Pragma { pragma_name: "data_version", pragma_value: None }
        );
        asks && !self.full_texts.is_empty()
    }

    fn full_text_part(&self, name: &str) -> Option<FullTextPart> {
        self.full_texts.get(&name.to_ascii_lowercase()).copied()
    }

    /// Returns the scope of the state table of a name.
    fn scope_of(&self, table: &str) -> Option<Scope> {
        self.tables.get(&table.to_ascii_lowercase()).copied()
    }
}

/// Tells whether a table, as SQLite names its database, is where the tables of a scope are.
///
/// Of a table from which no column is read, SQLite tells what the statement spells, which may be
/// no database at all. The name is enough then, since no two state tables share one, and nothing
/// that SQLite finds before a memory table can have its name either.
fn is_in(database: Option<&str>, scope: Scope) -> bool {
    database.is_none_or(|name| name.eq_ignore_ascii_case(scope.database()))
}

fn out_of_scope(table: &str, scope: Scope, access: TableAccess, event: Scope) -> Denial {
    Denial::Scope { table: table.into(), scope, access, event }
}

fn deny_in_definition(action: AuthAction<'_>) -> Option<Denial> {
    match action {
        // Where SQLite computes columns, checks rows and keeps indexes, it refuses the present moment
        // and the machine's time zone itself.
        AuthAction::Function { function_name } if is_date_function(function_name) => None,
        AuthAction::Function { function_name } => deny_function(Mode::Define, function_name),
        _ => None,
    }
}

fn deny_function(mode: Mode, function: &str) -> Option<Denial> {
    (!DETERMINISTIC.contains(&function)).then(|| Denial::function(mode, function))
}

fn deny_in_read(action: AuthAction<'_>) -> Option<Denial> {
    match action {
        AuthAction::Select | AuthAction::Recursive => None,
        AuthAction::Read { table_name, .. } if !is_own(table_name) => None,
        AuthAction::Function { function_name }
            if !is_own(function_name) && function_name != "load_extension" =>
        {
            None
        }
        other => Some(Denial::action(Mode::Read, other)),
    }
}
