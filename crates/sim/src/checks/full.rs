//! What has to hold for a client as a whole; too much work for each step.

use livestore::replica::GroupState;
use livestore::{Fate, Replica, Select, SqliteError, Table};
use livestore_core::GroupId;
use livestore_sqlite::rusqlite::{self, Row};

use super::client::is_tail;
use super::stored;
use super::{Violation, readable, revised, violation};
use crate::model::app::{App, FIRST_BALANCE, Lamps};
use crate::model::bank::FIRST_COINS;
use crate::model::{ClientModel, Entry, Model};
use crate::workload::Purse;
use crate::workload::schema::{
    Account, Counter, Draft, Lamp, Member, Note, Seat, note_key, person,
};

fn rows<T: Table + Clone>(replica: &Replica, select: &Select<T>) -> Result<Vec<T>, SqliteError> {
    let found = replica.connection().read().query(select)?;
    Ok(found.iter().map(|row| T::clone(row)).collect())
}

/// All rows of the app's tables, each in the order of its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tables {
    seats: Vec<Seat>,
    counters: Vec<Counter>,
    accounts: Vec<Account>,
    purses: Vec<Purse>,
    notes: Vec<Note>,
    members: Vec<Member>,
    drafts: Vec<Draft>,
    pub(super) lamps: Vec<Lamp>,
}

impl Tables {
    pub(super) fn read(replica: &Replica) -> Result<Self, SqliteError> {
        let by_member = Member::select().order_by(Member::team).order_by(Member::person);
        Ok(Self {
            seats: rows(replica, &Seat::select().order_by(Seat::seat))?,
            counters: rows(replica, &Counter::select().order_by(Counter::counter))?,
            accounts: rows(replica, &Account::select().order_by(Account::account))?,
            purses: rows(replica, &Purse::select().order_by(Purse::purse))?,
            notes: rows(replica, &Note::select().order_by(Note::note))?,
            members: rows(replica, &by_member)?,
            drafts: rows(replica, &Draft::select().order_by(Draft::draft))?,
            lamps: rows(replica, &Lamp::select().order_by(Lamp::lamp))?,
        })
    }

    /// Says which tables are other than expected, and how.
    pub(super) fn difference(&self, expected: &Self) -> String {
        let mut differences = Vec::new();
        macro_rules! compare {
            ($($table:ident)*) => {
                $(if self.$table != expected.$table {
                    let (found, expected) = (&self.$table, &expected.$table);
                    let name = stringify!($table);
                    differences.push(format!("{name}: found {found:?}, expected {expected:?}"));
                })*
            };
        }
        compare!(seats counters accounts purses notes members drafts lamps);
        differences.join("; ")
    }

    /// What they are in a state of the model.
    pub(super) fn of(app: &App, lamps: &Lamps) -> Self {
        let writer = |author: &crate::model::Author| {
            format!("{}/{}", author.client_name(), author.session_name())
        };
        let seats = app.seats.iter();
        let counters = app.counters.iter();
        let accounts = app.accounts.iter();
        Self {
            seats: seats
                .map(|(seat, by)| Seat { seat: (*seat).into(), person: person(*by) })
                .collect(),
            counters: counters
                .map(|(counter, value)| Counter { counter: (*counter).into(), value: *value })
                .collect(),
            accounts: accounts
                .map(|(account, balance)| Account { account: (*account).into(), balance: *balance })
                .collect(),
            purses: app
                .bank
                .purses
                .iter()
                .map(|(purse, coins)| Purse { purse: (*purse).into(), coins: *coins })
                .collect(),
            notes: app
                .notes
                .iter()
                .map(|(note, body)| Note {
                    note: note_key(*note),
                    text: body.text.into(),
                    writer: writer(&body.writer),
                    edits: body.edits,
                })
                .collect(),
            members: app
                .members
                .iter()
                .map(|((team, who), author)| Member {
                    team: (*team).into(),
                    person: person(*who),
                    session: writer(author),
                })
                .collect(),
            drafts: app
                .drafts
                .iter()
                .map(|(draft, value)| Draft { draft: (*draft).into(), value: *value })
                .collect(),
            lamps: lamps
                .iter()
                .map(|(lamp, value)| Lamp { lamp: (*lamp).into(), value: *value })
                .collect(),
        }
    }
}

