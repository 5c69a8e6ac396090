//! What a backend is able to do, as its provider says.

use livestore_core::{Event, Group};

use crate::CommitError;

/// What a backend is able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether it keeps the ids of groups, and takes each group once.
    ///
    /// If it does not, the store writes down what it pushes, and at which position, before it does:
    /// what the backend has taken is recognized by that.
    pub keeps_ids: bool,
    /// Whether a client that is too late again and again gets a turn of its own, so that its pushes come
    /// through however much others write.
    pub gives_turns: bool,
    /// The most that one push may hold. A commit that does not fit is refused.
    pub push: PushLimits,
}

/// The most that one push may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushLimits {
    /// Events.
    pub events: usize,
    /// Bytes: of payloads and names, and [`Self::event_overhead`] for each event.
    pub bytes: usize,
    /// Bytes that each event has besides.
    pub event_overhead: usize,
}

impl Capabilities {
    /// Those of our own server, which takes every group that there can be.
    pub const OURS: Self = Self { keeps_ids: true, gives_turns: true, push: PushLimits::NONE };

    /// Those of a backend that knows neither ids nor turns.
    pub const fn without_ids(push: PushLimits) -> Self {
        Self { keeps_ids: false, gives_turns: false, push }
    }
}

impl PushLimits {
    /// Everything fits.
    pub const NONE: Self = Self { events: usize::MAX, bytes: usize::MAX, event_overhead: 0 };

    /// Sets each of them.
    pub const fn new(events: usize, bytes: usize, event_overhead: usize) -> Self {
        Self { events, bytes, event_overhead }
    }

    fn weigh(&self, group: &Group) -> (usize, usize) {
        let event = |event: &Event| {
            event.args.as_str().len() + event.name.as_str().len() + self.event_overhead
        };
        (group.events().len(), group.events().iter().map(event).sum())
    }

    fn has_room_for(&self, (events, bytes): (usize, usize)) -> bool {
        events <= self.events && bytes <= self.bytes
    }

    /// Tells whether a group fits one push.
    pub fn fits(&self, group: &Group) -> bool {
        self.has_room_for(self.weigh(group))
    }

    /// Cuts events into parts that fit one push each, as far as that can be.
    pub(super) fn parts(&self, events: Vec<Event>) -> Vec<Vec<Event>> {
        let (mut parts, mut bytes) = (vec![Vec::new()], 0);
        for event in events {
            let size = event.args.as_str().len() + event.name.as_str().len() + self.event_overhead;
            let last = parts.last().map_or(0, Vec::len);
            if last > 0 && !self.has_room_for((last + 1, bytes + size)) {
                parts.push(Vec::new());
                bytes = 0;
            }
            bytes += size;
            if let Some(part) = parts.last_mut() {
                part.push(event);
            }
        }
        parts
    }

    /// Checks that a group fits one push.
    pub(super) fn check(&self, group: &Group) -> Result<(), CommitError> {
        if self.fits(group) {
            return Ok(());
        }
        let (events, bytes) = self.weigh(group);
        Err(CommitError::GroupTooLarge { events, bytes, limits: *self })
    }

    /// Counts the first groups that fit one push together; at least one, if there are any.
    pub fn fitting<'a>(&self, groups: impl Iterator<Item = &'a Group>) -> usize {
        let mut total = (0, 0);
        let fits = |group: &&Group| {
            let (events, bytes) = self.weigh(group);
            total = (total.0 + events, total.1 + bytes);
            total.0 == events || self.has_room_for(total)
        };
        groups.take_while(fits).count()
    }
}
