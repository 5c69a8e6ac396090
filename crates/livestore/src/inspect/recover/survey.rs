//! What can be found of LiveStore's tables, and how sure it is.
//!
//! What a tree still reaches is as it was. Where a tree is broken, pages that no tree of ours
//! reaches are searched for rows of its shape. A page that SQLite does not use any more may still
//! hold rows that were deleted long ago, so free pages are no source; if it cannot be told which
//! are free, what is found in this way is doubtful. So is what stands behind damage in the `-wal`
//! file, and it gives way to everything else.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

use livestore_core::{ClientId, GroupId};
use livestore_sqlite::raw::{Damage, Entry, Gap, Place, RawDatabase, TreeKind, Walk};
use livestore_sqlite::{SqliteError, Value};

use super::RecoverError;
use super::client_log::ClientIndex;
use super::layout::Layout;
use super::report::DamagedPlace;
use crate::inspect::rows::{
    ArchivedRow, ClientOnlyRow, ConfirmedRow, Flaw, MetaRow, PendingRow, StoredRow,
};
use crate::inspect::{Progress, Work};
use crate::replica::DeadLetter;

/// How sure it is that a row belongs to the file as it was last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Its table reaches it, or would if the table were whole.
    Current,
    /// It may have been deleted or replaced.
    Doubtful,
    /// It stands behind damage in the `-wal` file, so it may be newer than all the rest, or have been
    /// lost before the rest was written.
    Unproven,
}

impl Standing {
    fn new(is_proven: bool, is_current: bool) -> Self {
        match (is_proven, is_current) {
            (false, _) => Self::Unproven,
            (true, false) => Self::Doubtful,
            (true, true) => Self::Current,
        }
    }
}

/// A row that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located {
    /// Its row id; 0 in a table without.
    pub(super) key: i64,
    pub(super) standing: Standing,
    /// True if its table's tree reaches it.
    pub(super) is_reached: bool,
    place: Place,
}

/// What was found of a table.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rows that make sense, by key, the surest first.
    pub(super) rows: Vec<Located>,
    /// True if nothing is missing of the table's tree.
    pub(super) is_whole: bool,
    /// True if it is whole as it was last written.
    pub(super) is_complete: bool,
    /// What is missing of its tree.
    pub(super) gaps: Vec<Gap>,
}

impl Found {
    /// Returns the rows with a key.
    pub(super) fn at(&self, key: i64) -> &[Located] {
        let from = self.rows.partition_point(|row| row.key < key);
        let rest = &self.rows[from..];
        &rest[..rest.partition_point(|row| row.key == key)]
    }
}

/// Rows that no tree reaches. Many images of one page may hold a row; it counts once.
#[derive(Debug, Default)]
struct Strays {
    rows: Vec<Located>,
    seen: HashSet<u64>,
}

impl Strays {
    fn push(&mut self, row: Located, values: &[Value]) {
        let mut hasher = DefaultHasher::new();
        values.hash(&mut hasher);
        if self.seen.insert(hasher.finish()) {
            self.rows.push(row);
        }
    }
}

/// The index of the tail, which lacks the newest groups.
#[derive(Debug)]
pub(super) struct TailIndex {
    pub(super) groups: HashMap<GroupId, IndexedGroup>,
    pub(super) is_complete: bool,
    /// The last ordinal of a group in it.
    end: i64,
}

impl TailIndex {
    /// Tells whether a group of the tail that has this ordinal would have to be in the index.
    pub(super) fn covers(&self, ordinal: i64) -> bool {
        self.is_complete && ordinal <= self.end
    }
}

/// What the index of the tail says of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexedGroup {
    pub(super) client_only: bool,
    pub(super) events: u64,
    pub(super) first: i64,
}

impl IndexedGroup {
    fn last(self) -> i64 {
        self.first.saturating_add_unsigned(self.events).saturating_sub(1)
    }
}

