//! Queries: what can be read from the state.

mod dynamic;
mod first;
mod outputs;
mod raw;
mod select;
mod source;
mod watch;

use crate::row::{RowCursor, Rows};
use crate::{SqliteError, Value, ValueError, ast};

pub use dynamic::{DynSelect, ResultColumn};
pub use first::{Count, First, FirstOr, FirstOrError};
pub use outputs::Outputs;
pub use raw::{QueryAs, Sql, query_as};
pub use select::Select;
pub use source::{Contains, Correlated, InScopeOf, Join, Slot, Source, Sources};
pub use watch::Watch;

/// Something that can be read from the state.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a query",
    label = "expected something to read, such as a selection",
    note = "a write is no query: it changes the state when a materializer returns it; commit an event"
)]
pub trait Query: Clone + Send + Sync + 'static {
    /// What reading it gives.
    type Output: Clone + Send + Sync + 'static;

    /// Returns the SQL text and the values for its `?`, in order.
    fn compile(&self) -> Result<(String, Vec<Value>), ValueError>;

    /// Collects the rows of the running statement.
    fn collect(&self, rows: RowCursor<'_>) -> Result<Self::Output, SqliteError>;

    /// Tells whether its type, its text and its values are all that there is to it, so that two which
    /// are equal in these have equal results.
    fn is_plain(&self) -> bool {
        false
    }

    /// Returns the selection that it makes something of, whose conditions tell which rows it is about.
    fn selection(&self) -> Option<&ast::Select> {
        None
    }

    /// Returns a copy that [`collect`](Self::collect)s as it does, and may have forgotten all else, for
    /// those who keep many.
    #[must_use]
    fn collector(&self) -> Self {
        self.clone()
    }
}

/// A query for rows of one type.
pub trait RowQuery: Query<Output = Rows<Self::Row>> {
    /// The type of its rows.
    type Row: Send + Sync + 'static;

    /// Returns the text and values of a query for the same rows, in whatever order.
    fn compile_unordered(&self) -> Result<(String, Vec<Value>), ValueError> {
        self.compile()
    }

    /// Reads the first row of the running statement, if there is one.
    fn collect_first(&self, rows: RowCursor<'_>) -> Result<Option<Self::Row>, SqliteError>;
}
