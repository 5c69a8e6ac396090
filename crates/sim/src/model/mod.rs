//! The reference: what a backend's log, a client and the app's state have to be.
//!
//! It is written to be read, not to be fast, and shares no code with what it judges, except the
//! content hash of a group. A history is a list of groups ([`History`]). A client is the list of
//! groups that it committed, minus those in its log, minus its dead letters ([`ClientModel`]).
//! The state is a fold over both ([`app::App`]). What a command's group contains is what the bank
//! makes of that ([`bank::Bank`]).

pub(crate) mod app;
pub(crate) mod bank;
mod client;
mod history;
mod tab;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use livestore::EventKind;
use livestore_core::{ContentHash, EventId, Group, GroupId, LogPosition};

pub(crate) use client::{ClientModel, Moment, Settled};
pub(crate) use history::{Entry, History};
pub(crate) use tab::{Feed, Own, TabModel, Taking, Waiting};

use crate::workload::{Fact, Intent};

/// Who commits: a client, in one of its openings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) client: u8,
    pub(crate) opening: u32,
}

impl Author {
    /// Returns the name under which a client commits.
    pub(crate) fn client_name(self) -> String {
        format!("client-{}", self.client)
    }

    /// Returns the name of the opening in which it commits.
    pub(crate) fn session_name(self) -> String {
        format!("opening-{}", self.opening)
    }
}

/// What a group contains at some time.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) facts: Vec<Fact>,
    /// The facts as they are in the log: name and payload.
    pub(crate) events: Vec<(&'static str, String)>,
    /// What the first push of it said that it is; every later one must say the same.
    pub(crate) hash: Cell<Option<ContentHash>>,
    /// The ids of its events, as the first push tells them.
    pub(crate) event_ids: OnceCell<Vec<EventId>>,
}

impl Content {
    fn new(facts: Vec<Fact>) -> Rc<Self> {
        let events = facts.iter().map(|fact| (fact.name(), fact.args())).collect();
        Rc::new(Self { facts, events, hash: None.into(), event_ids: OnceCell::new() })
    }
}

/// A group that was committed somewhere.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: GroupId,
    pub(crate) author: Author,
    /// The command that made it.
    intent: Option<Intent>,
    /// All that it ever contained; the first is what was committed.
    contents: RefCell<Vec<Rc<Content>>>,
    /// What it contains in its author's tail, or did when it left that.
    now: RefCell<Rc<Content>>,
    /// What its author takes for its first content.
    first: RefCell<Rc<Content>>,
    /// True once it was confirmed and then taken back: its command, if it has one, does not run again.
    pub(crate) is_fact: Cell<bool>,
    /// True once its author had it pending in a rebase.
    pub(crate) has_been_rebased: Cell<bool>,
    /// True while a power cut may take back what it contains now.
    pub(crate) is_unsafe: Cell<bool>,
    /// True if it never leaves its author.
    pub(crate) client_only: bool,
    /// Its place among the groups that its author ever committed.
    pub(crate) index: Cell<usize>,
    /// Its place in the order that its author has to keep: that of the commits, until histories that
    /// came back have put it into another one.
    pub(crate) rank: Cell<usize>,
    /// True while it is a dead letter of its author.
    pub(crate) is_rejected: Cell<bool>,
    /// True if it was committed in the place of a dead letter that was gone when its leader took it.
    pub(crate) is_late: Cell<bool>,
    /// True once a power cut has taken it from its author.
    pub(crate) is_lost: Cell<bool>,
    /// True once the backend's rules have refused it.
    pub(crate) was_refused: Cell<bool>,
    /// True once it was published anew with the log of somebody: it may have been refused before.
    pub(crate) was_republished: Cell<bool>,
}

impl Known {
    /// Returns what it contains now.
    pub(crate) fn content(&self) -> Rc<Content> {
        Rc::clone(&self.now.borrow())
    }

    /// Returns the content of these facts, if it ever was this group's.
    pub(crate) fn had(&self, facts: &[Fact]) -> Option<Rc<Content>> {
        self.contents.borrow().iter().find(|content| content.facts == facts).cloned()
    }

    /// It contains something else from now on.
    pub(crate) fn become_content(&self, facts: Vec<Fact>) {
        let content = self.had(&facts).unwrap_or_else(|| {
            let content = Content::new(facts);
            self.contents.borrow_mut().push(Rc::clone(&content));
            content
        });
        self.now.replace(content);
    }

    /// Tells whether a content is another one than what was committed, as far as its author knows.
    pub(crate) fn is_rewritten(&self, content: &Content) -> bool {
        self.first.borrow().facts != content.facts
    }

