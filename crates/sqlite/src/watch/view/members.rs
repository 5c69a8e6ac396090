//! What the entries of a maintained list are, and which of them a changed row concerns.

use std::collections::HashSet;
use std::sync::Arc;

use super::given::{GivenRow, Statement};
use crate::{RowChange, SqliteError, StateRead, Value};

/// What identifies an entry of a list, or with only its beginning several of them.
pub(super) type Key = Box<[Value]>;

/// Entries that have to be looked at again.
pub(super) enum Concern {
    /// Those whose keys begin so.
    Of(Key),
    /// That of a row of the first table to which none of the second is joined, if there is none.
    Alone(Key),
}

/// The entries of a list: rows of a table, or groups of them.
pub(super) trait Members: Send {
    /// Forgets what is known of the state, of which anything may have changed.
    fn forget(&mut self) {}

    /// Returns the most changed rows that are to be looked at one by one, given the length of the list.
    fn most(&self, len: usize) -> usize;

    /// Returns what changed rows concern, each once, in the order in which it has to be looked at; none
    /// if that is not known, or is more than this.
    fn concerned(
        &mut self,
        read: StateRead<'_>,
        changes: &[Arc<RowChange>],
        most: usize,
    ) -> Result<Option<Vec<Concern>>, SqliteError>;

    /// Tells how entries are read.
    fn one(&self, concern: &Concern) -> One<'_>;
}

/// How entries are read.
pub(super) enum One<'a> {
    /// They are what this statement finds.
    Asked(&'a str, Vec<Value>),
    /// There are none.
    Gone,
    /// It is not known; all have to be read.
    Unknown,
}

/// Rows of a table by their primary key, maybe with those of another that are joined to each.
pub(super) struct RowMembers {
    /// The table, by index among all.
    table: usize,
    /// How many columns its key has.
    key_columns: usize,
    /// The statement for a row, which ends with its key, and the values before that.
    one: Statement,
    joined: Option<Joined>,
}

/// A table that is joined to another.
pub(super) struct Joined {
    /// By index among all.
    pub(super) table: usize,
    /// Finds the keys of rows of the other to which a row of this is joined, up to a number that comes
    /// last.
    pub(super) partners: GivenRow,
    /// Which columns of those keys are texts.
    pub(super) texts: Box<[bool]>,
    /// True if that takes an index; nothing until it is asked for.
    pub(super) has_index: Option<bool>,
    /// The statement for a pair of rows, which ends with both keys.
    pub(super) pair: Statement,
    /// In a left join, that for a row of the other to which none is joined; it ends with its key.
    pub(super) alone: Option<Statement>,
}

/// Changed rows that are always looked at one by one.
pub(super) const FEW: usize = 16;

impl RowMembers {
    pub(super) fn new(
        table: usize,
        key_columns: usize,
        one: Statement,
        joined: Option<Joined>,
    ) -> Self {
        Self { table, key_columns, one, joined }
    }
}

impl Joined {
    /// Tells whether partners are found by an index: else it takes less time to run the query again.
    fn has_index(&mut self, read: StateRead<'_>, row: &[Value]) -> Result<bool, SqliteError> {
        if let Some(known) = self.has_index {
            return Ok(known);
        }
        let (text, binds) = self.partners.of(row);
        let has_index = read.run(&format!("EXPLAIN QUERY PLAN {text}"), &binds, |mut plan| {
            while let Some(row) = plan.next()? {
                let Value::Text(step) = row.value(3) else { continue };
                let is_given = step.contains(GivenRow::NAME) || step.contains("CONSTANT");
                if (step.starts_with("SCAN") && !is_given) || step.contains("AUTOMATIC") {
                    return Ok(false);
                }
            }
            Ok::<_, SqliteError>(true)
        })?;
        self.has_index = Some(has_index);
        Ok(has_index)
    }

    /// Appends the keys of the rows to which a row is joined; false if they are too many, or one of them
    /// cannot be looked up: a text that is no UTF-8 is read as bytes.
    fn partners(
        &mut self,
        read: StateRead<'_>,
        row: &[Value],
        most: usize,
        keys: &mut Vec<Key>,
    ) -> Result<bool, SqliteError> {
        if !self.has_index(read, row)? {
            return Ok(false);
        }
        let (text, mut binds) = self.partners.of(row);
        if let Some(limit) = binds.last_mut() {
            *limit = Value::Integer(i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1));
        }
        let before = keys.len();
        read.run(text, &binds, |mut rows| {
            let columns = rows.column_count();
            while let Some(row) = rows.next()? {
                keys.push((0..columns).map(|index| row.value(index)).collect());
            }
            Ok::<_, SqliteError>(())
        })?;
        let is_bytes =
            |(value, is_text): (&Value, &bool)| *is_text && matches!(value, Value::Blob(_));
        let is_unsure = |key: &Key| key.iter().zip(&self.texts).any(is_bytes);
        Ok(keys.len() - before <= most && !keys[before..].iter().any(is_unsure))
    }
}

impl Members for RowMembers {
    fn most(&self, len: usize) -> usize {
        // From so many on, reading all takes less time.
        FEW + len / if self.joined.is_some() { 16 } else { 4 }
    }

    fn concerned(
        &mut self,
        read: StateRead<'_>,
        changes: &[Arc<RowChange>],
        most: usize,
    ) -> Result<Option<Vec<Concern>>, SqliteError> {
        let own = changes.iter().filter(|change| change.table == self.table);
        let mut keys: Vec<Key> = own.map(|change| change.key.clone()).collect();
        once(&mut keys);
        let Some(joined) = &mut self.joined else {
            return Ok(Some(keys.into_iter().map(Concern::Of).collect()));
        };
        let (mut pairs, mut alone) = (Vec::new(), Vec::new());
        let table = joined.table;
        for change in changes.iter().filter(|change| change.table == table) {
            // Rows to which it was joined are either what they were, or have changed themselves.
            let mut partners = Vec::new();
            for row in change.old.iter().chain(&change.new) {
                if !joined.partners(read, row, most, &mut partners)? {
                    return Ok(None);
                }
            }
            partners.retain(|partner| !keys.contains(partner));
            once(&mut partners);
            pairs
                .extend(partners.iter().map(|partner| [&partner[..], &change.key].concat().into()));
            if pairs.len() > most {
                return Ok(None);
            }
            alone.append(&mut partners);
        }
        if joined.alone.is_none() {
            alone.clear();
        }
        once(&mut pairs);
        once(&mut alone);
        keys.append(&mut pairs);
        // What is joined to them is known by then.
        let alone = alone.into_iter().map(Concern::Alone);
        Ok(Some(keys.into_iter().map(Concern::Of).chain(alone).collect()))
    }

    fn one(&self, concern: &Concern) -> One<'_> {
        let (statement, key) = match (concern, &self.joined) {
            (Concern::Alone(key), Some(Joined { alone: Some(alone), .. })) => (alone, key),
            (Concern::Alone(_), _) => return One::Unknown,
            (Concern::Of(key), Some(joined)) if key.len() > self.key_columns => (&joined.pair, key),
            (Concern::Of(key), _) => (&self.one, key),
        };
        let (text, binds) = statement;
        One::Asked(text, binds.iter().chain(key).cloned().collect())
    }
}

/// Leaves out keys that have come before.
pub(super) fn once(keys: &mut Vec<Key>) {
    if keys.len() > 1 {
        let mut seen = HashSet::new();
        keys.retain(|key| seen.insert(key.clone()));
    }
}
