//! What the user of a client does.

use livestore::replica::Committed;
use livestore::{ConnectionState, HistoryAnswer, ReplicaError, StopReason};

use crate::checks::{self, Attempt, Doing, Violation, violation};
use crate::sometimes::Point;
use crate::workload::{ByKind, Fact, Intent};
use crate::world::World;
use crate::world::disk::calmly;

impl World {
    /// The user commits events.
    pub(crate) fn commit(
        &mut self,
        at: usize,
        facts: &[Fact],
        full: bool,
    ) -> Result<bool, Violation> {
        let now_ms = self.client_now(at);
        let client = &mut self.clients[at];
        let Some(process) = &mut client.process else { return Ok(false) };
        let events = facts.iter().map(Fact::event).collect();
        let committed = process.replica.commit(events, now_ms).map(Some);
        let done = committed.as_ref().ok().copied().flatten();
        self.committed(at, committed, Attempt { facts: facts.to_vec(), ..Attempt::default() })?;
        self.require_full(at, done.filter(|_| full));
        self.finish(at)?;
        Ok(true)
    }

    /// The user executes a command.
    pub(crate) fn execute(
        &mut self,
        at: usize,
        intent: &Intent,
        full: bool,
    ) -> Result<bool, Violation> {
        let now_ms = self.client_now(at);
        let client = &mut self.clients[at];
        let Some(process) = &mut client.process else { return Ok(false) };
        let facts = client.model.local().bank.make(intent).unwrap_or_default();
        let executed = process.replica.execute(intent.name().into(), intent.args(), now_ms);
        let done = executed.as_ref().ok().copied();
        let attempt = Attempt { facts, intent: Some(intent.clone()), letter: None };
        self.committed(at, executed.map(Some), attempt)?;
        self.require_full(at, done.filter(|_| full));
        self.finish(at)?;
        Ok(true)
    }

    /// The user wants to know when a commit is safe from a power cut.
    fn require_full(&mut self, at: usize, done: Option<Committed>) {
        let client = &mut self.clients[at];
        if let (Some(process), Some(done)) = (&mut client.process, done)
            && done.stored
        {
            process.replica.require_full(done.ordinal);
            process.wanted.push((done.ordinal, client.model.committed.len() - 1));
        }
    }

    /// Takes note of a commit, and checks that it succeeded exactly if it had to.
    fn committed(
        &mut self,
        at: usize,
        committed: Result<Option<Committed>, impl std::fmt::Display>,
        attempt: Attempt,
    ) -> Result<(), Violation> {
        let author = self.clients[at].author();
        let ByKind { synced, client_only, memory } = ByKind::of(&attempt.facts);
        let is_mixed = !synced.is_empty() && !client_only.is_empty();
        // A process that dies once the commit is done may or may not have said so. What was told to
        // have happened has, even if it was the last that the process said.
        let is_told = committed.is_ok() && self.counts.steps.is_multiple_of(2);
        if (!is_told || is_mixed) && self.has_died(at, Doing::Commit(author, attempt.clone())) {
            return Ok(());
        }
        let Attempt { facts, intent, letter } = attempt;
        let client = &mut self.clients[at];
        let version = client.model.version;
        let mut app = client.model.local().clone();
        // A command that makes no events is refused.
        let expected = if facts.is_empty() { Err(0) } else { Ok(()) }
            .and_then(|()| app.apply_whole(&synced, author, version))
            .and_then(|()| app.apply_whole(&client_only, author, version));
        let committed = match (committed, expected) {
            (Ok(Some(committed)), Ok(())) => committed,
            (Ok(None), _) => return violation("commit", Some(at), "the dead letter is not there"),
            (Ok(Some(_)), Err(index)) => {
                let message = format_args!("event {index} of {facts:?} does not apply");
                return violation("commit", Some(at), message);
            }
            (Err(_), Err(_)) => {
                let is_command = intent.is_some();
                self.hit(if is_command { Point::CommandRefused } else { Point::CommitRefused });
                return Ok(());
            }
            (Err(_), Ok(())) if client.is_troubled() => {
                self.hit(Point::CommitFailed);
                return Ok(());
            }
            (Err(error), Ok(())) => return violation("commit", Some(at), error),
        };
        let mut ids = vec![committed.group_id];
        if is_mixed {
            let process = client.process.as_ref().expect("it is running");
            let newest = || checks::newest_group(at, &process.replica);
            ids.push(calmly(client.disk.as_ref(), newest)?);
        }
        let groups = [synced, client_only].into_iter().filter(|facts| !facts.is_empty());
        for (id, facts) in ids.into_iter().zip(groups) {
            if self.model.known.contains_key(&id) {
                return violation("identity", Some(at), format_args!("{id} was there before"));
            }
            let known = self.model.learn(id, author, facts, intent.clone());
            client.model.commit(known);
        }
        if let Some(letter) = letter {
            client.model.forget(letter);
        }
        client.model.note();
        client.model.flash(&memory);
        self.counts.events += facts.len() as u64;
        Ok(())
    }

