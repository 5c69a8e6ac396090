//! What has to hold for a client after each step.

use std::rc::Rc;

use livestore::{DeadLetter, DeadLetterReason, Fate, Replica};
use livestore_core::protocol::{Push, RejectReason};
use livestore_core::{GlobalSeqNum, Group, GroupId, LogPosition};

use super::revised::{self, Revised, Since};
use super::stored::{self, Pending};
use super::{Violation, readable, violation};
use crate::model::{ClientModel, Content, Entry, History, Known, Model, Moment, Settled};

/// How many pending groups are compared by id at each step; the others only by number.
const COMPARED: usize = 64;

/// What a step brought.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that may have happened")]
pub(crate) struct Observed {
    /// The head moved.
    pub(crate) moved: bool,
    /// Own groups that were confirmed.
    pub(crate) confirmed: usize,
    /// Own groups that became dead letters.
    pub(crate) rejected: usize,
    /// Those of them that are client-only.
    pub(crate) client_only_rejected: usize,
    /// Client-only groups that came to their places.
    pub(crate) settled: usize,
    /// Events that were quarantined.
    pub(crate) quarantined: u64,
    /// The log on disk is ahead of the state.
    pub(crate) gathers: bool,
    /// It went back to follow another history.
    pub(crate) went_back: bool,
    /// Own groups that were left with a history.
    pub(crate) archived: usize,
    /// It has discarded what a backend does not have.
    pub(crate) discarded: bool,
    /// What became of pending groups that stayed.
    pub(crate) revised: Revised,
    /// Commands that became dead letters since they were no longer possible.
    pub(crate) commands_failed: usize,
    /// Groups of which an event was dropped.
    pub(crate) dropped: usize,
    /// Groups that were confirmed as something else than was committed.
    pub(crate) confirmed_rewritten: usize,
}

/// Takes note of where a client is now, and checks that it may be there.
pub(crate) fn observe(
    model: &Model,
    at: usize,
    client: &mut ClientModel,
    replica: &mut Replica,
    rebased: bool,
) -> Result<Observed, Violation> {
    let mut observed = Observed::default();
    let has_taken = std::mem::take(&mut client.has_taken);
    let mut fates = replica.poll_fates();
    if has_taken {
        let new = given_up_at_once(at, client, replica)?;
        let is_told = |id: GroupId| fates.iter().any(|(told, _)| *told == id);
        let new: Vec<_> = new.into_iter().filter(|(id, _)| !is_told(*id)).collect();
        fates.extend(new);
    }
    let quarantined = client.quarantined;
    let head = readable(at, replica.state_head())?;
    let pulled = replica.head();
    let is_rejection = |(_, fate): &&(GroupId, Fate)| matches!(fate, Fate::Rejected { .. });
    let given_up: Vec<GroupId> = fates.iter().filter(is_rejection).map(|(id, _)| *id).collect();
    let letters_before = client.letters();
    observed.went_back = follow_history(model, at, client, replica, pulled, &given_up)?;
    observed.archived = client.letters().saturating_sub(letters_before);
    observed.moved = client.head != head;
    observed.gathers = head != pulled;
    let log = &model.histories[client.history];
    check_advance(log, at, "head", client.head, head)?;
    check_advance(log, at, "pulled", client.pulled, pulled)?;
    client.pulled = pulled;
    let settled = newly_settled(model, at, client, replica)?;
    observed.settled = settled.len();
    let Some(confirmed) = client.advance(log, head, settled) else {
        return violation("client-only", Some(at), "a client-only group is at no place of the log");
    };
    observed.quarantined = client.quarantined.saturating_sub(quarantined);
    if rebased || has_taken || observed.went_back || !given_up.is_empty() {
        let is_whole = rebased && (observed.moved || observed.went_back);
        let since = Since { rebased: is_whole, lost_power: false };
        observed.revised = revised::follow(at, client, replica, since)?;
    }
    let letters =
        if given_up.is_empty() { Vec::new() } else { readable(at, replica.dead_letters())? };
    check_fates(model, at, client, (&fates, &letters), confirmed, &mut observed)?;
    if (observed.discarded || observed.archived > 0) && client.pending_synced().next().is_some() {
        return violation("divergence", Some(at), "not everything that is pending was discarded");
    }
    check_places(at, client)?;
    check_status(at, client, replica)?;
    check_pending(at, client, replica)?;
    Ok(observed)
}

/// Finds the groups of sessions that became dead letters when they were taken: of these, only the
/// session is told.
fn given_up_at_once(
    at: usize,
    client: &ClientModel,
    replica: &Replica,
) -> Result<Vec<(GroupId, Fate)>, Violation> {
    let letters = readable(at, replica.dead_letters())?;
    let is_new = |letter: &DeadLetter| client.pending.iter().any(|own| own.id == letter.group.id());
    let new = letters.into_iter().filter(is_new);
    let mut new: Vec<_> = new
        .map(|DeadLetter { group, reason, .. }| (group.id(), Fate::Rejected { reason }))
        .collect();
    new.sort_by_key(|(id, _)| client.pending.iter().position(|own| own.id == *id));
    Ok(new)
}

