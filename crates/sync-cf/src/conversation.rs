//! One conversation between a store and a backend.

use std::sync::Arc;
use std::time::Duration;

use livestore::SyncError;
use livestore::protocol::{
    ClientMessage, Goodbye, GoodbyeReason, GroupPosition, GroupRejected, Hello, PROTOCOL_VERSION,
    Push, PushAccepted, Refusal, RejectReason, ServerAhead, ServerMessage, Welcome,
};
use livestore::sync_provider::{Delivery, Link, Outgoing, OwnLog, SyncProvider, TokenRequest};
use livestore_cf_protocol::{Cursor, PageInfo, PullResponse, Push as CfPush, backend_id_of};
use livestore_core::{BackendId, ConfirmedGroup, GlobalSeqNum, Group, LogPosition};
use tokio::time::{Instant, sleep, timeout};

use crate::compare::{self, Compared};
use crate::translate::{Nonsense, Taken, Translator, continued};
use crate::wire::{Heard, Outcome, Stop, Wire};
use crate::{ANSWER_TIMEOUT, CfSync};

/// Carries one conversation to its end.
pub(crate) async fn converse(sync: &CfSync, link: Link) -> Result<(), SyncError> {
    let log = link.log();
    let (mut outgoing, delivery) = link.split();
    // Which store it is about is known when the store speaks.
    if delivery.opened().await.is_err() {
        return Ok(());
    }
    let Some(first) = outgoing.next().await else { return Ok(()) };
    let store_id = match &first {
        ClientMessage::Locate(locate) => locate.store_id.as_str().to_owned(),
        ClientMessage::Hello(hello) => hello.store_id.as_str().to_owned(),
        _ => return Err(sync.failed("the store began with something else than a hello")),
    };
    let request = sync.token_request(&store_id);
    let begun = tokio::select! {
        begun = begin(sync, log, &store_id, request, first, &mut outgoing, &delivery) => begun,
        // It does not go on beside the store's next conversation.
        () = delivery.closed() => Err(Stop::Closed),
    };
    let why = match begun {
        Ok(conversation) => conversation.carry_on(&mut outgoing).await,
        Err(why) => why,
    };
    let goodbye = match why {
        Stop::Closed => return Ok(()),
        Stop::Sync(error) => return Err(error),
        Stop::Diverged(message) => Goodbye { reason: GoodbyeReason::HistoryDiverged, message },
        Stop::NotLetIn(message) => {
            // What was shown this time was good once, or the app has not been told yet that it is not: the
            // store comes back, with another token. If that is refused as well, it stops.
            let was_good = !sync.known(&store_id).needs_other_token;
            sync.learn(&store_id, |known| known.needs_other_token = true);
            let reason = if sync.tokens.is_some() && was_good {
                GoodbyeReason::AuthExpired
            } else {
                GoodbyeReason::Unauthenticated
            };
            Goodbye { reason, message }
        }
    };
    let _ = delivery.deliver(ServerMessage::Goodbye(goodbye)).await;
    Ok(())
}

/// Connects, answers what the store asks before its hello, and welcomes it.
async fn begin(
    sync: &CfSync,
    log: Arc<dyn OwnLog>,
    store_id: &str,
    request: TokenRequest,
    first: ClientMessage,
    outgoing: &mut Outgoing,
    delivery: &Delivery,
) -> Result<Conversation, Stop> {
    let query = sync.query(store_id, request).await?;
    let payload = query.payload.clone();
    let mut wire = Wire::connect(sync, query).await?;
    let mut compared: Option<Compared> = None;
    let mut message = first;
    let hello = loop {
        match message {
            ClientMessage::Hello(hello) => break hello,
            ClientMessage::Locate(locate) => {
                let known = match compared.take() {
                    Some(known) => known,
                    None => compare::compare(sync, &mut wire, log.as_ref(), delivery).await?,
                };
                let located = known.answer(&locate);
                compared = Some(known);
                delivery.deliver(ServerMessage::Located(located)).await?;
            }
            _ => return Err(sync.failed("the store pushed before its hello").into()),
        }
        message = outgoing.next().await.ok_or(Stop::Closed)?;
    };
    let mut conversation = Conversation {
        sync: sync.clone(),
        store_id: store_id.to_owned(),
        payload,
        wire,
        log,
        delivery: delivery.clone(),
        translator: Translator::new(String::new(), LogPosition::ROOT),
        in_flight: None,
        ahead: None,
        is_publishing: false,
    };
    conversation.open(hello).await?;
    Ok(conversation)
}