    /// The user commits a dead letter again.
    pub(crate) fn retry(&mut self, at: usize, letter: usize) -> Result<bool, Violation> {
        let now_ms = self.client_now(at);
        let client = &mut self.clients[at];
        let Some(process) = &mut client.process else { return Ok(false) };
        let Some(id) = client.model.dead_letters().get(letter).copied() else { return Ok(false) };
        let known = &self.model.known[&id];
        let intent = known.intent().cloned();
        let facts = match &intent {
            Some(intent) => client.model.local().bank.make(intent).unwrap_or_default(),
            None => known.content().facts.clone(),
        };
        let committed = process.replica.retry_dead_letter(id, now_ms);
        self.hit(Point::DeadLetterRetried);
        if intent.is_some() {
            self.hit(Point::CommandRetried);
        }
        self.committed(at, committed, Attempt { facts, intent, letter: Some(id) })?;
        self.finish(at)?;
        Ok(true)
    }

    /// The user forgets a dead letter.
    pub(crate) fn acknowledge(&mut self, at: usize, letter: usize) -> Result<bool, Violation> {
        let client = &mut self.clients[at];
        let Some(process) = &mut client.process else { return Ok(false) };
        let Some(id) = client.model.dead_letters().get(letter).copied() else { return Ok(false) };
        let forgotten = process.replica.acknowledge_dead_letter(id);
        if self.has_died(at, Doing::Forget(id)) {
            return Ok(true);
        }
        let client = &mut self.clients[at];
        match forgotten {
            Ok(true) => {
                client.model.forget(id);
                client.model.note();
            }
            Err(_) if client.is_troubled() => {}
            other => return violation("dead-letters", Some(at), format_args!("{id}: {other:?}")),
        }
        self.finish(at)?;
        Ok(true)
    }

    /// The user goes on with a backend that has another history.
    pub(crate) fn follow(&mut self, at: usize, answer: HistoryAnswer) -> Result<bool, Violation> {
        let now_ms = self.client_now(at);
        let client = &mut self.clients[at];
        let Some(process) = &mut client.process else { return Ok(false) };
        let is_stopped = matches!(
            process.replica.status().connection,
            ConnectionState::Stopped(
                StopReason::HistoryDiverged(_) | StopReason::NotRepublished { .. }
            )
        );
        client.model.may_discard |= is_stopped && answer == HistoryAnswer::Discard;
        let followed = process.replica.answer_divergence(answer, now_ms);
        if self.has_died(at, Doing::Following) {
            return Ok(true);
        }
        match followed {
            Ok(false) if !is_stopped => return Ok(false),
            Ok(true) => self.hit(match answer {
                HistoryAnswer::Republish => Point::RepublishedLater,
                HistoryAnswer::Discard => Point::DiscardedLater,
                _ => Point::HistoryFollowedLater,
            }),
            Err(ReplicaError::BackendNotEmpty { head, .. }) if head.0 > 0 => {
                self.hit(Point::NotRepublishedOntoOthers);
            }
            Err(_) if self.clients[at].is_troubled() => {}
            other => {
                return violation("driver", Some(at), format_args!("to {answer:?}: {other:?}"));
            }
        }
        self.finish(at)?;
        Ok(true)
    }

    /// The user does not want to wait.
    pub(crate) fn hurry(&mut self, at: usize) -> Result<bool, Violation> {
        let Some(process) = &mut self.clients[at].process else { return Ok(false) };
        process.replica.retry_now();
        self.finish(at)?;
        Ok(true)
    }

    /// The user looks at the state.
    pub(crate) fn read(&mut self, at: usize) -> Result<bool, Violation> {
        let client = &mut self.clients[at];
        let Some(process) = &client.process else { return Ok(false) };
        let (own, replica) = (&mut client.model, &process.replica);
        let check = || checks::state(at, own, replica);
        calmly(client.disk.as_ref(), check)?;
        Ok(true)
    }

    /// Everything about a client is checked.
    pub(crate) fn verify(&mut self, at: usize) -> Result<bool, Violation> {
        let client = &mut self.clients[at];
        let Some(process) = &client.process else { return Ok(false) };
        let (model, own, replica) = (&self.model, &mut client.model, &process.replica);
        let check = || checks::verify(model, at, own, replica);
        calmly(client.disk.as_ref(), check)?;
        Ok(true)
    }
}
