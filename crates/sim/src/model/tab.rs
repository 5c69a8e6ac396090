//! What a session that follows a leader must be: what that showed at some moment, and on top of it
//! what was committed here and is not known to be there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use livestore::Fate;
use livestore_core::GroupId;

use super::app::{App, Lamps, Version};
use super::{Author, Known};
use crate::workload::Fact;

/// What one leader has told its sessions, as long as it runs.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// The state after its advances, by their numbers, and how many groups are left out of it. Those
    /// between which nobody looked are missing.
    pub(crate) shown: BTreeMap<u64, Rc<(App, u64)>>,
    /// With which advance it took each group of a session.
    pub(crate) taken: HashMap<GroupId, u64>,
    /// The newest advance.
    pub(crate) number: u64,
}

impl Feed {
    /// How many moments are remembered.
    const MOMENTS: usize = 400;

    /// Remembers what the leader shows after an advance.
    pub(crate) fn show(&mut self, number: u64, state: (App, u64)) {
        self.number = number;
        self.shown.insert(number, Rc::new(state));
        while self.shown.len() > Self::MOMENTS {
            self.shown.pop_first();
        }
    }
}

/// A group that was committed in a session.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) known: Rc<Known>,
    /// What it was when it was committed; nothing else happens to it here.
    pub(crate) facts: Vec<Fact>,
}

/// A commit of a session that is handed over.
#[derive(Debug, Clone)]
pub(crate) struct Taking {
    /// The last advance that the session had seen.
    pub(crate) seen: u64,
    /// Its groups.
    pub(crate) groups: Vec<Rc<Known>>,
    /// The dead letter that goes with it.
    pub(crate) forgets: Option<GroupId>,
}

/// A commit of which its author waits to hear.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// Its place in the session.
    pub(crate) ordinal: i64,
    pub(crate) known: Rc<Known>,
    /// Somebody wants to know when it is safe from a power cut.
    pub(crate) full: bool,
}

/// The reference for one session.
#[derive(Debug)]
pub(crate) struct TabModel {
    pub(crate) author: Author,
    pub(crate) version: Version,
    /// What it has committed and does not know to be the leader's, in order.
    pub(crate) own: Vec<Own>,
    /// Commits that are not known to be safe.
    pub(crate) waiting: Vec<Waiting>,
    /// What it has committed, ever.
    pub(crate) committed: Vec<Rc<Known>>,
    /// What it was told of its own groups, last.
    pub(crate) told: HashMap<GroupId, Fate>,
    /// What only it shows, unless that is not known any more.
    pub(crate) lamps: Option<Lamps>,
}

impl TabModel {
    pub(crate) fn new(author: Author, version: Version) -> Self {
        Self {
            author,
            version,
            own: Vec::new(),
            waiting: Vec::new(),
            committed: Vec::new(),
            told: HashMap::new(),
            lamps: Some(Lamps::new()),
        }
    }

    /// It has followed its leader up to an advance: what that has taken is its own no more.
    pub(crate) fn followed(&mut self, feed: &Feed, seen: u64) {
        self.own.retain(|own| feed.taken.get(&own.known.id).is_none_or(|taken| *taken > seen));
    }

    /// It begins anew with the rows of a leader which has these groups.
    pub(crate) fn begins_anew(&mut self, has: &HashSet<GroupId>) {
        self.own.retain(|own| !has.contains(&own.known.id));
    }

    /// Returns the state that it shows after an advance of its leader, and how many groups are left
    /// out of it; nothing if nobody looked at the leader then.
    pub(crate) fn state(&self, feed: &Feed, seen: u64) -> Option<(App, u64)> {
        let (mut app, mut left_out) = (**feed.shown.get(&seen)?).clone();
        for Own { known, facts } in &self.own {
            left_out += u64::from(app.apply_whole(facts, known.author, self.version).is_err());
        }
        Some((app, left_out))
    }
}