    /// Its author takes it for what is in the log: a dead letter does not tell what was committed.
    pub(crate) fn begin_as(&self, content: &Rc<Content>) {
        self.first.replace(Rc::clone(content));
        self.now.replace(Rc::clone(content));
    }

    /// Its author knows again what was committed.
    pub(crate) fn begin_as_committed(&self) {
        self.first.replace(Rc::clone(&self.contents.borrow()[0]));
    }

    /// Returns the command that makes its events, as long as it may make others.
    pub(crate) fn intent(&self) -> Option<&Intent> {
        self.intent.as_ref().filter(|_| !self.is_fact.get())
    }

    /// Returns the command that made it.
    pub(crate) fn command(&self) -> Option<&Intent> {
        self.intent.as_ref()
    }

    /// Tells whether it has a command that does not run again.
    pub(crate) fn is_made_no_more(&self) -> bool {
        self.intent.is_some() && self.is_fact.get()
    }

    /// Tells whether a rebase may change it.
    pub(crate) fn is_revisable(&self) -> bool {
        self.intent().is_some()
            || self.now.borrow().facts.iter().any(|fact| matches!(fact, Fact::Lent(_)))
    }

    /// Returns how many of its events the backend is to have: all or none.
    pub(crate) fn synced_events(&self) -> u64 {
        if self.client_only { 0 } else { self.now.borrow().facts.len() as u64 }
    }
}

/// Everything that was ever committed, and every history of the backend's log.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) known: HashMap<GroupId, Rc<Known>>,
    /// The last one is the one that the server has.
    pub(crate) histories: Vec<History>,
    /// With how many groups of the one before it each history began.
    forks: Vec<usize>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { known: HashMap::new(), histories: vec![History::default()], forks: vec![0] }
    }

    /// The history that the server has.
    pub(crate) fn current(&self) -> &History {
        self.histories.last().expect("there is always a history")
    }

    pub(crate) fn current_mut(&mut self) -> &mut History {
        self.histories.last_mut().expect("there is always a history")
    }

    /// The server's log is the first groups of some history: those of a backup, or none.
    pub(crate) fn restore(&mut self, history: usize, groups: usize) {
        self.forks.push(self.histories[history].fork(groups).common_with(self.current()));
        self.histories.push(self.histories[history].fork(groups));
    }

    /// Returns the newest history that has all these positions.
    pub(crate) fn newest_with(&self, positions: &[LogPosition]) -> Option<usize> {
        let has_all = |log: &History| positions.iter().all(|at| log.groups_up_to(*at).is_some());
        self.histories.iter().rposition(has_all)
    }

    /// Finds what a group is in a history that the backend has left.
    pub(crate) fn left_entry(&self, group: &Group) -> Option<&Entry> {
        let (_, left) = self.histories.split_last()?;
        let is_it = |entry: &&Entry| entry.content.hash.get() == Some(group.content_hash());
        let entries =
            left.iter().rev().filter_map(|log| Some(&log.entries()[log.find(group.id())?]));
        entries.into_iter().find(is_it)
    }

    /// Returns how many groups all histories have in common, if there was more than one.
    pub(crate) fn least_common(&self) -> usize {
        self.forks[1..].iter().copied().min().unwrap_or(usize::MAX)
    }

    /// Remembers a group that was committed.
    pub(crate) fn learn(
        &mut self,
        id: GroupId,
        author: Author,
        facts: Vec<Fact>,
        intent: Option<Intent>,
    ) -> Rc<Known> {
        let client_only = facts.iter().any(|fact| fact.kind() != EventKind::Synced);
        let content = Content::new(facts);
        let known = Rc::new(Known {
            id,
            author,
            intent,
            contents: vec![Rc::clone(&content)].into(),
            now: Rc::clone(&content).into(),
            first: content.into(),
            is_fact: false.into(),
            has_been_rebased: false.into(),
            is_unsafe: false.into(),
            client_only,
            index: 0.into(),
            rank: 0.into(),
            is_rejected: false.into(),
            is_late: false.into(),
            is_lost: false.into(),
            was_refused: false.into(),
            was_republished: false.into(),
        });
        self.known.insert(id, Rc::clone(&known));
        known
    }
}

/// Reads the events of a group; none if one of them is not the app's.
pub(crate) fn facts_of(group: &Group) -> Option<Vec<Fact>> {
    let events = group.events().iter();
    events.map(|event| Fact::read(event.name.as_str(), event.args.as_str())).collect()
}
