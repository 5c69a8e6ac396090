//! What becomes of pending groups when the state under them changes: commands run again, and events
//! are rewritten or dropped.
//!
//! When that happens is the replica's business. Whenever it says that nothing is left to be done,
//! each group has to be what the model makes of the state before it; and while the backend may have
//! a group, that stays what it is.

use std::rc::Rc;

use livestore::{CommandFailure, DeadLetter, DeadLetterReason, Replica, StoredCommand};

use super::stored::{self, Contents};
use super::{Violation, readable, violation};
use crate::model::bank::Bank;
use crate::model::{ClientModel, Content, Known};
use crate::workload::{Fact, Intent};

/// What has happened between the last look at a client and this one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Since {
    /// The whole tail was done again on another state.
    pub(super) rebased: bool,
    /// A power cut may have led back to an earlier moment.
    pub(super) lost_power: bool,
}

/// What became of pending groups.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Revised {
    /// Commands that made other events.
    pub(crate) commands: usize,
    /// Those of them that made more, and fewer.
    pub(crate) grown: usize,
    pub(crate) shrunk: usize,
    /// Groups of which events were rewritten.
    pub(crate) events: usize,
    /// The file says that the rest is to be done later; or, that it was done now.
    pub(crate) put_off: bool,
    pub(crate) made_up: bool,
}

/// Takes note of what the pending groups of a client contain now, and checks that they may.
///
/// Those that left the tail at the same time are still in the model's, and have no say.
pub(super) fn follow(
    at: usize,
    client: &mut ClientModel,
    replica: &Replica,
    since: Since,
) -> Result<Revised, Violation> {
    let mut revised = Revised::default();
    if !client.pending.iter().any(|own| own.is_revisable()) && !since.lost_power {
        return Ok(revised);
    }
    let is_due = readable(at, stored::is_revision_due(replica))?;
    let was_due = std::mem::replace(&mut client.revision_due, is_due);
    (revised.put_off, revised.made_up) = (is_due && !was_due, was_due && !is_due);
    let tail = readable(at, stored::contents(replica))?;
    let mut app = client.confirmed().clone();
    for own in client.pending.iter().cloned().collect::<Vec<_>>() {
        let Some(found) = tail.iter().find(|found| found.id == own.id) else { continue };
        let has_command = found.origin.as_ref().is_some_and(|origin| origin.command.is_some());
        if since.lost_power {
            // It may not have been confirmed and taken back yet.
            own.is_fact.set(own.is_fact.get() && !has_command);
            own.has_been_rebased.set(false);
        }
        if since.rebased {
            own.has_been_rebased.set(true);
        }
        if !is_same(&own.content(), &found.events) {
            become_found(at, client, &own, found, &app.bank, since, &mut revised)?;
        }
        let content = own.content();
        check_origin(at, &own, &content, found)?;
        if !is_due && !is_settled(&own, &content, &app.bank) {
            let message = format_args!("{} is to be made anew: {:?}", own.id, content.facts);
            return violation("revision", Some(at), message);
        }
        let _ = app.apply_whole(&content.facts, own.author, client.version);
    }
    Ok(revised)
}

/// The tail contains what was seen of it last.
pub(super) fn check_tail(
    at: usize,
    client: &ClientModel,
    replica: &Replica,
) -> Result<(), Violation> {
    let tail = readable(at, stored::contents(replica))?;
    for (own, found) in client.pending.iter().zip(&tail) {
        if !is_same(&own.content(), &found.events) {
            let message = format_args!("{} contains {:?}", own.id, found.events);
            return violation("pending", Some(at), message);
        }
    }
    Ok(())
}

fn is_same(content: &Content, events: &[(String, String)]) -> bool {
    let events = events.iter().map(|(name, args)| (name.as_str(), args.as_str()));
    content.events.iter().map(|(name, args)| (*name, args.as_str())).eq(events)
}

/// A pending group contains something else than before: the model's group becomes that, if it may.
fn become_found(
    at: usize,
    client: &mut ClientModel,
    own: &Known,
    found: &Contents,
    bank: &Bank,
    since: Since,
    revised: &mut Revised,
) -> Result<(), Violation> {
    let before = own.content();
    let facts = found.events.iter().map(|(name, args)| Fact::read(name, args));
    let facts: Option<Vec<Fact>> = facts.collect();
    let wrong = |what: &str| {
        let message = format_args!("{} was {:?}, and is {facts:?}: {what}", own.id, before.facts);
        violation("revision", Some(at), message)
    };
    if client.open.contains(&own.id) {
        return wrong("the backend may have it already");
    }
    let Some(facts) = &facts else { return wrong("no such event") };
    let was_it_before = since.lost_power && own.had(facts).is_some();
    if !was_it_before && revision(own, &before, bank).as_ref() != Some(facts) {
        return wrong("that is not what the state makes of it");
    }
    if own.intent().is_some() {
        revised.commands += 1;
        revised.grown += usize::from(facts.len() > before.facts.len());
        revised.shrunk += usize::from(facts.len() < before.facts.len());
    } else {
        revised.events += 1;
    }
    client.rewrite(own, facts.clone());
    Ok(())
}

