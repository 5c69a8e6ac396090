//! What the server decides and says, compared with the log as the model has it.

use livestore_core::protocol::{Goodbye, GoodbyeReason, GroupPosition, Hello, Page, Welcome};
use livestore_core::{BackendId, GlobalSeqNum, GroupId, LogPosition};
use livestore_server::{AppendOutcome, AppendRequest};

use super::{Violation, violation};
use crate::model::{self, History, Model, bank};

/// A push, as the storage gets it.
#[derive(Debug, Clone)]
pub(crate) struct Append {
    pub(crate) request: AppendRequest,
    /// Which client pushes; the groups may be those of others.
    pub(crate) client: usize,
    /// True if it is a piece of a log that is published anew.
    pub(crate) is_anew: bool,
}

/// A push was taken: the log of the model takes it as well.
pub(crate) fn appended(
    model: &mut Model,
    append: &Append,
    told: Option<(GlobalSeqNum, LogPosition)>,
) -> Result<(), Violation> {
    let before = model.current().end();
    if append.request.base != before.seq {
        let message = format_args!("a push on {} was taken at {}", append.request.base, before.seq);
        return violation("server-base", None, message);
    }
    let mut end = before;
    for group in &append.request.groups {
        let id = group.id();
        let Some(known) = model.known.get(&id).cloned() else {
            return violation("identity", None, format_args!("nobody ever committed {id}"));
        };
        if model.current().find(id).is_some() {
            return violation("no-duplicate", None, format_args!("{id} is in the log twice"));
        }
        if append.is_anew {
            let Some(entry) = model.left_entry(group).cloned() else {
                let message = format_args!("{group:?} is published anew, and was in no log");
                return violation("identity", None, message);
            };
            known.was_republished.set(true);
            end = model.current_mut().append_as(entry, group);
            continue;
        }
        let content = known.content();
        if content.hash.get() != Some(group.content_hash()) {
            let message = format_args!("{id} is {group:?}, and {:?} for its author", content.facts);
            return violation("identity", None, message);
        }
        if known.is_rejected.get() {
            let message = format_args!("{id} is a dead letter, and was taken into the log");
            return violation("no-duplicate", None, message);
        }
        if known.is_lost.get() {
            let message = format_args!("the log takes {id}, which its author has lost");
            return violation("durable-before-push", None, message);
        }
        if let Some(intent) = known.intent()
            && model.current().bank().make(intent).as_ref() != Some(&content.facts)
        {
            let message = format_args!("{intent:?} is taken as {:?}", content.facts);
            return violation("guard", None, message);
        }
        end = model.current_mut().append(known, group);
        if let Some(purse) = model.current().overdrawn() {
            let message = format_args!("{id} takes purse {purse} below zero");
            return violation("bank", None, message);
        }
    }
    if told.is_some_and(|told| told != (before.seq.next(), end)) {
        let message = format_args!("told {told:?}, the log went from {before:?} to {end:?}");
        return violation("server-answer", None, message);
    }
    Ok(())
}

/// The storage has decided on a push.
pub(crate) fn outcome(
    model: &mut Model,
    append: &Append,
    outcome: &AppendOutcome,
    is_strict: bool,
    is_troubled: bool,
) -> Result<(), Violation> {
    let log = model.current();
    let objection = objection(log, append, is_strict);
    let known = positions(model, append.request.groups.iter().map(livestore_core::Group::id));
    let is_right = match outcome {
        AppendOutcome::Appended { first, end } => {
            if let Some((group, code)) = objection {
                let message = format_args!("{group} was taken, and is against the rules: {code}");
                return violation("server-rules", None, message);
            }
            return appended(model, append, Some((*first, *end)));
        }
        AppendOutcome::AlreadyAccepted { groups } => !known.is_empty() && *groups == known,
        AppendOutcome::ServerAhead { head } => {
            known.is_empty() && append.request.base != log.end().seq && *head == log.end().seq
        }
        AppendOutcome::Refused { group, refusal } => {
            if let Some(known) = model.known.get(group) {
                known.was_refused.set(true);
            }
            let told = (*group, refusal.code.as_deref().unwrap_or_default());
            known.is_empty() && append.request.base == log.end().seq && objection == Some(told)
        }
        AppendOutcome::RuleFailed => {
            known.is_empty() && append.request.base == log.end().seq && is_troubled
        }
        // Somebody publishes what it was in another history, and its author has made it anew:
        // one of them is the first.
        AppendOutcome::Conflict { group } => {
            let in_log = log.find(*group).map(|index| log.entries()[index].content.hash.get());
            let pushed = append.request.groups.iter().find(|pushed| pushed.id() == *group);
            let pushed = pushed.map(|pushed| Some(pushed.content_hash()));
            let is_republished = model.known.get(group).is_some_and(|known| {
                known.was_republished.get() || usize::from(known.author.client) != append.client
            });
            in_log.is_some() && in_log != pushed && is_republished
        }
    };
    if is_right {
        return Ok(());
    }
    let (base, head) = (append.request.base, log.end().seq);
    let message = format_args!("{outcome:?} to a push on {base}, the log being at {head}");
    violation("server-answer", None, message)
}

