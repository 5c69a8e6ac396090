//! What has to hold for a session that follows a leader.

use livestore::replica::GroupState;
use livestore::{Fate, LeaderLink, Replica};
use livestore_core::GroupId;

use super::full::Tables;
use super::{Violation, readable, stored, violation};
use crate::model::{ClientModel, Feed, Model, TabModel, facts_of};
use crate::workload::Fact;

/// Takes note of what a session was told, and checks that it is so.
pub(crate) fn observe(
    model: &Model,
    at: usize,
    leader: &ClientModel,
    tab: &mut TabModel,
    replica: &mut Replica,
) -> Result<u64, Violation> {
    for (id, fate) in replica.poll_fates() {
        if !tab.committed.iter().any(|own| own.id == id) {
            continue;
        }
        let is_true = match &fate {
            Fate::Confirmed { first, last } | Fate::Rewritten { first, last } => {
                model.histories.iter().any(|log| {
                    log.find(id).is_some_and(|index| {
                        let entry = &log.entries()[index];
                        (entry.first(), entry.end.seq.0) == (first.0, last.0)
                    })
                })
            }
            Fate::Rejected { .. } => leader.was_given_up(id),
            _ => true,
        };
        if !is_true {
            let message = format_args!("session {:?} was told {id} is {fate:?}", tab.author);
            return violation("fate", Some(at), message);
        }
        tab.told.insert(id, fate);
    }
    let mut full = 0;
    let mut wrong = None;
    tab.waiting.retain(|waiting| {
        let id = waiting.known.id;
        if waiting.full {
            let Some(is_full) = replica.is_full_at_leader(waiting.ordinal) else { return true };
            full += u64::from(is_full);
            let is_synced =
                leader.has(&waiting.known) && waiting.known.index.get() < leader.synced_groups();
            if is_full && !is_synced {
                wrong = Some((id, "on disk"));
            }
        } else if !replica.is_handed_over(waiting.ordinal) {
            return true;
        }
        if !leader.has(&waiting.known) {
            wrong = Some((id, "its leader's"));
        }
        false
    });
    if let Some((id, what)) = wrong {
        let message = format_args!("{id} was told to be {what}, and is not");
        return violation("acknowledged", Some(at), message);
    }
    Ok(full)
}

/// The state tables are what the leader showed, with what is the session's own on top; if anybody looked
/// at the leader then.
pub(crate) fn state(
    at: usize,
    feed: &Feed,
    tab: &TabModel,
    replica: &Replica,
) -> Result<(), Violation> {
    let seen = replica.followed().expect("it is a session");
    let Some((app, left_out)) = tab.state(feed, seen) else { return Ok(()) };
    let found = readable(at, Tables::read(replica))?;
    let lamps = tab.lamps.clone().unwrap_or_default();
    let mut expected = Tables::of(&app, &lamps);
    if tab.lamps.is_none() {
        expected.lamps.clone_from(&found.lamps);
    }
    if found != expected {
        let own: Vec<_> = tab.own.iter().map(|own| (own.known.id, &own.facts)).collect();
        let difference = found.difference(&expected);
        let author = tab.author;
        let message = format_args!("{author:?} at advance {seen} with {own:?}: {difference}");
        return violation("session-state", Some(at), message);
    }
    let told = replica.status().groups_in_doubt;
    if told != left_out {
        let message = format_args!("{told} groups in doubt in a session, {left_out} do not apply");
        return violation("session-status", Some(at), message);
    }
    Ok(())
}

/// A session whose leader is frozen says so.
pub(crate) fn unresponsive(at: usize, replica: &Replica) -> Result<(), Violation> {
    match replica.leader_link() {
        Some(LeaderLink::Unresponsive) => Ok(()),
        link => violation("unresponsive", Some(at), format_args!("of a frozen leader: {link:?}")),
    }
}

/// At rest, a session is its leader, and knows what became of what it committed.
///
/// What it was told of a history that is gone was true then.
pub(crate) fn at_rest(
    model: &Model,
    at: usize,
    tab: &TabModel,
    replica: &Replica,
    leader: &Replica,
) -> Result<(), Violation> {
    let hash = |replica: &Replica| readable(at, replica.connection().stored_state_hash());
    if hash(replica)? != hash(leader)? {
        let message = format_args!("session {:?} shows another state", tab.author);
        return violation("session-state", Some(at), message);
    }
    let letters = |replica: &Replica| readable(at, replica.dead_letters());
    let quarantined = |replica: &Replica| readable(at, replica.quarantined());
    if letters(replica)? != letters(leader)? || quarantined(replica)? != quarantined(leader)? {
        let message = format_args!("session {:?} has other dead letters", tab.author);
        return violation("dead-letters", Some(at), message);
    }
    let numbers = |replica: &Replica| {
        let status = replica.status();
        let heads = (status.confirmed_head, status.pulled_head, status.local_head);
        let pending = (status.pending_groups, status.pending_events, status.groups_in_doubt);
        (heads, pending, (status.dead_letters, status.quarantined))
    };
    if numbers(replica) != numbers(leader) {
        let message = format_args!("{:?} beside {:?}", replica.status(), leader.status());
        return violation("session-status", Some(at), message);
    }
    if !replica.handed_over() || !tab.own.is_empty() || !tab.waiting.is_empty() {
        let message = format_args!("session {:?} still has {:?}", tab.author, tab.own);
        return violation("convergence", Some(at), message);
    }
    let is_one_history = model.histories.len() == 1;
    for own in tab.committed.iter().filter(|_| is_one_history) {
        let (Some(told), GroupState::Ended(known)) =
            (tab.told.get(&own.id), readable(at, leader.group_state(own.id))?)
        else {
            continue;
        };
        if *told != known {
            let message = format_args!("{} was told to be {told:?}, and is {known:?}", own.id);
            return violation("fate", Some(at), message);
        }
    }
    Ok(())
}

/// Reads the events of the newest groups of a session: the last two, as one commit can make both.
pub(crate) fn newest(
    at: usize,
    replica: &Replica,
    groups: usize,
) -> Result<Vec<(GroupId, Vec<Fact>)>, Violation> {
    let tail = readable(at, stored::contents(replica))?;
    let first = tail.len().saturating_sub(groups);
    let facts = tail[first..].iter().map(|found| {
        let facts = found.events.iter().map(|(name, args)| Fact::read(name, args));
        Some((found.id, facts.collect::<Option<Vec<Fact>>>()?))
    });
    facts.collect::<Option<_>>().map_or_else(
        || violation("identity", Some(at), "an event in a session that nobody committed"),
        Ok,
    )
}

/// Reads the dead letters that a session shows.
pub(crate) fn letters(
    at: usize,
    replica: &Replica,
) -> Result<Vec<(GroupId, bool, Vec<Fact>)>, Violation> {
    let letters = readable(at, replica.dead_letters())?;
    let read = letters.iter().map(|letter| {
        let facts = facts_of(&letter.group).unwrap_or_default();
        (letter.group.id(), letter.command.is_some(), facts)
    });
    Ok(read.collect())
}
