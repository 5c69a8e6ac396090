//! Client documents: values of one client alone, such as what its user interface shows.
//!
//! A document is a JSON value by id, in a client table of its own, which a persisted client-only
//! event sets as a whole or field by field. Reading never writes: a document that was never set is
//! its default. Only the fields that were set are stored, so that a default that changes in a later
//! release counts for all others.

mod handle;
mod value;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use livestore_core::{CanonicalJson, JsonError};
use livestore_sqlite::{
    ColumnDef, ColumnType, Scope, Sql, TableDef, TableError, TableWrite, Value as SqlValue, Write,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use handle::{Document, DocumentQuery};

use crate::materializer::{MaterializeError, MaterializerContext};

/// The value type of a client document; implemented by `#[derive(ClientDocument)]`.
///
/// Its `Default` is what a document is that was never set.
pub trait ClientDocument:
    Serialize + DeserializeOwned + Default + Clone + Send + Sync + 'static
{
    /// The document's name: that of its table, and with `Set` behind it that of its event.
    const NAME: &'static str;
    /// True if each session has a document of its own, unless it asks for another one.
    const BY_SESSION: bool = false;

    /// Returns the definition.
    ///
    /// # Errors
    ///
    /// The default has no JSON form.
    fn definition() -> Result<DocumentDef, JsonError> {
        let def = DocumentDef::new(Self::NAME, &Self::default())?;
        Ok(if Self::BY_SESSION { def.by_session() } else { def })
    }
}

/// What a client document is.
#[derive(Clone)]
#[must_use = "a definition does nothing until a schema has it"]
pub struct DocumentDef {
    pub(crate) name: Arc<str>,
    pub(crate) default: Arc<Value>,
    pub(crate) by_session: bool,
}

impl DocumentDef {
    /// Defines a document by its name and its default.
    ///
    /// # Errors
    ///
    /// The default has no JSON form.
    pub fn new<T: Serialize + ?Sized>(
        name: impl Into<Arc<str>>,
        default: &T,
    ) -> Result<Self, JsonError> {
        let default = CanonicalJson::encode(default)?.decode()?;
        Ok(Self { name: name.into(), default: Arc::new(default), by_session: false })
    }

    /// Stands for a document that the schema does not have; whatever uses it says so.
    pub(crate) fn unknown(name: &str) -> Self {
        Self { name: name.into(), default: Arc::new(Value::Null), by_session: false }
    }

    /// Gives each session a document of its own, unless it asks for another one.
    pub fn by_session(mut self) -> Self {
        self.by_session = true;
        self
    }

    /// Returns the document's name, which is that of its table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name of the event that sets it.
    pub fn event_name(&self) -> String {
        format!("{}Set", self.name)
    }

    /// Defines the table.
    pub(crate) fn table(&self) -> Result<TableDef, TableError> {
        let id = ColumnDef::new("id", ColumnType::Text).primary_key();
        let value = ColumnDef::new("value", ColumnType::Json);
        Ok(TableDef::new(&*self.name, [id, value])?.with_scope(Scope::Client))
    }

    /// Returns the query of a stored value.
    fn stored(&self, id: &str) -> Sql {
        // The name is that of a table, so it was checked.
        Sql::new(format!("SELECT value FROM \"{}\" WHERE id = ?", self.name)).bind(id)
    }

    /// Makes the materializer of the event that sets it.
    pub(crate) fn materializer(
        &self,
        table: TableDef,
    ) -> impl Fn(&CanonicalJson, &MaterializerContext<'_>) -> Result<Vec<Write>, MaterializeError>
    + Send
    + Sync
    + 'static {
        let def = self.clone();
        move |args, context| {
            let set: Set<'static> = args.decode()?;
            let rows = context.query(&def.stored(&set.id))?;
            let before = match rows.first() {
                Some(row) => Some(row.get::<String>("value").map_err(MaterializeError::failed)?),
                None => None,
            };
            let key = SqlValue::from(&*set.id);
            let id = || [("id".to_owned(), key.clone())];
            let unknown = || MaterializeError::failed("what becomes of the document is not known");
            let after = match set.what().ok_or_else(unknown)? {
                What::Reset => None,
                What::Value(value) => Some(CanonicalJson::encode(&value)?),
                What::Fields(fields) => {
                    let before = before.as_deref().map(serde_json::from_str).transpose();
                    let before: Option<Value> = before.map_err(MaterializeError::failed)?;
                    let before = before.unwrap_or_else(|| Value::Object(Map::new()));
                    Some(CanonicalJson::encode(&value::overlay(before, fields))?)
                }
            };
            let write = match (before, after) {
                (None, None) => return Ok(Vec::new()),
                (Some(_), None) => TableWrite::delete(&table, id()),
                (before, Some(after)) => {
                    let value = ("value".to_owned(), SqlValue::from(after.as_str()));
                    if before.is_some() {
                        TableWrite::update(&table, [value], id())
                    } else {
                        TableWrite::insert(&table, id().into_iter().chain([value]))
                    }
                }
            };
            Ok(vec![write.map_err(MaterializeError::failed)?])
        }
    }
}

impl fmt::Debug for DocumentDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, default, by_session } = self;
        f.debug_struct("DocumentDef")
            .field("name", name)
            .field("default", default)
            .field("by_session", by_session)
            .finish()
    }
}

/// The payload of the event that sets a document: its id, and one of the other members.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Set<'a> {
    id: Cow<'a, str>,
    #[serde(default, deserialize_with = "also_null", skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fields: Option<Map<String, Value>>,
    /// Always true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset: Option<bool>,
}

/// What becomes of the stored value.
#[derive(Debug)]
enum What {
    /// It is replaced.
    Value(Value),
    /// These fields of it are; a value that is no object becomes one.
    Fields(Map<String, Value>),
    /// It goes, so that the default counts again.
    Reset,
}

/// Reads a member that is there, also if it is null.
fn also_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl<'a> Set<'a> {
    fn new(id: &'a str, what: What) -> Self {
        let set = Self { id: Cow::Borrowed(id), ..Self::default() };
        match what {
            What::Value(value) => Self { value: Some(value), ..set },
            What::Fields(fields) => Self { fields: Some(fields), ..set },
            What::Reset => Self { reset: Some(true), ..set },
        }
    }

    fn what(self) -> Option<What> {
        let Self { value, fields, reset, .. } = self;
        let reset = reset.map(|_| What::Reset);
        value.map(What::Value).or(fields.map(What::Fields)).or(reset)
    }
}
