//! A leader takes what a session hands over.

use std::rc::Rc;

use livestore::{ConnectionState, HistoryAnswer, StopReason};
use livestore_core::{Group, GroupId};
use serde::Deserialize;

use super::Line;
use crate::checks::{Violation, violation};
use crate::model::Taking;
use crate::sometimes::Point;
use crate::world::World;

/// What a session says, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Said {
    Attach(serde::de::IgnoredAny),
    Visit(serde::de::IgnoredAny),
    Do(Order),
    Push(Push),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Order {
    AnswerDivergence { answer: HistoryAnswer },
    NoteAnswer(serde::de::IgnoredAny),
    RetryNow,
}

#[derive(Deserialize)]
struct Push {
    commits: Vec<Commit>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Commit {
    seen: u64,
    synced: Option<Group>,
    client_only: Option<Group>,
    forgets: Option<GroupId>,
}

impl World {
    /// Returns what a message of a session hands over, if it does.
    pub(super) fn takings(
        &mut self,
        at: usize,
        message: &[u8],
    ) -> Result<Option<Vec<Taking>>, Violation> {
        let said = match serde_json::from_slice(message) {
            Ok(said) => said,
            Err(error) => return violation("link", Some(at), error),
        };
        let Push { commits } = match said {
            Said::Push(push) => push,
            Said::Do(Order::AnswerDivergence { answer: HistoryAnswer::Discard }) => {
                let client = &mut self.clients[at];
                let Some(process) = &client.process else { return Ok(None) };
                client.model.may_discard |= matches!(
                    process.replica.status().connection,
                    ConnectionState::Stopped(
                        StopReason::HistoryDiverged(_) | StopReason::NotRepublished { .. }
                    )
                );
                return Ok(None);
            }
            _ => return Ok(None),
        };
        let mut takings = Vec::new();
        for Commit { seen, synced, client_only, forgets } in commits {
            let groups = synced.iter().chain(&client_only);
            let known = groups.map(|group| self.model.known.get(&group.id()).cloned());
            let Some(groups) = known.collect::<Option<Vec<_>>>() else {
                return violation("identity", Some(at), "a session hands over what nobody made");
            };
            takings.push(Taking { seen, groups, forgets });
        }
        Ok(Some(takings))
    }

    /// The leader has taken something of a session: it is the client's now.
    pub(super) fn took(
        &mut self,
        at: usize,
        line: &mut Line,
        takings: Vec<Taking>,
    ) -> Result<(), Violation> {
        let client = &mut self.clients[at];
        let process = client.process.as_ref().expect("it has taken something");
        let number = process.replica.advances();
        let left_out = client.model.left_out();
        let mut new = Vec::new();
        for taking in takings {
            let is_seen = taking.seen >= line.foreign;
            for known in client.model.take(&taking) {
                line.feed.borrow_mut().taken.insert(known.id, number);
                if !is_seen {
                    known.has_been_rebased.set(true);
                }
                new.push((known, is_seen));
            }
        }
        let before: Vec<_> = new.iter().map(|(known, _)| known.content()).collect();
        self.observe(at)?;
        let client = &mut self.clients[at];
        let mut deviates = client.model.left_out() > left_out;
        let (mut given_up, mut rewritten) = (0, 0);
        for ((known, is_seen), before) in new.iter().zip(&before) {
            let is_given_up = client.model.was_given_up(known.id);
            let is_rewritten = !Rc::ptr_eq(before, &known.content());
            if (is_given_up || is_rewritten)
                && *is_seen
                && !deviates
                && !known.is_late.get()
                && !client.model.revision_due
            {
                let message = format_args!("{} was taken otherwise than it was seen", known.id);
                return violation("as-seen", Some(at), message);
            }
            deviates |= is_given_up || is_rewritten;
            given_up += usize::from(is_given_up);
            rewritten += usize::from(is_rewritten);
        }
        if deviates && number > line.foreign {
            line.foreign = number;
        }
        let late = new.iter().any(|(known, _)| known.is_late.get());
        let happened = [
            (!new.is_empty(), Point::Taken),
            (new.iter().any(|(_, is_seen)| !is_seen), Point::TakenUnseen),
            (given_up > 0, Point::TakenAsDeadLetter),
            (rewritten > 0, Point::TakenRewritten),
            (late, Point::LetterGone),
        ];
        for (_, point) in happened.into_iter().filter(|(happened, _)| *happened) {
            self.hit(point);
        }
        Ok(())
    }

    /// Remembers what the leader shows now, for the sessions that will.
    pub(crate) fn note_shown(&mut self, at: usize) -> Result<(), Violation> {
        let client = &mut self.clients[at];
        let Some(process) = &client.process else { return Ok(()) };
        let is_followed = |line: &Line| line.follows();
        let lines = || client.slots.iter().flat_map(|slot| slot.line.iter().chain(&slot.old));
        let is_followed = lines().any(is_followed);
        let number = process.replica.advances();
        let mut feed = client.feed.borrow_mut();
        if number == feed.number {
            if is_followed
                && let Some(shown) = feed.shown.get(&number)
                && **shown != client.model.local_and_left_out()
            {
                let message = format_args!("after advance {number} it has changed once more");
                return violation("advance", Some(at), message);
            }
            return Ok(());
        }
        feed.show(number, client.model.local_and_left_out());
        drop(feed);
        for slot in &mut client.slots {
            for line in slot.line.iter_mut().chain(&mut slot.old) {
                line.foreign = number;
            }
        }
        Ok(())
    }
}
