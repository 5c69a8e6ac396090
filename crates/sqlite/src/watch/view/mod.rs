//! Results that are kept up to date row by row, without running their query again.

mod count;
mod given;
mod groups;
mod list;
mod members;
mod tally;

use std::marker::PhantomData;
use std::sync::Arc;

use crate::{RowChange, SqliteError, StateRead};

pub(crate) use count::CountView;
pub(crate) use list::ListView;

/// What happened to the rows that a view looks at since it was last brought up to date.
#[derive(Debug)]
pub enum News {
    /// Anything may have happened.
    Anything,
    /// These rows of the tables that it is about changed, in this order.
    Rows(Vec<Arc<RowChange>>),
}

/// A result that was brought up to date.
#[derive(Debug)]
pub struct Refreshed<T> {
    /// What it is now.
    pub value: T,
    /// True if the query was run for that, instead of looking at the rows that changed alone.
    pub was_run: bool,
}

/// A result that is kept up to date.
pub trait View<T>: Send {
    /// Brings it up to date and returns it.
    ///
    /// # Errors
    ///
    /// After an error, the next call must be with [`News::Anything`].
    fn refresh(&mut self, read: StateRead<'_>, news: News) -> Result<Refreshed<T>, SqliteError>;
}

impl<T, V: View<T> + ?Sized> View<T> for Box<V> {
    fn refresh(&mut self, read: StateRead<'_>, news: News) -> Result<Refreshed<T>, SqliteError> {
        (**self).refresh(read, news)
    }
}

/// A view that makes something else of another's result.
pub(crate) struct Mapped<T, V, F> {
    view: V,
    map: F,
    between: PhantomData<fn() -> T>,
}

impl<T, V, F> Mapped<T, V, F> {
    pub(crate) fn new(view: V, map: F) -> Self {
        Self { view, map, between: PhantomData }
    }
}

impl<T, U, V, F> View<U> for Mapped<T, V, F>
where
    V: View<T>,
    F: Fn(T) -> Result<U, SqliteError> + Send,
{
    fn refresh(&mut self, read: StateRead<'_>, news: News) -> Result<Refreshed<U>, SqliteError> {
        let Refreshed { value, was_run } = self.view.refresh(read, news)?;
        Ok(Refreshed { value: (self.map)(value)?, was_run })
    }
}