/// The state tables are what the model says.
pub(crate) fn state(
    at: usize,
    client: &mut ClientModel,
    replica: &Replica,
) -> Result<(), Violation> {
    let found = readable(at, Tables::read(replica))?;
    let sum: i64 = found.accounts.iter().map(|account| account.balance - FIRST_BALANCE).sum();
    if sum != 0 {
        return violation("sum", Some(at), format_args!("{sum} too much in the accounts"));
    }
    let sum: i64 = found.purses.iter().map(|purse| purse.coins - FIRST_COINS).sum();
    if sum != 0 {
        return violation("sum", Some(at), format_args!("{sum} coins too much in the purses"));
    }
    let lamps = client.lamps.clone();
    let expected = Tables::of(client.local(), &lamps);
    if found == expected {
        let (told, left_out) = (replica.status().groups_in_doubt, client.left_out());
        if told != left_out {
            let message = format_args!("{told} groups in doubt, {left_out} do not apply");
            return violation("status", Some(at), message);
        }
        return Ok(());
    }
    violation("state", Some(at), found.difference(&expected))
}

/// The stored log is the backend's, byte for byte, up to the head.
pub(crate) fn log(
    model: &Model,
    at: usize,
    client: &ClientModel,
    replica: &Replica,
) -> Result<(), Violation> {
    let log = &model.histories[client.history];
    let groups = log.groups_up_to(client.pulled).unwrap_or_default();
    let mut entries = log.entries()[..groups].iter();
    let mut current: Option<(&Entry, usize)> = None;
    let mut wrong = None;
    let sql = "SELECT seq, group_id, event_id, name, args, client_id, session_id, log_hash \
               FROM __livestore_eventlog ORDER BY seq";
    let walked = replica.connection().system().for_each(sql, [], |row| {
        let Some((entry, index)) = current.or_else(|| Some((entries.next()?, 0))) else {
            wrong = Some(row.get(0)?);
            return Ok(false);
        };
        if !is_row(row, entry, index)? {
            wrong = Some(row.get(0)?);
            return Ok(false);
        }
        current = Some((entry, index + 1)).filter(|(_, next)| *next < entry.content.facts.len());
        Ok(true)
    });
    readable(at, walked)?;
    if let Some(wrong) = wrong {
        let wrong: u64 = wrong;
        return violation("log", Some(at), format_args!("the row at {wrong} is not the backend's"));
    }
    if current.is_some() || entries.next().is_some() {
        let head = client.pulled;
        return violation("log", Some(at), format_args!("it ends before the head, {head:?}"));
    }
    Ok(())
}

/// Tells whether a row of the log is the event with this index of a group.
fn is_row(row: &Row<'_>, entry: &Entry, index: usize) -> rusqlite::Result<bool> {
    let (known, content) = (&entry.known, &entry.content);
    let (name, args) = &content.events[index];
    let is_last = index + 1 == content.events.len();
    let hash = row.get_ref(7)?.as_blob_or_null()?;
    let event_id = content.event_ids.get().map(|ids| &ids[index].as_bytes()[..]);
    Ok(row.get::<_, u64>(0)? == entry.first() + index as u64
        && row.get_ref(1)?.as_blob()? == known.id.as_bytes()
        && Some(row.get_ref(2)?.as_blob()?) == event_id
        && row.get_ref(3)?.as_str()? == *name
        && row.get_ref(4)?.as_str()? == args
        && row.get_ref(5)?.as_str()? == known.author.client_name()
        && row.get_ref(6)?.as_str()? == known.author.session_name()
        && hash == is_last.then_some(&entry.end.hash.as_bytes()[..]))
}

/// Everything about a client, but for what others have to have as well.
pub(crate) fn verify(
    model: &Model,
    at: usize,
    client: &mut ClientModel,
    replica: &Replica,
) -> Result<(), Violation> {
    state(at, client, replica)?;
    log(model, at, client, replica)?;
    check_exceptions(model, at, client, replica)?;
    let pending = readable(at, stored::pending(replica, stored::ALL))?;
    if !is_tail(client, &pending, stored::ALL) {
        return violation("pending", Some(at), "the tail is not what was committed");
    }
    revised::check_tail(at, client, replica)?;
    revised::follow(at, client, replica, revised::Since::default())?;
    check_receipts(model, at, client, replica)
}

