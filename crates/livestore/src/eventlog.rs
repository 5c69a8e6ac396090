//! Reading the log from outside.

use std::collections::{HashSet, VecDeque};
use std::sync::Weak;

use livestore_core::{
    CanonicalJson, ClientId, EventId, EventName, GlobalSeqNum, GroupId, SeqNum, SessionId,
};
use livestore_sqlite::{Connection, SqliteError};
use serde::Serialize;

use crate::QueryError;
use crate::replica::format::Meta;
use crate::replica::log::{self, LogRow};
use crate::session::LeaderFile;
use crate::store::{Inner, upgrade};

/// Events that are read from the log at a time.
const PAGE: usize = 256;

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedEvent {
    /// Its position; that of a pending event is provisional.
    pub seq: SeqNum,
    /// True if its place is final: the backend has ordered it, or, if it is client-only, all that
    /// comes before it.
    pub confirmed: bool,
    /// Its id.
    pub id: EventId,
    /// The group that it was committed in.
    pub group_id: GroupId,
    /// Its name.
    pub name: EventName,
    /// Its payload.
    pub args: CanonicalJson,
    /// The client that committed it.
    pub client_id: ClientId,
    /// The session that committed it.
    pub session_id: SessionId,
}

impl LoggedEvent {
    /// Makes one of a row of the confirmed log.
    pub(crate) fn confirmed(row: LogRow) -> Self {
        let (global, client) = row.place();
        Self::new(row, SeqNum { global, client, generation: 0 }, true)
    }

    fn new(row: LogRow, seq: SeqNum, confirmed: bool) -> Self {
        let LogRow { event, group_id, client_id, session_id, .. } = row;
        let livestore_core::Event { id, name, args } = event;
        Self { seq, confirmed, id, group_id, name, args, client_id, session_id }
    }
}

/// A place in the log: a position, and how many client-only events behind it.
type Place = (GlobalSeqNum, u32);

/// How far the log has been listed.
///
/// First come the confirmed events, then the pending tail, each in pages. What was pending may be
/// confirmed before the next page is read; so each page begins with what has been confirmed
/// meanwhile, but for what was listed already. The tail ends where it ended when the
/// first page of it was read: whoever commits while listing comes to an end.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The last confirmed event that was read.
    after: Place,
    tail: Option<TailListing>,
}

/// How far the tail has been listed.
#[derive(Debug)]
struct TailListing {
    /// The last ordinal that was read.
    after: i64,
    up_to: i64,
    /// The events that were listed while they were pending.
    listed: HashSet<EventId>,
    /// The last position that was given out, as long as the log's end is where it was then.
    numbered: Option<(SeqNum, LogEnd)>,
}

/// What the numbers of pending events depend on: where the log ends, and how often the tail was
/// rebased.
type LogEnd = (GlobalSeqNum, u64, u32);

impl Listing {
    /// Begins behind a confirmed position.
    pub(crate) fn after(after: GlobalSeqNum) -> Self {
        Self { after: (after, 0), tail: None }
    }

    /// Reads the next page of the log up to the state's head, or of the tail; an empty one is the
    /// end.
    pub(crate) fn next_page(
        &mut self,
        connection: &Connection,
        meta: &Meta,
    ) -> Result<Vec<LoggedEvent>, SqliteError> {
        loop {
            let rows = log::rows(connection, self.after, meta.state_head, PAGE, &meta.client_id)?;
            let Some(last) = rows.last() else { break };
            self.after = last.place();
            let is_new =
                |row: &LogRow| self.tail.as_ref().is_none_or(|t| !t.listed.contains(&row.event.id));
            let page: Vec<_> =
                rows.into_iter().filter(is_new).map(LoggedEvent::confirmed).collect();
            if !page.is_empty() {
                return Ok(page);
            }
        }
        let tail = match &mut self.tail {
            Some(tail) => tail,
            None => self.tail.insert(TailListing {
                after: i64::MIN,
                up_to: log::last_ordinal(connection)?,
                listed: HashSet::new(),
                numbered: None,
            }),
        };
        tail.next_page(connection, meta)
    }
}

