//! What the authorizer refuses, in words: what was tried, and what to do instead.

use rusqlite::hooks::AuthAction;

use crate::authorizer::{Mode, is_own};
use crate::{Scope, SqliteError, TableAccess};

/// Why a statement is refused.
#[derive(Debug)]
pub(crate) enum Denial {
    /// No statement of its view may do this.
    Action { what: String, advice: &'static str },
    /// The event may not touch the table.
    Scope { table: String, scope: Scope, access: TableAccess, event: Scope },
}

impl Denial {
    /// Says that a view's statements may not do this.
    pub(crate) fn action(mode: Mode, action: AuthAction<'_>) -> Self {
        Self::Action { what: describe(action), advice: advice(mode, action) }
    }

    /// Says that a function may give other results elsewhere.
    pub(crate) fn function(mode: Mode, function: &str) -> Self {
        let what = format!("the function {function}, whose result may differ between clients,");
        Self::of_event(mode, what)
    }

    /// Says that something is for where an event is made, and not for what is derived from it.
    pub(crate) fn of_event(mode: Mode, what: String) -> Self {
        let advice = match mode {
            Mode::Define => {
                "a definition depends on its row alone; let events say the value, in a column of \
                 its own"
            }
            _ => "use it where the event is made, and put the result into the payload",
        };
        Self::Action { what, advice }
    }

    /// Says that a text has more than one statement.
    pub(crate) fn several_statements() -> Self {
        let advice = "make each a query or a write of its own";
        Self::Action { what: "a text of more than one statement".into(), advice }
    }

    pub(crate) fn into_error(self, mode: Mode, sql: &str) -> SqliteError {
        let sql = Some(crate::sql::as_written(sql).into());
        match self {
            Self::Action { what, advice } => {
                SqliteError::Denied { what, mode: mode.name(), advice, sql }
            }
            Self::Scope { table, scope, access, event } => {
                SqliteError::OutOfScope { table, scope, access, event, sql }
            }
        }
    }
}

/// Tells whether SQLite keeps the definitions of tables in a table.
fn is_schema(table: &str) -> bool {
    matches!(table, "sqlite_master" | "sqlite_temp_master")
}

fn describe(action: AuthAction<'_>) -> String {
    let table = |access: TableAccess, name: &str| format!("{access} table {name}");
    match action {
        AuthAction::Read { table_name, .. } => table(TableAccess::Read, table_name),
        AuthAction::Insert { table_name } if !is_schema(table_name) => {
            table(TableAccess::Insert, table_name)
        }
        AuthAction::Update { table_name, .. } if !is_schema(table_name) => {
            table(TableAccess::Update, table_name)
        }
        AuthAction::Delete { table_name } if !is_schema(table_name) => {
            table(TableAccess::Delete, table_name)
        }
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

fn advice(mode: Mode, action: AuthAction<'_>) -> &'static str {
    match (action, mode) {
        (AuthAction::Read { table_name, .. }, Mode::Read) if is_own(table_name) => {
            "it is LiveStore's own; `Store::events` lists the log"
        }
        (AuthAction::Read { .. }, Mode::Read) => "queries read tables of the schema",
        (AuthAction::Read { .. }, _) => {
            "materializers read tables of the schema, without full-text search, whose ranks may \
             differ between clients"
        }
        (
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name },
            _,
        ) if !is_schema(table_name) => match mode {
            Mode::Read => "queries only read; commit an event whose materializer writes",
            Mode::Materialize(_) => "queries only read; return the write from the materializer",
            _ => "materializers write to tables of the schema",
        },
        (AuthAction::Function { .. }, _) => {
            "it does more than calculate; do that in Rust, and bind the result"
        }
        (AuthAction::Transaction { .. } | AuthAction::Savepoint { .. }, _) => {
            "each commit is a transaction; commit several events together"
        }
        (
            AuthAction::Pragma { .. } | AuthAction::Attach { .. } | AuthAction::Detach { .. },
            mode,
        ) => match mode {
            Mode::Read => {
                "queries only read tables of the schema; `Schema::describe` tells what these are"
            }
            _ => {
                "materializers read tables of the schema; put what else they need into the event's \
                     payload"
            }
        },
        _ => "tables are made from the app's schema; change them there",
    }
}
