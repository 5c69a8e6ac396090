//! Writes inserts, updates and deletes as SQL.

use super::{Conflict, ConflictAction, Delete, Expr, Insert, Set, SqlWriter, Statement, Update};
use crate::ValueError;

impl SqlWriter {
    pub(crate) fn statement(&mut self, statement: &Statement) -> Result<(), ValueError> {
        match statement {
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
        }
    }

    pub(crate) fn insert(&mut self, insert: &Insert) -> Result<(), ValueError> {
        let is_replacing_any = insert.conflict.as_ref().is_some_and(|conflict| {
            conflict.columns.is_empty() && conflict.action == ConflictAction::Replace
        });
        self.push(if is_replacing_any { "INSERT OR REPLACE INTO " } else { "INSERT INTO " });
        self.name(&insert.table);
        if insert.values.is_empty() {
            if insert.conflict.is_some() && !is_replacing_any {
                return Err(ValueError::NothingToSet { table: insert.table.to_string() });
            }
            self.push(" DEFAULT VALUES");
            return Ok(());
        }
        self.push(" (");
        self.list(&insert.values, ", ", |writer, set| {
            writer.name(&set.column);
            Ok(())
        })?;
        self.push(") VALUES (");
        self.list(&insert.values, ", ", Self::assigned)?;
        self.push(")");
        match &insert.conflict {
            Some(conflict) if !is_replacing_any => self.conflict(insert, conflict),
            _ => Ok(()),
        }
    }

    fn conflict(&mut self, insert: &Insert, conflict: &Conflict) -> Result<(), ValueError> {
        self.push(" ON CONFLICT ");
        if !conflict.columns.is_empty() {
            self.push("(");
            self.list(&conflict.columns, ", ", |writer, column| {
                writer.name(column);
                Ok(())
            })?;
            self.push(") ");
        }
        match &conflict.action {
            ConflictAction::Ignore => self.push("DO NOTHING"),
            ConflictAction::Update(set) => {
                self.push("DO UPDATE SET ");
                self.in_upsert(|writer| writer.list(set, ", ", Self::set))?;
            }
            ConflictAction::Replace => {
                let others = insert.values.iter().map(|set| &set.column);
                let mut others = others.filter(|name| !conflict.columns.contains(name)).peekable();
                if others.peek().is_none() {
                    self.push("DO NOTHING");
                    return Ok(());
                }
                self.push("DO UPDATE SET ");
                self.list(others, ", ", |writer, column| {
                    writer.name(column);
                    writer.push(" = excluded.");
                    writer.name(column);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn set(&mut self, set: &Set) -> Result<(), ValueError> {
        self.name(&set.column);
        self.push(" = ");
        self.assigned(set)
    }

    fn assigned(&mut self, set: &Set) -> Result<(), ValueError> {
        self.for_each_row("a write", |writer| writer.operand(&set.value))
    }

    pub(crate) fn update(&mut self, update: &Update) -> Result<(), ValueError> {
        self.push("UPDATE ");
        self.name(&update.table);
        self.push(" SET ");
        self.list(&update.set, ", ", Self::set)?;
        self.filter(update.filter.as_ref())
    }

    pub(crate) fn delete(&mut self, delete: &Delete) -> Result<(), ValueError> {
        self.push("DELETE FROM ");
        self.name(&delete.table);
        self.filter(delete.filter.as_ref())
    }

    /// Writes what a write gives back of each row, if anything.
    pub(crate) fn returning(&mut self, outputs: &[Expr]) -> Result<(), ValueError> {
        if outputs.is_empty() {
            return Ok(());
        }
        self.push(" RETURNING ");
        self.for_each_row(Self::RETURNING, |writer| writer.list(outputs, ", ", Self::expr))
    }
}
