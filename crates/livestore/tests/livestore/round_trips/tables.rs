//! Tables that are drawn at random, writes to them, and a model of what these do.

use livestore::ast::{Conflict, ConflictAction, Expr, Insert, Set, Statement};
use livestore::{
    CanonicalJson, ColumnDef, ColumnType, DateTime, IndexDef, MaterializeError, Scope, TableDef,
    TableWrite, Value, Write,
};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::payloads::{any_real, any_untyped_json};

/// A table, with what its constraints say in a form that the model can ask.
#[derive(Debug, Clone)]
pub struct AnyTable {
    pub def: TableDef,
    /// A value that the CHECK of a column refuses.
    refused: Vec<Option<Value>>,
    /// Two columns of which the CHECK of the table wants one to be null.
    exclusive: Option<(usize, usize)>,
}

/// A column besides the key.
#[derive(Debug, Clone)]
struct AnyColumn {
    column_type: ColumnType,
    nullable: bool,
    unique: bool,
    default: Option<Value>,
    refused: Option<Value>,
}

const KEY_TYPES: [ColumnType; 6] = [
    ColumnType::Integer,
    ColumnType::Text,
    ColumnType::Boolean,
    ColumnType::Blob,
    ColumnType::DateTime,
    ColumnType::DateTimeMillis,
];

fn column() -> impl Strategy<Value = AnyColumn> {
    let types = KEY_TYPES.into_iter().chain([ColumnType::Real, ColumnType::Json]);
    select(types.collect::<Vec<_>>()).prop_flat_map(|column_type| {
        // SQL text ends at a zero character.
        let default = any_value(column_type).prop_filter(
            "it can be written as SQL",
            |value| !matches!(value, Value::Text(text) if text.contains('\0')),
        );
        let refused = select(few_values(column_type));
        let (default, refused) = (weighted(0.3, default), weighted(0.3, refused));
        (any::<bool>(), prop::bool::weighted(0.2), default, refused).prop_map(
            move |(nullable, unique, default, refused)| AnyColumn {
                column_type,
                nullable,
                unique,
                default,
                refused,
            },
        )
    })
}

/// A table whose key is numbered by SQLite, or of one to three columns.
pub fn any_table(name: &'static str) -> impl Strategy<Value = AnyTable> {
    let key = prop_oneof![1 => Just(Vec::new()), 3 => vec(select(KEY_TYPES.to_vec()), 1..4)];
    let has = || prop::bool::weighted(0.4);
    let parts = (key, vec(column(), 1..7), has(), has(), has());
    parts.prop_map(move |(key, columns, has_check, has_index, is_client)| {
        let mut defs = match &key[..] {
            [] => vec![ColumnDef::new("k0", ColumnType::Integer).auto_increment()],
            key => (0..).zip(key).map(key_column).collect(),
        };
        let first = defs.len();
        let mut refused = vec![None; first];
        defs.extend((0..).zip(&columns).map(other_column));
        refused.extend(columns.iter().map(|column| column.refused.clone()));
        let scope = if is_client { Scope::Client } else { Scope::Synced };
        let mut def = TableDef::new(name, defs).unwrap().with_scope(scope);
        let (last, mut exclusive) = (first + columns.len() - 1, None);
        if has_check && first < last && def.columns()[first].is_nullable() {
            let name = |at: usize| def.columns()[at].name().to_owned();
            let check = format!("{} IS NULL OR {} IS NULL", name(first), name(last));
            (def, exclusive) = (def.check(check), Some((first, last)));
        }
        if has_index && first < last {
            let names = [first, last].map(|at| def.columns()[at].name().to_owned());
            def = def.index(IndexDef::new(format!("{name}_index"), names).unique());
        }
        AnyTable { def, refused, exclusive }
    })
}

fn key_column((number, column_type): (usize, &ColumnType)) -> ColumnDef {
    ColumnDef::new(format!("k{number}"), *column_type).primary_key()
}

