//! Tables to play with, and short words for what tests do all the time.

use livestore_sqlite::{
    ColumnDef, ColumnType, Connection, Expr, Json, Query, Row, Rows, Scope, Select, Sql,
    SqliteError, Table, TableDef, Value, Write,
};
use proptest::prelude::ProptestConfig;

/// The settings of every property here; a failure prints its input and stores nothing.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Does by hand what `#[derive(Table)]` does: handles, definition, reading and writing.
macro_rules! state_table {
    ($(#[$doc:meta])* $name:ident, $table:literal $(of $scope:ident)?, {
        $($field:ident: $type:ty $(, $option:ident($($argument:expr)?))*;)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)+
        }

        #[allow(non_upper_case_globals, dead_code)]
        impl $name {
            $(pub(crate) const $field: ::livestore_sqlite::Column<$name, $type> =
                ::livestore_sqlite::Column::new(stringify!($field));)+
        }

        impl ::livestore_sqlite::Table for $name {
            const NAME: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),+];
            // The key comes first in all of them.
            const KEY: &'static [&'static str] = {
                use $crate::sqlite::support::is_key;
                const KEYS: usize = 0 $($(+ is_key(stringify!($option)))*)+;
                Self::COLUMNS.split_at(KEYS).0
            };

            fn definition() -> Result<::livestore_sqlite::TableDef, ::livestore_sqlite::TableError> {
                use ::livestore_sqlite::{ColumnDef, ColumnValue, TableDef};
                let table = TableDef::new($table, [$({
                    let column = ColumnDef::new(stringify!($field), <$type>::TYPE);
                    let column = if <$type>::NULLABLE { column.nullable() } else { column };
                    $(let column = column.$option($($argument)?);)*
                    column
                }),+])?;
                $(let table = table.with_scope(::livestore_sqlite::Scope::$scope);)?
                Ok(table)
            }

            fn sql() -> &'static ::livestore_sqlite::TableSql {
                static SQL: ::std::sync::OnceLock<::livestore_sqlite::TableSql> =
                    ::std::sync::OnceLock::new();
                SQL.get_or_init(|| {
                    ::livestore_sqlite::TableSql::new(Self::NAME, Self::COLUMNS, Self::WRITTEN)
                })
            }

            fn from_row(
                row: ::livestore_sqlite::RowRef<'_>,
            ) -> Result<Self, ::livestore_sqlite::DecodeError> {
                let mut index = 0..;
                let mut next = || index.next().unwrap_or(0);
                Ok(Self { $($field: row.get(next(), stringify!($field))?,)+ })
            }

            fn into_values(
                self,
            ) -> Result<Vec<::livestore_sqlite::Value>, ::livestore_sqlite::ValueError> {
                use ::livestore_sqlite::ColumnValue;
                Ok(vec![$(self.$field.into_value(stringify!($field))?,)+])
            }
        }
    };
}
pub(crate) use state_table;

/// Counts an option of a column if it makes it part of the key.
pub(crate) const fn is_key(option: &str) -> usize {
    matches!(option.as_bytes(), b"primary_key" | b"auto_increment") as usize
}

state_table! {
    /// A table with a text key and a column of every type.
    Todo, "todos", {
        id: String, primary_key();
        text: String;
        done: bool, default(false);
        due: Option<i64>;
        weight: f64, default(1.0);
        tags: Json<Vec<String>>, default("[]");
        note: Option<String>;
        photo: Option<Vec<u8>>;
    }
}

state_table! {
    /// A table whose key is the rowid, with a second unique column.
    Counter, "counters", {
        id: i64, primary_key();
        name: Option<String>, unique();
        count: i64, default(0);
    }
}

state_table! {
    /// A table with a composite key.
    Edge, "edges", {
        source: String, primary_key();
        target: i64, primary_key();
        label: Option<String>;
        slot: Option<i64>, unique();
        length: Option<f64>;
        body: Option<Vec<u8>>;
        attributes: Json<Vec<i64>>, default("[]");
    }
}

state_table! {
    /// A client table; by name it stands between the synced ones.
    Draft, "drafts" of Client, {
        id: String, primary_key();
        body: Option<String>, unique();
    }
}

state_table! {
    /// A memory table; by name it would come first.
    Cursor, "cursors" of Memory, {
        id: String, primary_key();
        line: i64;
    }
}

state_table! {
    /// A second memory table, whose key is the rowid.
    Toast, "a_toasts" of Memory, {
        id: i64, primary_key();
        text: Option<String>, unique();
    }
}

pub(crate) fn todo(id: &str) -> Todo {
    Todo {
        id: id.into(),
        text: format!("text of {id}"),
        done: false,
        due: None,
        weight: 1.0,
        tags: Json(vec![]),
        note: None,
        photo: None,
    }
}

pub(crate) fn counter(id: i64, name: &str, count: i64) -> Counter {
    Counter { id, name: Some(name.into()), count }
}

pub(crate) fn draft(id: &str, body: &str) -> Draft {
    Draft { id: id.into(), body: Some(body.into()) }
}