impl TailListing {
    fn next_page(
        &mut self,
        connection: &Connection,
        meta: &Meta,
    ) -> Result<Vec<LoggedEvent>, SqliteError> {
        let end = (meta.state_head, meta.rebases, meta.generation);
        let mut seq = match self.numbered {
            Some((seq, then)) if then == end => seq,
            _ => log::pending_seq(connection, meta, self.after)?,
        };
        let own = &meta.client_id;
        let rows = log::pending_rows(connection, self.after, self.up_to, PAGE, own)?;
        let mut page = Vec::with_capacity(rows.len());
        for (ordinal, row) in rows {
            self.after = ordinal;
            self.listed.insert(row.event.id);
            (seq, _) = seq.next_pair(row.client > 0, meta.generation);
            page.push(LoggedEvent::new(row, seq, false));
        }
        self.numbered = Some((seq, end));
        Ok(page)
    }
}

/// Walks over the log, confirmed events first and then pending ones; ends at its end.
///
/// It reads a page at a time. Each event comes once, whatever is confirmed meanwhile; what is committed
/// after the first pending event was read does not come.
#[derive(Debug)]
pub struct Events {
    store: Weak<Inner>,
    listing: Listing,
    /// The log is in the file of another session.
    elsewhere: Option<Elsewhere>,
    page: VecDeque<LoggedEvent>,
    at_end: bool,
}

/// A log that another session has, and what is not known to be in it.
#[derive(Debug)]
struct Elsewhere {
    file: LeaderFile,
    /// What was not handed over when the listing began.
    own: Vec<LogRow>,
    /// Those of it that the file had after all.
    listed: HashSet<EventId>,
    last: SeqNum,
}

impl Events {
    pub(crate) fn new(store: Weak<Inner>) -> Self {
        let listing = Listing::after(GlobalSeqNum::ROOT);
        Self { store, listing, elsewhere: None, page: VecDeque::new(), at_end: false }
    }

    /// Starts after a confirmed position instead of at the beginning.
    #[must_use]
    pub fn since(mut self, after: GlobalSeqNum) -> Self {
        self.listing = Listing::after(after);
        self
    }

    fn load(&mut self) -> Result<(), QueryError> {
        let store = upgrade(&self.store)?;
        let listing = &mut self.listing;
        let Some(file) = store.leader_file() else {
            let page =
                store.read(|replica| listing.next_page(replica.connection(), replica.meta()))??;
            self.at_end = page.is_empty();
            self.page = page.into();
            return Ok(());
        };
        let elsewhere = if let Some(elsewhere) = &mut self.elsewhere {
            elsewhere
        } else {
            // Before the file is read, so that nothing is missed that is handed over meanwhile.
            let own = store.read(crate::Replica::own_rows)??;
            let (file, listed) = (LeaderFile::open(file)?, HashSet::new());
            let last = SeqNum::confirmed(listing.after.0);
            self.elsewhere.insert(Elsewhere { file, own, listed, last })
        };
        self.page = elsewhere.next_page(listing)?.into();
        self.at_end = self.page.is_empty();
        Ok(())
    }
}

impl Elsewhere {
    fn next_page(&mut self, listing: &mut Listing) -> Result<Vec<LoggedEvent>, QueryError> {
        let page = self.file.next_page(listing)?;
        if let Some(last) = page.last() {
            self.last = last.seq;
            if !self.own.is_empty() {
                self.listed.extend(page.iter().map(|event| event.id));
            }
            return Ok(page);
        }
        let rows = std::mem::take(&mut self.own).into_iter();
        let rows = rows.filter(|row| !self.listed.contains(&row.event.id));
        let number = |row: LogRow| {
            (self.last, _) = self.last.next_pair(row.client > 0, self.last.generation);
            LoggedEvent::new(row, self.last, false)
        };
        Ok(rows.map(number).collect())
    }
}

impl Iterator for Events {
    type Item = Result<LoggedEvent, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty()
            && !self.at_end
            && let Err(error) = self.load()
        {
            self.at_end = true;
            return Some(Err(error));
        }
        self.page.pop_front().map(Ok)
    }
}
