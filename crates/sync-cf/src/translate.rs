//! Between a log of events without ids and one of groups with ids: pure, without I/O.
//!
//! An event that comes from the backend is one of ours if it stands where a push of ours tried to put it
//! and is the same, author and payload included. Any other becomes a group of its own.

use std::collections::VecDeque;

use livestore::protocol::Page;
use livestore_cf_protocol::{CfEvent, EventError, PageInfo, PullResponse, Stamped, events_of};
use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group, LogPosition};

/// Why what comes from a backend makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Nonsense {
    /// More events are missing than can have been lost by mistake.
    #[error("its log goes on at {found}, where {expected} was expected")]
    Gap { expected: u64, found: u64 },
    /// Another backend answers than before.
    #[error("another backend answers than before")]
    OtherBackend,
    /// An event is not fit for a log of ours.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Not all events of a push of ours are there.
    #[error(
        "it has taken the first {taken} of the {all} events of a commit and not the others, at {at}; that \
         cannot be mended from here"
    )]
    Torn { taken: usize, all: usize, at: u64 },
}

/// Most events that a log may miss in one place.
const MAX_HOLE: u64 = 10_000;

/// What came of some events of a backend.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The groups that they complete.
    pub(crate) groups: Vec<ConfirmedGroup>,
    /// The position of the first event that was not taken, since others are missing before it.
    pub(crate) gap: Option<u64>,
}

/// A reader of a backend's log, who knows what may come of its own.
#[derive(Debug)]
pub(crate) struct Translator {
    /// What the backend calls itself.
    pub(crate) backend: String,
    /// Up to where everything was handed over.
    position: LogPosition,
    /// The end of the backend's log, as far as it is known.
    head: GlobalSeqNum,
    /// Groups of ours that may be at the position, one behind the other.
    expected: VecDeque<Group>,
    /// How many events of the first of them were there.
    matched: usize,
    /// The end of the last one that was there.
    own_end: LogPosition,
}

impl Translator {
    pub(crate) fn new(backend: String, position: LogPosition) -> Self {
        let (head, expected) = (position.seq, VecDeque::new());
        Self { backend, position, head, expected, matched: 0, own_end: LogPosition::ROOT }
    }

    pub(crate) fn position(&self) -> LogPosition {
        self.position
    }

    /// Returns the end of the log, as far as it is known: never less than what was taken.
    pub(crate) fn head(&self) -> GlobalSeqNum {
        self.head.max(self.position.seq)
    }

    /// Returns the position of the next event that has not come.
    pub(crate) fn next(&self) -> u64 {
        self.position.seq.0 + self.matched as u64 + 1
    }

    /// Tells whether groups of ours may be what comes next.
    pub(crate) fn is_expecting(&self) -> bool {
        !self.expected.is_empty()
    }

    /// Says which groups of ours may come next: those that were pushed on top of the position.
    pub(crate) fn expect(&mut self, groups: impl IntoIterator<Item = Group>) {
        self.expected = groups.into_iter().collect();
        self.matched = 0;
    }

    /// Tells whether groups of ours were there up to a position.
    pub(crate) fn has_taken(&self, end: LogPosition) -> bool {
        self.own_end == end
    }

    /// Takes note that the backend has taken a push, up to a position.
    pub(crate) fn pushed(&mut self, end: LogPosition) {
        if self.position.seq < end.seq {
            self.position = end;
            self.expect([]);
        }
        self.head = self.head.max(end.seq);
    }

