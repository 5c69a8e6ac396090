//! Reading the log from outside.

use std::collections::VecDeque;
use std::sync::Weak;

use livestore_core::{
    CanonicalJson, ClientId, EventId, EventName, GlobalSeqNum, GroupId, SeqNum, SessionId,
};
use livestore_sqlite::{Connection, SqliteError};
use serde::Serialize;

use crate::QueryError;
use crate::replica::eventlog::{ALL, LogRow, confirmed_rows, pending_rows};
use crate::store::{Inner, upgrade};

/// Events that are read from the log at a time.
const PAGE: usize = 256;

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedEvent {
    /// Its position; that of a pending event is provisional.
    pub seq: SeqNum,
    /// True if the backend has ordered it.
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
}

/// Reads the next stretch of the log: a page of confirmed events, or, if there are no more,
/// those and the whole pending tail.
///
/// The tail comes in one piece with the end of the confirmed log, since what is pending now may
/// be confirmed elsewhere a moment later. Returns whether that was the end.
pub(crate) fn next_page(
    connection: &Connection,
    after: GlobalSeqNum,
    generation: u32,
    client_id: &ClientId,
) -> Result<(Vec<LoggedEvent>, bool), SqliteError> {
    let rows = confirmed_rows(connection, after, PAGE)?;
    let at_end = rows.len() < PAGE;
    let head = rows.last().map_or(after, |row| GlobalSeqNum(row.at));
    let confirmed = rows.into_iter().map(|row| {
        let seq = SeqNum::confirmed(GlobalSeqNum(row.at));
        LoggedEvent::new(row, seq, true)
    });
    let mut events: Vec<_> = confirmed.collect();
    if at_end {
        let pending = pending_rows(connection, 0, ALL, client_id)?;
        let mut seq = SeqNum::confirmed(head);
        for row in pending {
            (seq, _) = seq.next_pair(false, generation);
            events.push(LoggedEvent::new(row, seq, false));
        }
    }
    Ok((events, at_end))
}

/// Walks over the log; ends at its end.
#[derive(Debug)]
pub struct Events {
    store: Weak<Inner>,
    after: GlobalSeqNum,
    page: VecDeque<LoggedEvent>,
    at_end: bool,
}

impl Events {
    pub(crate) fn new(store: Weak<Inner>) -> Self {
        Self { store, after: GlobalSeqNum::ROOT, page: VecDeque::new(), at_end: false }
    }

    /// Starts after a confirmed position instead of at the beginning.
    #[must_use]
    pub fn since(mut self, after: GlobalSeqNum) -> Self {
        self.after = after;
        self
    }

    fn load(&mut self) -> Result<(), QueryError> {
        let (page, at_end) = upgrade(&self.store)?.read(|replica| {
            let generation = replica.status().local_head.generation;
            next_page(replica.connection(), self.after, generation, replica.client_id())
        })??;
        let last = page.iter().rev().find(|event| event.confirmed);
        self.after = last.map_or(self.after, |event| event.seq.global);
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
