//! What has to hold for a recovered file, whatever was damaged.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use livestore::GroupId;
use livestore::inspect::{
    Author, Progress, RecoverError, RecoverOptions, RecoverReport, recover, verify_file,
};
use livestore::prelude::*;
use livestore_core::Group;
use livestore_sqlite::Value;
use livestore_sqlite::raw::{Place, RawDatabase, TreeKind};

use super::sample::{Content, Files, Sample, schema};
use crate::app::assert_state_is_replay;

/// The size of a page in every store.
pub const PAGE: usize = 4096;

/// A row of the whole file: where it stands, and what is in it.
pub struct KnownRow {
    place: Place,
    columns: usize,
    values: Vec<Value>,
}

/// The rows of each group, by table.
pub struct Known(HashMap<(&'static str, GroupId), Vec<KnownRow>>);

impl Known {
    /// Reads a whole file.
    pub fn read(files: &Files) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let raw = RawDatabase::open(&files.write(folder.path())).unwrap();
        let mut known = HashMap::new();
        for (table, kind, columns, wanted, id) in [
            ("eventlog", TreeKind::Table, 9, 9, 2),
            ("client_log", TreeKind::Index, 7, 7, 3),
            ("pending", TreeKind::Table, 11, 10, 1),
            ("dead_letter", TreeKind::Index, 5, 5, 0),
        ] {
            let name = format!("__livestore_{table}");
            let schema = raw.schema();
            let root = schema.iter().find(|object| object.name == name).unwrap().root;
            raw.walk(root, kind, &mut |entry| {
                let values = raw.record(entry.place, columns, wanted).unwrap().values;
                let Value::Blob(group) = &values[id] else { panic!("{values:?}") };
                let group = GroupId::from_slice(group).unwrap();
                let row = KnownRow { place: entry.place, columns, values };
                known.entry((table, group)).or_insert_with(Vec::new).push(row);
                ControlFlow::Continue(())
            });
        }
        Self(known)
    }

    /// Tells whether all rows of a group are still in their places.
    pub fn is_readable(&self, raw: &RawDatabase, table: &'static str, group: GroupId) -> bool {
        self.0[&(table, group)].iter().all(|row| {
            let record = raw.record(row.place, row.columns, row.values.len());
            record.is_some_and(|record| record.values == row.values)
        })
    }
}

/// A damaged store, and what was made of it.
pub struct Recovered {
    pub folder: tempfile::TempDir,
    pub report: RecoverReport,
    pub content: Content,
}

impl Recovered {
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("new/test.livestore")
    }

    pub fn pending(&self) -> HashSet<GroupId> {
        self.content.pending.iter().map(|(group, _)| group.id()).collect()
    }

    /// Opens the new file, which derives the state.
    pub fn open(&self) -> Store {
        let adapter = FileAdapter::new(self.folder.path().join("new"));
        Store::open(schema(), "test", adapter).unwrap()
    }
}

pub fn try_recover(files: &Files, options: &RecoverOptions) -> Result<Recovered, RecoverError> {
    let folder = tempfile::tempdir().unwrap();
    let from = files.write(&folder.path().join("old"));
    let before = Files::read(&from);
    let report = recover(&from, &folder.path().join("new"), options, &Progress::new());
    assert_eq!(Files::read(&from), before, "the damaged file was touched");
    let beside = std::fs::read_dir(folder.path().join("old")).unwrap().count();
    assert_eq!(beside, 1 + usize::from(!before.wal.is_empty()), "something was put beside it");
    let report = report?;
    assert_eq!(report.to, folder.path().join("new/test.livestore"));
    let check = verify_file(&report.to, &Progress::new()).unwrap();
    assert_eq!(check.problems, []);
    let content = Content::read(&report.to);
    assert_eq!(report.kept.confirmed_groups, content.confirmed.len() as u64);
    assert_eq!(report.kept.pending_groups, content.pending.len() as u64);
    assert_eq!(report.kept.dead_letters, content.dead_letters.len() as u64);
    assert_eq!(report.kept.archived, content.archived.len() as u64);
    Ok(Recovered { folder, report, content })
}

pub fn recovered(files: &Files) -> Recovered {
    try_recover(files, &RecoverOptions::default()).unwrap()
}

/// Nothing that comes out was not there before, and what is there is in its old order.
#[track_caller]
pub fn assert_nothing_invented(sample: &Content, recovered: &Recovered) {
    assert_eq!(differences(sample, recovered), Differences::default());
}