/// Everything that was found.
pub(super) struct Survey<'a> {
    raw: &'a RawDatabase,
    progress: &'a Progress,
    pub(super) meta: Option<MetaRow>,
    pub(super) log: Found,
    pub(super) client_log: Found,
    pub(super) pending: Found,
    pub(super) dead_letters: Found,
    pub(super) archive: Found,
    pub(super) pending_index: TailIndex,
    pub(super) client_index: ClientIndex,
    /// How many groups the log's index has, if it is whole.
    log_index: Option<u64>,
    pub(super) damage: Vec<DamagedPlace>,
    /// True if the definitions of our tables can be read and are others.
    pub(super) is_other_format: bool,
    /// Pages that our trees reach.
    reached: HashSet<u32>,
    /// The page that was read last.
    page: Cell<u32>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(raw: &'a RawDatabase, progress: &'a Progress) -> Result<Self, RecoverError> {
        let layout = Layout::find(raw).map_err(RecoverError::Write)?;
        let mut survey = Self {
            raw,
            progress,
            meta: None,
            log: Found::default(),
            client_log: Found::default(),
            pending: Found::default(),
            dead_letters: Found::default(),
            archive: Found::default(),
            pending_index: TailIndex { groups: HashMap::new(), is_complete: false, end: i64::MIN },
            client_index: ClientIndex::default(),
            log_index: None,
            damage: Vec::new(),
            is_other_format: layout.is_other_format,
            reached: HashSet::from([1]),
            page: Cell::new(0),
        };
        survey.note_damage();
        if layout.is_damaged {
            let what = "not all of it can be read; LiveStore's tables were looked for where they \
                        usually are";
            survey.damaged("the schema".into(), None, what.into(), 0);
        }
        let meta = survey.walk::<MetaRow>(&layout);
        survey.meta = meta.rows.first().and_then(|row| survey.read(row));
        survey.log = survey.walk::<ConfirmedRow>(&layout);
        survey.client_log = survey.walk::<ClientOnlyRow>(&layout);
        survey.pending = survey.walk::<PendingRow>(&layout);
        survey.dead_letters = survey.walk::<DeadLetter>(&layout);
        survey.archive = survey.walk::<ArchivedRow>(&layout);
        survey.read_indexes(&layout);
        survey.compare_with_indexes();
        survey.search();
        if progress.is_cancelled() { Err(RecoverError::Cancelled) } else { Ok(survey) }
    }

    /// Tells whether anything was found that only a store has.
    pub(super) fn is_store(&self) -> bool {
        let tables = [&self.log, &self.client_log, &self.pending, &self.dead_letters];
        self.meta.is_some() || tables.iter().any(|table| !table.rows.is_empty())
    }

    /// Reads a row that was found; `None` if it cannot be read any more.
    pub(super) fn read<T: StoredRow>(&self, row: &Located) -> Option<T> {
        self.parse(row.place, row.key).ok().map(|(parsed, _)| parsed)
    }

    fn parse<T: StoredRow>(&self, place: Place, key: i64) -> Result<(T, bool), Option<Flaw>> {
        let (values, is_current) = self.values::<T>(place, key).ok_or(None)?;
        Ok((T::from_values(&values)?, is_current))
    }

    /// Reads a row's values, and whether they are all as they were last written.
    fn values<T: StoredRow>(&self, place: Place, key: i64) -> Option<(Vec<Value>, bool)> {
        let record = self.raw.record(place, T::STORED, T::COLUMNS.len())?;
        let mut values = record.values;
        if T::KIND == TreeKind::Table {
            values[0] = Value::Integer(key);
        }
        Some((values, record.is_current))
    }

    /// Visits what a table's tree reaches.
    fn walk<T: StoredRow>(&mut self, layout: &Layout) -> Found {
        let mut found = Found::default();
        let Some(root) = layout.root(T::TABLE) else {
            let what = "it is not known where the table begins".into();
            self.damaged(T::TABLE.into(), Some(T::TABLE), what, 0);
            found.gaps.push(Gap { page: 0, after: None, up_to: None });
            return found;
        };
        let mut flawed = Vec::new();
        let walk =
            self.raw.walk(root, T::KIND, &mut |Entry { place, rowid, is_current, is_proven }| {
                let key = rowid.unwrap_or(0);
                match self.parse::<T>(place, key) {
                    Ok((_, is_whole)) => {
                        let standing = Standing::new(is_proven, is_current && is_whole);
                        found.rows.push(Located { key, standing, is_reached: true, place });
                    }
                    Err(flaw) => flawed.push((place, rowid, flaw)),
                }
                self.go_on(place)
            });
        let has_flaws = !flawed.is_empty();
        for (place, rowid, flaw) in flawed {
            let key = rowid.map_or(String::new(), |key| format!(", {} {key}", T::COLUMNS[0]));
            let what = flaw.map_or("the row cannot be read".into(), |flaw| flaw.to_string());
            self.damaged(format!("page {}{key}", place.page), Some(T::TABLE), what, 0);
            let after = rowid.map(|key| key.saturating_sub(1));
            found.gaps.push(Gap { page: place.page, after, up_to: rowid });
        }
        self.note_gaps(T::TABLE, T::COLUMNS[0], &walk);
        found.is_whole = walk.gaps.is_empty() && !has_flaws;
        found.is_complete = found.is_whole && walk.is_complete();
        found.gaps.extend(walk.gaps);
        self.reached.extend(walk.pages);
        found
    }

    fn read_indexes(&mut self, layout: &Layout) {
        let mut groups = HashMap::new();
        let name = "__livestore_pending_group";
        self.pending_index.is_complete = self.walk_index(layout, name, 4, &mut |values| {
            let [
                Value::Blob(id),
                Value::Integer(client_only),
                Value::Integer(events),
                Value::Integer(first),
            ] = values
            else {
                return false;
            };
            let Some(id) = GroupId::from_slice(id) else { return false };
            let (client_only, events) = (*client_only != 0, (*events).max(0) as u64);
            groups.insert(id, IndexedGroup { client_only, events, first: *first });
            true
        });
        let ends = groups.values().map(|group| group.last());
        self.pending_index.end = ends.max().unwrap_or(i64::MIN);
        self.pending_index.groups = groups;
        let (mut index, name) = (ClientIndex::default(), "__livestore_client_log_group");
        index.is_complete = self.walk_index(layout, name, 3, &mut |values| {
            let [Value::Blob(id), Value::Integer(seq), Value::Integer(client)] = values else {
                return false;
            };
            let (Some(id), Ok(seq), Ok(client)) =
                (GroupId::from_slice(id), u64::try_from(*seq), u32::try_from(*client))
            else {
                return false;
            };
            index.insert(id, (seq, client));
            true
        });
        self.client_index = index;
        let (mut groups, name) = (0, "__livestore_eventlog_group");
        let is_complete = self.walk_index(layout, name, 2, &mut |_| {
            groups += 1;
            true
        });
        self.log_index = is_complete.then_some(groups);
    }

    /// Visits the entries of an index; tells whether they are all there and make sense.
    fn walk_index(
        &mut self,
        layout: &Layout,
        name: &'static str,
        columns: usize,
        take: &mut dyn FnMut(&[Value]) -> bool,
    ) -> bool {
        let Some(root) = layout.root(name) else { return false };
        let mut is_whole = true;
        let walk = self.raw.walk(root, TreeKind::Index, &mut |entry| {
            let record = self.raw.record(entry.place, columns, columns);
            is_whole &= record.is_some_and(|record| record.is_current && take(&record.values));
            self.go_on(entry.place)
        });
        // A damaged index costs nothing by itself, but it is damage that whoever asks wants to see.
        self.note_gaps(name, "", &walk);
        self.reached.extend(&walk.pages);
        is_whole && walk.is_complete()
    }

    /// Finds out about rows that are missing although their tree looks whole.
    fn compare_with_indexes(&mut self) {
        if self.log.is_complete {
            let ends = self.log.rows.iter().filter(|row| {
                self.read::<ConfirmedRow>(row).is_some_and(|row| row.log_hash.is_some())
            });
            self.log.is_complete = self.log_index == Some(ends.count() as u64);
        }
        // Of a table and its index, the one that lacks something of the other is not whole.
        if self.pending_index.is_complete && self.pending.is_complete {
            let rows = self.pending.rows.iter();
            let firsts = rows.filter_map(|row| self.read(row).filter(PendingRow::is_first));
            let covered = firsts.filter(|row| self.pending_index.covers(row.ordinal));
            let found: HashSet<GroupId> = covered.map(|row| row.group_id).collect();
            let index = &self.pending_index.groups;
            self.pending.is_complete = index.keys().all(|id| found.contains(id));
            self.pending_index.is_complete = found.iter().all(|id| index.contains_key(id));
        }
        if self.client_index.is_complete && self.client_log.is_complete {
            let rows = self.client_log.rows.iter().filter_map(|row| self.read(row));
            let found: HashSet<(GroupId, (u64, u32))> =
                rows.map(|row: ClientOnlyRow| (row.group_id, (row.seq.0, row.client))).collect();
            let places = self.client_index.groups.iter();
            let mut indexed = places.flat_map(|(id, places)| places.iter().map(|at| (*id, *at)));
            self.client_log.is_complete = indexed.all(|place| found.contains(&place));
            self.client_log.is_whole = self.client_log.is_complete;
        }
    }

    /// Searches the pages that no tree of ours reaches for rows of the tables that are not whole.
    fn search(&mut self) {
        let free = self.raw.free_pages();
        self.progress.begin(Work::ReadingPages, self.raw.page_count().into());
        let mut leave_out = std::mem::take(&mut self.reached);
        leave_out.extend(free.iter().flatten());
        let (log, client_log, pending) =
            (!self.log.is_complete, !self.client_log.is_complete, !self.pending.is_complete);
        let (letters, archive) = (!self.dead_letters.is_complete, !self.archive.is_complete);
        let is_known = free.is_some();
        if log || pending || archive {
            let [mut found_log, mut found_pending, mut found_archive] =
                [(); 3].map(|()| Strays::default());
            self.raw.search(TreeKind::Table, &leave_out, &mut |entry| {
                _ = log && self.stray::<ConfirmedRow>(entry, is_known, &mut found_log)
                    || pending && self.stray::<PendingRow>(entry, is_known, &mut found_pending)
                    || archive && self.stray::<ArchivedRow>(entry, is_known, &mut found_archive);
                self.go_on(entry.place)
            });
            self.log.rows.append(&mut found_log.rows);
            self.pending.rows.append(&mut found_pending.rows);
            self.archive.rows.append(&mut found_archive.rows);
        }
        if client_log || letters {
            let [mut found_client_log, mut found_letters] = [(); 2].map(|()| Strays::default());
            self.raw.search(TreeKind::Index, &leave_out, &mut |entry| {
                _ = client_log
                    && self.stray::<ClientOnlyRow>(entry, is_known, &mut found_client_log)
                    || letters && self.stray::<DeadLetter>(entry, is_known, &mut found_letters);
                self.go_on(entry.place)
            });
            self.client_log.rows.append(&mut found_client_log.rows);
            self.dead_letters.rows.append(&mut found_letters.rows);
        }
        for found in [&mut self.log, &mut self.pending, &mut self.archive] {
            found.rows.sort_by_key(|row| (row.key, row.standing));
        }
        self.reached = leave_out;
    }

    /// Takes a row of the right shape that no tree reaches, unless a surer one is the same.
    fn stray<T: StoredRow>(&self, entry: Entry, is_known: bool, found: &mut Strays) -> bool {
        let Entry { place, rowid, is_current, is_proven } = entry;
        let key = rowid.unwrap_or(0);
        let Some((values, is_whole)) = self.values::<T>(place, key) else { return false };
        if T::from_values(&values).is_err() {
            return false;
        }
        let standing = Standing::new(is_proven, is_known && is_current && is_whole);
        found.push(Located { key, standing, is_reached: false, place }, &values);
        true
    }

    /// Notes that another page is being read, and asks whether to go on.
    fn go_on(&self, place: Place) -> ControlFlow<()> {
        if self.page.replace(place.page) != place.page {
            self.progress.add(1);
        }
        if self.progress.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn damaged(&mut self, place: String, table: Option<&'static str>, what: String, bytes: u64) {
        self.damage.push(DamagedPlace { place, table, what, bytes });
    }

    fn note_gaps(&mut self, table: &'static str, key: &str, walk: &Walk) {
        let bytes = self.raw.page_size() as u64;
        for Gap { page, after, up_to } in walk.gaps.iter().copied() {
            let range = match (after, up_to) {
                _ if key.is_empty() => String::new(),
                (None, Some(up_to)) => format!(": {key} up to {up_to}"),
                (Some(after), None) => format!(": {key} from {}", after.saturating_add(1)),
                (Some(after), Some(up_to)) if up_to > after => {
                    format!(": {key} {} to {up_to}", after.saturating_add(1))
                }
                _ => String::new(),
            };
            let what = format!("the page cannot be read, or not all of it{range}");
            self.damaged(format!("page {page}"), Some(table), what, bytes);
        }
        if !walk.is_current {
            let what =
                "something newer may be in a damaged part of the -wal file, or behind it".into();
            self.damaged("the -wal file".into(), Some(table), what, 0);
        }
    }

    fn note_damage(&mut self) {
        let page_size = self.raw.page_size() as u64;
        for damage in self.raw.damage() {
            let (place, what, bytes) = match *damage {
                Damage::Header => ("the header".into(), "it makes no sense".into(), 100),
                Damage::Truncated { pages, missing } => {
                    let what = format!("it ends after {pages} pages, {missing} are missing");
                    ("the file".into(), what, page_size * u64::from(missing))
                }
                Damage::WalHeader => {
                    ("the -wal file's header".into(), "it makes no sense".into(), 32)
                }
                Damage::WalFrame { frame, page } => {
                    let page = page.map_or(String::new(), |page| format!(", page {page}"));
                    (
                        format!("frame {frame} of the -wal file{page}"),
                        "it is damaged, or does not follow on the frames before it".into(),
                        page_size,
                    )
                }
                Damage::WalUnproven { frames } => {
                    let what = format!(
                        "{frames} frames stand behind a damaged one; they may be newer than the \
                         rest, or be left from transactions that were lost, so what only they \
                         hold is uncertain"
                    );
                    ("the -wal file".into(), what, 0)
                }
                Damage::WalEnd { frames } => {
                    let what = format!(
                        "its last {frames} frames belong to a transaction that is not whole: a \
                         commit was interrupted, or the end of the file is missing or damaged"
                    );
                    ("the -wal file".into(), what, 0)
                }
                _ => ("the file".into(), "it is damaged".into(), 0),
            };
            self.damage.push(DamagedPlace { place, table: None, what, bytes });
        }
    }

    /// Finds who commits in this file, if its meta row does not tell: dead letters are this
    /// client's, and so is whatever was committed in a session of a pending event.
    pub(super) fn infer_client(&self) -> Option<ClientId> {
        let letters = self.dead_letters.rows.iter();
        let authors = letters.filter_map(|row| self.read::<DeadLetter>(row));
        let mut authors: HashSet<_> =
            authors.map(|letter| letter.group.client_id().clone()).collect();
        if authors.is_empty() {
            let pending = self.pending.rows.iter().filter_map(|row| self.read::<PendingRow>(row));
            let settled = self.client_log.rows.iter();
            let settled = settled.filter_map(|row| self.read::<ClientOnlyRow>(row));
            let sessions: HashSet<_> = pending
                .map(|row| row.session_id)
                .chain(settled.map(|row| row.session_id))
                .collect();
            let confirmed = self.log.rows.iter().filter_map(|row| self.read::<ConfirmedRow>(row));
            let own = confirmed.filter(|row| sessions.contains(&row.session_id));
            authors = own.map(|row| row.client_id).collect();
        }
        // If there are several, none of them is proven.
        let author = authors.iter().next().cloned();
        author.filter(|_| authors.len() == 1)
    }
}

impl From<SqliteError> for RecoverError {
    fn from(error: SqliteError) -> Self {
        Self::Write(error)
    }
}