fn other_column((number, column): (usize, &AnyColumn)) -> ColumnDef {
    let name = format!("c{number}");
    let mut def = ColumnDef::new(&name, column.column_type);
    if column.nullable {
        def = def.nullable();
    }
    if column.unique {
        def = def.unique();
    }
    if let Some(value) = &column.default {
        def = def.default(value.clone());
    }
    if let Some(value) = &column.refused {
        def = def.check(format!("{name} <> {}", literal(value)));
    }
    def
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => format!("{real:?}"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(bytes) => {
            let digits =
                bytes.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
            format!("x'{digits}'")
        }
    }
}

/// So few values that rows get into each other's way.
fn few_values(column_type: ColumnType) -> Vec<Value> {
    match column_type {
        ColumnType::Text => ["", "a", "it's", "é"].map(Value::from).to_vec(),
        ColumnType::Integer => [-1, 0, 1, (1 << 53) + 1].map(Value::from).to_vec(),
        ColumnType::Real => [0.0, -1.5, 2.0].map(Value::from).to_vec(),
        ColumnType::Boolean => [false, true].map(Value::from).to_vec(),
        ColumnType::Blob => [&[][..], &[0], &[255, 0]].map(Value::from).to_vec(),
        ColumnType::Json => ["null", "[1]", r#"{"a":"it's"}"#].map(Value::from).to_vec(),
        ColumnType::DateTime => [0, -1].map(date_time).to_vec(),
        ColumnType::DateTimeMillis => [0, -1].map(Value::from).to_vec(),
    }
}

fn date_time(ms: i64) -> Value {
    DateTime::from_millis(ms).unwrap().to_string().into()
}

fn any_value(column_type: ColumnType) -> BoxedStrategy<Value> {
    let moment = -62_167_219_200_000..253_402_207_200_000_i64;
    let any = match column_type {
        ColumnType::Text => any::<String>().prop_map(Value::from).boxed(),
        // The greatest of all is no key.
        ColumnType::Integer => (i64::MIN..i64::MAX).prop_map(Value::from).boxed(),
        ColumnType::Real => any_real().prop_map(Value::from).boxed(),
        ColumnType::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        ColumnType::Blob => vec(any::<u8>(), 0..9).prop_map(Value::from).boxed(),
        ColumnType::Json => any_untyped_json().prop_map(|json| json_text(&json)).boxed(),
        ColumnType::DateTime => moment.prop_map(date_time).boxed(),
        ColumnType::DateTimeMillis => moment.prop_map(Value::from).boxed(),
    };
    prop_oneof![3 => select(few_values(column_type)), 1 => any].boxed()
}

fn json_text(json: &serde_json::Value) -> Value {
    CanonicalJson::encode(json).unwrap().as_str().into()
}

/// What is done with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum What {
    Insert,
    /// Removes what is in the way.
    Replace,
    /// Changes the row of the same key.
    Upsert,
    Update,
    Delete,
}

/// A write of one row; columns without a value are left out.
#[derive(Debug, Clone)]
pub struct AnyWrite {
    what: What,
    cells: Vec<Option<Value>>,
}

pub fn any_write(table: &AnyTable) -> impl Strategy<Value = AnyWrite> + use<> {
    let what = prop_oneof![
        4 => Just(What::Insert),
        2 => Just(What::Replace),
        3 => Just(What::Upsert),
        3 => Just(What::Update),
        2 => Just(What::Delete),
    ];
    let cells: Vec<_> = table.def.columns().iter().map(cell).collect();
    (what, cells).prop_map(|(what, cells)| AnyWrite { what, cells })
}

fn cell(column: &ColumnDef) -> BoxedStrategy<Option<Value>> {
    if column.is_auto_increment() {
        return weighted(0.4, (-2..9_i64).prop_map(Value::from)).boxed();
    }
    let value = any_value(column.column_type());
    if column.is_primary_key() {
        return value.prop_map(Some).boxed();
    }
    let null = if column.is_nullable() { 8 } else { 1 };
    weighted(0.8, prop_oneof![30 => value, null => Just(Value::Null)]).boxed()
}