/// A position is in the log, and not before where it was.
fn check_advance(
    log: &History,
    at: usize,
    what: &str,
    before: LogPosition,
    after: LogPosition,
) -> Result<(), Violation> {
    if log.groups_up_to(after).is_none() {
        let message = format_args!("{what} {after:?} is nowhere in the log");
        return violation("prefix", Some(at), message);
    }
    if after.seq < before.seq {
        let message = format_args!("{what} went back from {} to {}", before.seq, after.seq);
        return violation("head", Some(at), message);
    }
    Ok(())
}

/// Own groups are told to be confirmed exactly if they are, and given up only if they may be.
fn check_fates(
    model: &Model,
    at: usize,
    client: &mut ClientModel,
    (fates, letters): (&[(GroupId, Fate)], &[DeadLetter]),
    mut confirmed: Vec<Rc<Known>>,
    observed: &mut Observed,
) -> Result<(), Violation> {
    let log = &model.histories[client.history];
    for (id, fate) in fates {
        match fate {
            Fate::Confirmed { first, last } | Fate::Rewritten { first, last } => {
                let Some(index) = confirmed.iter().position(|own| own.id == *id) else {
                    let message = format_args!("{id} was told to be confirmed, and was not");
                    return violation("fate", Some(at), message);
                };
                confirmed.remove(index);
                observed.confirmed += 1;
                let entry = &log.entries()[log.find(*id).expect("it was confirmed")];
                if (first.0, last.0) != (entry.first(), entry.end.seq.0) {
                    let message = format_args!("{id} was told to be at {first}..{last}");
                    return violation("fate", Some(at), message);
                }
                let is_rewritten = entry.known.is_rewritten(&entry.content);
                if is_rewritten != matches!(fate, Fate::Rewritten { .. }) {
                    let message = format_args!("{id}: {fate:?}, and is {:?}", entry.content.facts);
                    return violation("fate", Some(at), message);
                }
                observed.confirmed_rewritten += usize::from(is_rewritten);
            }
            Fate::Rejected { reason } => {
                let Some(own) = client.pending.iter().find(|own| own.id == *id).cloned() else {
                    let message = format_args!("{id} was rejected, and is not pending");
                    return violation("fate", Some(at), message);
                };
                let Some(letter) = letters.iter().find(|letter| letter.group.id() == *id) else {
                    let message = format_args!("{id} was rejected, and is not kept");
                    return violation("dead-letters", Some(at), message);
                };
                revised::follow_letter(client, &own, letter);
                revised::check_letter(at, &own, letter)?;
                check_rejection(model, at, client, &own, reason)?;
                client.reject(&own);
                observed.rejected += 1;
                match reason {
                    DeadLetterReason::CommandFailed { .. } => observed.commands_failed += 1,
                    DeadLetterReason::DroppedOnRebase { .. } => observed.dropped += 1,
                    DeadLetterReason::HistoryDiscarded => observed.discarded = true,
                    _ => {}
                }
                observed.client_only_rejected += usize::from(own.client_only);
            }
            other => return violation("fate", Some(at), format_args!("{id}: {other:?}")),
        }
    }
    if let Some(own) = confirmed.first() {
        let message = format_args!("nobody was told that {} is confirmed", own.id);
        return violation("fate", Some(at), message);
    }
    Ok(())
}

/// Finds the history that a client is on; returns whether it had to go back for it.
fn follow_history(
    model: &Model,
    at: usize,
    client: &mut ClientModel,
    replica: &Replica,
    pulled: LogPosition,
    given_up: &[GroupId],
) -> Result<bool, Violation> {
    if pulled.seq >= client.pulled.seq {
        // As long as several histories are the same up to here, the client is on the newest one.
        if let Some(newest) = model.newest_with(&[client.pulled, pulled]) {
            client.history = newest;
        }
        return Ok(false);
    }
    if !client.has_diverged {
        let message = format_args!("it went back to {pulled:?}, and nobody told it to");
        return violation("divergence", Some(at), message);
    }
    let archived = replica.status().archived;
    let Some(moment) = gone_back(model, client, &client.now(), pulled, archived) else {
        let message = format_args!("it went back from {:?} to {pulled:?}", client.pulled);
        return violation("head", Some(at), message);
    };
    let new = &model.histories[moment.history];
    let open = client.open_at(&moment, new).expect("the position is on this history");
    let (given_up, open): (Vec<_>, Vec<_>) =
        open.into_iter().partition(|own| given_up.contains(&own.id));
    let found = super::reopened::tail(at, replica, &open, pulled.seq.0)?;
    let Some((mut tail, settled)) = found else {
        let tail = stored::pending(replica, stored::ALL).unwrap_or_default();
        let place = |id| client.committed.iter().position(|own| own.id == id);
        let tail: Vec<_> = tail.iter().map(|own| (place(own.id), own.client_only)).collect();
        let open: Vec<_> = open.iter().map(|own| (own.rank.get(), own.client_only)).collect();
        let message = format_args!("pending are {tail:?}, open are {open:?}");
        return violation("divergence", Some(at), message);
    };
    // What was given up on the way is judged with all other fates.
    tail.extend(given_up);
    client.become_as(new, moment, (tail, settled));
    Ok(true)
}

