//! The reference backend: its log, and how it decides on a push.

use std::collections::HashSet;

use livestore::protocol::{
    Goodbye, GoodbyeReason, GroupPosition, Hello, Page, Push, Refusal, RejectReason, Welcome,
};
use livestore::{BackendId, GlobalSeqNum, GroupId};
use livestore_core::{ConfirmedGroup, Group, LogPosition};

/// The reference backend: one log, in memory. A clone is a backup of it.
#[derive(Debug, Clone)]
pub struct Backend {
    pub id: BackendId,
    /// Events at which a page is cut; a group is never cut.
    pub page_events: u64,
    /// Groups that the operator's rules forbid.
    pub refused: HashSet<GroupId>,
    /// True while it serves no store.
    pub is_down: bool,
    log: Vec<ConfirmedGroup>,
    /// Where the log stands after each group.
    ends: Vec<LogPosition>,
}

/// How a push is decided.
#[derive(Debug)]
pub enum Decision {
    Rejected(GroupId, RejectReason),
    Already(Vec<GroupPosition>),
    Ahead,
    Appended { first: GlobalSeqNum, end: LogPosition },
}

impl Backend {
    pub fn new(id: u8) -> Self {
        Self {
            id: BackendId::from_bytes([id; 16]),
            page_events: 100,
            refused: HashSet::new(),
            is_down: false,
            log: Vec::new(),
            ends: Vec::new(),
        }
    }

    pub fn log(&self) -> &[ConfirmedGroup] {
        &self.log
    }

    pub fn ids(&self) -> Vec<GroupId> {
        self.log.iter().map(|confirmed| confirmed.group.id()).collect()
    }

    pub fn end(&self) -> LogPosition {
        self.ends.last().copied().unwrap_or(LogPosition::ROOT)
    }

    /// Tells whether this is the end of a group here, under the same hash.
    pub fn has(&self, position: LogPosition) -> bool {
        position == LogPosition::ROOT || self.ends.contains(&position)
    }

    pub fn position_of(&self, id: GroupId) -> Option<GroupPosition> {
        let found = self.log.iter().find(|confirmed| confirmed.group.id() == id)?;
        Some(GroupPosition { id, first: found.first })
    }

    /// Appends a group, whoever made it.
    pub fn append(&mut self, group: Group) {
        let LogPosition { seq, hash } = self.end();
        let hash = hash.extend(group.content_hash());
        let confirmed = ConfirmedGroup { first: seq.next(), group };
        self.ends.push(LogPosition { seq: confirmed.last(), hash });
        self.log.push(confirmed);
    }

    /// Another backend, made from a backup of this one without its last groups.
    pub fn made_anew(&self, lost_groups: usize) -> Self {
        let mut anew = Self::new(self.id.as_bytes()[0].wrapping_add(1));
        anew.page_events = self.page_events;
        anew.refused.clone_from(&self.refused);
        let kept = self.log.len().saturating_sub(lost_groups);
        self.log[..kept].iter().for_each(|confirmed| anew.append(confirmed.group.clone()));
        anew
    }

    /// The groups after a position, cut at the first that reaches the limit.
    pub fn page_after(&self, after: GlobalSeqNum) -> Option<Page> {
        let from = self.log.iter().position(|confirmed| confirmed.first > after)?;
        let full = after.plus(self.page_events);
        let rest = &self.ends[from..];
        let count = rest.iter().position(|end| end.seq >= full).map_or(rest.len(), |at| at + 1);
        let groups = self.log[from..from + count].to_vec();
        Some(Page { groups, end: rest[count - 1], head: self.end().seq })
    }

    pub fn welcome(&self, hello: &Hello) -> Result<Welcome, Goodbye> {
        if let Some(cursor) = hello.cursor
            && (cursor.backend_id != self.id || !self.has(cursor.position))
        {
            let message = "the cursor is not on this log".into();
            return Err(Goodbye { reason: GoodbyeReason::HistoryDiverged, message });
        }
        let accepted = hello.attempted.iter().filter_map(|id| self.position_of(*id)).collect();
        Ok(Welcome { version: 1, backend_id: self.id, head: self.end().seq, accepted })
    }

    /// Decides on a push by the four rules, in their order.
    pub fn decide(&mut self, push: Push) -> Decision {
        for group in &push.groups {
            let known = self.log.iter().find(|confirmed| confirmed.group.id() == group.id());
            if known.is_some_and(|known| known.group != *group) {
                return Decision::Rejected(group.id(), RejectReason::EventIdConflict);
            }
            if self.refused.contains(&group.id()) {
                let message = "not on a Sunday";
                return Decision::Rejected(
                    group.id(),
                    RejectReason::Refused(Refusal::new(message)),
                );
            }
        }
        let known: Vec<_> = push.groups.iter().filter_map(|g| self.position_of(g.id())).collect();
        if !known.is_empty() {
            return Decision::Already(known);
        }
        if push.base != self.end().seq {
            return Decision::Ahead;
        }
        push.groups.into_iter().for_each(|group| self.append(group));
        Decision::Appended { first: push.base.next(), end: self.end() }
    }
}
