//! What a client may find itself to be after its process, or its power, was gone.

use std::collections::HashSet;
use std::rc::Rc;

use livestore::{DeadLetter, DeadLetterReason, Fate, Replica};
use livestore_core::{GroupId, LogPosition};

use super::client::gone_back;
use super::revised::{self, Since};
use super::stored::{self, Pending, Placed};
use super::{Violation, readable, violation};
use crate::model::{Author, ClientModel, Known, Model, Moment, Settled, Taking};
use crate::workload::{ByKind, Fact, Intent};

/// What a client was doing when its process ended.
#[derive(Debug, Clone)]
pub(crate) enum Doing {
    /// Nothing that writes.
    Nothing,
    /// It was committing something.
    Commit(Author, Attempt),
    /// It was taking what a session handed over.
    Take(Vec<Taking>),
    /// It was forgetting a dead letter.
    Forget(GroupId),
    /// It was following the backend, or opening its store.
    Following,
}

/// Something that a client commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The events.
    pub(crate) facts: Vec<Fact>,
    /// The command that makes them.
    pub(crate) intent: Option<Intent>,
    /// The dead letter that goes with it.
    pub(crate) letter: Option<GroupId>,
}

/// How a client came back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Came {
    /// How many groups a power cut took.
    pub(crate) lost_groups: usize,
    /// A power cut took the head back.
    pub(crate) lost_head: bool,
    /// What it was doing when it ended has happened.
    pub(crate) finished: bool,
}

/// What a client has become.
struct Found {
    head: LogPosition,
    pulled: LogPosition,
    archived: u64,
    pending: Vec<Pending>,
    placed: Vec<Placed>,
    letters: Vec<DeadLetter>,
    dead: HashSet<GroupId>,
}

impl Found {
    fn read(replica: &Replica) -> Result<Self, livestore::SqliteError> {
        let letters = replica.dead_letters()?;
        let dead = letters.iter().map(|letter| letter.group.id()).collect();
        Ok(Self {
            letters,
            head: replica.state_head()?,
            pulled: replica.head(),
            archived: replica.status().archived,
            pending: stored::pending(replica, stored::ALL)?,
            placed: stored::placed(replica, 0)?,
            dead,
        })
    }

    fn open_ids(&self) -> impl Iterator<Item = GroupId> {
        let pending = self.pending.iter().map(|pending| pending.id);
        pending.chain(self.placed.iter().map(|placed| placed.id))
    }
}

/// Takes note of what a client has become, and checks that this is allowed.
///
/// A killed process leaves what it had done, and perhaps what it was doing. A power cut may lead
/// back to any moment since the last sync, but to no moment that never was.
pub(crate) fn reopened(
    model: &mut Model,
    at: usize,
    client: &mut ClientModel,
    replica: &mut Replica,
    doing: &Doing,
    lost_power: bool,
) -> Result<Came, Violation> {
    let fates = replica.poll_fates();
    let came = recognize(model, at, client, replica, doing, lost_power)?;
    let log = &model.histories[client.history];
    for (id, fate) in fates {
        let is_true = match &fate {
            Fate::Confirmed { first, last } | Fate::Rewritten { first, last } => {
                log.find(id).is_some_and(|index| {
                    let entry = &log.entries()[index];
                    let is_rewritten = matches!(fate, Fate::Rewritten { .. });
                    (entry.first(), entry.end.seq) == (first.0, *last)
                        && *last <= client.head.seq
                        && entry.known.is_rewritten(&entry.content) == is_rewritten
                })
            }
            _ => client.has_given_up(id),
        };
        if !is_true {
            let message = format_args!("{id} was told to be {fate:?} when the store opened");
            return violation("fate", Some(at), message);
        }
    }
    Ok(came)
}

fn recognize(
    model: &mut Model,
    at: usize,
    client: &mut ClientModel,
    replica: &Replica,
    doing: &Doing,
    lost_power: bool,
) -> Result<Came, Violation> {
    let found = readable(at, Found::read(replica))?;
    let finished = finish(model, at, client, replica, &found, doing)?;
    let mut came = Came { finished, ..Came::default() };
    let moments = std::mem::take(&mut client.moments);
    let last = moments[moments.len() - 1];
    let oldest = if lost_power { 0 } else { moments.len() - 1 };
    for index in (oldest..moments.len()).rev() {
        let (moment, before) = (moments[index], moments[index.saturating_sub(1).max(oldest)]);
        // Groups can be given up in a step of its own after the head has moved.
        for moment in [moment, Moment { letters: before.letters, ..moment }] {
            // What was pulled is shown when the store opens.
            for head in [moment.head, moment.pulled] {
                let moment = Moment { head, ..moment };
                if become_if_fits(model, at, client, replica, &found, moment, lost_power)? {
                    came.lost_groups = last.committed - moment.committed;
                    came.lost_head = last.pulled != moment.pulled;
                    keep_moments(client, &moments[..=index], lost_power);
                    return Ok(came);
                }
            }
        }
    }
    if let Doing::Following = doing {
        for moment in further(model, client, &found, last) {
            if become_if_fits(model, at, client, replica, &found, moment, lost_power)? {
                came.finished = true;
                keep_moments(client, &moments, lost_power);
                return Ok(came);
            }
        }
    }
    let Found { head, pulled, pending, placed, dead, .. } = found;
    let message = format_args!(
        "it came back at {head:?}, {pulled:?} with {} pending, {} settled groups and {} dead \
         letters; it was at {last:?} with {} pending and {} settled groups, doing {doing:?}",
        pending.len(),
        placed.len(),
        dead.len(),
        client.pending.len(),
        client.settled.len(),
    );
    violation(if lost_power { "power-cut" } else { "kill" }, Some(at), message)
}

