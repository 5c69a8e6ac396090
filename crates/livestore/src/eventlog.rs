//! Reading the log from outside.

use std::collections::VecDeque;
use std::sync::Weak;

use livestore_core::{
    CanonicalJson, ClientId, EventId, EventName, GlobalSeqNum, GroupId, SeqNum, SessionId,
};
use livestore_sqlite::{Connection, SqliteError};
use serde::Serialize;

use crate::QueryError;
use crate::replica::format::Meta;
use crate::replica::log::{self, LogRow};
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
    fn new(row: LogRow, seq: SeqNum, confirmed: bool) -> Self {
        let LogRow { event, group_id, client_id, session_id, .. } = row;
        let livestore_core::Event { id, name, args } = event;
        Self { seq, confirmed, id, group_id, name, args, client_id, session_id }
    }

    pub(crate) fn place(&self) -> Place {
        (self.seq.global, self.seq.client)
    }
}

/// A place in the log: a position, and how many client-only events behind it.
pub(crate) type Place = (GlobalSeqNum, u32);

/// Reads the next stretch of the log up to the state's head: a page of confirmed events, or, if
/// there are no more, those and the whole pending tail.
///
/// The tail comes in one piece with the end of the confirmed log, since what is pending now may
/// be confirmed elsewhere a moment later. Returns whether that was the end.
pub(crate) fn next_page(
    connection: &Connection,
    after: Place,
    meta: &Meta,
) -> Result<(Vec<LoggedEvent>, bool), SqliteError> {
    let rows = log::rows(connection, after, meta.state_head, PAGE, &meta.client_id)?;
    let at_end = rows.is_empty();
    let confirmed = rows.into_iter().map(|row| {
        let seq = SeqNum { global: GlobalSeqNum(row.at), client: row.client, generation: 0 };
        LoggedEvent::new(row, seq, true)
    });
    let mut events: Vec<_> = confirmed.collect();
    if at_end {
        let next = log::next_client_only(connection, meta.state_head)?;
        let mut seq = SeqNum { global: next.seq, client: next.client - 1, generation: 0 };
        for row in log::pending_rows(connection, &meta.client_id)? {
            (seq, _) = seq.next_pair(row.client > 0, meta.generation);
            events.push(LoggedEvent::new(row, seq, false));
        }
    }
    Ok((events, at_end))
}

/// Walks over the log; ends at its end.
#[derive(Debug)]
pub struct Events {
    store: Weak<Inner>,
    after: Place,
    page: VecDeque<LoggedEvent>,
    at_end: bool,
}

impl Events {
    pub(crate) fn new(store: Weak<Inner>) -> Self {
        Self { store, after: (GlobalSeqNum::ROOT, 0), page: VecDeque::new(), at_end: false }
    }

    /// Starts after a confirmed position instead of at the beginning.
    #[must_use]
    pub fn since(mut self, after: GlobalSeqNum) -> Self {
        self.after = (after, 0);
        self
    }

    fn load(&mut self) -> Result<(), QueryError> {
        let (page, at_end) = upgrade(&self.store)?
            .read(|replica| next_page(replica.connection(), self.after, replica.meta()))??;
        let last = page.iter().rev().find(|event| event.confirmed);
        self.after = last.map_or(self.after, LoggedEvent::place);
        (self.page, self.at_end) = (page.into(), at_end);
        Ok(())
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