pub(crate) fn cursor(id: &str, line: i64) -> Cursor {
    Cursor { id: id.into(), line }
}

pub(crate) fn toast(id: i64, text: &str) -> Toast {
    Toast { id, text: Some(text.into()) }
}

/// The tables of every scope, in an order of no meaning.
pub(crate) fn definitions_of_all_scopes() -> Vec<TableDef> {
    let mut tables = definitions();
    tables.insert(0, Cursor::definition().unwrap());
    tables.insert(2, Draft::definition().unwrap());
    tables.push(Toast::definition().unwrap());
    tables
}

pub(crate) fn definitions() -> Vec<TableDef> {
    vec![Todo::definition().unwrap(), Counter::definition().unwrap(), Edge::definition().unwrap()]
}

/// A table of one integer key and the given columns.
pub(crate) fn table_of(columns: impl IntoIterator<Item = ColumnDef>) -> TableDef {
    let key = ColumnDef::new("id", ColumnType::Integer).primary_key();
    TableDef::new("things", [key].into_iter().chain(columns)).unwrap()
}

/// A database in memory whose state tables are these, watched.
pub(crate) fn database_of(tables: Vec<TableDef>) -> Connection {
    let mut connection = Connection::open_memory().unwrap();
    connection.recreate_state(&tables).unwrap();
    connection.watch_state(tables).unwrap();
    connection
}

/// A database with the three tables above and a table of LiveStore's own.
pub(crate) fn database() -> Connection {
    let connection = database_of(definitions());
    connection
        .system()
        .execute_batch(
            "CREATE TABLE __livestore_log (id INTEGER PRIMARY KEY, secret TEXT);
             INSERT INTO __livestore_log VALUES (1, 'secret')",
        )
        .unwrap();
    connection
}

pub(crate) fn write<W>(connection: &Connection, write: W) -> Result<(), SqliteError>
where
    W: TryInto<Write>,
    SqliteError: From<W::Error>,
{
    write_as(connection, Scope::Synced, write)
}

pub(crate) fn write_as<W>(
    connection: &Connection,
    event: Scope,
    write: W,
) -> Result<(), SqliteError>
where
    W: TryInto<Write>,
    SqliteError: From<W::Error>,
{
    connection.write(event).execute(&write.try_into()?)
}

/// Inserts rows as an event of the table's scope does.
pub(crate) fn insert<T: Table>(connection: &Connection, rows: impl IntoIterator<Item = T>) {
    let scope = T::definition().unwrap().scope();
    for row in rows {
        write_as(connection, scope, T::insert(row)).unwrap();
    }
}

pub(crate) fn read<Q: Query>(connection: &Connection, query: &Q) -> Q::Output {
    connection.read().query(query).unwrap()
}

pub(crate) fn raw(connection: &Connection, sql: &str) -> Result<Rows<Row>, SqliteError> {
    connection.read().query(&Sql::new(sql))
}

/// The ids of the todos that a selection gives, in its order.
pub(crate) fn ids(connection: &Connection, selection: &Select<Todo>) -> Vec<String> {
    read(connection, selection).iter().map(|todo| todo.id.clone()).collect()
}

/// The ids of the todos for which the condition holds.
pub(crate) fn ids_where(connection: &Connection, condition: Expr<Todo>) -> Vec<String> {
    ids(connection, &Todo::select().filter(condition).order_by(Todo::id))
}

/// Every row of every state table.
pub(crate) fn dump(connection: &Connection) -> Vec<Vec<Vec<Value>>> {
    let table = |table: &TableDef| {
        let columns = table.columns().len();
        let order: Vec<_> = (1..=columns).map(|column| column.to_string()).collect();
        let sql = format!("SELECT * FROM \"{}\" ORDER BY {}", table.name(), order.join(", "));
        let row = |row: &livestore_sqlite::rusqlite::Row<'_>| {
            (0..columns).map(|column| row.get_ref(column).map(Value::from_sql)).collect()
        };
        connection.system().query(&sql, [], row).unwrap()
    };
    connection.tables().iter().map(table).collect()
}

/// Brings the state of one database into another one of the same tables, in chunks of so many bytes.
pub(crate) fn transfer(from: &Connection, to: &Connection, chunk_bytes: usize) {
    to.transaction(|| {
        to.clear_state()?;
        to.bring_in(|| {
            for transfer in from.state_transfers() {
                from.system().read_chunks(&transfer.select, [], chunk_bytes, |chunk| {
                    to.system().write_chunk(&transfer.insert, &chunk)
                })?;
            }
            Ok(())
        })
    })
    .unwrap();
}

/// The names of the changed tables, in order.
pub(crate) fn names(connection: &Connection, tables: impl IntoIterator<Item = usize>) -> Vec<&str> {
    tables.into_iter().map(|index| connection.tables()[index].name()).collect()
}

pub(crate) fn columns(
    values: impl IntoIterator<Item = (&'static str, Value)>,
) -> Vec<(String, Value)> {
    values.into_iter().map(|(name, value)| (name.into(), value)).collect()
}