/// Dead letters and quarantine are those that follow from the log.
fn check_exceptions(
    model: &Model,
    at: usize,
    client: &ClientModel,
    replica: &Replica,
) -> Result<(), Violation> {
    let letters = readable(at, replica.dead_letters())?;
    let mut found: Vec<GroupId> = letters.iter().map(|letter| letter.group.id()).collect();
    let mut expected = client.dead_letters();
    found.sort_unstable();
    expected.sort_unstable();
    if found != expected {
        let message = format_args!("{found:?}, expected {expected:?}");
        return violation("dead-letters", Some(at), message);
    }
    for letter in &letters {
        revised::check_letter(at, &model.known[&letter.group.id()], letter)?;
    }
    let sql = "SELECT seq, client FROM __livestore_quarantine ORDER BY seq, client";
    let place = |row: &Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, u32>(1)?));
    let found = readable(at, replica.connection().system().query(sql, [], place))?;
    let log = &model.histories[client.history];
    let groups = log.groups_up_to(client.head).unwrap_or_default();
    let (_, expected) = log.replay(groups, &client.settled, client.version);
    if found != expected {
        let message = format_args!("{found:?}, expected {expected:?}");
        return violation("quarantine", Some(at), message);
    }
    Ok(())
}

/// What a receipt tells of a sample of groups.
fn check_receipts(
    model: &Model,
    at: usize,
    client: &ClientModel,
    replica: &Replica,
) -> Result<(), Violation> {
    let log = &model.histories[client.history];
    let dead = client.dead_letters();
    for own in client.committed.iter().rev().take(16) {
        let told = readable(at, replica.group_state(own.id))?;
        let in_log = log.find(own.id).map(|index| &log.entries()[index]);
        let in_log = in_log.filter(|entry| entry.end.seq <= client.head.seq);
        let is_right = match &told {
            GroupState::Pending => client.pending.iter().any(|pending| pending.id == own.id),
            GroupState::Settled => client.settled.iter().any(|settled| settled.known.id == own.id),
            GroupState::Ended(
                fate @ (Fate::Confirmed { first, last } | Fate::Rewritten { first, last }),
            ) => in_log.is_some_and(|entry| {
                let is_rewritten = matches!(fate, Fate::Rewritten { .. });
                (entry.first(), entry.end.seq.0) == (first.0, last.0)
                    && own.is_rewritten(&entry.content) == is_rewritten
            }),
            GroupState::Ended(Fate::Archived) => client.is_archived(own.id),
            GroupState::Ended(_) => dead.contains(&own.id),
            GroupState::Unknown => {
                let is_kept = dead.contains(&own.id) || client.is_archived(own.id);
                client.has_given_up(own.id) && !is_kept
            }
        };
        if !is_right {
            return violation("receipt", Some(at), format_args!("{}: {told:?}", own.id));
        }
        let found = readable(at, replica.committed(own.id))?;
        let is_known = told != GroupState::Unknown;
        if found.map(|found| found.group_id) != is_known.then_some(own.id) {
            return violation("receipt", Some(at), format_args!("{}: {found:?}", own.id));
        }
    }
    Ok(())
}

/// Each group that a client committed is in its log once, or a dead letter.
pub(crate) fn accounted(model: &Model, at: usize, client: &ClientModel) -> Result<(), Violation> {
    let log = &model.histories[client.history];
    for own in &client.committed {
        let is_settled = || client.settled.iter().any(|settled| settled.known.id == own.id);
        let is_kept = if own.client_only { is_settled() } else { log.find(own.id).is_some() };
        let times = usize::from(is_kept) + usize::from(own.is_rejected.get());
        if times != 1 {
            let message = format_args!("{} is there {times} times", own.id);
            return violation("accounted", Some(at), message);
        }
    }
    Ok(())
}

/// Reads the id of the newest group of a tail.
pub(crate) fn newest_group(at: usize, replica: &Replica) -> Result<GroupId, Violation> {
    let pending = readable(at, stored::pending(replica, stored::ALL))?;
    let newest = pending.last().map(|newest| newest.id);
    newest.map_or_else(|| violation("pending", Some(at), "a commit left nothing behind"), Ok)
}