/// How groups that came out differ from those that were there.
#[derive(Debug, Default, PartialEq)]
pub struct Differences {
    /// Those with another id, their own or one of their events.
    pub ids: HashSet<GroupId>,
    /// Client-only ones that are a part of what they were.
    pub torn: HashSet<GroupId>,
}

/// The same, but for what no checksum and no second place tells. Ids have none in the tail, and what
/// a client-only group consists of is told by ids and by an index, of which both can be damaged.
#[track_caller]
pub fn differences(sample: &Content, recovered: &Recovered) -> Differences {
    let Recovered { content, report, .. } = recovered;
    let kept = content.confirmed.len();
    assert_eq!(content.confirmed, sample.confirmed[..kept], "the log is no prefix");
    let is_new_client = report.client_id_by == Author::New;
    let is_by_same = |group: &Group, was: &Group| {
        let by_same_client = is_new_client || group.client_id() == was.client_id();
        by_same_client && group.session_id() == was.session_id()
    };
    let was = committed(sample);
    let mut found = Differences::default();
    let mut places = Vec::new();
    for (group, client_only) in &content.pending {
        let candidates = was.iter().enumerate().filter(|(_, (was, was_client_only))| {
            client_only == was_client_only && is_by_same(group, was) && texts(group) == texts(was)
        });
        let candidates: Vec<_> = candidates.collect();
        match candidates.iter().find(|(_, (was, _))| has_same_ids(group, was)) {
            Some((place, _)) => places.extend((*place < sample.pending.len()).then_some(*place)),
            None if !candidates.is_empty() => drop(found.ids.insert(group.id())),
            None => found.note_torn(sample, group, |was| *client_only && is_by_same(group, was)),
        }
    }
    assert!(places.is_sorted(), "the tail is in another order");
    for group in &content.client_only {
        let mut candidates = sample.client_only.iter().filter(|was| texts(group) == texts(was));
        if candidates.clone().any(|was| has_same_ids(group, was)) {
            continue;
        }
        match candidates.next() {
            Some(_) => drop(found.ids.insert(group.id())),
            None => found.note_torn(sample, group, |_| true),
        }
    }
    assert!(content.dead_letters.iter().all(|group| sample.dead_letters.contains(group)));
    assert!(content.archived.iter().all(|group| sample.archived.contains(group)));
    // None is there twice, under its own id and under another.
    let mut times: HashMap<_, u32> = HashMap::new();
    for (group, client_only) in was {
        *times.entry((client_only, texts(group))).or_default() += 1;
    }
    for (group, client_only) in committed(content) {
        if !found.torn.contains(&group.id()) {
            let left = times.get_mut(&(client_only, texts(group))).unwrap();
            *left = left.checked_sub(1).unwrap_or_else(|| panic!("{group:?} is there twice"));
        }
    }
    found
}

/// The groups of a store, and whether they are client-only: those of the tail in its order, then
/// those that have left it.
fn committed(content: &Content) -> Vec<(&Group, bool)> {
    let tail = content.pending.iter().map(|(group, client_only)| (group, *client_only));
    let settled = content.client_only.iter().map(|group| (group, true));
    let confirmed = content.confirmed.iter().map(|confirmed| (&confirmed.group, false));
    tail.chain(settled).chain(confirmed).collect()
}

impl Differences {
    fn note_torn(&mut self, sample: &Content, group: &Group, may_be: impl Fn(&Group) -> bool) {
        let is_part = |was: &Group| {
            let count = group.events().len();
            may_be(was) && texts(was).windows(count).any(|part| part == texts(group))
        };
        assert!(sample.client_only.iter().any(is_part), "{group:?} is made up");
        self.torn.insert(group.id());
    }
}

/// What a group says, whatever its ids are.
fn texts(group: &Group) -> Vec<(&str, &str)> {
    group.events().iter().map(|event| (event.name.as_str(), event.args.as_str())).collect()
}

fn has_same_ids(group: &Group, was: &Group) -> bool {
    let ids = |group: &Group| group.events().iter().map(|event| event.id).collect::<Vec<_>>();
    group.id() == was.id() && ids(group) == ids(was)
}

