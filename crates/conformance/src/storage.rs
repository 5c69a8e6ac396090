//! What our server relies on of a storage.

use std::sync::Arc;
use std::time::Instant;

use livestore_core::protocol::GroupPosition;
use livestore_core::{ClientId, GlobalSeqNum, Group, LogPosition, StoreId};
use livestore_server::{
    AppendOutcome, AppendRequest, LogReader, LogStorage, NoRules, Proposal, Refusal, RuleError,
    Rules, StorageError,
};
use serde_json::json;

use crate::events::{Maker, after, placed};
use crate::report::{Case, Report, Unmet, failed, same, skipped};

impl From<StorageError> for Unmet {
    fn from(error: StorageError) -> Self {
        Self::Failed(format!("the storage failed: {error}"))
    }
}

/// Checks a storage of our server.
///
/// The function opens it: with the same data every time, if `reopens` says so, or else with none.
pub fn check_storage<S: LogStorage + 'static>(
    reopens: bool,
    mut open: impl FnMut() -> Result<S, StorageError>,
) -> Report {
    let mut report = Report::default();
    let mut maker = Maker::new();
    for (name, run) in CASES {
        let begin = Instant::now();
        let case = open()
            .map_err(Unmet::from)
            .and_then(|mut storage| run(&mut Bench { storage: &mut storage, maker: &mut maker }));
        report.add(name, begin, case);
    }
    let begin = Instant::now();
    let case = if reopens {
        restart(&mut maker, || Ok(Box::new(open()?)))
    } else {
        skipped("it keeps nothing when it is closed")
    };
    report.add("what was appended is there when it is opened again", begin, case);
    report
}

struct Bench<'a> {
    storage: &'a mut dyn LogStorage,
    maker: &'a mut Maker,
}

