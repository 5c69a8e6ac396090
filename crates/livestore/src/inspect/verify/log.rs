//! The confirmed log: without gaps, in whole groups, and leading to its hashes.

use livestore_core::limits::MAX_GROUP_EVENTS;
use livestore_core::{
    ClientId, Event, GlobalSeqNum, Group, GroupId, LogHash, LogPosition, SessionId,
};
use livestore_sqlite::{Value, params};

use super::{Check, Checker, VerifyError, flaw_of_group, group_name, key};
use crate::inspect::rows::{ConfirmedRow, Flaw, MetaRow};

/// A group whose rows are coming in.
struct Open {
    first: GlobalSeqNum,
    id: GroupId,
    client_id: ClientId,
    session_id: SessionId,
    events: Vec<Event>,
    /// True if some of its rows make no sense, so that its hash cannot be expected to fit.
    is_broken: bool,
}

/// Where the reading of the log stands.
#[derive(Default)]
struct Reading {
    at: Option<GlobalSeqNum>,
    /// The log's hash before the open group; none if it cannot be known.
    hash: Option<LogHash>,
    open: Option<Open>,
    end: Option<LogPosition>,
}

impl Checker<'_> {
    /// Checks the log row by row; returns the end of its last group.
    pub(super) fn check_log(&mut self) -> Result<Option<LogPosition>, VerifyError> {
        let mut reading = Reading::default();
        self.each_row(Check::Log, "seq", |this, values, row| {
            let seq = match values.first() {
                Some(Value::Integer(seq)) => u64::try_from(*seq).ok().filter(|seq| *seq > 0),
                _ => None,
            };
            match seq {
                Some(seq) => this.check_log_row(&mut reading, GlobalSeqNum(seq), row),
                None => this.add(Check::Log, key(&values[..1]), "no event can stand there"),
            }
        })?;
        if let Some(open) = &reading.open {
            let what = format!("group {} has no end: the log hash is missing", open.id);
            self.add(Check::Log, open.first.to_string(), what);
        }
        self.report.counted.last = reading.at;
        let twice = "SELECT group_id, min(seq), max(seq) FROM __livestore_eventlog \
                     WHERE log_hash IS NOT NULL GROUP BY group_id HAVING count(*) > 1";
        self.find(Check::Log, "the log", twice, [], |row| {
            let (first, second): (i64, i64) = (row.get(1)?, row.get(2)?);
            let id = group_name(row.get_ref(0)?);
            Ok((format!("e{second}"), format!("group {id} stands at e{first} already")))
        })?;
        Ok(reading.end)
    }

    fn check_log_row(
        &mut self,
        reading: &mut Reading,
        seq: GlobalSeqNum,
        row: Result<ConfirmedRow, Flaw>,
    ) {
        self.report.counted.confirmed_events += 1;
        match reading.at {
            None => {
                // A log may begin with any position; before the first, its hash is not known.
                reading.hash = (seq == GlobalSeqNum(1)).then_some(LogHash::EMPTY);
                self.report.counted.first = Some(seq);
            }
            Some(at) if seq != at.next() => {
                let last = GlobalSeqNum(seq.0 - 1);
                let what = if last == at.next() {
                    "the event is missing"
                } else {
                    "the events are missing"
                };
                self.add(Check::Log, stretch(at.next(), last), what);
                (reading.open, reading.hash) = (None, None);
            }
            Some(_) => {}
        }
        reading.at = Some(seq);
        let row = match row {
            Ok(row) => row,
            Err(flaw) => {
                self.add(Check::Log, seq.to_string(), flaw.to_string());
                match &mut reading.open {
                    Some(open) => open.is_broken = true,
                    None => reading.hash = None,
                }
                return;
            }
        };
        self.continue_group(reading, row);
    }

    fn continue_group(&mut self, reading: &mut Reading, row: ConfirmedRow) {
        let ConfirmedRow { seq, event, group_id, client_id, session_id, log_hash, .. } = row;
        if let Some(open) = reading.open.take_if(|open| open.id != group_id) {
            let what = format!("group {} has no end: the log hash is missing", open.id);
            self.add(Check::Log, open.first.to_string(), what);
            reading.hash = None;
        }
        let is_first = reading.open.is_none();
        let open = reading.open.get_or_insert_with(|| Open {
            first: seq,
            id: group_id,
            client_id: client_id.clone(),
            session_id: session_id.clone(),
            events: Vec::new(),
            is_broken: false,
        });
        if !is_first && (open.client_id != client_id || open.session_id != session_id) {
            let what = format!("the events of group {group_id} have different authors");
            open.is_broken = true;
            self.add(Check::Log, seq.to_string(), what);
        }
        // A group that never ends must not fill the memory; that it is too large shows below.
        if open.events.len() <= MAX_GROUP_EVENTS {
            open.events.push(event);
        }
        let Some(log_hash) = log_hash else { return };
        if let Some(open) = reading.open.take() {
            self.report.counted.confirmed_groups += 1;
            let Open { first, id, client_id, session_id, events, is_broken } = open;
            let group = Group::new(id, client_id, session_id, events);
            if let Some(flaw) = flaw_of_group(&group) {
                self.add(Check::Log, stretch(first, seq), flaw);
            }
            let content = group.map(|group| group.content_hash());
            if let (Some(before), Ok(content), false) = (reading.hash, content, is_broken)
                && before.extend(content) != log_hash
            {
                let what = format!("the content of group {id} does not lead to its log hash");
                self.add(Check::Log, stretch(first, seq), what);
            }
        }
        reading.hash = Some(log_hash);
        reading.end = Some(LogPosition { seq, hash: log_hash });
    }

    /// Finds groups that are in the state by way of the log, and are to be brought there again.
    pub(super) fn check_not_both(&mut self, meta: &MetaRow) -> Result<(), VerifyError> {
        let sql = "SELECT own.ordinal, own.group_id, log.seq FROM __livestore_pending AS own \
                   JOIN __livestore_eventlog AS log ON log.group_id = own.group_id \
                   AND log.log_hash IS NOT NULL \
                   WHERE own.event_index = 0 AND log.seq <= ?";
        let up_to = params![meta.state_head.0 as i64];
        self.find(Check::Pending, "the tail", sql, up_to, |row| {
            let (ordinal, seq): (i64, i64) = (row.get(0)?, row.get(2)?);
            let id = group_name(row.get_ref(1)?);
            let what = format!("group {id} is pending, but confirmed at e{seq} already");
            Ok((format!("ordinal {ordinal}"), what))
        })
    }
}

/// Writes a stretch of positions.
pub(super) fn stretch(first: GlobalSeqNum, last: GlobalSeqNum) -> String {
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}
