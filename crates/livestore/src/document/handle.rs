//! The documents of an open store.

use std::fmt;
use std::sync::{Arc, Weak};

use livestore_core::CanonicalJson;
use livestore_sqlite::{Query, RowCursor, SqliteError, Value as SqlValue, ValueError, Watch};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{DocumentDef, Set, What, value};
use crate::live::{LiveQuery, query_db};
use crate::receipt::CommitReceipt;
use crate::store::{Inner, upgrade};
use crate::warning::{Warning, Warnings};
use crate::{CommitError, NewEvent, QueryError, Unavailable};

/// One document of an open store; a clone is the same one.
pub struct Document<T> {
    store: Weak<Inner>,
    query: DocumentQuery<T>,
}

/// The value of a document, as a query: `store.query_db(document.query())` is live.
pub struct DocumentQuery<T> {
    def: DocumentDef,
    id: Arc<str>,
    default: Arc<T>,
    warnings: Arc<Warnings>,
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Document<T> {
    pub(crate) fn new(store: &Arc<Inner>, def: DocumentDef, default: T) -> Self {
        let id = if def.by_session { store.session_id().as_str() } else { "default" }.into();
        let (default, warnings) = (Arc::new(default), Arc::clone(store.warnings()));
        let query = DocumentQuery { def, id, default, warnings };
        Self { store: Arc::downgrade(store), query }
    }

    /// Returns the document of another id; without it, the id is `default`, or the session's if
    /// the document is keyed by session.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.query.id = id.into();
        self
    }

    /// Returns the id.
    pub fn id(&self) -> &str {
        &self.query.id
    }

    /// Reads the value: what was set, and the default for what was not.
    ///
    /// Fields that were stored by another release and no longer fit have the default as well, and
    /// there is a [`Warning::DocumentValue`].
    pub fn get(&self) -> Result<T, QueryError> {
        self.known()?.query(&self.query)
    }

    /// Returns the query of the value, for
    /// [`Store::query_db`](crate::Store::query_db).
    pub fn query(&self) -> DocumentQuery<T> {
        self.query.clone()
    }

    /// Makes the value live.
    pub fn live(&self) -> Result<LiveQuery<T>, QueryError>
    where
        T: PartialEq,
    {
        let store = self.known()?;
        Ok(LiveQuery::new(&store, query_db(self.query()).instance(&store)))
    }

    /// Sets the whole value.
    pub fn set(&self, value: &T) -> Result<CommitReceipt, CommitError> {
        let value = self.encode(value)?;
        self.commit(What::Value(value), |_| true)?.ok_or(Unavailable::Closed.into())
    }

    /// Sets the fields of an object that are given, and leaves all others as they are.
    ///
    /// # Errors
    ///
    /// [`CommitError::Document`] if these are no fields of the document.
    pub fn set_fields<P: Serialize + ?Sized>(
        &self,
        fields: &P,
    ) -> Result<CommitReceipt, CommitError> {
        let wrong = |reason: String| CommitError::Document {
            document: self.query.def.name().into(),
            reason,
        };
        let Value::Object(fields) = self.encode(fields)? else {
            return Err(wrong("only an object has fields".into()));
        };
        // What a later release would not find in the value was no field of it.
        let default = &*self.query.def.default;
        let whole = value::overlay(default.clone(), fields.clone());
        let value = T::deserialize(&whole).map_err(|error| wrong(error.to_string()))?;
        let written = self.encode(&value)?;
        if let Some((field, _)) =
            fields.iter().find(|(field, value)| !value.is_null() && written.get(field).is_none())
        {
            return Err(wrong(format!("it has no field {field}")));
        }
        self.commit(What::Fields(fields), |_| true)?.ok_or(Unavailable::Closed.into())
    }

    /// Changes the value with a function, and sets the fields that it has changed; `None` if there
    /// are none.
    ///
    /// The function is called again if somebody else has set the document meanwhile.
    pub fn update(
        &self,
        mut change: impl FnMut(&mut T),
    ) -> Result<Option<CommitReceipt>, CommitError> {
        loop {
            let stored = self.stored()?;
            let before = self.query.read(stored.as_deref());
            let mut after = before.clone();
            change(&mut after);
            let (before, after) = (self.encode(&before)?, self.encode(&after)?);
            let what = match value::difference(&before, &after) {
                Some(fields) if fields.is_empty() => return Ok(None),
                Some(fields) => What::Fields(fields),
                None if before == after => return Ok(None),
                None => What::Value(after),
            };
            if let Some(receipt) = self.commit(what, |now| now == stored.as_deref())? {
                return Ok(Some(receipt));
            }
        }
    }