/// What is not there any more is in the report.
#[track_caller]
pub fn assert_all_named(sample: &Content, recovered: &Recovered) {
    let Recovered { content, report, .. } = recovered;
    let lost: HashSet<_> = report.lost.iter().map(|lost| lost.id).collect();
    let pending = recovered.pending();
    let confirmed: HashSet<_> = content.confirmed.iter().map(|c| c.group.id()).collect();
    let names_table = |table: &str| {
        report.damage.iter().any(|place| place.table.is_some_and(|name| name.ends_with(table)))
    };
    let lost_rows = |what: &str| report.lost_rows.iter().any(|lost| lost.starts_with(what));
    for (group, _) in &sample.pending {
        let id = group.id();
        let is_named = lost.contains(&id) || lost_rows("pending groups");
        assert!(pending.contains(&id) || confirmed.contains(&id) || is_named, "{id} is lost");
    }
    for group in &sample.client_only {
        let id = group.id();
        let is_there = content.client_only.iter().any(|kept| kept.id() == id);
        let is_named =
            lost.contains(&id) || names_table("_client_log") && names_table("_client_log_group");
        assert!(is_there || pending.contains(&id) || is_named, "{id} is lost");
    }
    if content.confirmed.len() < sample.confirmed.len() {
        let missing = report.confirmed_missing.expect("a part of the log is missing");
        assert_eq!(missing.first, report.head.next());
        let last = sample.confirmed.last().unwrap().last();
        assert!(missing.last.is_none_or(|told| told == last), "{missing:?}, not {last}");
    }
    assert!(content.dead_letters.len() == sample.dead_letters.len() || lost_rows("dead letters"));
    assert!(content.archived.len() == sample.archived.len() || lost_rows("archived groups"));
    if report.is_complete() {
        assert_eq!(content.confirmed.len(), sample.confirmed.len());
        assert_eq!(content.pending.len(), sample.pending.len());
        assert_eq!(content.client_only.len(), sample.client_only.len());
    }
}

/// What all rows of are in undamaged pages is kept.
#[track_caller]
pub fn assert_readable_kept(sample: &Content, known: &Known, files: &Files, recovered: &Recovered) {
    let folder = tempfile::tempdir().unwrap();
    let raw = RawDatabase::open(&files.write(folder.path())).unwrap();
    let content = &recovered.content;
    let pending = recovered.pending();
    let is_readable = |table, group: &Group| known.is_readable(&raw, table, group.id());
    for (group, _) in &sample.pending {
        let id = group.id();
        assert!(!is_readable("pending", group) || pending.contains(&id), "{id} was readable");
    }
    let prefix = sample.confirmed.iter();
    let prefix = prefix.take_while(|confirmed| is_readable("eventlog", &confirmed.group)).count();
    assert!(content.confirmed.len() >= prefix, "{prefix} groups of the log were readable");
    for group in &sample.client_only {
        let id = group.id();
        let is_kept = content.client_only.iter().any(|kept| kept.id() == id);
        assert!(!is_readable("client_log", group) || is_kept || pending.contains(&id), "{id}");
    }
    for group in &sample.dead_letters {
        let is_kept = content.dead_letters.contains(group);
        assert!(!is_readable("dead_letter", group) || is_kept, "{} was readable", group.id());
    }
}

/// Lets a store get in step with a backend that has the sample's log; returns the groups that are
/// pending before.
pub fn sync(sample: &Sample, recovered: &Recovered) -> (Store, crate::backend::Served) {
    let served = sample.served();
    let adapter = FileAdapter::new(recovered.folder.path().join("new")).sync(served.clone());
    let store = Store::open(schema(), "test", adapter).unwrap();
    let start = Instant::now();
    while !store.sync_status().unwrap().is_synced() {
        let status = store.sync_status().unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "not synced: {status:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    (store, served)
}

/// In step with the backend, each group that was kept or was in the log is there once.
#[track_caller]
pub fn assert_syncs(sample: &Sample, recovered: &Recovered) {
    let (store, served) = sync(sample, recovered);
    assert_state_is_replay(&store);
    let mut times: HashMap<GroupId, u32> = HashMap::new();
    for id in served.lock().ids() {
        *times.entry(id).or_default() += 1;
    }
    assert!(times.values().all(|times| *times == 1), "a group was doubled");
    for letter in store.dead_letters().unwrap() {
        *times.entry(letter.group.id()).or_default() += 1;
    }
    for (group, client_only) in &recovered.content.pending {
        let times = times.get(&group.id()).copied().unwrap_or(0);
        assert!(times == 1 || *client_only && times == 0, "{} is there {times} times", group.id());
    }
    let log = served.lock().log().to_vec();
    assert_eq!(log[..sample.log.len()], sample.log[..]);
    drop(store);
    let check = verify_file(&recovered.path(), &Progress::new()).unwrap();
    assert_eq!(check.problems, []);
}

/// Fills a page, counted from 0, with one byte.
pub fn fill(files: &Files, page: usize, byte: u8) -> Files {
    let mut damaged = files.clone();
    damaged.database[page * PAGE..(page + 1) * PAGE].fill(byte);
    damaged
}