/// Returns the first group of a push that the rules have something against, and what.
fn objection(log: &History, append: &Append, is_strict: bool) -> Option<(GroupId, &'static str)> {
    let mut bank = log.bank().clone();
    append.request.groups.iter().find_map(|group| {
        let facts = model::facts_of(group)?;
        Some((group.id(), bank::objection(&mut bank, &facts, is_strict)?))
    })
}

fn positions(model: &Model, ids: impl Iterator<Item = GroupId>) -> Vec<GroupPosition> {
    let log = model.current();
    let position = |id| {
        let first = GlobalSeqNum(log.entries()[log.find(id)?].first());
        Some(GroupPosition { id, first })
    };
    ids.filter_map(position).collect()
}

/// The server welcomes a client.
pub(crate) fn welcome(
    model: &Model,
    backend_id: BackendId,
    hello: &Hello,
    welcome: &Welcome,
) -> Result<(), Violation> {
    let log = model.current();
    if welcome.head != log.end().seq {
        let message = format_args!("head {} of a log up to {}", welcome.head, log.end().seq);
        return violation("server-welcome", None, message);
    }
    if let Some(cursor) = &hello.cursor
        && (log.groups_up_to(cursor.position).is_none() || cursor.backend_id != backend_id)
    {
        let message = format_args!("a client at {:?} was welcomed", cursor.position);
        return violation("divergence", None, message);
    }
    let accepted = positions(model, hello.attempted.iter().copied());
    if accepted != welcome.accepted {
        let message = format_args!("accepted {:?}, in the log {accepted:?}", welcome.accepted);
        return violation("server-welcome", None, message);
    }
    Ok(())
}

/// The server refuses a hello.
pub(crate) fn refused(
    model: &Model,
    backend_id: BackendId,
    hello: &Hello,
    goodbye: &Goodbye,
) -> Result<(), Violation> {
    let position = hello.cursor.map_or(LogPosition::ROOT, |cursor| cursor.position);
    let is_other = model.current().groups_up_to(position).is_none()
        || hello.cursor.is_some_and(|cursor| cursor.backend_id != backend_id);
    if goodbye.reason != GoodbyeReason::HistoryDiverged || is_other {
        return Ok(());
    }
    violation("divergence", None, format_args!("a client at {position:?} was refused"))
}

/// A page goes out.
pub(crate) fn page(model: &Model, page: &Page) -> Result<(), Violation> {
    let log = model.current();
    let first = page.groups[0].first;
    let Some(until) = log.groups_up_to(page.end) else {
        return violation("server-page", None, format_args!("it ends at {:?}", page.end));
    };
    let from = until.saturating_sub(page.groups.len());
    let entries = &log.entries()[from..until];
    let is_same = entries.len() == page.groups.len()
        && entries.iter().zip(&page.groups).all(|(entry, sent)| {
            entry.known.id == sent.group.id() && entry.first() == sent.first.0
        });
    if is_same {
        return Ok(());
    }
    violation("server-page", None, format_args!("the page from {first} is not the log"))
}

/// The server ends a conversation by itself.
pub(crate) fn goodbye(goodbye: &Goodbye, is_damaged: bool) -> Result<(), Violation> {
    if goodbye.reason == GoodbyeReason::ProtocolError && !is_damaged {
        let message = format_args!("the server was told nonsense: {}", goodbye.message);
        return violation("protocol", None, message);
    }
    Ok(())
}