    /// Makes it the default again.
    pub fn reset(&self) -> Result<CommitReceipt, CommitError> {
        self.commit(What::Reset, |_| true)?.ok_or(Unavailable::Closed.into())
    }

    /// Returns the store, if its schema has the document.
    fn known(&self) -> Result<Arc<Inner>, QueryError> {
        let (store, name) = (upgrade(&self.store)?, self.query.def.name());
        if store.schema().document(name).is_none() {
            return Err(QueryError::UnknownDocument { name: name.into() });
        }
        Ok(store)
    }

    fn encode<V: Serialize + ?Sized>(&self, value: &V) -> Result<Value, CommitError> {
        CanonicalJson::encode(value).and_then(|json| json.decode()).map_err(|error| {
            let (document, reason) = (self.query.def.name().into(), error.to_string());
            CommitError::Document { document, reason }
        })
    }

    fn stored(&self) -> Result<Option<String>, CommitError> {
        let store = self.known().map_err(commit_error)?;
        let stored = StoredQuery(self.query.clone());
        store.query(&stored).map_err(commit_error)
    }

    /// Commits the event, if the stored value is still as it has to be.
    fn commit(
        &self,
        what: What,
        is_as_before: impl FnOnce(Option<&str>) -> bool,
    ) -> Result<Option<CommitReceipt>, CommitError> {
        let store = self.known().map_err(commit_error)?;
        let set = Set::new(&self.query.id, what);
        let event = NewEvent::new(&self.query.def.event_name(), &set)?;
        let stored = StoredQuery(self.query.clone());
        store.commit_if(vec![event], |replica| {
            let now = replica.connection().read().query(&stored)?;
            Ok(is_as_before(now.as_deref()))
        })
    }
}

fn commit_error(error: QueryError) -> CommitError {
    match error {
        QueryError::Store(error) => error.into(),
        QueryError::UnknownDocument { name } => CommitError::UnknownDocument { name },
        other => CommitError::Query(other),
    }
}

impl<T: DeserializeOwned + Clone> DocumentQuery<T> {
    /// Reads a stored value, or takes the default if there is none.
    fn read(&self, stored: Option<&str>) -> T {
        let misfit = |field: Option<&str>, reason| {
            let (document, id) = (self.def.name().into(), (*self.id).into());
            let field = field.map(Into::into);
            self.warnings.tell(Warning::DocumentValue { document, id, field, reason });
        };
        let Some(stored) = stored else { return (*self.default).clone() };
        match serde_json::from_str(stored) {
            Ok(stored) => value::read(stored, (&self.default, &self.def.default), misfit),
            Err(error) => {
                misfit(None, error.to_string());
                (*self.default).clone()
            }
        }
    }
}

fn stored_value(mut rows: RowCursor<'_>) -> Result<Option<String>, SqliteError> {
    Ok(rows.next()?.map(|row| row.get(0, "value")).transpose()?)
}

impl<T: DeserializeOwned + Clone + Send + Sync + 'static> Query for DocumentQuery<T> {
    type Output = T;

    fn compile(&self) -> Result<(String, Vec<SqlValue>), ValueError> {
        self.def.stored(&self.id).compile()
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<T, SqliteError> {
        Ok(self.read(stored_value(rows)?.as_deref()))
    }
}

impl<T: DeserializeOwned + Clone + PartialEq + Send + Sync + 'static> Watch for DocumentQuery<T> {}

/// The value as it is stored.
struct StoredQuery<T>(DocumentQuery<T>);

impl<T> Clone for StoredQuery<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: DeserializeOwned + Clone + Send + Sync + 'static> Query for StoredQuery<T> {
    type Output = Option<String>;

    fn compile(&self) -> Result<(String, Vec<SqlValue>), ValueError> {
        self.0.compile()
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<Option<String>, SqliteError> {
        stored_value(rows)
    }
}

impl<T> Clone for DocumentQuery<T> {
    fn clone(&self) -> Self {
        let Self { def, id, default, warnings } = self;
        let (def, id) = (def.clone(), Arc::clone(id));
        Self { def, id, default: Arc::clone(default), warnings: Arc::clone(warnings) }
    }
}

impl<T> Clone for Document<T> {
    fn clone(&self) -> Self {
        Self { store: Weak::clone(&self.store), query: self.query.clone() }
    }
}

impl<T> fmt::Debug for DocumentQuery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentQuery({}, {})", self.def.name(), self.id)
    }
}

impl<T> fmt::Debug for Document<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({}, {})", self.query.def.name(), self.query.id)
    }
}
