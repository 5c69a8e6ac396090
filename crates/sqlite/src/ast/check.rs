//! Checks a statement's names against table definitions.

use super::{
    Aggregate, AggregateFunction, Column, ConflictAction, Expr, Function, Name, Select, Set,
    Source, Statement, When,
};
use crate::{ColumnDef, TableDef, ValueError};

/// A statement that its tables cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// There is no such table.
    #[error("there is no table {table:?}; there are {tables}")]
    UnknownTable {
        /// The name that was asked for.
        table: String,
        /// The names that there are.
        tables: String,
    },
    /// The table does not have the column.
    #[error("table {table} has no column {column:?}; it has {columns}")]
    UnknownColumn {
        /// The table.
        table: String,
        /// The name that was asked for.
        column: String,
        /// The names that there are.
        columns: String,
    },
    /// A column is taken of a table that the statement does not name.
    #[error("the statement has no table or alias {name:?}; it has {sources}")]
    UnknownSource {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        sources: String,
    },
    /// Two tables of the statement go by one name.
    #[error("the statement has two tables named {name}; give one of them an alias")]
    DuplicateSource {
        /// The name.
        name: String,
    },
    /// A column that several tables have is named without its table.
    #[error("the column {column} could be that of {tables}; say of which table it is")]
    AmbiguousColumn {
        /// The column.
        column: String,
        /// The tables that have it.
        tables: String,
    },
    /// An alias or a result's name is no plain identifier.
    #[error(
        "{name:?} cannot name a part of a statement; use letters, digits and _, starting with a \
         letter, at most 64, and not `excluded`, which names the new row of an upsert"
    )]
    InvalidName {
        /// The name.
        name: String,
    },
    /// A function has too few or too many arguments, or one that it cannot have.
    #[error("{function} cannot be called like this: {reason}")]
    Arguments {
        /// The function.
        function: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A sub-query that stands for a value gives more than one column.
    #[error("a sub-query that stands for a value gives {count} columns; select one")]
    SubQueryColumns {
        /// How many it gives.
        count: usize,
    },
    /// An update that sets nothing.
    #[error("an update of {table} sets no column; set one, or leave the update out")]
    NothingToSet {
        /// The table.
        table: String,
    },
    /// A value has no SQLite form.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// The tables that a part of a statement can name, innermost first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checker<'a> {
    tables: &'a [TableDef],
    sources: &'a [(Name, &'a TableDef)],
    outer: Option<&'a Checker<'a>>,
}

/// Cuts a name from outside to a length that fits a message.
fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn check_name(name: &str) -> Result<(), StatementError> {
    let mut bytes = name.bytes();
    let is_plain = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.len() <= 64;
    is_plain.then_some(()).ok_or_else(|| StatementError::InvalidName { name: shown(name) })
}

fn column<'a>(table: &'a TableDef, name: &str) -> Result<&'a ColumnDef, StatementError> {
    let found = table.columns().iter().find(|column| column.name() == name);
    found.ok_or_else(|| StatementError::UnknownColumn {
        table: table.name().into(),
        column: shown(name),
        columns: listed(table.columns().iter().map(ColumnDef::name)),
    })
}

impl<'a> Checker<'a> {
    pub(crate) fn new(tables: &'a [TableDef]) -> Self {
        Self { tables, sources: &[], outer: None }
    }

