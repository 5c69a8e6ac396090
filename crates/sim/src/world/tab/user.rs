//! What the user of a session does.

use livestore::replica::Committed;

use super::Tab;
use crate::action::TabAction;
use crate::checks::{self, Violation, violation};
use crate::model::app::App;
use crate::model::{Own, Waiting};
use crate::sometimes::Point;
use crate::workload::{ByKind, Fact, Intent};
use crate::world::World;

/// What a user wants to commit.
struct Wanted {
    /// The events, if they are known.
    facts: Option<Vec<Fact>>,
    intent: Option<Intent>,
    full: bool,
}

impl World {
    /// The user of a session does something.
    pub(super) fn tab_user(
        &mut self,
        at: usize,
        slot: usize,
        act: &TabAction,
    ) -> Result<bool, Violation> {
        let now_ms = self.client_now(at);
        let local = self.tab_local(at, slot);
        let Some(Tab { replica: Some(replica), model, .. }) = &mut self.clients[at].slots[slot].tab
        else {
            return Ok(false);
        };
        match act {
            TabAction::Commit { facts, full } => {
                let events = facts.iter().map(Fact::event).collect();
                let committed = replica.commit(events, now_ms).map(Some);
                let wanted = Wanted { facts: Some(facts.clone()), intent: None, full: *full };
                self.tab_committed(at, slot, committed, local, wanted)?;
            }
            TabAction::Execute { intent, full } => {
                let facts = local.as_ref().map(|app| app.bank.make(intent).unwrap_or_default());
                let executed = replica.execute(intent.name().into(), intent.args(), now_ms);
                let wanted = Wanted { facts, intent: Some(intent.clone()), full: *full };
                self.tab_committed(at, slot, executed.map(Some), local, wanted)?;
            }
            TabAction::Retry { letter } => {
                let letters = checks::tab_letters(at, replica)?;
                let Some((id, has_command, facts)) = letters.into_iter().nth(*letter) else {
                    return Ok(false);
                };
                let intent = self.model.known[&id].command().filter(|_| has_command).cloned();
                let facts = match &intent {
                    Some(intent) => {
                        local.as_ref().map(|app| app.bank.make(intent).unwrap_or_default())
                    }
                    None => Some(facts),
                };
                let committed = replica.retry_dead_letter(id, now_ms);
                let wanted = Wanted { facts, intent, full: false };
                self.hit(Point::LetterRetriedInSession);
                self.tab_committed(at, slot, committed, local, wanted)?;
            }
            TabAction::Acknowledge { letter } => {
                let letters = checks::tab_letters(at, replica)?;
                let Some((id, ..)) = letters.get(*letter) else { return Ok(false) };
                match replica.acknowledge_dead_letter(*id) {
                    Ok(true) => {}
                    other => {
                        let message = format_args!("{id}: {other:?}");
                        return violation("dead-letters", Some(at), message);
                    }
                }
            }
            TabAction::Follow { answer } => match replica.answer_divergence(*answer, now_ms) {
                Ok(true) => self.hit(Point::AnsweredBySession),
                Ok(false) | Err(_) => return Ok(false),
            },
            TabAction::Hurry => replica.retry_now(),
            TabAction::Read => {
                let _ = model;
                self.observe_tab(at, slot, true)?;
                return Ok(true);
            }
            _ => return Ok(false),
        }
        self.observe_tab(at, slot, false)?;
        self.tab_speaks(at, slot)?;
        Ok(true)
    }

    /// The state that a session shows, if it is known.
    fn tab_local(&self, at: usize, slot: usize) -> Option<App> {
        let tab = self.clients[at].slots[slot].tab.as_ref()?;
        let seen = tab.replica.as_ref()?.followed()?;
        Some(tab.model.state(&tab.feed.as_ref()?.borrow(), seen)?.0)
    }

    /// Takes note of a commit, and checks that it succeeded exactly if it had to.
    fn tab_committed(
        &mut self,
        at: usize,
        slot: usize,
        committed: Result<Option<Committed>, impl std::fmt::Display>,
        local: Option<App>,
        wanted: Wanted,
    ) -> Result<(), Violation> {
        let Wanted { facts, intent, full } = wanted;
        let tab = self.clients[at].slots[slot].tab.as_mut().expect("it has committed");
        let replica = tab.replica.as_mut().expect("it has committed");
        let (author, version) = (tab.model.author, tab.model.version);
        let kinds = facts.as_deref().map(ByKind::of);
        let expected = kinds.as_ref().zip(local).map(|(kinds, mut app)| {
            // A command that makes no events is refused.
            let is_empty = facts.as_ref().is_some_and(Vec::is_empty);
            let applied = if is_empty { Err(0) } else { Ok(()) }
                .and_then(|()| app.apply_whole(&kinds.synced, author, version))
                .and_then(|()| app.apply_whole(&kinds.client_only, author, version));
            applied.map(|()| app)
        });
        let committed = match (committed, &expected) {
            (Ok(Some(committed)), Some(Ok(_)) | None) => committed,
            (Err(_), Some(Err(_)) | None) => {
                self.hit(Point::SessionCommitRefused);
                return Ok(());
            }
            (Ok(None), _) => return violation("commit", Some(at), "the dead letter is not there"),
            (Ok(Some(_)), Some(Err(index))) => {
                let message =
                    format_args!("event {index} of {facts:?} does not apply in a session");
                return violation("commit", Some(at), message);
            }
            (Err(error), Some(Ok(_))) => return violation("commit", Some(at), error),
        };
        let kinds = kinds.unwrap_or_default();
        let groups = if intent.is_some() {
            1
        } else {
            usize::from(!kinds.synced.is_empty()) + usize::from(!kinds.client_only.is_empty())
        };
        let found = checks::tab_newest(at, replica, groups)?;
        let expected_facts = [kinds.synced, kinds.client_only].into_iter();
        let mut expected_facts = expected_facts.filter(|facts| !facts.is_empty());
        if found.first().is_some_and(|(id, _)| *id != committed.group_id) {
            return violation("identity", Some(at), "another group is the newest of a session");
        }
        for (id, found) in found {
            if facts.is_some() && expected_facts.next().as_ref() != Some(&found) {
                let message = format_args!("{id} is {found:?} in a session");
                return violation("identity", Some(at), message);
            }
            if self.model.known.contains_key(&id) {
                return violation("identity", Some(at), format_args!("{id} was there before"));
            }
            self.counts.events += found.len() as u64;
            let known = self.model.learn(id, author, found.clone(), intent.clone());
            tab.model.committed.push(known.clone());
            if committed.stored {
                let (ordinal, known) = (committed.ordinal, known.clone());
                tab.model.waiting.push(Waiting { ordinal, known, full });
            }
            tab.model.own.push(Own { known, facts: found });
        }
        if full && committed.stored {
            replica.require_full(committed.ordinal);
        }
        let is_alone = tab.end.is_none();
        match expected {
            Some(Ok(app)) if !kinds.memory.is_empty() => {
                if let Some(lamps) = &mut tab.model.lamps {
                    app.flash(&kinds.memory, lamps);
                }
            }
            None if !kinds.memory.is_empty() => tab.model.lamps = None,
            _ => {}
        }
        if is_alone {
            self.hit(Point::CommittedWithoutLeader);
        }
        Ok(())
    }
}