/// How long the store's disk is given before it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// A push whose outcome is awaited.
struct InFlight {
    request: u64,
    base: GlobalSeqNum,
    end: LogPosition,
}

struct Conversation {
    sync: CfSync,
    store_id: String,
    payload: Option<serde_json::Value>,
    wire: Wire,
    log: Arc<dyn OwnLog>,
    delivery: Delivery,
    translator: Translator,
    in_flight: Option<InFlight>,
    /// A push that came too late, and up to where the store has to be told what was quicker.
    ahead: Option<(u64, GlobalSeqNum)>,
    /// Whether the store publishes its log anew.
    is_publishing: bool,
}

impl Conversation {
    /// Goes on until one side ends it, and returns why.
    async fn carry_on(mut self, outgoing: &mut Outgoing) -> Stop {
        let why = loop {
            let step = tokio::select! {
                message = outgoing.next() => match message {
                    Some(ClientMessage::Push(push)) => self.push(push).await,
                    Some(_) => Err(self.sync.failed("the store said hello twice").into()),
                    None => Err(Stop::Closed),
                },
                heard = self.heard() => match heard {
                    Ok(heard) => self.hear(heard).await,
                    Err(why) => Err(why),
                },
            };
            if let Err(why) = step {
                break why;
            }
        };
        if matches!(why, Stop::Closed) {
            self.wire.close().await;
        }
        why
    }

    /// Waits for what the backend has to say, as long as it likes if it owes nothing.
    async fn heard(&mut self) -> Result<Heard, Stop> {
        let owes_events = self.translator.head() > self.translator.position().seq;
        if !owes_events {
            return self.wire.next().await;
        }
        match timeout(ANSWER_TIMEOUT, self.wire.next()).await {
            Ok(heard) => heard,
            Err(_) => Err(self.sync.offline("it does not send what it has announced").into()),
        }
    }