    /// Names the tables of a statement.
    pub(crate) fn with_sources(self, sources: &'a [(Name, &'a TableDef)]) -> Self {
        Self { sources, ..self }
    }

    pub(crate) fn table(&self, name: &str) -> Result<&'a TableDef, StatementError> {
        let found = self.tables.iter().find(|table| table.name() == name);
        found.ok_or_else(|| StatementError::UnknownTable {
            table: shown(name),
            tables: listed(self.tables.iter().map(TableDef::name)),
        })
    }

    /// Checks a selection, and returns its tables by the names that it gives them.
    pub(crate) fn select(
        &self,
        select: &Select,
    ) -> Result<Vec<(Name, &'a TableDef)>, StatementError> {
        let mut sources = Vec::with_capacity(1 + select.joins.len());
        for source in [&select.from].into_iter().chain(select.joins.iter().map(|join| &join.source))
        {
            self.add_source(&mut sources, source)?;
        }
        // A join can name the tables before it and its own.
        for (index, join) in select.joins.iter().enumerate() {
            let inner = Checker { sources: &sources[..index + 2], ..self.inside() };
            inner.expr(&join.on)?;
        }
        let inner = Checker { sources: &sources, ..self.inside() };
        for output in &select.columns {
            output.name.as_deref().map_or(Ok(()), check_name)?;
            inner.expr(&output.expr)?;
        }
        select.filter.as_ref().map_or(Ok(()), |e| inner.expr(e))?;
        select.group_by.iter().try_for_each(|e| inner.expr(e))?;
        select.having.as_ref().map_or(Ok(()), |e| inner.expr(e))?;
        select.order.iter().try_for_each(|order| inner.expr(&order.expr))?;
        Ok(sources)
    }

    fn inside(&self) -> Checker<'_> {
        Checker { tables: self.tables, sources: &[], outer: Some(self) }
    }

    fn add_source(
        &self,
        sources: &mut Vec<(Name, &'a TableDef)>,
        source: &Source,
    ) -> Result<(), StatementError> {
        let table = self.table(&source.table)?;
        let name = source.name();
        check_name(name)?;
        if name.eq_ignore_ascii_case(Column::EXCLUDED) {
            return Err(StatementError::InvalidName { name: name.to_string() });
        }
        if sources.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Err(StatementError::DuplicateSource { name: name.to_string() });
        }
        sources.push((name.clone(), table));
        Ok(())
    }

    /// Finds the definition of a column that a statement names.
    pub(crate) fn column(&self, wanted: &Column) -> Result<&'a ColumnDef, StatementError> {
        match &wanted.of {
            Some(table) => column(self.source(table)?, &wanted.name),
            None => self.column_of_any(&wanted.name),
        }
    }

    fn source(&self, name: &str) -> Result<&'a TableDef, StatementError> {
        let mut scope = Some(self);
        while let Some(checker) = scope {
            if let Some((_, table)) = checker.sources.iter().find(|(known, _)| known == name) {
                return Ok(table);
            }
            scope = checker.outer;
        }
        let sources = listed(self.sources.iter().map(|(name, _)| &**name));
        Err(StatementError::UnknownSource { name: shown(name), sources })
    }

    fn column_of_any(&self, name: &str) -> Result<&'a ColumnDef, StatementError> {
        let mut scope = Some(self);
        while let Some(checker) = scope {
            let has = |(source, table): &'a (Name, &'a TableDef)| {
                column(table, name).ok().map(|column| (source, column))
            };
            // The row to be inserted has the same columns as the table, and is always named.
            let sources = checker.sources.iter().filter(|(name, _)| name != Column::EXCLUDED);
            let found: Vec<_> = sources.filter_map(has).collect();
            match &found[..] {
                [] => scope = checker.outer,
                [(_, column)] => return Ok(column),
                several => {
                    let tables = listed(several.iter().map(|(source, _)| &***source));
                    return Err(StatementError::AmbiguousColumn { column: name.into(), tables });
                }
            }
        }
        let sources = listed(self.sources.iter().map(|(name, _)| &**name));
        let columns = self.sources.iter().flat_map(|(_, table)| table.columns());
        let columns = listed(columns.map(ColumnDef::name));
        Err(StatementError::UnknownColumn { table: sources, column: shown(name), columns })
    }

    fn expr(&self, expr: &Expr) -> Result<(), StatementError> {
        match expr {
            Expr::Column(wanted) => self.column(wanted).map(drop),
            Expr::Value(_) => Ok(()),
            Expr::Invalid(error) => Err(error.clone().into()),
            Expr::Compare { left, right, .. } | Expr::Calculate { left, right, .. } => {
                self.expr(left)?;
                self.expr(right)
            }
            Expr::And(all) | Expr::Or(all) => all.iter().try_for_each(|e| self.expr(e)),
            Expr::Not(expr)
            | Expr::IsNull(expr)
            | Expr::Path { json: expr, .. }
            | Expr::Collate { expr, .. }
            | Expr::Cast { expr, .. } => self.expr(expr),
            Expr::Case { whens, otherwise } => {
                for When { condition, value } in whens {
                    self.expr(condition)?;
                    self.expr(value)?;
                }
                otherwise.as_ref().map_or(Ok(()), |value| self.expr(value))
            }
            Expr::In { expr, list } => {
                self.expr(expr)?;
                list.iter().try_for_each(|e| self.expr(e))
            }
            Expr::Between { expr, low, high } => {
                [expr, low, high].into_iter().try_for_each(|e| self.expr(e))
            }
            Expr::Contains { json, element } => {
                self.expr(json)?;
                self.expr(element)
            }
            Expr::InSelect { expr, select } => {
                self.expr(expr)?;
                self.value_select(select)
            }
            Expr::Scalar(select) => self.value_select(select),
            Expr::Exists(select) => self.select(select).map(drop),
            Expr::Call { function, arguments } => {
                check_arguments(*function, arguments.len())?;
                arguments.iter().try_for_each(|e| self.expr(e))
            }
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
        }
    }

    /// Checks a sub-query that stands for a value.
    fn value_select(&self, select: &Select) -> Result<(), StatementError> {
        let sources = self.select(select)?;
        let count = match select.columns.len() {
            0 => sources.iter().map(|(_, table)| table.columns().len()).sum(),
            count => count,
        };
        if count == 1 { Ok(()) } else { Err(StatementError::SubQueryColumns { count }) }
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<(), StatementError> {
        let function = aggregate.function.sql();
        let is_text = aggregate.function == AggregateFunction::GroupConcat;
        let reason = match (&aggregate.argument, &aggregate.separator) {
            (None, _) if aggregate.function != AggregateFunction::Count || aggregate.distinct => {
                Some("it needs an argument")
            }
            (_, Some(_)) if !is_text => Some("only group_concat has a separator"),
            (_, Some(_)) if aggregate.distinct => Some("distinct values are joined with a comma"),
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(StatementError::Arguments { function, reason: reason.into() });
        }
        aggregate.argument.as_ref().map_or(Ok(()), |argument| self.expr(argument))
    }

    pub(crate) fn statement(&self, statement: &Statement) -> Result<(), StatementError> {
        let name = match statement {
            Statement::Insert(insert) => &insert.table,
            Statement::Update(update) => &update.table,
            Statement::Delete(delete) => &delete.table,
        };
        let table = self.table(name)?;
        let excluded = (Name::Borrowed(Column::EXCLUDED), table);
        let sources = [(name.clone(), table), excluded];
        let row = Checker { sources: &sources[..1], ..self.inside() };
        let filter = |filter: &Option<Expr>| filter.as_ref().map_or(Ok(()), |e| row.expr(e));
        match statement {
            Statement::Insert(insert) => {
                // There is no row yet that a value could depend on.
                self.set(table, &insert.values)?;
                let Some(conflict) = &insert.conflict else { return Ok(()) };
                conflict.columns.iter().try_for_each(|name| column(table, name).map(drop))?;
                let ConflictAction::Update(set) = &conflict.action else { return Ok(()) };
                let both = Checker { sources: &sources, ..self.inside() };
                both.some_set(table, set)
            }
            Statement::Update(update) => {
                row.some_set(table, &update.set)?;
                filter(&update.filter)
            }
            Statement::Delete(delete) => filter(&delete.filter),
        }
    }

    fn some_set(&self, table: &TableDef, set: &[Set]) -> Result<(), StatementError> {
        if set.is_empty() {
            return Err(StatementError::NothingToSet { table: table.name().into() });
        }
        self.set(table, set)
    }

    fn set(&self, table: &TableDef, set: &[Set]) -> Result<(), StatementError> {
        set.iter().try_for_each(|set| {
            if column(table, &set.column)?.generated_as().is_some() {
                let (table, column) = (table.name().into(), set.column.to_string());
                return Err(ValueError::GeneratedColumn { table, column }.into());
            }
            self.expr(&set.value)
        })
    }
}

fn check_arguments(function: Function, count: usize) -> Result<(), StatementError> {
    let (least, most) = function.arguments();
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let reason = format!("it takes {least} to {most} arguments, not {count}");
    Err(StatementError::Arguments { function: function.sql(), reason })
}