/// Where a client may be that was following the backend at a moment.
fn further(model: &Model, client: &mut ClientModel, found: &Found, last: Moment) -> Vec<Moment> {
    let Found { head, pulled, archived, .. } = *found;
    if pulled.seq < last.pulled.seq {
        return gone_back(model, client, &last, pulled, archived).into_iter().collect();
    }
    let history = model.newest_with(&[last.pulled, pulled]);
    history.map(|history| Moment { head, pulled, history, ..last }).into_iter().collect()
}

/// If the commit that was under way has happened, the model takes it in.
fn finish(
    model: &mut Model,
    at: usize,
    client: &mut ClientModel,
    replica: &Replica,
    found: &Found,
    doing: &Doing,
) -> Result<bool, Violation> {
    let (author, Attempt { facts, intent, letter }) = match doing {
        Doing::Commit(author, attempt) => (author, attempt),
        Doing::Forget(letter) => {
            let has_happened = !found.dead.contains(letter);
            if has_happened {
                client.forget(*letter);
                client.note();
            }
            return Ok(has_happened);
        }
        Doing::Take(takings) => return finish_taking(at, client, found, takings),
        Doing::Nothing | Doing::Following => return Ok(false),
    };
    // With another version, it may be a dead letter at once.
    let letters = found.letters.iter().map(|letter| letter.group.id());
    let new = found.open_ids().chain(letters).filter(|id| !model.known.contains_key(id));
    let new: Vec<GroupId> = new.collect();
    let ByKind { synced, client_only, .. } = ByKind::of(facts);
    let expected: Vec<_> =
        [synced, client_only].into_iter().filter(|facts| !facts.is_empty()).collect();
    if new.is_empty() {
        return Ok(false);
    }
    if new.len() != expected.len() {
        return violation("atomicity", Some(at), "a part of a commit survived");
    }
    let contents: Result<Vec<_>, _> =
        new.into_iter().map(|id| content(at, replica, found, id)).collect();
    let contents = contents?;
    for facts in expected {
        let events: Vec<_> =
            facts.iter().map(|fact| (fact.name().to_owned(), fact.args())).collect();
        let Some((id, _)) = contents.iter().find(|(_, content)| *content == events) else {
            return violation("atomicity", Some(at), "half of a group survived");
        };
        let known = model.learn(*id, *author, facts, intent.clone());
        client.commit(known);
    }
    if let Some(letter) = letter {
        client.forget(*letter);
    }
    client.note();
    Ok(true)
}

/// If what a session handed over was taken, the model takes it: all of it, or nothing.
fn finish_taking(
    at: usize,
    client: &mut ClientModel,
    found: &Found,
    takings: &[Taking],
) -> Result<bool, Violation> {
    let there: HashSet<GroupId> = found.open_ids().chain(found.dead.iter().copied()).collect();
    let groups = || takings.iter().flat_map(|taking| &taking.groups);
    let new: Vec<GroupId> = groups().filter(|own| !client.has(own)).map(|own| own.id).collect();
    let (dead, _) = client.given_up(client.letters());
    let mut forgotten = takings.iter().filter_map(|taking| taking.forgets);
    let is_forgotten = forgotten.any(|id| dead.contains(&id) && !found.dead.contains(&id));
    let taken = new.iter().filter(|id| there.contains(id)).count();
    if taken == 0 && !is_forgotten {
        return Ok(false);
    }
    if taken != new.len() {
        return violation("atomicity", Some(at), "a part of what a session handed over survived");
    }
    for taking in takings {
        client.take(taking);
    }
    Ok(true)
}

/// Reads the names and payloads of a group, whatever has become of it.
fn content(
    at: usize,
    replica: &Replica,
    found: &Found,
    id: GroupId,
) -> Result<(GroupId, Vec<(String, String)>), Violation> {
    let letter = found.letters.iter().find(|letter| letter.group.id() == id);
    let Some(letter) = letter else {
        return Ok((id, readable(at, stored::content(replica, id))?));
    };
    let events = letter.group.events().iter();
    let events = events.map(|event| (event.name.as_str().into(), event.args.as_str().into()));
    Ok((id, events.collect()))
}