impl AnyWrite {
    pub fn to_json(&self, table: &AnyTable) -> serde_json::Value {
        let cells = table.def.columns().iter().zip(&self.cells).filter_map(|(column, cell)| {
            let json = match cell.as_ref()? {
                Value::Null => json!([]),
                Value::Text(text) if column.column_type() == ColumnType::Json => {
                    json!([serde_json::from_str::<serde_json::Value>(text).unwrap()])
                }
                value => json!([value]),
            };
            Some((column.name().to_owned(), json))
        });
        let row: serde_json::Map<_, _> = cells.collect();
        json!({ "what": self.what, "row": row })
    }

    pub fn from_json(json: &serde_json::Value, table: &AnyTable) -> Self {
        let cell = |column: &ColumnDef| {
            let Some(json) = json["row"].get(column.name())?.get(0) else {
                return Some(Value::Null);
            };
            Some(match column.column_type() {
                ColumnType::Json => json_text(json),
                // Of numbers, JSON does not tell 1.0 from 1.
                ColumnType::Real => json.as_f64().unwrap().into(),
                _ => serde_json::from_value(json.clone()).unwrap(),
            })
        };
        let what = serde_json::from_value(json["what"].clone()).unwrap();
        Self { what, cells: table.def.columns().iter().map(cell).collect() }
    }

    /// Returns the columns that are given, keys or others.
    fn given(&self, table: &AnyTable, keys: bool) -> Vec<(String, Value)> {
        let columns = table.def.columns().iter().zip(&self.cells);
        let columns = columns.filter(|(column, _)| column.is_primary_key() == keys);
        let given = |(column, cell): (&ColumnDef, &Option<Value>)| {
            Some((column.name().to_owned(), cell.clone()?))
        };
        columns.filter_map(given).collect()
    }

    /// Returns the key, which a numbered row may not have yet.
    fn key(&self, table: &AnyTable) -> Vec<(String, Value)> {
        let columns = table.def.columns().iter().zip(&self.cells);
        let keys = columns.filter(|(column, _)| column.is_primary_key());
        let key = |(column, cell): (&ColumnDef, &Option<Value>)| {
            (column.name().to_owned(), cell.clone().unwrap_or(Value::Null))
        };
        keys.map(key).collect()
    }

    pub fn statement(&self, table: &AnyTable) -> Result<Option<Write>, MaterializeError> {
        let (set, key, def) = (self.given(table, false), self.key(table), &table.def);
        let row = || self.given(table, true).into_iter().chain(set.clone());
        let write = match self.what {
            What::Insert => TableWrite::insert(def, row()),
            What::Update if set.is_empty() => return Ok(None),
            // SQLite has no such statement, and a row without a key is in nobody's way.
            What::Upsert if row().next().is_none() => TableWrite::insert(def, []),
            What::Update => TableWrite::update(def, set, key),
            What::Delete => TableWrite::delete(def, key),
            What::Replace | What::Upsert => {
                let columns = key.into_iter().map(|(name, _)| name.into());
                let columns = columns.filter(|_| self.what == What::Upsert).collect();
                let conflict = Conflict { columns, action: ConflictAction::Replace };
                let values = row()
                    .map(|(name, value)| Set { column: name.into(), value: Expr::Value(value) });
                let table = def.name().to_owned().into();
                let insert = Insert { table, values: values.collect(), conflict: Some(conflict) };
                Write::checked(&Statement::Insert(insert), std::slice::from_ref(def))
            }
        };
        write.map(Some).map_err(MaterializeError::failed)
    }
}

type Row = Vec<Value>;

/// What a table holds.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub rows: Vec<Row>,
    /// The greatest key that a numbered table has given out.
    last: i64,
}