/// Where a client is that has left a history for another one, if it may have.
///
/// It goes back to where it was told that both are the same. By now they may have more in common,
/// since the backend's log got some of the same groups again, or less, since it was restored once
/// more. The groups of others are left with the history, and if it has discarded that, so are its own.
pub(super) fn gone_back(
    model: &Model,
    client: &mut ClientModel,
    from: &Moment,
    pulled: LogPosition,
    archived: u64,
) -> Option<Moment> {
    let old = &model.histories[from.history];
    let (common, before) = (old.groups_up_to(pulled)?, old.groups_up_to(from.pulled)?);
    let history = model.newest_with(&[pulled])?;
    let left = old.entries()[..before].get(common..)?;
    let is_own = |known: &Known| client.committed.iter().any(|own| own.id == known.id);
    let own: Vec<GroupId> =
        left.iter().filter(|left| is_own(&left.known)).map(|left| left.known.id).collect();
    let others = (left.len() - own.len()) as u64;
    if common < model.least_common() {
        return None;
    }
    client.rank_as_left(left, pulled);
    if archived != from.archived + others {
        if !client.may_discard || archived != from.archived + left.len() as u64 {
            return None;
        }
        for id in own {
            client.archive(id);
        }
    }
    let letters = client.letters();
    Some(Moment { head: pulled, pulled, history, archived, letters, ..*from })
}

/// Finds the client-only groups that have come to their places.
fn newly_settled(
    model: &Model,
    at: usize,
    client: &ClientModel,
    replica: &Replica,
) -> Result<Vec<Settled>, Violation> {
    if client.pending.iter().all(|own| !own.client_only) {
        return Ok(Vec::new());
    }
    let placed = readable(at, stored::placed(replica, client.head.seq.0))?;
    let known = |id| client.settled.iter().any(|settled: &Settled| settled.known.id == id);
    let new = placed.into_iter().filter(|placed| !known(placed.id));
    let settled = new.map(|placed| {
        let known = model.known.get(&placed.id).cloned();
        known.map(|known| Settled { seq: placed.seq, place: placed.place, known })
    });
    let settled: Option<Vec<Settled>> = settled.collect();
    settled.map_or_else(
        || violation("client-only", Some(at), "a client-only group that nobody committed"),
        Ok,
    )
}

/// Client-only groups keep their order, and wait exactly for the synced ones before them.
fn check_places(at: usize, client: &ClientModel) -> Result<(), Violation> {
    if client.pending.front().is_some_and(|own| own.client_only) {
        return violation("client-only", Some(at), "a client-only group waits for nothing");
    }
    let Some(last) = client.settled.last() else { return Ok(()) };
    let earlier = |own: &&Rc<Known>| own.rank < last.known.rank;
    if let Some(own) = client.pending_synced().next().filter(earlier) {
        let message = format_args!("{} overtook {}", last.known.id, own.id);
        return violation("client-only", Some(at), message);
    }
    Ok(())
}

fn check_rejection(
    model: &Model,
    at: usize,
    client: &ClientModel,
    own: &Known,
    reason: &DeadLetterReason,
) -> Result<(), Violation> {
    // Whoever publishes a log anew may be quicker than an answer, or than what makes a group anew.
    let may_be_in_log = own.was_republished.get();
    let wrong = if *reason == DeadLetterReason::HistoryDiscarded {
        if is_discarded(client) {
            return Ok(());
        }
        "nobody has discarded it"
    } else if model.current().find(own.id).is_some() && !may_be_in_log {
        "it is in the log"
    } else {
        match reason {
            DeadLetterReason::MaterializeFailed { event_index, .. }
                if client.failing_event(own) == Some(*event_index) =>
            {
                return Ok(());
            }
            DeadLetterReason::MaterializeFailed { .. } => "this event applies",
            DeadLetterReason::RefusedByBackend { reason: RejectReason::Refused(_) }
                if own.was_refused.get() =>
            {
                return Ok(());
            }
            DeadLetterReason::RefusedByBackend { reason: RejectReason::EventIdConflict }
                if own.was_republished.get() =>
            {
                return Ok(());
            }
            DeadLetterReason::RefusedByBackend { .. } => "the backend does not refuse it",
            _ => match revised::wrong_reason(client, own, reason) {
                Some(wrong) => wrong,
                None => return Ok(()),
            },
        }
    };
    violation("fate", Some(at), format_args!("{} was rejected, but {wrong}: {reason}", own.id))
}