/// If a client that was at this moment would look like this, the model becomes that.
fn become_if_fits(
    model: &Model,
    at: usize,
    client: &mut ClientModel,
    replica: &Replica,
    found: &Found,
    moment: Moment,
    lost_power: bool,
) -> Result<bool, Violation> {
    let log = &model.histories[moment.history];
    let is_there = (found.head, found.pulled) == (moment.head, moment.pulled)
        && found.archived == moment.archived;
    let Some(mut open) = client.open_at(&moment, log).filter(|_| is_there) else {
        return Ok(false);
    };
    let (mut told, _) = client.given_up(moment.letters);
    let groups = log.groups_up_to(moment.head).unwrap_or(0);
    told.retain(|id| log.find(*id).is_none_or(|index| index >= groups));
    if !told.is_subset(&found.dead) {
        return Ok(false);
    }
    // Others were given up while nobody looked.
    let is_new = |own: &Rc<Known>| found.dead.contains(&own.id) && !told.contains(&own.id);
    let new: Vec<Rc<Known>> = open.iter().filter(|own| is_new(own)).cloned().collect();
    if told.len() + new.len() != found.dead.len() {
        return Ok(false);
    }
    open.retain(|own| !is_new(own));
    let Some(tail) = arrange(&open, &found.pending, &found.placed, moment.head.seq.0) else {
        return Ok(false);
    };
    client.become_as(log, moment, tail);
    revised::follow(at, client, replica, Since { rebased: false, lost_power })?;
    for letter in found.letters.iter().filter(|_| lost_power) {
        if let Some(own) = client.committed.iter().find(|own| own.id == letter.group.id()) {
            revised::follow_old_letter(own, letter);
        }
    }
    for own in &new {
        let letter = found.letters.iter().find(|letter| letter.group.id() == own.id);
        check_unseen(at, client, own, letter.expect("that is how it was found to be new"))?;
        client.reject(own);
    }
    client.moments.clear();
    Ok(true)
}

/// A group may have been given up while nobody looked.
fn check_unseen(
    at: usize,
    client: &mut ClientModel,
    own: &Rc<Known>,
    letter: &DeadLetter,
) -> Result<(), Violation> {
    revised::follow_letter(client, own, letter);
    revised::check_letter(at, own, letter)?;
    let wrong = match &letter.reason {
        DeadLetterReason::MaterializeFailed { .. } | DeadLetterReason::RefusedByBackend { .. } => {
            let is_refused = own.was_refused.get() || own.was_republished.get();
            let is_right = is_refused || client.fails_unseen(own);
            (!is_right).then_some("it applies")
        }
        DeadLetterReason::HistoryDiscarded => {
            (!super::client::is_discarded(client)).then_some("nobody has discarded it")
        }
        reason => revised::wrong_reason(client, own, reason),
    };
    let Some(wrong) = wrong else { return Ok(()) };
    let message = format_args!("{} was given up, but {wrong}: {}", own.id, letter.reason);
    violation("fate", Some(at), message)
}

/// The pending groups of a client, and those that are settled.
type Tail = (Vec<Rc<Known>>, Vec<Settled>);

/// Reads the tail and the settled groups of a client, if they are the given ones.
pub(super) fn tail(
    at: usize,
    replica: &Replica,
    open: &[Rc<Known>],
    head: u64,
) -> Result<Option<Tail>, Violation> {
    let pending = readable(at, stored::pending(replica, stored::ALL))?;
    let placed = readable(at, stored::placed(replica, 0))?;
    Ok(arrange(open, &pending, &placed, head))
}

/// Puts open groups into the order in which they were found; none if that may not be.
///
/// Each is there once, either kind keeps its order, and client-only
/// groups are settled exactly if no synced group before them is open.
fn arrange(open: &[Rc<Known>], pending: &[Pending], placed: &[Placed], head: u64) -> Option<Tail> {
    let find = |id: GroupId| open.iter().find(|own| own.id == id).cloned();
    let tail: Vec<Rc<Known>> = pending.iter().map(|found| find(found.id)).collect::<Option<_>>()?;
    let settled = placed.iter().map(|found| {
        let Placed { id, seq, place } = *found;
        Some(Settled { seq, place, known: find(id)? })
    });
    let settled: Vec<Settled> = settled.collect::<Option<_>>()?;
    let in_order = |own: &[&Rc<Known>]| own.windows(2).all(|pair| pair[0].rank < pair[1].rank);
    let synced: Vec<_> = tail.iter().filter(|own| !own.client_only).collect();
    let client_only: Vec<_> = settled
        .iter()
        .map(|settled| &settled.known)
        .chain(tail.iter().filter(|own| own.client_only))
        .collect();
    let is_right = tail.len() + settled.len() == open.len()
        && pending.iter().zip(&tail).all(|(found, own)| found.client_only == own.client_only)
        && settled.iter().all(|settled| settled.known.client_only && settled.seq <= head)
        && in_order(&synced)
        && in_order(&client_only)
        && tail.first().is_none_or(|own| !own.client_only);
    is_right.then_some((tail, settled))
}

/// What survived a power cut is on the disk; what survived a kill may still be lost in one.
fn keep_moments(client: &mut ClientModel, moments: &[Moment], lost_power: bool) {
    client.moments.clear();
    if !lost_power {
        client.moments.extend_from_slice(moments);
    }
    client.note();
}