    /// Takes events of the backend, up to where some are missing.
    pub(crate) fn take(&mut self, response: PullResponse) -> Result<Taken, Nonsense> {
        let PullResponse { batch, page_info, backend_id } = response;
        if backend_id != self.backend {
            return Err(Nonsense::OtherBackend);
        }
        let last = batch.last().map(|last| last.event_encoded.seq_num);
        let mut taken = Taken::default();
        for stamped in batch {
            let found = stamped.event_encoded.seq_num;
            if found > self.next() {
                taken.gap = Some(found);
                break;
            }
            taken.groups.extend(self.take_event(stamped)?);
        }
        let remaining = match page_info {
            PageInfo::MoreKnown { remaining } => remaining,
            PageInfo::NoMore | PageInfo::MoreUnknown => 0,
        };
        // Of what lies behind a gap, the place is known, and not whether it is near the end.
        let remaining = if taken.gap.is_some() { 0 } else { remaining };
        let end = last.unwrap_or(self.next() - 1).saturating_add(remaining);
        if end <= self.next().saturating_add(MAX_HOLE) || taken.gap.is_none() {
            self.head = self.head.max(GlobalSeqNum(end).min(GlobalSeqNum::MAX));
        }
        if page_info == PageInfo::NoMore && self.matched > 0 && taken.gap.is_none() {
            // A backend takes a push as a whole, and has nothing more.
            let all = self.expected.front().map_or(0, |group| group.events().len());
            return Err(Nonsense::Torn { taken: self.matched, all, at: self.next() - 1 });
        }
        Ok(taken)
    }

    /// Takes note that the backend has nothing up to a position, and returns what stands for it.
    pub(crate) fn skip_to(&mut self, found: u64) -> Result<Vec<ConfirmedGroup>, Nonsense> {
        let expected = self.next();
        if found.saturating_sub(expected) > MAX_HOLE {
            return Err(Nonsense::Gap { expected, found });
        }
        let missing = (expected..found).map(|seq| {
            let event_encoded = CfEvent::missing(seq);
            self.take_event(Stamped { event_encoded, metadata: None })
        });
        missing.filter_map(Result::transpose).collect()
    }

    fn take_event(&mut self, stamped: Stamped) -> Result<Option<ConfirmedGroup>, Nonsense> {
        let (expected, found) = (self.next(), stamped.event_encoded.seq_num);
        if found < expected {
            // It was handed over before.
            return Ok(None);
        }
        if found > GlobalSeqNum::MAX.0 {
            return Err(Nonsense::Gap { expected, found });
        }
        let event = &stamped.event_encoded;
        if let Some(own) = self.expected.front() {
            if event.is(&own.events()[self.matched], own) {
                self.matched += 1;
                if self.matched < own.events().len() {
                    return Ok(None);
                }
                self.matched = 0;
                let own = self.expected.pop_front().map(|own| self.append(own));
                self.own_end = self.position;
                return Ok(own);
            }
            if self.matched > 0 {
                let (taken, all) = (self.matched, own.events().len());
                return Err(Nonsense::Torn { taken, all, at: found });
            }
            // Somebody else was quicker, so none of ours is there any more.
            self.expected.clear();
        }
        let group = stamped.into_group(&self.backend)?;
        Ok(Some(self.append(group)))
    }

    fn append(&mut self, group: Group) -> ConfirmedGroup {
        let first = self.position.seq.next();
        let confirmed = ConfirmedGroup { first, group };
        let hash = self.position.hash.extend(confirmed.group.content_hash());
        self.position = LogPosition { seq: confirmed.last(), hash };
        confirmed
    }

    /// Makes a page of groups that [`Self::take`] has returned last; nothing if there are none.
    pub(crate) fn page(&self, groups: Vec<ConfirmedGroup>) -> Option<Page> {
        let head = self.head();
        (!groups.is_empty()).then_some(Page { groups, end: self.position, head })
    }
}

/// Returns the end of groups that are pushed on top of a position, and their events.
pub(crate) fn continued(base: LogPosition, groups: &[Group]) -> (LogPosition, Vec<CfEvent>) {
    let (mut end, mut events) = (base, Vec::new());
    for group in groups {
        let confirmed = ConfirmedGroup { first: end.seq.next(), group: group.clone() };
        events.extend(events_of(&confirmed));
        end = LogPosition { seq: confirmed.last(), hash: end.hash.extend(group.content_hash()) };
    }
    (end, events)
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