/// Returns what a group becomes on a state, if it does not become a dead letter.
fn revision(own: &Known, content: &Content, bank: &Bank) -> Option<Vec<Fact>> {
    match own.intent() {
        Some(intent) => bank.make(intent),
        None => bank.rebase(&content.facts).ok(),
    }
}

/// Tells whether a group is what the state makes of it, or does not have to be.
fn is_settled(own: &Known, content: &Content, bank: &Bank) -> bool {
    let has_to_be = own.intent().is_some() || own.has_been_rebased.get();
    !has_to_be || revision(own, content, bank).as_ref() == Some(&content.facts)
}

/// The tail knows the command of a group, and whether it was committed as something else.
fn check_origin(
    at: usize,
    own: &Known,
    content: &Content,
    found: &Contents,
) -> Result<(), Violation> {
    let (command, submitted) = match &found.origin {
        Some(origin) => (origin.command.as_ref(), origin.submitted.is_some()),
        None => (None, false),
    };
    if !is_command(own.intent(), command) || submitted != own.is_rewritten(content) {
        let message = format_args!("{} comes from {:?}", own.id, found.origin);
        return violation("origin", Some(at), message);
    }
    Ok(())
}

fn is_command(intent: Option<&Intent>, command: Option<&StoredCommand>) -> bool {
    match (intent, command) {
        (Some(intent), Some(command)) => {
            command.name == intent.name() && command.args == intent.args()
        }
        (None, None) => true,
        _ => false,
    }
}

/// A dead letter holds its group as it was last, and its command.
pub(super) fn check_letter(at: usize, own: &Known, letter: &DeadLetter) -> Result<(), Violation> {
    if super::client::is_same_events(&own.content(), &letter.group)
        && is_command(own.intent(), letter.command.as_ref())
    {
        return Ok(());
    }
    violation("dead-letters", Some(at), format_args!("{} is kept as {letter:?}", own.id))
}

/// A group that was given up may have been made anew right before that; the model's follows.
pub(super) fn follow_letter(client: &mut ClientModel, own: &Rc<Known>, letter: &DeadLetter) {
    let bank = client.state_before(own).bank;
    if let DeadLetterReason::MaterializeFailed { .. } = letter.reason
        && !super::client::is_same_events(&own.content(), &letter.group)
        && let Some(facts) = revision(own, &own.content(), &bank)
    {
        client.rewrite(own, facts);
    }
}

/// A power cut may have led back to a dead letter whose group has lived on since.
pub(super) fn follow_old_letter(own: &Known, letter: &DeadLetter) {
    own.is_fact.set(own.is_fact.get() && letter.command.is_none());
    let events = letter.group.events().iter();
    let facts = events.map(|event| Fact::read(event.name.as_str(), event.args.as_str()));
    if let Some(content) = facts.collect::<Option<Vec<Fact>>>().and_then(|facts| own.had(&facts)) {
        own.become_content(content.facts.clone());
    }
}

/// Tells what is wrong with a reason for which a group was given up on a rebase, if anything is.
pub(super) fn wrong_reason(
    client: &ClientModel,
    own: &Known,
    reason: &DeadLetterReason,
) -> Option<&'static str> {
    let bank = client.state_before(own).bank;
    match (reason, own.intent()) {
        (DeadLetterReason::LetterGone, _) => {
            (!own.is_late.get()).then_some("the dead letter was there")
        }
        _ if client.open.contains(&own.id) => Some("the backend may have it already"),
        (DeadLetterReason::CommandFailed { failure }, Some(intent)) => {
            let is_named = match intent {
                Intent::Collect(_) => *failure == CommandFailure::NoEvents,
                _ => matches!(failure, CommandFailure::Refused { .. }),
            };
            match bank.make(intent) {
                Some(_) => Some("the command is possible"),
                None if is_named => None,
                None => Some("its command fails for another reason"),
            }
        }
        (DeadLetterReason::DroppedOnRebase { event_index, .. }, None) => {
            let dropped = bank.rebase(&own.content().facts).err();
            (dropped != Some(*event_index)).then_some("this event is kept")
        }
        _ => Some("it is no such group"),
    }
}
