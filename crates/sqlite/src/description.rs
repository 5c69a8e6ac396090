//! Table definitions as values to be written down, for tools and other languages.

use serde::{Deserialize, Serialize};

use crate::{
    Action, ColumnDef, ColumnType, ForeignKey, FtsDef, Generated, IndexDef, Scope, TableDef, Value,
    sql,
};

/// What a table is, as a serialisable value; from [`TableDef::describe`].
///
/// Its names do not change; more may come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TableDescription {
    /// The table's name.
    pub name: String,
    /// Who derives it.
    pub scope: Scope,
    /// Its columns in order.
    pub columns: Vec<ColumnDescription>,
    /// The names of the columns that make up the key, in order.
    pub primary_key: Vec<String>,
    /// SQL expressions over several columns that are not false in any row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// Its indexes, without those that the key and unique columns have anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexDescription>,
    /// Its references to other tables, or to itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<ForeignKeyDescription>,
    /// Its indexes for full-text search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub full_text: Vec<FtsDescription>,
    /// The statements that create it, which hold all that there is to say.
    pub ddl: String,
}

/// What an index for full-text search is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FtsDescription {
    /// The name by which raw SQL searches it.
    pub name: String,
    /// The columns whose words are in it.
    pub columns: Vec<String>,
    /// How texts are cut into words, as FTS5 says it; left out if it is FTS5's usual way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
}

/// What an index is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct IndexDescription {
    /// The index's name.
    pub name: String,
    /// Its columns, the most significant first.
    pub columns: Vec<String>,
    /// True if no two rows have the same values in them.
    pub unique: bool,
    /// The SQL expression of the rows that it keeps to; left out if it has all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// What a foreign key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ForeignKeyDescription {
    /// The referring columns.
    pub columns: Vec<String>,
    /// The table referred to.
    pub table: String,
    /// The columns referred to, one for each referring one.
    pub referenced: Vec<String>,
    /// What happens to a row when the row that it refers to is deleted.
    pub on_delete: Action,
    /// What happens to a row when the row that it refers to gets other values.
    pub on_update: Action,
}

/// What a column is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ColumnDescription {
    /// The column's name.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// True if it may be null.
    pub nullable: bool,
    /// True if no two rows have the same value in it.
    pub unique: bool,
    /// True if SQLite numbers the rows in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_increment: bool,
    /// How it is computed; left out if it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<GeneratedDescription>,
    /// What stands in rows that do not give a value; left out if they must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Literal>,
    /// An SQL expression that is not false in any row; left out if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

/// How a generated column is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct GeneratedDescription {
    /// The SQL expression.
    pub expression: String,
    /// When it is computed.
    pub when: Generated,
}

/// A default, in the JSON form that fits its column best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Literal {
    /// True or false.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A real.
    Real(f64),
    /// Text, JSON as text, or a blob as hexadecimal digits.
    Text(String),
}

impl Literal {
    /// Returns none for null, which is what a column without a default has.
    fn of(value: &Value, column_type: ColumnType) -> Option<Self> {
        Some(match (value, column_type) {
            (Value::Null, _) => return None,
            (Value::Integer(value), ColumnType::Boolean) => Self::Boolean(*value != 0),
            (Value::Integer(value), _) => Self::Integer(*value),
            (Value::Real(value), _) => Self::Real(*value),
            (Value::Text(text), _) => Self::Text(text.as_ref().into()),
            (blob @ Value::Blob(_), _) => {
                let literal = sql::literal(blob);
                Self::Text(literal.trim_start_matches("x'").trim_end_matches('\'').into())
            }
        })
    }
}

impl TableDef {
    /// Describes the table as a value that can be written down.
    pub fn describe(&self) -> TableDescription {
        TableDescription {
            name: self.name().into(),
            scope: self.scope(),
            columns: self.columns().iter().map(ColumnDef::describe).collect(),
            primary_key: self.key_names().map(Into::into).collect(),
            checks: self.checks().to_vec(),
            indexes: self.indexes().iter().map(IndexDef::describe).collect(),
            foreign_keys: self.foreign_keys().into_iter().map(ForeignKey::describe).collect(),
            full_text: self.full_texts().iter().map(FtsDef::describe).collect(),
            ddl: self.ddl(),
        }
    }
}

impl IndexDef {
    fn describe(&self) -> IndexDescription {
        let Self { name, columns, unique, filter } = self.clone();
        IndexDescription { name, columns, unique, filter }
    }
}

impl FtsDef {
    fn describe(&self) -> FtsDescription {
        let Self { name, columns, tokenizer } = self.clone();
        FtsDescription { name, columns, tokenizer }
    }
}

impl ForeignKey {
    fn describe(self) -> ForeignKeyDescription {
        let Self { columns, table, referenced, on_delete, on_update } = self;
        ForeignKeyDescription { columns, table, referenced, on_delete, on_update }
    }
}

impl ColumnDef {
    /// Describes the column as a value that can be written down.
    pub fn describe(&self) -> ColumnDescription {
        // Named one by one, so that none is forgotten when a definition gets more of them. The key
        // and references are the table's.
        let Self { name, column_type, nullable, unique, auto_increment, default, check, .. } = self;
        let Self { primary_key: _, references: _, on_delete: _, on_update: _, generated, .. } =
            self;
        let generated = generated.as_ref().map(|(expression, when)| GeneratedDescription {
            expression: expression.clone(),
            when: *when,
        });
        ColumnDescription {
            name: name.clone(),
            column_type: *column_type,
            nullable: *nullable,
            unique: *unique,
            auto_increment: *auto_increment,
            generated,
            default: default.as_ref().and_then(|value| Literal::of(value, *column_type)),
            check: check.clone(),
        }
    }
}