impl Model {
    /// Does a write; tells whether it is allowed. After one that is not, the model is of no use.
    pub fn write(&mut self, table: &AnyTable, write: &AnyWrite) -> bool {
        let of_key = self.rows.iter().position(|row| table.has_key(row, &write.cells));
        match (write.what, of_key) {
            (What::Delete, at) => {
                at.map(|at| self.rows.swap_remove(at));
                true
            }
            (What::Update, None) => true,
            (What::Update, Some(at)) => self.change(table, at, &write.cells),
            (What::Upsert, Some(at)) => {
                table.accepts(&self.new_row(table, write)) && self.change(table, at, &write.cells)
            }
            (What::Replace, _) => {
                let row = self.new_row(table, write);
                self.rows.retain(|other| !table.are_in_the_way(other, &row));
                self.add(table, row)
            }
            (What::Insert | What::Upsert, _) => {
                let row = self.new_row(table, write);
                self.add(table, row)
            }
        }
    }

    fn new_row(&self, table: &AnyTable, write: &AnyWrite) -> Row {
        let columns = table.def.columns().iter().zip(&write.cells);
        let value = |(column, cell): (&ColumnDef, &Option<Value>)| match cell {
            // A replacement takes the default for a null that cannot be.
            Some(Value::Null) if write.what == What::Replace && !column.is_nullable() => {
                column.default_value().cloned().unwrap_or(Value::Null)
            }
            Some(value) => value.clone(),
            None if column.is_auto_increment() => (self.last + 1).into(),
            None => column.default_value().cloned().unwrap_or(Value::Null),
        };
        columns.map(value).collect()
    }

    fn add(&mut self, table: &AnyTable, row: Row) -> bool {
        if !table.accepts(&row) || self.rows.iter().any(|other| table.are_in_the_way(other, &row)) {
            return false;
        }
        if let (true, Value::Integer(key)) = (table.def.columns()[0].is_auto_increment(), &row[0]) {
            self.last = self.last.max(*key);
        }
        self.rows.push(row);
        true
    }

    fn change(&mut self, table: &AnyTable, at: usize, cells: &[Option<Value>]) -> bool {
        let mut row = self.rows.swap_remove(at);
        for (value, cell) in row.iter_mut().zip(cells) {
            if let Some(cell) = cell {
                *value = cell.clone();
            }
        }
        self.add(table, row)
    }
}

impl AnyTable {
    fn has_key(&self, row: &Row, cells: &[Option<Value>]) -> bool {
        let mut columns = self.def.columns().iter().zip(row.iter().zip(cells));
        columns
            .all(|(column, (value, cell))| !column.is_primary_key() || cell.as_ref() == Some(value))
    }

    /// Tells whether a row is one that the constraints of its columns and table allow.
    fn accepts(&self, row: &Row) -> bool {
        let mut columns = self.def.columns().iter().zip(row.iter().zip(&self.refused));
        columns.all(|(column, (value, refused))| {
            (*value != Value::Null || column.is_nullable()) && refused.as_ref() != Some(value)
        }) && self.exclusive.is_none_or(|(a, b)| row[a] == Value::Null || row[b] == Value::Null)
    }

    /// Tells whether two rows share the key or what else is unique; null is not equal to null.
    fn are_in_the_way(&self, one: &Row, other: &Row) -> bool {
        let columns = self.def.columns();
        let names = |at: usize| columns[at].name().to_owned();
        let all = 0..columns.len();
        let key = all.clone().filter(|at| columns[*at].is_primary_key()).map(names).collect();
        let unique = all.filter(|at| columns[*at].is_unique()).map(|at| vec![names(at)]);
        let indexes = self.def.indexes().iter().map(|index| index.columns().to_vec());
        std::iter::once(key).chain(unique).chain(indexes).any(|columns: Vec<String>| {
            columns.iter().all(|name| {
                let at = self.def.columns().iter().position(|c| c.name() == name).unwrap();
                one[at] != Value::Null && one[at] == other[at]
            })
        })
    }
}
