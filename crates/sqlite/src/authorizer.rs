//! Who may do what: one authorizer, installed once, that asks for the current mode.
//!
//! SQLite consults it while it prepares a statement. It also tells which tables a statement reads.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::SqliteError;
use crate::capture::FUNCTION as CAPTURE;

/// In front of every name that is LiveStore's own.
pub(crate) const OWN_PREFIX: &str = "__livestore";

/// Tells whether a name is LiveStore's own, in whatever case a statement spells it.
fn is_own(name: &str) -> bool {
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
    /// A materializer's queries.
    Materialize,
    /// A materializer's writes, whose text the builders made.
    Write,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::System => "LiveStore's own statements",
            Self::Define => "a table definition",
            Self::Read => "a query",
            Self::Materialize => "a materializer's query",
            Self::Write => "a materializer",
        }
    }
}

/// The functions that a materializer and a CHECK may call: those whose result depends on their arguments
/// alone, on every platform.
///
/// A list of what is allowed, since what SQLite adds tomorrow is not known to be deterministic.
/// Dates are missing because every date function also understands `now`.
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

#[derive(Debug)]
struct State {
    mode: Mode,
    tables: BTreeSet<String>,
    reads: Option<BTreeSet<String>>,
    denied: Option<String>,
}

/// The connection's end of the authorizer.
#[derive(Debug, Clone)]
pub(crate) struct Authorizer(Arc<Mutex<State>>);

impl Authorizer {
    pub(crate) fn install(connection: &mut rusqlite::Connection) -> Result<Self, SqliteError> {
        let state =
            State { mode: Mode::System, tables: BTreeSet::new(), reads: None, denied: None };
        let authorizer = Self(Arc::new(Mutex::new(state)));
        let hook = authorizer.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| hook.lock().decide(context)))?;
        Ok(authorizer)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while holding it, and its fields are valid between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_state_tables(&self, names: impl IntoIterator<Item = String>) {
        self.lock().tables = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
    }

    /// Runs a closure in another mode.
    pub(crate) fn with_mode<R>(&self, mode: Mode, run: impl FnOnce() -> R) -> R {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.mode, mode);
        state.denied = None;
        drop(state);
        let reset = Reset(self, before);
        let result = run();
        drop(reset);
        result
    }

    /// Runs a closure that prepares statements, and returns the tables that they read, in lower
    /// case.
    pub(crate) fn recording_reads<R>(&self, prepare: impl FnOnce() -> R) -> (R, BTreeSet<String>) {
        self.lock().reads = Some(BTreeSet::new());
        let result = prepare();
        (result, self.lock().reads.take().unwrap_or_default())
    }

    /// Turns SQLite's bare "not authorized" into what was tried and where.
    ///
    /// What is denied always fails, but not always with the code for it: a function does so with
    /// a plain error, and some statements ask only while they run.
    pub(crate) fn explain(&self, mode: Mode, error: rusqlite::Error, sql: &str) -> SqliteError {
        match self.lock().denied.take() {
            Some(what) => SqliteError::Denied {
                what,
                mode: mode.name(),
                sql: Some(crate::sql::without_mark(sql).into()),
            },
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
        if let (AuthAction::Read { table_name, .. }, Some(reads)) =
            (context.action, &mut self.reads)
        {
            reads.insert(table_name.to_ascii_lowercase());
        }
        let denied = match self.mode {
            Mode::System => None,
            Mode::Define => deny_in_definition(context.action),
            Mode::Read => deny_in_read(context.action),
            Mode::Materialize => self.deny_in_materialize(context.action),
            Mode::Write => self.deny_in_write(context.action, context.accessor),
        };
        match denied {
            None => Authorization::Allow,
            Some(what) => {
                self.denied = Some(what);
                Authorization::Deny
            }
        }
    }

    fn deny_in_materialize(&self, action: AuthAction<'_>) -> Option<String> {
        match action {
            AuthAction::Select | AuthAction::Recursive => None,
            AuthAction::Read { table_name, .. }
                if self.is_state(table_name) || matches!(table_name, "json_each" | "json_tree") =>
            {
                None
            }
            AuthAction::Function { function_name } => deny_function(function_name),
            other => Some(describe(other)),
        }
    }

    /// SQLite names a trigger and a subquery alike as the `accessor`, so this tells our triggers
    /// only where the text is not the app's own.
    fn deny_in_write(&self, action: AuthAction<'_>, accessor: Option<&str>) -> Option<String> {
        match action {
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name }
                if self.is_state(table_name) =>
            {
                None
            }
            AuthAction::Function { function_name: CAPTURE } if accessor.is_some_and(is_own) => None,
            other => self.deny_in_materialize(other),
        }
    }

    fn is_state(&self, table: &str) -> bool {
        self.tables.contains(&table.to_ascii_lowercase())
    }
}

fn deny_in_definition(action: AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::Function { function_name } => deny_function(function_name),
        _ => None,
    }
}

fn deny_function(function: &str) -> Option<String> {
    let denied = || format!("the function {function}, whose result may differ between clients,");
    (!DETERMINISTIC.contains(&function)).then(denied)
}

fn deny_in_read(action: AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::Select | AuthAction::Recursive => None,
        AuthAction::Read { table_name, .. } if !is_own(table_name) => None,
        AuthAction::Function { function_name }
            if !is_own(function_name) && function_name != "load_extension" =>
        {
            None
        }
        other => Some(describe(other)),
    }
}

fn describe(action: AuthAction<'_>) -> String {
    match action {
        AuthAction::Read { table_name, .. } => format!("reading table {table_name}"),
        AuthAction::Insert { table_name } => format!("inserting into table {table_name}"),
        AuthAction::Update { table_name, .. } => format!("updating table {table_name}"),
        AuthAction::Delete { table_name } => format!("deleting from table {table_name}"),
        AuthAction::Function { function_name } => format!("the function {function_name}"),
        AuthAction::Pragma { pragma_name, .. } => format!("PRAGMA {pragma_name}"),
        AuthAction::Attach { .. } => "ATTACH".into(),
        AuthAction::Detach { .. } => "DETACH".into(),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            "controlling transactions".into()
        }
        _ => "changing the database schema".into(),
    }
}
