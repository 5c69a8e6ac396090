//! What the tables of one schema have to keep to together: names and foreign keys.

use std::collections::{HashMap, HashSet};

use super::{ForeignKeyProblem, TableDef, TableError};
use crate::{Action, ColumnDef, ForeignKey, FtsDef};

/// Checks the tables of a schema against each other: names of indexes, columns of indexes, foreign
/// keys.
///
/// Two tables of one name are the caller's to find.
pub fn check_tables(tables: &[TableDef]) -> Result<(), TableError> {
    let mut names: HashSet<_> = tables.iter().map(|t| t.name.to_ascii_lowercase()).collect();
    for table in tables {
        table.check_parts()?;
        let indexes = table.indexes.iter().map(|index| index.name.clone());
        for name in indexes.chain(table.full_texts.iter().flat_map(FtsDef::names)) {
            if !names.insert(name.to_ascii_lowercase()) {
                return Err(TableError::DuplicateIndex { name });
            }
        }
    }
    let by_name: HashMap<_, _> = tables.iter().map(|table| (&*table.name, table)).collect();
    for table in tables {
        for foreign_key in table.foreign_keys() {
            let referenced = by_name.get(&*foreign_key.table).copied();
            check_foreign_key(table, &foreign_key, referenced).map_err(|problem| {
                let (table, columns) = (table.name.clone(), foreign_key.columns.clone());
                let (referenced, problem) = (foreign_key.table.clone(), Box::new(problem));
                TableError::InvalidForeignKey { table, columns, referenced, problem }
            })?;
        }
    }
    Ok(())
}

fn check_foreign_key(
    table: &TableDef,
    foreign_key: &ForeignKey,
    referenced: Option<&TableDef>,
) -> Result<(), ForeignKeyProblem> {
    let parent = referenced.ok_or(ForeignKeyProblem::UnknownTable)?;
    if parent.scope != table.scope {
        let (scope, referenced) = (table.scope, parent.scope);
        return Err(ForeignKeyProblem::OtherScope { scope, referenced });
    }
    let (columns, referenced) = (foreign_key.columns.len(), foreign_key.referenced.len());
    if columns != referenced || columns == 0 {
        return Err(ForeignKeyProblem::ColumnCount { columns, referenced });
    }
    let mut seen = HashSet::new();
    for (name, parent_name) in foreign_key.columns.iter().zip(&foreign_key.referenced) {
        if !seen.insert(name) {
            return Err(ForeignKeyProblem::RepeatedColumn { column: name.clone() });
        }
        let (column, parent_column) = (find(table, name)?, find(parent, parent_name)?);
        if column.generated.is_some() {
            return Err(ForeignKeyProblem::Generated { column: name.clone() });
        }
        if column.column_type.sql() != parent_column.column_type.sql() {
            return Err(ForeignKeyProblem::OtherType {
                column: name.clone(),
                column_type: column.column_type,
                referenced: parent_name.clone(),
                referenced_type: parent_column.column_type,
            });
        }
        for action in [foreign_key.on_delete, foreign_key.on_update] {
            let never_null = !column.nullable
                && match action {
                    Action::SetNull => true,
                    Action::SetDefault => column.default.is_none(),
                    _ => false,
                };
            if never_null {
                let (action, column) = (action.to_string(), name.clone());
                return Err(ForeignKeyProblem::NeverNull { action, column });
            }
        }
    }
    if !is_unique(parent, &foreign_key.referenced) {
        let columns = foreign_key.referenced.clone();
        return Err(ForeignKeyProblem::NotUnique { columns });
    }
    Ok(())
}

fn find<'a>(table: &'a TableDef, name: &str) -> Result<&'a ColumnDef, ForeignKeyProblem> {
    table.column(name).ok_or_else(|| {
        let column = name.chars().take(80).collect();
        ForeignKeyProblem::UnknownColumn { table: table.name.clone(), column }
    })
}

/// Tells whether no two rows have the same values in these columns, by the rules of SQLite: they
/// are the key, a unique column, or exactly those of a unique index without a filter.
fn is_unique(table: &TableDef, columns: &[String]) -> bool {
    let wanted: HashSet<&str> = columns.iter().map(|name| &**name).collect();
    if wanted.len() != columns.len() {
        return false;
    }
    let key: HashSet<&str> = table.key_names().collect();
    let is_unique_column =
        |name: &str| wanted.len() == 1 && table.column(name).is_some_and(|column| column.unique);
    let mut indexes = table.indexes.iter().filter(|index| index.unique && index.filter.is_none());
    wanted == key
        || columns.iter().any(|name| is_unique_column(name))
        || indexes.any(|index| wanted == index.columns.iter().map(|name| &**name).collect())
}