type Run = fn(&mut Bench<'_>) -> Case;

const CASES: &[(&str, Run)] = &[
    ("a log that nobody has written to is empty", empty),
    ("groups are appended in order, with positions and hashes", order),
    ("a request is taken whole or not at all", whole),
    ("a batch is decided on request by request", batch),
    ("a group is taken once, and an id given once", once),
    ("pages are cut between groups, and begin with a whole one", pages),
    ("a look at a log is one moment", views),
    ("readers see what was appended before they ask", readers),
    ("logs are apart", apart),
    ("rules decide on what would be taken", rules),
];

/// One that refuses what says so.
#[derive(Debug)]
struct Refusing;

impl Rules for Refusing {
    fn check(&self, proposal: &Proposal<'_>) -> Result<(), RuleError> {
        let says_no = |event: &livestore_core::Event| event.args.as_str().contains("refuse");
        if proposal.group().events().iter().any(says_no) {
            return Err(RuleError::Refused(Refusal::new("no")));
        }
        Ok(())
    }
}

impl Bench<'_> {
    fn names(&mut self) -> (StoreId, ClientId) {
        (self.maker.store_id(), self.maker.client_id())
    }

    fn groups(&mut self, client: &ClientId, events: &[usize]) -> Vec<Group> {
        events.iter().map(|events| self.maker.group(client, *events)).collect()
    }

    fn append(
        &mut self,
        store_id: &StoreId,
        base: u64,
        groups: &[Group],
    ) -> Result<AppendOutcome, Unmet> {
        let request = request(store_id, base, groups);
        one(self.storage.append(&[request], &NoRules)?)
    }

    fn appended(&mut self, store_id: &StoreId, base: LogPosition, groups: &[Group]) -> Case {
        let outcome = self.append(store_id, base.seq.0, groups)?;
        let (first, end) = (base.seq.next(), after(base, groups));
        same("the outcome", &outcome, &AppendOutcome::Appended { first, end })
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, Unmet> {
        Ok(self.storage.reader()?)
    }

    fn log(&self, store_id: &StoreId) -> Result<Vec<Group>, Unmet> {
        log(&mut *self.reader()?, store_id)
    }
}

fn request(store_id: &StoreId, base: u64, groups: &[Group]) -> AppendRequest {
    let (store_id, base) = (store_id.clone(), GlobalSeqNum(base));
    AppendRequest { store_id, base, groups: groups.to_vec(), principal: None }
}

fn one(outcomes: Vec<AppendOutcome>) -> Result<AppendOutcome, Unmet> {
    let count = outcomes.len();
    match outcomes.into_iter().next() {
        Some(outcome) if count == 1 => Ok(outcome),
        _ => failed(format!("{count} outcomes of one request")),
    }
}

/// Reads a whole log, page by page.
fn log(reader: &mut dyn LogReader, store_id: &StoreId) -> Result<Vec<Group>, Unmet> {
    let (mut groups, mut at) = (Vec::new(), LogPosition::ROOT);
    while let Some(page) = reader.page(store_id, at.seq)? {
        page.check().map_err(|error| Unmet::Failed(error.to_string()))?;
        same("where a page begins", &page.groups[0].first, &at.seq.next())?;
        let own: Vec<Group> = page.groups.into_iter().map(|found| found.group).collect();
        at = after(at, &own);
        same("the end of a page", &page.end, &at)?;
        groups.extend(own);
    }
    Ok(groups)
}

fn empty(bench: &mut Bench<'_>) -> Case {
    let (store, _) = bench.names();
    let mut reader = bench.reader()?;
    same("a page", &reader.page(&store, GlobalSeqNum::ROOT)?, &None)?;
    let view = reader.view(&store, &[GlobalSeqNum::ROOT, GlobalSeqNum(1)], &[])?;
    same("the head", &view.head.0, &0)?;
    same("the hashes", &view.hashes, &vec![Some(LogPosition::ROOT.hash), None])
}

fn order(bench: &mut Bench<'_>) -> Case {
    let (store, client) = bench.names();
    let groups = bench.groups(&client, &[1, 3, 2]);
    bench.appended(&store, LogPosition::ROOT, &groups[..1])?;
    bench.appended(&store, after(LogPosition::ROOT, &groups[..1]), &groups[1..])?;
    same("the log", &bench.log(&store)?, &groups)
}

fn whole(bench: &mut Bench<'_>) -> Case {
    let (store, client) = bench.names();
    let groups = bench.groups(&client, &[2, 1, 1]);
    bench.appended(&store, LogPosition::ROOT, &groups[..1])?;
    for base in [0, 1, 3, u64::MAX >> 2] {
        let outcome = bench.append(&store, base, &groups[1..])?;
        let head = GlobalSeqNum(2);
        same("the outcome", &outcome, &AppendOutcome::ServerAhead { head })?;
    }
    same("the log", &bench.log(&store)?, &groups[..1].to_vec())
}

fn batch(bench: &mut Bench<'_>) -> Case {
    let (store, client) = bench.names();
    let (other, _) = bench.names();
    let groups = bench.groups(&client, &[1, 1, 1]);
    let requests = [
        request(&store, 0, &groups[..1]),
        request(&store, 0, &groups[1..2]),
        request(&other, 0, &groups[1..2]),
        request(&store, 1, &groups[2..]),
        request(&store, 2, &groups[..1]),
    ];
    let outcomes = bench.storage.append(&requests, &NoRules)?;
    let at = |base: u64, before: &[Group], groups: &[Group]| AppendOutcome::Appended {
        first: GlobalSeqNum(base + 1),
        end: after(after(LogPosition::ROOT, before), groups),
    };
    let first = GlobalSeqNum(1);
    same(
        "the outcomes",
        &outcomes,
        &vec![
            at(0, &[], &groups[..1]),
            AppendOutcome::ServerAhead { head: GlobalSeqNum(1) },
            at(0, &[], &groups[1..2]),
            at(1, &groups[..1], &groups[2..]),
            AppendOutcome::AlreadyAccepted {
                groups: vec![GroupPosition { id: groups[0].id(), first }],
            },
        ],
    )?;
    same("no outcome of nothing", &bench.storage.append(&[], &NoRules)?.len(), &0)?;
    same("the log", &bench.log(&store)?, &vec![groups[0].clone(), groups[2].clone()])
}

fn once(bench: &mut Bench<'_>) -> Case {
    let (store, client) = bench.names();
    let groups = bench.groups(&client, &[2, 1]);
    bench.appended(&store, LogPosition::ROOT, &groups[..1])?;
    let already = AppendOutcome::AlreadyAccepted {
        groups: vec![GroupPosition { id: groups[0].id(), first: GlobalSeqNum(1) }],
    };
    same("of a repeat", &bench.append(&store, 2, &groups[..1])?, &already)?;
    same("of a repeat with another", &bench.append(&store, 2, &groups)?, &already)?;
    same("of a repeat where it was", &bench.append(&store, 0, &groups[..1])?, &already)?;
    let events = groups[1].events().to_vec();
    let other = Group::new(groups[0].id(), client, groups[0].session_id().clone(), events);
    let other = other.map_err(|error| Unmet::Failed(error.to_string()))?;
    let conflict = AppendOutcome::Conflict { group: groups[0].id() };
    same("of another under the same id", &bench.append(&store, 2, &[other])?, &conflict)?;
    let twice = [groups[1].clone(), groups[1].clone()];
    let conflict = AppendOutcome::Conflict { group: groups[1].id() };
    same("of one that comes twice", &bench.append(&store, 2, &twice)?, &conflict)?;
    same("the log", &bench.log(&store)?, &groups[..1].to_vec())
}

fn pages(bench: &mut Bench<'_>) -> Case {
    use livestore_core::limits::{PAGE_BYTES, PAGE_EVENTS};
    let (store, client) = bench.names();
    let mut groups = bench.groups(&client, &[PAGE_EVENTS - 1, 2, PAGE_EVENTS + 50, 1]);
    let large = json!("x".repeat(PAGE_BYTES / 2));
    groups.extend((0..4).map(|_| bench.maker.group_of(&client, std::slice::from_ref(&large))));
    bench.appended(&store, LogPosition::ROOT, &groups)?;
    same("the log", &bench.log(&store)?, &groups)?;
    let mut reader = bench.reader()?;
    let mut page = |after: u64| {
        let page = reader.page(&store, GlobalSeqNum(after))?;
        page.ok_or_else(|| Unmet::Failed(format!("no page after {after}")))
    };
    let events = PAGE_EVENTS as u64;
    same("groups of the first page", &page(0)?.groups.len(), &2)?;
    same("groups of the next", &page(events + 1)?.groups.len(), &1)?;
    let within = page(5)?;
    same("where a page from within a group begins", &within.groups[0].first.0, &1)?;
    let end = placed(GlobalSeqNum::ROOT, &groups).last().map(livestore_core::ConfirmedGroup::last);
    same("the head that a page tells", &Some(within.head), &end)
}

fn views(bench: &mut Bench<'_>) -> Case {
    let (store, client) = bench.names();
    let groups = bench.groups(&client, &[1, 2, 1]);
    bench.appended(&store, LogPosition::ROOT, &groups[..2])?;
    let ids: Vec<_> = groups.iter().map(Group::id).collect();
    let ends = [0, 1, 2, 3, 4].map(GlobalSeqNum);
    let view = bench.reader()?.view(&store, &ends, &ids)?;
    let hash = |count: usize| Some(after(LogPosition::ROOT, &groups[..count]).hash);
    same("the head", &view.head.0, &3)?;
    same("the hashes", &view.hashes, &vec![hash(0), hash(1), None, hash(2), None])?;
    let position =
        |at: usize, first: u64| GroupPosition { id: ids[at], first: GlobalSeqNum(first) };
    same("the positions", &view.positions, &vec![position(0, 1), position(1, 2)])
}

fn readers(bench: &mut Bench<'_>) -> Case {
    let (store, client) = bench.names();
    let groups = bench.groups(&client, &[1; 30]);
    let mut before = bench.reader()?;
    let mut at = LogPosition::ROOT;
    for (number, group) in groups.iter().enumerate() {
        bench.appended(&store, at, std::slice::from_ref(group))?;
        at = after(at, std::slice::from_ref(group));
        same("what a reader sees", &log(&mut *before, &store)?, &groups[..=number].to_vec())?;
    }
    // On another thread, while there is more to be written.
    let (reader, theirs) = (bench.reader()?, store.clone());
    let reading = std::thread::spawn(move || {
        let mut reader = reader;
        (0..50).try_for_each(|_| log(&mut *reader, &theirs).map(drop))
    });
    for _ in 0..50 {
        let more = bench.groups(&client, &[2]);
        bench.appended(&store, at, &more)?;
        at = after(at, &more);
    }
    reading.join().unwrap_or_else(|_| failed("a reader panicked"))
}

fn apart(bench: &mut Bench<'_>) -> Case {
    let ((one, client), (other, _)) = (bench.names(), bench.names());
    let groups = bench.groups(&client, &[1, 2]);
    bench.appended(&one, LogPosition::ROOT, &groups[..1])?;
    bench.appended(&other, LogPosition::ROOT, &groups)?;
    same("one log", &bench.log(&one)?, &groups[..1].to_vec())?;
    same("the other", &bench.log(&other)?, &groups)
}

fn rules(bench: &mut Bench<'_>) -> Case {
    let (store, client) = bench.names();
    let (good, bad) = (
        bench.groups(&client, &[1]),
        bench.maker.group_of(&client, &[json!("please refuse this")]),
    );
    let both = [good[0].clone(), bad.clone()];
    let rules: Arc<dyn Rules> = Arc::new(Refusing);
    let refused = AppendOutcome::Refused { group: bad.id(), refusal: Refusal::new("no") };
    let mut append = |base: u64, groups: &[Group]| {
        one(bench.storage.append(&[request(&store, base, groups)], &*rules)?)
    };
    same("of one that is refused", &append(0, &both)?, &refused)?;
    let first = GlobalSeqNum(1);
    let end = after(LogPosition::ROOT, &good);
    same("of a good one", &append(0, &good)?, &AppendOutcome::Appended { first, end })?;
    let late = AppendOutcome::ServerAhead { head: GlobalSeqNum(1) };
    same("of one that is late", &append(0, &[bad])?, &late)?;
    same("the log", &bench.log(&store)?, &good)
}

fn restart(
    maker: &mut Maker,
    mut open: impl FnMut() -> Result<Box<dyn LogStorage>, StorageError>,
) -> Case {
    let mut storage = open()?;
    let mut bench = Bench { storage: &mut *storage, maker };
    let (store, client) = bench.names();
    let groups = bench.groups(&client, &[2, 1]);
    bench.appended(&store, LogPosition::ROOT, &groups[..1])?;
    let id = storage.backend_id();
    drop(storage);
    let mut storage = open()?;
    same("the backend's id", &storage.backend_id(), &id)?;
    let mut bench = Bench { storage: &mut *storage, maker };
    same("the log", &bench.log(&store)?, &groups[..1].to_vec())?;
    bench.appended(&store, after(LogPosition::ROOT, &groups[..1]), &groups[1..])?;
    same("the log", &bench.log(&store)?, &groups)
}