/// Tells whether a client can have discarded what is pending.
pub(super) fn is_discarded(client: &ClientModel) -> bool {
    client.has_diverged && client.may_discard
}

fn check_status(at: usize, client: &ClientModel, replica: &Replica) -> Result<(), Violation> {
    let status = replica.status();
    let told = (
        (status.confirmed_head, status.pulled_head, status.local_head.global),
        (status.pending_groups, status.pending_events),
        (status.dead_letters, status.quarantined, status.archived),
    );
    let pending_events = client.pending_events();
    let dead_letters = client.dead_letters().len();
    let expected = (
        (client.head.seq, client.pulled.seq, client.head.seq.plus(pending_events)),
        (client.pending_synced().count() as u64, pending_events),
        (dead_letters as u64, client.quarantined, client.archived),
    );
    if told == expected {
        return Ok(());
    }
    violation("status", Some(at), format_args!("{told:?}, expected {expected:?}"))
}

fn check_pending(at: usize, client: &ClientModel, replica: &Replica) -> Result<(), Violation> {
    let Ok(found) = stored::pending(replica, COMPARED) else {
        // A disk that fails can do so here as well.
        return Ok(());
    };
    if is_tail(client, &found, COMPARED) {
        return Ok(());
    }
    violation("pending", Some(at), format_args!("found {found:?}"))
}

/// Tells whether the first groups of a tail are those that they have to be.
pub(super) fn is_tail(client: &ClientModel, found: &[Pending], limit: usize) -> bool {
    let expected = client.pending.iter().take(limit);
    expected
        .map(|own| Pending { id: own.id, client_only: own.client_only })
        .eq(found.iter().copied())
}

/// A push leaves: the beginning of the tail, as it was committed, and safe on disk.
pub(crate) fn push(at: usize, client: &ClientModel, push: &Push) -> Result<(), Violation> {
    if push.base != client.head.seq {
        let message = format_args!("a push on {}, from {}", push.base, client.head.seq);
        return violation("order", Some(at), message);
    }
    let mut pending = client.pending_synced();
    for group in &push.groups {
        let Some(own) = pending.next() else {
            return violation("order", Some(at), "a push of more groups than are pending");
        };
        if own.id != group.id() {
            let message = format_args!("{} leaves in the place of {}", group.id(), own.id);
            return violation("order", Some(at), message);
        }
        if !is_same(own, group) {
            let message = format_args!("{} leaves with another content: {group:?}", own.id);
            return violation("identity", Some(at), message);
        }
        if own.index.get() >= client.synced_groups() || client.is_unsafe(own) {
            let message = format_args!("{} leaves before its barrier is done", own.id);
            return violation("durable-before-push", Some(at), message);
        }
    }
    Ok(())
}

/// A piece of the log leaves anew: what follows the position up to which the backend has it.
pub(crate) fn republished(
    model: &Model,
    at: usize,
    client: &ClientModel,
    seq: GlobalSeqNum,
    push: &Push,
) -> Result<(), Violation> {
    let log = &model.histories[client.history];
    let entries = log.entries().iter().filter(|entry| entry.end.seq > seq);
    let is_next = |(group, entry): (&Group, &Entry)| {
        entry.known.id == group.id() && entry.content.hash.get() == Some(group.content_hash())
    };
    let is_long_enough = entries.clone().count() >= push.groups.len();
    if push.base == seq && is_long_enough && push.groups.iter().zip(entries).all(is_next) {
        return Ok(());
    }
    let message = format_args!("after {seq} it publishes what is not the log, on {}", push.base);
    violation("republish", Some(at), message)
}

/// Tells whether a group is what its author has.
fn is_same(own: &Known, group: &Group) -> bool {
    let (hash, content) = (group.content_hash(), own.content());
    if let Some(known) = content.hash.get() {
        return known == hash;
    }
    content.hash.set(Some(hash));
    let ids = group.events().iter().map(|event| event.id).collect();
    content.event_ids.set(ids).is_ok()
        && group.client_id().as_str() == own.author.client_name()
        && group.session_id().as_str() == own.author.session_name()
        && is_same_events(&content, group)
}

/// Tells whether a group has these events.
pub(super) fn is_same_events(content: &Content, group: &Group) -> bool {
    let events = group.events().iter().map(|event| (event.name.as_str(), event.args.as_str()));
    events.eq(content.events.iter().map(|(name, args)| (*name, args.as_str())))
}