    /// Brings the store to where it knows what the backend has made of what was pushed before, and the
    /// backend's news come by themselves.
    async fn open(&mut self, hello: Hello) -> Result<(), Stop> {
        let position = hello.cursor.map_or(LogPosition::ROOT, |cursor| cursor.position);
        let mut backend = String::new();
        let mut expected = Vec::new();
        if let Some(cursor) = hello.cursor {
            backend = self.name(cursor.backend_id).await?;
            if backend_id_of(&backend) != cursor.backend_id {
                let message = format!("the backend calls itself {backend} and is another one");
                return Err(Stop::Diverged(message));
            }
            expected = self.settle(&backend, position).await?;
        }
        // The last event that is here is pulled once more, to be compared.
        let known = hello.cursor.map(|_| Cursor {
            backend_id: backend.clone(),
            event_sequence_number: position.seq.0.saturating_sub(1),
        });
        self.wire.pull(known, true).await?;
        let mut response = self.pulled().await?;
        self.translator = Translator::new(response.backend_id.clone(), position);
        let name = response.backend_id.clone();
        self.sync.learn(&self.store_id, |known| known.name = Some(name));
        self.translator.expect(expected);
        let mut last = self.last_of(position, hello.cursor.is_some())?;
        let mut groups = Vec::new();
        let gap = loop {
            let is_last = response.page_info == PageInfo::NoMore;
            Self::look_for(&mut last, &response)?;
            let taken = self.take(response)?;
            groups.extend(taken.groups);
            let is_undecided = last.is_some() || self.translator.is_expecting();
            if !is_undecided || is_last || taken.gap.is_some() {
                if is_undecided && (taken.gap.is_some() || last.is_some()) {
                    // It may be news that came too early: what is not in the log shows at its end alone.
                    groups.extend(self.decide(&mut last).await?);
                    self.wire.pull(Some(self.cursor()), true).await?;
                    break None;
                }
                break taken.gap;
            }
            response = self.pulled().await?;
        };
        self.expect_published()?;
        let is_attempted = |own: &&ConfirmedGroup| hello.attempted.contains(&own.group.id());
        let place = |own: &ConfirmedGroup| GroupPosition { id: own.group.id(), first: own.first };
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            backend_id: backend_id_of(&self.translator.backend),
            head: self.translator.head(),
            accepted: groups.iter().filter(is_attempted).map(place).collect(),
        };
        self.sync.learn(&self.store_id, |known| known.needs_other_token = false);
        self.delivery.deliver(ServerMessage::Welcome(welcome)).await?;
        self.tell(groups).await?;
        self.mend(gap).await
    }

    /// Returns what the backend calls itself; what is known may do, if it is the one that is meant.
    async fn name(&mut self, id: BackendId) -> Result<String, Stop> {
        let known = self.sync.known(&self.store_id).name;
        match known.filter(|name| backend_id_of(name) == id) {
            Some(name) => Ok(name),
            None => compare::name_of(&self.sync, &mut self.wire).await,
        }
    }

    /// Finds out for good what became of a push whose answer was lost, by pushing it once more.
    ///
    /// It can only be right on top of the position, and as long as nothing is there, it may still be on
    /// its way. Pushed again, one of both comes too late: after that, what is in the log is all that ever
    /// will be. Returns the groups that may be there, by which they are recognized.
    async fn settle(&mut self, backend: &str, position: LogPosition) -> Result<Vec<Group>, Stop> {
        let published = self.confirmed_after(position.seq)?;
        self.is_publishing = !published.is_empty();
        if self.is_publishing {
            // The log is being published anew; the store compares what comes with its own.
            return Ok(published);
        }
        let attempted = self.attempted().await?;
        if attempted.is_empty() {
            return Ok(attempted);
        }
        self.send(backend, position, &attempted).await?;
        match self.wire.answer(&self.sync).await? {
            Heard::Pushed(Outcome::Done | Outcome::Ahead { .. }) => Ok(attempted),
            Heard::Pushed(Outcome::OtherBackend { name }) => Err(diverged(&name)),
            Heard::Pushed(Outcome::Failed { reason }) => Err(self.sync.failed(&reason).into()),
            Heard::Pulled(_) | Heard::PullEnded(_) => {
                Err(self.sync.failed("an answer to no pull").into())
            }
        }
    }

    /// Returns what was pushed before, once it is safe.
    async fn attempted(&mut self) -> Result<Vec<Group>, Stop> {
        let begin = Instant::now();
        while begin.elapsed() < ANSWER_TIMEOUT {
            match self.log.attempted() {
                Ok(Some(attempted)) => return Ok(attempted),
                Ok(None) => sleep(ASK_AGAIN).await,
                Err(error) => return Err(self.unreadable(&error).into()),
            }
        }
        Err(self.sync.failed("the disk does not take what was pushed").into())
    }

    async fn send(
        &mut self,
        backend: &str,
        base: LogPosition,
        groups: &[Group],
    ) -> Result<LogPosition, Stop> {
        let (end, batch) = continued(base, groups);
        let (store_id, payload) = (self.store_id.clone(), self.payload.clone());
        let backend_id = Some(backend.to_owned());
        self.wire.push(CfPush { store_id, payload, batch, backend_id }).await?;
        Ok(end)
    }

    fn confirmed_after(&self, after: GlobalSeqNum) -> Result<Vec<Group>, Stop> {
        let groups = self.log.confirmed_after(after).map_err(|error| self.unreadable(&error))?;
        Ok(groups.into_iter().map(|confirmed| confirmed.group).collect())
    }

    /// Says that the backend may have the store's own log, while that is published there anew.
    fn expect_published(&mut self) -> Result<(), Stop> {
        if self.is_publishing && !self.translator.is_expecting() && self.in_flight.is_none() {
            let own = self.confirmed_after(self.translator.position().seq)?;
            self.is_publishing = !own.is_empty();
            self.translator.expect(own);
        }
        Ok(())
    }

    fn unreadable(&self, error: &livestore::QueryError) -> SyncError {
        self.sync.failed(&format!("the store's own log cannot be read: {error}"))
    }

    /// Waits for what a pull brings.
    async fn pulled(&mut self) -> Result<PullResponse, Stop> {
        match self.wire.answer(&self.sync).await? {
            Heard::Pulled(response) => Ok(response),
            Heard::PullEnded(Outcome::OtherBackend { name }) => Err(diverged(&name)),
            Heard::PullEnded(outcome) => Err(self.sync.failed(&outcome.unexpected()).into()),
            Heard::Pushed(_) => Err(self.sync.failed("an answer to no push").into()),
        }
    }

    /// Returns the last group that is here, if there is one to look for in the backend's log.
    ///
    /// That its last event is there is all that can be seen without reading everything again: a log that was
    /// changed before it is not noticed.
    fn last_of(
        &self,
        position: LogPosition,
        is_known: bool,
    ) -> Result<Option<ConfirmedGroup>, Stop> {
        if !is_known || position.seq == GlobalSeqNum::ROOT {
            return Ok(None);
        }
        let own = self.log.confirmed_until(position.seq);
        let own = own.map_err(|error| self.unreadable(&error))?;
        Ok(own.filter(|own| !compare::is_hole(own)))
    }

    /// Looks for the last event of a group, and forgets the group if it is there.
    fn look_for(last: &mut Option<ConfirmedGroup>, response: &PullResponse) -> Result<(), Stop> {
        let Some(own) = last else { return Ok(()) };
        let seq = own.last();
        let found = response.batch.iter().find(|found| found.event_encoded.seq_num == seq.0);
        let Some(found) = found else { return Ok(()) };
        if !compare::is_same(found, &own.group, own.group.events().len() - 1) {
            return Err(Stop::Diverged(format!("the backend has another event at {seq}")));
        }
        *last = None;
        Ok(())
    }

    /// Reads the log in order, until it is known whether our last event and what we pushed are in it.
    async fn decide(
        &mut self,
        last: &mut Option<ConfirmedGroup>,
    ) -> Result<Vec<ConfirmedGroup>, Stop> {
        let mut groups = Vec::new();
        let mut from = self.cursor();
        if last.is_some() {
            from.event_sequence_number = from.event_sequence_number.saturating_sub(1);
        }
        self.wire.pull(Some(from), false).await?;
        while last.is_some() || self.translator.is_expecting() {
            match self.wire.answer(&self.sync).await? {
                Heard::Pulled(response) => {
                    Self::look_for(last, &response)?;
                    groups.extend(self.take(response)?.groups);
                }
                Heard::PullEnded(Outcome::Done) => break,
                Heard::PullEnded(Outcome::OtherBackend { name }) => return Err(diverged(&name)),
                Heard::PullEnded(outcome) => {
                    return Err(self.sync.failed(&outcome.unexpected()).into());
                }
                Heard::Pushed(_) => return Err(self.sync.failed("an answer to no push").into()),
            }
        }
        if let Some(own) = last {
            return Err(Stop::Diverged(format!("the backend has nothing at {}", own.last())));
        }
        Ok(groups)
    }

    fn take(&mut self, response: PullResponse) -> Result<Taken, Stop> {
        match self.translator.take(response) {
            Ok(taken) => Ok(taken),
            Err(Nonsense::OtherBackend) => Err(Stop::Diverged(Nonsense::OtherBackend.to_string())),
            Err(nonsense) => Err(self.sync.failed(&nonsense.to_string()).into()),
        }
    }

    /// Finds out whether events that did not come are not there either, and goes on behind them.
    ///
    /// A backend sends news in between what it reads from its log, and so too early; and a client of
    /// LiveStore may have pushed events with a hole between them. Only a pull that has come to its end tells
    /// both apart: it has brought everything that there is.
    async fn mend(&mut self, gap: Option<u64>) -> Result<(), Stop> {
        if gap.is_none() {
            return Ok(());
        }
        let mut pushed = None;
        loop {
            let before = self.translator.next();
            let nearest = self.read_to_end(&mut pushed).await?;
            let Some(nearest) = nearest.filter(|seq| *seq > self.translator.next()) else { break };
            if self.translator.next() > before {
                // What was missing has come; what is missing now may have as well.
                continue;
            }
            let missing = self.translator.skip_to(nearest);
            let missing = missing.map_err(|nonsense| self.sync.failed(&nonsense.to_string()))?;
            tracing::warn!(from = before, to = nearest - 1, "the backend's log has a hole");
            self.tell(missing).await?;
        }
        self.wire.pull(Some(self.cursor()), true).await?;
        match pushed {
            Some(outcome) => self.pushed(outcome).await,
            None => Ok(()),
        }
    }

    /// Reads what the backend's log has, to its end; returns where it goes on behind what is missing.
    async fn read_to_end(&mut self, pushed: &mut Option<Outcome>) -> Result<Option<u64>, Stop> {
        let mut nearest: Option<u64> = None;
        self.wire.pull(Some(self.cursor()), false).await?;
        loop {
            match self.wire.answer(&self.sync).await? {
                Heard::Pulled(response) => {
                    let Taken { groups, gap } = self.take(response)?;
                    nearest =
                        gap.map_or(nearest, |gap| Some(nearest.map_or(gap, |it| it.min(gap))));
                    self.tell(groups).await?;
                }
                Heard::PullEnded(Outcome::Done) => return Ok(nearest),
                Heard::PullEnded(Outcome::OtherBackend { name }) => return Err(diverged(&name)),
                Heard::PullEnded(outcome) => {
                    return Err(self.sync.failed(&outcome.unexpected()).into());
                }
                Heard::Pushed(outcome) => *pushed = Some(outcome),
            }
        }
    }

    /// Returns up to where everything is here.
    fn cursor(&self) -> Cursor {
        let event_sequence_number = self.translator.next() - 1;
        Cursor { backend_id: self.translator.backend.clone(), event_sequence_number }
    }

    /// Tells the store what the log has got.
    async fn tell(&mut self, groups: Vec<ConfirmedGroup>) -> Result<(), Stop> {
        if let Some(page) = self.translator.page(groups) {
            self.wire.has_until(page.end.seq.0);
            self.delivery.deliver(ServerMessage::Page(page)).await?;
        }
        Ok(())
    }

    async fn push(&mut self, push: Push) -> Result<(), Stop> {
        let Push { request, base, groups } = push;
        let position = self.translator.position();
        if self.in_flight.is_some() || self.ahead.is_some() || base > position.seq {
            return Err(self.sync.failed("the store pushed out of turn").into());
        }
        if base < position.seq {
            // What was quicker is on its way to the store.
            let missing = None;
            let ahead = ServerMessage::ServerAhead(ServerAhead { request, missing });
            return Ok(self.delivery.deliver(ahead).await?);
        }
        let limits = self.sync.capabilities().push;
        if let Some(group) = groups.iter().find(|group| !limits.fits(group)) {
            let message = format!(
                "it is more than the backend takes at once: {} events, {} bytes",
                limits.events, limits.bytes,
            );
            let refusal = Refusal::new(message).with_code("group-too-large");
            let (group, reason) = (group.id(), RejectReason::Refused(refusal));
            let rejected = GroupRejected { request, group, reason };
            return Ok(self.delivery.deliver(ServerMessage::GroupRejected(rejected)).await?);
        }
        let backend = self.translator.backend.clone();
        let end = self.send(&backend, position, &groups).await?;
        self.translator.expect(groups);
        self.in_flight = Some(InFlight { request, base, end });
        Ok(())
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), Stop> {
        match heard {
            Heard::Pulled(response) => {
                let Taken { groups, gap } = self.take(response)?;
                self.expect_published()?;
                self.tell(groups).await?;
                self.mend(gap).await?;
                self.tell_ahead().await
            }
            Heard::PullEnded(Outcome::OtherBackend { name }) => Err(diverged(&name)),
            Heard::PullEnded(outcome) => Err(self.sync.failed(&outcome.unexpected()).into()),
            Heard::Pushed(outcome) => self.pushed(outcome).await,
        }
    }

    async fn pushed(&mut self, outcome: Outcome) -> Result<(), Stop> {
        let Some(InFlight { request, base, end }) = self.in_flight.take() else {
            return Err(self.sync.failed("an answer to no push").into());
        };
        // It may be in the log although this one came too late: an earlier one of the same was in time.
        let is_in = self.translator.has_taken(end);
        match outcome {
            Outcome::Ahead { head } if !is_in => {
                self.translator.expect([]);
                self.ahead = Some((request, GlobalSeqNum(head).min(GlobalSeqNum::MAX)));
                self.wire.hurry();
                self.tell_ahead().await
            }
            Outcome::Done | Outcome::Ahead { .. } => {
                self.translator.pushed(end);
                self.wire.has_until(end.seq.0);
                let accepted = PushAccepted { request, first: base.next(), end };
                self.delivery.deliver(ServerMessage::PushAccepted(accepted)).await?;
                Ok(())
            }
            Outcome::OtherBackend { name } => Err(diverged(&name)),
            Outcome::Failed { reason } => Err(self.sync.failed(&reason).into()),
        }
    }

    /// Tells the store that its push came too late, once it knows what was quicker.
    async fn tell_ahead(&mut self) -> Result<(), Stop> {
        let Some((request, head)) = self.ahead else { return Ok(()) };
        if self.translator.position().seq < head {
            return Ok(());
        }
        self.ahead = None;
        let ahead = ServerAhead { request, missing: None };
        Ok(self.delivery.deliver(ServerMessage::ServerAhead(ahead)).await?)
    }
}

/// What was known of the backend is out of date.
fn diverged(name: &str) -> Stop {
    Stop::Diverged(format!("the backend calls itself {name} and is another one"))
}
