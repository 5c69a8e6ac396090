//! Finding out how much of a log a store and a backend have in common, where nothing but the events
//! themselves tells.

use std::collections::VecDeque;
use std::time::Duration;

use livestore::protocol::{Locate, Located};
use livestore::sync_provider::{Delivery, OwnLog};
use livestore_cf_protocol::{PageInfo, Stamped, backend_id_of};
use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group};
use tokio::time::Instant;

use crate::CfSync;
use crate::wire::{Heard, Outcome, Stop, Wire};

/// How often the store is told that this goes on.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// How far two logs are the same.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    backend: String,
    /// The last position up to which they are.
    common: GlobalSeqNum,
    /// The end of the backend's log.
    head: GlobalSeqNum,
}

impl Compared {
    /// Answers a question about positions.
    pub(crate) fn answer(&self, locate: &Locate) -> Located {
        let is_common = |seq: &GlobalSeqNum| *seq <= self.common;
        let asked = locate.positions.iter().map(|position| position.seq);
        let common = asked.filter(is_common).max().unwrap_or(GlobalSeqNum::ROOT);
        Located { backend_id: backend_id_of(&self.backend), common, head: self.head }
    }
}

/// The store's own log, read on along with the other one.
struct Own<'a> {
    log: &'a dyn OwnLog,
    ahead: VecDeque<ConfirmedGroup>,
    /// How many events of the first group were compared.
    compared: usize,
    /// Up to where everything is the same.
    common: GlobalSeqNum,
}

/// How an event of the backend goes together with what comes next here.
enum Next {
    /// It is the same.
    Same,
    /// It stands further on.
    Later,
    /// It is another one, in the same place.
    Other,
    /// There is nothing more here.
    End,
}

impl Own<'_> {
    /// Compares an event with the next one here.
    fn next(&mut self, stamped: &Stamped) -> Result<Next, livestore::QueryError> {
        let found = stamped.event_encoded.seq_num;
        loop {
            if self.ahead.is_empty() {
                self.ahead.extend(self.log.confirmed_after(self.common)?);
            }
            let Some(own) = self.ahead.front() else { return Ok(Next::End) };
            if is_hole(own) && own.last().0 < found {
                self.common = own.last();
                self.ahead.pop_front();
                continue;
            }
            let seq = own.first.0 + self.compared as u64;
            if found != seq {
                return Ok(if found > seq { Next::Later } else { Next::Same });
            }
            if !is_same(stamped, &own.group, self.compared) {
                return Ok(Next::Other);
            }
            self.compared += 1;
            if self.compared == own.group.events().len() {
                self.compared = 0;
                self.common = GlobalSeqNum(seq);
                self.ahead.pop_front();
            }
            return Ok(Next::Same);
        }
    }
}

/// Tells whether a group only stands where the backend has nothing.
pub(crate) fn is_hole(confirmed: &ConfirmedGroup) -> bool {
    confirmed.group.events().iter().all(livestore_core::Event::is_missing)
}

/// Tells whether an event of a backend is that of a group here.
pub(crate) fn is_same(stamped: &Stamped, group: &Group, index: usize) -> bool {
    let own = &group.events()[index];
    // What was pulled may have names that stand for others.
    stamped.event_encoded.is(own, group)
        || stamped.clone().into_group("").is_ok_and(|other| {
            other.client_id() == group.client_id()
                && other.session_id() == group.session_id()
                && other.events()[0].name == own.name
                && other.events()[0].args == own.args
        })
}

/// Reads the backend's log as long as it is the store's.
///
/// What comes further on than expected decides nothing: a backend sends news in between what it reads. So
/// a log that lacks something is read to its end.
pub(crate) async fn compare(
    sync: &CfSync,
    wire: &mut Wire,
    log: &dyn OwnLog,
    delivery: &Delivery,
) -> Result<Compared, Stop> {
    let failed = |reason: &str| sync.failed(reason);
    let mut own = Own { log, ahead: VecDeque::new(), compared: 0, common: GlobalSeqNum::ROOT };
    let (mut head, mut backend, mut told_at) = (0_u64, None, Instant::now());
    wire.pull(None, false).await?;
    'reading: loop {
        let response = match wire.answer(sync).await? {
            Heard::Pulled(response) => response,
            Heard::PullEnded(Outcome::Done) => break,
            Heard::PullEnded(outcome) => return Err(failed(&outcome.unexpected()).into()),
            Heard::Pushed(_) => return Err(failed("an answer to no push").into()),
        };
        if told_at.elapsed() >= TELL_EVERY {
            told_at = Instant::now();
            delivery.working().await?;
        }
        let remaining = match response.page_info {
            PageInfo::MoreKnown { remaining } => remaining,
            PageInfo::NoMore | PageInfo::MoreUnknown => 0,
        };
        if let Some(last) = response.batch.last() {
            head = head.max(last.event_encoded.seq_num.saturating_add(remaining));
        }
        backend = Some(response.backend_id);
        for stamped in &response.batch {
            match own.next(stamped).map_err(|error| failed(&error.to_string()))? {
                Next::Same | Next::Later => {}
                Next::Other | Next::End => break 'reading,
            }
        }
    }
    wire.stop_pull().await?;
    let backend = backend.ok_or_else(|| failed("it answered a pull with nothing"))?;
    let head = GlobalSeqNum(head).min(GlobalSeqNum::MAX);
    Ok(Compared { backend, common: own.common, head })
}

/// Asks a backend what it calls itself.
pub(crate) async fn name_of(sync: &CfSync, wire: &mut Wire) -> Result<String, Stop> {
    // It answers a cursor of another backend with its own name.
    let cursor =
        livestore_cf_protocol::Cursor { backend_id: "whichever".into(), event_sequence_number: 0 };
    wire.pull(Some(cursor), false).await?;
    let name = match wire.answer(sync).await? {
        Heard::Pulled(response) => response.backend_id,
        Heard::PullEnded(Outcome::OtherBackend { name }) => name,
        Heard::PullEnded(outcome) => return Err(sync.failed(&outcome.unexpected()).into()),
        Heard::Pushed(_) => return Err(sync.failed("an answer to no push").into()),
    };
    wire.stop_pull().await?;
    Ok(name)
}
