//! A replica of the app, and a backend that it can talk to, for targets that need one.

use livestore::replica::{Capabilities, ReplicaConfig, UpstreamAction};
use livestore::{
    ClientId, Durability, EventName, HistoryAnswer, NewEvent, OpenError, PoisonAnswer, Replica,
    SessionId, StoreId,
};
use livestore_core::protocol::{ClientMessage, Page, Push, PushAccepted, ServerMessage, Welcome};
use livestore_core::{
    BackendId, CanonicalJson, ConfirmedGroup, Event, EventId, Group, GroupId, LogPosition,
};
use livestore_sqlite::Connection;

use crate::family;

/// Time stands still.
pub(crate) const NOW_MS: u64 = 1_000_000;

pub(crate) fn open(connection: Connection) -> Result<Replica, OpenError> {
    let id = "test";
    let config = ReplicaConfig {
        schema: family::schema(),
        store_id: StoreId::new(id).expect("it is valid"),
        client_id: ClientId::new(id).expect("it is valid"),
        session_id: SessionId::new(id).expect("it is valid"),
        durability: Durability::Normal,
        upstream: Some(Capabilities::OURS),
        on_poison: PoisonAnswer::Quarantine,
        on_history_diverged: HistoryAnswer::RebasePending,
        seed: [7; 32],
    };
    Replica::open(connection, config, "a fuzzed store", NOW_MS, &mut |_| ())
}

/// A backend that agrees with whatever log the replica claims to have.
#[derive(Debug, Default)]
pub(crate) struct Backend {
    end: Option<LogPosition>,
    made: u8,
}

impl Backend {
    /// Makes a group of somebody else.
    fn group(&mut self, name: &str, args: CanonicalJson) -> Group {
        self.made += 1;
        let event = Event {
            id: EventId::from_bytes([self.made; 16]),
            name: EventName::new(name).expect("the name is valid"),
            args,
        };
        let client = ClientId::new("elsewhere").expect("it is valid");
        let session = SessionId::new("s").expect("it is valid");
        Group::new(GroupId::from_bytes([self.made; 16]), client, session, vec![event])
            .expect("one event is a group")
    }

    /// Appends an event and returns the page that tells of it; none at the end of all positions.
    pub(crate) fn page(&mut self, name: &str, args: CanonicalJson) -> Option<ServerMessage> {
        let LogPosition { seq, hash } = self.end?;
        let group = self.group(name, args);
        let end = LogPosition { seq: seq.next(), hash: hash.extend(group.content_hash()) };
        self.end = Some(end);
        let groups = vec![ConfirmedGroup { first: seq.next(), group }];
        let page = Page { groups, end, head: end.seq };
        page.check().is_ok().then_some(ServerMessage::Page(page))
    }

    fn answer(&mut self, message: ClientMessage) -> Option<ServerMessage> {
        match message {
            ClientMessage::Authenticate(_) | ClientMessage::Locate(_) => None,
            ClientMessage::Hello(hello) => {
                let backend_id = BackendId::from_bytes([1; 16]);
                let (backend_id, end) = hello
                    .cursor
                    .map_or((backend_id, LogPosition::ROOT), |c| (c.backend_id, c.position));
                self.end = Some(end);
                let welcome = Welcome { version: 1, backend_id, head: end.seq, accepted: vec![] };
                Some(ServerMessage::Welcome(welcome))
            }
            ClientMessage::Push(Push { request, groups, .. }) => {
                let mut end = self.end?;
                let first = end.seq.next();
                for group in groups {
                    let seq = end.seq.0.checked_add(group.event_count())?;
                    let hash = end.hash.extend(group.content_hash());
                    end = LogPosition { seq: livestore::GlobalSeqNum(seq), hash };
                }
                self.end = Some(end);
                Some(ServerMessage::PushAccepted(PushAccepted { request, first, end }))
            }
        }
    }

    /// Lets a replica do what it wants to, and answers; returns the first error.
    pub(crate) fn talk(&mut self, replica: &mut Replica) -> Result<(), livestore::ReplicaError> {
        // A replica that goes on and on would be a bug as well.
        for _ in 0..50 {
            match replica.poll_upstream(NOW_MS)? {
                Some(UpstreamAction::Connect) => replica.upstream_connected()?,
                Some(UpstreamAction::Send(message)) => {
                    if let Some(answer) = self.answer(message) {
                        replica.receive_upstream(answer, NOW_MS)?;
                    }
                }
                Some(UpstreamAction::Disconnect) => {
                    replica.upstream_disconnected(NOW_MS, "as it asked for");
                    return Ok(());
                }
                Some(other) => panic!("unknown action {other:?}"),
                None => match replica.poll_barrier() {
                    Some(barrier) => replica.barrier_done(barrier, true),
                    None => return Ok(()),
                },
            }
        }
        panic!("the replica does not come to rest: {:?}", replica.status());
    }

    /// Lets a replica take a message.
    pub(crate) fn tell(
        &mut self,
        replica: &mut Replica,
        message: Option<ServerMessage>,
    ) -> Result<(), livestore::ReplicaError> {
        message.map_or(Ok(()), |message| replica.receive_upstream(message, NOW_MS))?;
        self.talk(replica)
    }
}

/// Commits on a replica.
pub(crate) fn commit(
    replica: &mut Replica,
    name: &str,
    args: CanonicalJson,
) -> Result<(), livestore::CommitError> {
    let event = NewEvent::from_json(name, args)?;
    replica.commit(vec![event], NOW_MS).map(drop)
}
