//! The reference: what a backend's log, a client and the app's state have to be.
//!
//! It is written to be read, not to be fast, and shares no code with what it judges, except the
//! content hash of a group. A history is a list of groups ([`History`]). A client is the list of
//! groups that it committed, minus those in its log, minus its dead letters ([`ClientModel`]).
//! The state is a fold over both ([`app::App`]).

pub(crate) mod app;
mod client;
mod history;

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::rc::Rc;

use livestore::EventKind;
use livestore_core::{ContentHash, EventId, GroupId, LogPosition};

pub(crate) use client::{ClientModel, Moment, Settled};
pub(crate) use history::{Entry, History};

use crate::workload::Fact;

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

/// A group that was committed somewhere.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: GroupId,
    pub(crate) author: Author,
    pub(crate) facts: Vec<Fact>,
    /// The facts as they are in the log: name and payload.
    pub(crate) events: Vec<(&'static str, String)>,
    /// The ids of its events, as the first push tells them.
    pub(crate) event_ids: OnceCell<Vec<EventId>>,
    /// True if it never leaves its author.
    pub(crate) client_only: bool,
    /// Its place among the groups that its author ever committed.
    pub(crate) index: Cell<usize>,
    /// Its place in the order that its author has to keep: that of the commits, until histories that
    /// came back have put it into another one.
    pub(crate) rank: Cell<usize>,
    /// What the first push of it said that it is; every later one must say the same.
    pub(crate) content: Cell<Option<ContentHash>>,
    /// True while it is a dead letter of its author.
    pub(crate) is_rejected: Cell<bool>,
    /// True once a power cut has taken it from its author.
    pub(crate) is_lost: Cell<bool>,
}

impl Known {
    /// Returns how many of its events the backend is to have: all or none.
    pub(crate) fn synced_events(&self) -> u64 {
        if self.client_only { 0 } else { self.facts.len() as u64 }
    }

    /// Tells whether the backend refuses it.
    pub(crate) fn is_forbidden(&self) -> bool {
        !self.client_only && self.facts.iter().any(Fact::is_forbidden)
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

    /// The server is restored from a backup: the first groups of some history.
    pub(crate) fn restore(&mut self, history: usize, groups: usize) {
        self.forks.push(self.histories[history].fork(groups).common_with(self.current()));
        self.histories.push(self.histories[history].fork(groups));
    }

    /// Returns the newest history that has all these positions.
    pub(crate) fn newest_with(&self, positions: &[LogPosition]) -> Option<usize> {
        let has_all = |log: &History| positions.iter().all(|at| log.groups_up_to(*at).is_some());
        self.histories.iter().rposition(has_all)
    }

    /// Returns how many groups all histories have in common, if there was more than one.
    pub(crate) fn least_common(&self) -> usize {
        self.forks[1..].iter().copied().min().unwrap_or(usize::MAX)
    }

    /// Remembers a group that was committed.
    pub(crate) fn learn(&mut self, id: GroupId, author: Author, facts: Vec<Fact>) -> Rc<Known> {
        let client_only = facts.iter().any(|fact| fact.kind() != EventKind::Synced);
        let events = facts.iter().map(|fact| (fact.name(), fact.args())).collect();
        let known = Rc::new(Known {
            id,
            author,
            facts,
            events,
            event_ids: OnceCell::new(),
            client_only,
            index: 0.into(),
            rank: 0.into(),
            content: None.into(),
            is_rejected: false.into(),
            is_lost: false.into(),
        });
        self.known.insert(id, Rc::clone(&known));
        known
    }
}
