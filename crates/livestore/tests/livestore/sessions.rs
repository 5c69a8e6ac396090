//! Sessions that follow a leader: what each shows at every moment, and what becomes of what it commits.

use std::collections::{BTreeMap, HashSet, VecDeque};

use livestore::prelude::*;
use livestore::replica::{Committed, FromLeader, GroupState, ReplicaConfig, SessionKey, read_rows};
use livestore::{
    CanonicalJson, ClientId, Durability, GroupId, HistoryAnswer, MaterializeError, NewEvent,
    PoisonAnswer, Replica, SessionId, SqliteError, StateHash, StoreId,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::app::{Todo, TodoCreated, todo};
use crate::backend::{Move, Net, OnTheWire, fact, wire};
use crate::properties::cases;

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.SeatTaken")]
struct SeatTaken {
    seat: i64,
    by: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.SeatFreed")]
struct SeatFreed {
    seat: i64,
}

/// A step of a counter, which says on a rebase what it would step to.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.CountedTo")]
struct CountedTo {
    value: i64,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "DraftSaved", client_only, persist)]
struct DraftSaved {
    id: String,
    text: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "Selected", client_only)]
struct Selected {
    id: String,
}

/// Takes the lowest seat that is free.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "SitDown", error = Full)]
struct SitDown {
    by: String,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, thiserror::Error)]
#[error("all seats are taken")]
struct Full;

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "seats")]
struct Seat {
    #[column(primary_key)]
    seat: i64,
    by: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "counters")]
struct Counter {
    #[column(primary_key)]
    id: i64,
    value: i64,
    steps: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "drafts", scope = "client")]
struct Draft {
    #[column(primary_key)]
    id: String,
    text: String,
    /// How many seats were taken when it was saved, and where in the log it stands.
    seats: i64,
    place: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "selection", scope = "memory")]
struct Selection {
    #[column(primary_key)]
    id: String,
    seats: i64,
}

const SEATS: i64 = 4;

fn schema() -> Schema {
    Schema::builder()
        .table::<Todo>()
        .table::<Seat>()
        .table::<Counter>()
        .table::<Draft>()
        .table::<Selection>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text, completed: false }))
        .event(|e: SeatTaken, _| Seat::insert(Seat { seat: e.seat, by: e.by }))
        .event(|e: SeatFreed, _| Seat::delete().filter(Seat::seat.eq(e.seat)))
        .event(|e: CountedTo, cx| {
            let steps = cx.query(&Counter::select().first())?.map_or(0, |counter| counter.steps);
            let counter = Counter { id: 0, value: e.value, steps: steps + 1 };
            Ok::<_, MaterializeError>(Counter::insert(counter).or_replace())
        })
        .event(|e: DraftSaved, cx| {
            let seats = cx.query(&Seat::select().count())? as i64;
            let place = (cx.position().global.0 * 100) as i64 + i64::from(cx.position().client);
            let draft = Draft { id: e.id, text: e.text, seats, place };
            Ok::<_, MaterializeError>(Draft::insert(draft).or_replace())
        })
        .event(|e: Selected, cx| {
            let seats = cx.query(&Seat::select().count())? as i64;
            Ok::<_, MaterializeError>(Selection::insert(Selection { id: e.id, seats }).or_replace())
        })
        .on_rebase(|e: CountedTo, cx: &RebaseContext<'_>| {
            let value = cx.query(&Counter::select().first())?.map_or(0, |counter| counter.value);
            Ok(match e.value {
                13 => OnRebase::Drop { reason: "bad luck".into() },
                _ => OnRebase::Rewrite(CountedTo { value: value + 1 }),
            })
        })
        .command(|SitDown { by }: SitDown, cx: &CommandContext<'_>| {
            let taken = cx.query(&Seat::select())?;
            let free = (0..SEATS).find(|seat| !taken.iter().any(|other| other.seat == *seat));
            match free {
                Some(seat) => Ok(SeatTaken { seat, by }),
                None => Err(Full.into()),
            }
        })
        .build()
        .expect("the schema is valid")
}

/// A session, and what is on the way between it and the leader.
struct Tab {
    replica: Replica,
    /// None while it has no leader.
    key: Option<SessionKey>,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    committed: Vec<Committed>,
    fates: Vec<(GroupId, Fate)>,
}

/// One client of a backend, whose replica leads sessions.
struct Family {
    net: Net,
    tabs: Vec<Tab>,
    /// The leader's state after each advance.
    shown: BTreeMap<u64, StateHash>,
    openings: u64,
    /// Groups of commands.
    sits: HashSet<GroupId>,
    /// Dead letters that were forgotten.
    forgotten: HashSet<GroupId>,
}

/// Rows of a leader's state, as they go to a session.
fn rows_of(leader: &Replica) -> Vec<(u16, Vec<u8>)> {
    let mut rows = Vec::new();
    let read = read_rows(leader.connection(), |number, chunk| {
        rows.push((number, chunk));
        Ok::<_, SqliteError>(())
    });
    read.unwrap();
    rows
}

impl Family {
    fn new(tabs: usize) -> Self {
        let net = Net::on_disk(schema(), 1);
        let mut family = Self {
            net,
            tabs: Vec::new(),
            shown: BTreeMap::new(),
            openings: 0,
            sits: HashSet::new(),
            forgotten: HashSet::new(),
        };
        (0..tabs).for_each(|_| family.open());
        family
    }

    fn leader(&mut self) -> &mut Replica {
        self.net.replica(0)
    }

    /// A new session.
    fn open(&mut self) {
        self.openings += 1;
        let config = ReplicaConfig {
            schema: schema(),
            store_id: StoreId::new("test").unwrap(),
            client_id: ClientId::new("client-0").unwrap(),
            session_id: SessionId::new(format!("tab-{}", self.openings)).unwrap(),
            durability: Durability::Memory,
            upstream: None,
            on_poison: PoisonAnswer::Quarantine,
            on_history_diverged: HistoryAnswer::Stop,
            seed: [100 + self.openings as u8; 32],
        };
        let hello = Replica::first_session_hello(&config);
        let attachment = self.leader().attach_session(&hello).unwrap();
        let rows = rows_of(self.leader());
        let replica = Replica::open_session(config, &attachment.answer, rows).unwrap();
        self.tabs.push(Tab {
            replica,
            key: Some(attachment.key),
            up: VecDeque::new(),
            down: VecDeque::new(),
            committed: Vec::new(),
            fates: Vec::new(),
        });
        self.note();
    }

    /// Remembers what the leader shows now, and that it is what its log says.
    fn note(&mut self) {
        let leader = self.net.replica(0);
        let (number, hash) = (leader.advances(), leader.connection().stored_state_hash().unwrap());
        self.shown.insert(number, hash);
        for at in 0..self.tabs.len() {
            self.check(at);
        }
    }

    /// A session without commits of its own shows what the leader has shown.
    fn check(&mut self, at: usize) {
        let tab = &mut self.tabs[at];
        tab.fates.extend(tab.replica.poll_fates());
        for Committed { group_id, ordinal, .. } in &tab.committed {
            if tab.replica.is_handed_over(*ordinal) && !self.forgotten.contains(group_id) {
                let known = self.net.replica(0).group_state(*group_id).unwrap();
                assert_ne!(
                    known,
                    GroupState::Unknown,
                    "{group_id} of tab {at} was told to be safe"
                );
            }
        }
        if tab.key.is_some()
            && tab.replica.handed_over()
            && let Some(shown) = self.shown.get(&tab.replica.followed().unwrap())
        {
            let hash = tab.replica.connection().stored_state_hash().unwrap();
            assert_eq!(hash, *shown, "tab {at} shows another state than the leader has shown");
        }
    }

    fn poll(&mut self, at: usize) {
        let tab = &mut self.tabs[at];
        while let Some(message) = tab.replica.poll_leader().unwrap() {
            tab.up.push_back(message);
        }
        if let Some(key) = tab.key {
            while let Some(message) = self.net.replica(0).poll_session(key) {
                self.tabs[at].down.push_back(message.to_vec());
            }
        }
    }

    /// The next message of a session reaches the leader.
    fn up(&mut self, at: usize) {
        self.poll(at);
        let Some(message) = self.tabs[at].up.pop_front() else { return };
        let (key, now_ms) = (self.tabs[at].key.expect("it has a leader"), self.net.now_ms);
        self.leader().receive_from_session(key, &message, now_ms).unwrap();
        // From now on these are the leader's, too.
        for Committed { group_id: id, .. } in self.tabs[at].committed.clone() {
            let leader = &mut self.net.clients[0];
            let is_new = leader.committed.iter().all(|own| own.group_id != id)
                && !self.forgotten.contains(&id);
            if is_new && let Some(committed) = leader.replica.committed(id).unwrap() {
                leader.committed.push(committed);
            }
        }
        self.note();
    }

    /// The next message of the leader reaches a session.
    fn down(&mut self, at: usize) {
        self.poll(at);
        let now_ms = self.net.now_ms;
        let tab = &mut self.tabs[at];
        let Some(message) = tab.down.pop_front() else { return };
        match tab.replica.receive_from_leader(&message, now_ms).unwrap() {
            FromLeader::Taken => self.check(at),
            FromLeader::Restart => self.attach(at),
        }
    }

    /// A session loses what is on the way, and comes again.
    fn attach(&mut self, at: usize) {
        let now_ms = self.net.now_ms;
        let tab = &mut self.tabs[at];
        tab.replica.leader_is_gone();
        (tab.up, tab.down) = Default::default();
        if let Some(key) = tab.key.take() {
            self.net.replica(0).detach_session(key);
        }
        let hello = self.tabs[at].replica.session_hello().unwrap();
        let attachment = self.leader().attach_session(&hello).unwrap();
        let rows = rows_of(self.leader());
        let tab = &mut self.tabs[at];
        tab.key = Some(attachment.key);
        tab.replica.attach_anew(&attachment.answer, rows, now_ms).unwrap();
        self.note();
    }

    /// The leader's process ends, and somebody else leads.
    fn take_over(&mut self, wire: OnTheWire) {
        self.net.restart(0, wire);
        self.shown.clear();
        self.tabs.iter_mut().for_each(|tab| tab.key = None);
        (0..self.tabs.len()).for_each(|at| self.attach(at));
    }

    fn try_commit(&mut self, at: usize, what: &What) -> Option<GroupId> {
        let now_ms = self.net.now_ms;
        let tab = &mut self.tabs[at];
        let committed = match what {
            What::Sit(by) => {
                let args = CanonicalJson::encode(&SitDown { by: by.to_string() }).unwrap();
                tab.replica.execute("SitDown".into(), args, now_ms).ok()?
            }
            What::Events(events) => {
                let events = events.iter().map(Fact::event).collect();
                tab.replica.commit(events, now_ms).ok()?
            }
        };
        if committed.synced {
            tab.committed.push(committed);
        }
        if let What::Sit(_) = what {
            self.sits.insert(committed.group_id);
        }
        self.check(at);
        Some(committed.group_id)
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            let before = self.leader().advances();
            self.net.settle();
            self.note();
            for at in 0..self.tabs.len() {
                for _ in 0..10_000 {
                    self.poll(at);
                    if self.tabs[at].up.is_empty() && self.tabs[at].down.is_empty() {
                        break;
                    }
                    self.up(at);
                    self.down(at);
                }
            }
            let is_quiet = self.leader().advances() == before
                && self.tabs.iter().all(|tab| tab.replica.handed_over());
            if is_quiet {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// A dead letter that a session shows is tried again, or forgotten.
    fn letter(&mut self, at: usize, nth: u8, retries: bool) {
        let now_ms = self.net.now_ms;
        let tab = &mut self.tabs[at];
        let letters = tab.replica.dead_letters().unwrap();
        let Some(letter) = letters.get(usize::from(nth)) else { return };
        let id = letter.group.id();
        if retries {
            let Ok(Some(committed)) = tab.replica.retry_dead_letter(id, now_ms) else { return };
            tab.committed.push(committed);
            if letter.command.is_some() {
                self.sits.insert(committed.group_id);
            }
        } else {
            assert!(tab.replica.acknowledge_dead_letter(id).unwrap());
        }
        self.forgotten.insert(id);
        self.net.clients[0].committed.retain(|own| own.group_id != id);
        self.check(at);
    }

    /// Commands have made what they make on the state that they were confirmed on.
    fn check_commands(&self) {
        let mut taken = HashSet::new();
        for confirmed in self.net.backend.log() {
            let group = &confirmed.group;
            let free = (0..SEATS).find(|seat| !taken.contains(seat));
            for event in group.events() {
                let seat = |value: serde_json::Value| value["seat"].as_i64().unwrap();
                let seat = || seat(serde_json::from_str(event.args.as_str()).unwrap());
                match event.name.as_str() {
                    "v1.SeatTaken" => {
                        if self.sits.contains(&group.id()) {
                            assert_eq!(Some(seat()), free, "{} sits on another seat", group.id());
                        }
                        taken.insert(seat());
                    }
                    "v1.SeatFreed" => drop(taken.remove(&seat())),
                    _ => {}
                }
            }
        }
    }

    /// Everybody shows the same, and everything is accounted for.
    fn converge(&mut self) {
        self.settle();
        self.net.converge();
        self.check_commands();
        let hash = self.leader().connection().stored_state_hash().unwrap();
        let letters = self.leader().dead_letters().unwrap();
        let skipped = self.leader().quarantined().unwrap();
        let status = self.leader().status();
        for at in 0..self.tabs.len() {
            let tab = &mut self.tabs[at];
            assert_eq!(tab.replica.connection().stored_state_hash().unwrap(), hash, "tab {at}");
            assert_eq!(tab.replica.dead_letters().unwrap(), letters);
            assert_eq!(tab.replica.quarantined().unwrap(), skipped);
            let own = tab.replica.status();
            assert_eq!(own.confirmed_head, status.confirmed_head);
            assert_eq!((own.pending_groups, own.pending_events), (0, 0));
            assert_eq!(
                (own.dead_letters, own.quarantined),
                (status.dead_letters, status.quarantined)
            );
            for Committed { group_id: id, .. } in tab.committed.clone() {
                if self.forgotten.contains(&id) {
                    continue;
                }
                let known = self.net.replica(0).group_state(id).unwrap();
                assert!(matches!(known, GroupState::Ended(_)), "{id} of tab {at}: {known:?}");
                let told = self.tabs[at].fates.iter().filter(|(group, _)| *group == id);
                let told: Vec<_> = told.map(|(_, fate)| GroupState::Ended(fate.clone())).collect();
                assert_eq!(told.last(), Some(&known), "{id} of tab {at} was told to be {told:?}");
            }
        }
    }
}

/// Something that a session commits.
#[derive(Debug, Clone)]
enum What {
    Events(Vec<Fact>),
    Sit(u8),
}

#[derive(Debug, Clone)]
enum Fact {
    Create(u8),
    Take(u8, u8),
    Free(u8),
    Count(u8),
    Draft(u8, u8),
    Select(u8),
}

impl Fact {
    fn event(&self) -> NewEvent {
        let of = |event: Result<NewEvent, _>| event.unwrap();
        match *self {
            Self::Create(id) => of(NewEvent::of(todo(&id.to_string()))),
            Self::Take(seat, by) => {
                of(NewEvent::of(SeatTaken { seat: seat.into(), by: by.to_string() }))
            }
            Self::Free(seat) => of(NewEvent::of(SeatFreed { seat: seat.into() })),
            Self::Count(value) => of(NewEvent::of(CountedTo { value: value.into() })),
            Self::Draft(id, text) => {
                of(NewEvent::of(DraftSaved { id: id.to_string(), text: text.to_string() }))
            }
            Self::Select(id) => of(NewEvent::of(Selected { id: id.to_string() })),
        }
    }
}

fn any_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        3 => (0..20_u8).prop_map(Fact::Create),
        4 => (0..4_u8, 0..3_u8).prop_map(|(seat, by)| Fact::Take(seat, by)),
        3 => (0..4_u8).prop_map(Fact::Free),
        3 => (10..15_u8).prop_map(Fact::Count),
        2 => (0..3_u8, 0..3_u8).prop_map(|(id, text)| Fact::Draft(id, text)),
        1 => (0..3_u8).prop_map(Fact::Select),
    ]
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => prop::collection::vec(any_fact(), 1..4).prop_map(What::Events),
        2 => (0..3_u8).prop_map(What::Sit),
    ]
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Commit(usize, What),
    Lead(What),
    Elsewhere(Vec<(bool, u8)>),
    Up(usize),
    Down(usize),
    Attach(usize),
    Open,
    Move(Move),
    Flow(u8),
    Wait,
    TakeOver(OnTheWire),
    Refuse(u8),
    Retry(usize, u8),
    Forget(usize, u8),
    /// More than fit into what is not in the index of the tail.
    Many(usize, u16),
}

fn step() -> impl Strategy<Value = Step> {
    let tab = 0..4_usize;
    prop_oneof![
        10 => (tab.clone(), what()).prop_map(|(at, what)| Step::Commit(at, what)),
        3 => what().prop_map(Step::Lead),
        3 => prop::collection::vec((any::<bool>(), 0..4_u8), 1..3).prop_map(Step::Elsewhere),
        9 => tab.clone().prop_map(Step::Up),
        12 => tab.clone().prop_map(Step::Down),
        1 => tab.clone().prop_map(Step::Attach),
        2 => (tab.clone(), 0..2_u8).prop_map(|(at, nth)| Step::Retry(at, nth)),
        1 => (tab.clone(), 0..2_u8).prop_map(|(at, nth)| Step::Forget(at, nth)),
        1 => (tab, any::<u16>()).prop_map(|(at, from)| Step::Many(at, from)),
        1 => Just(Step::Open),
        2 => Just(Step::Move(Move::Poll)),
        2 => Just(Step::Move(Move::Take)),
        2 => Just(Step::Move(Move::Answer)),
        1 => Just(Step::Move(Move::SendPage)),
        3 => Just(Step::Move(Move::ToClient)),
        1 => wire().prop_map(|wire| Step::Move(Move::Cut(wire))),
        3 => (1..5_u8).prop_map(Step::Flow),
        1 => Just(Step::Wait),
        1 => wire().prop_map(Step::TakeOver),
        1 => (0..3_u8).prop_map(Step::Refuse),
    ]
}

impl Step {
    fn run(self, family: &mut Family) {
        let tabs = family.tabs.len();
        match self {
            Self::Commit(at, what) => drop(family.try_commit(at % tabs, &what)),
            Self::Lead(What::Events(events)) => {
                let events: Vec<_> = events.iter().map(Fact::event).collect();
                drop(family.net.try_commit(0, events));
            }
            Self::Lead(What::Sit(by)) => {
                if let Ok(own) = family.net.try_execute(0, &SitDown { by: by.to_string() }) {
                    family.sits.insert(own.group_id);
                }
            }
            Self::Elsewhere(what) => {
                let facts = what.into_iter().map(|(takes, seat)| {
                    if takes {
                        fact(SeatTaken { seat: seat.into(), by: "elsewhere".into() })
                    } else {
                        fact(SeatFreed { seat: seat.into() })
                    }
                });
                family.net.elsewhere(facts);
            }
            Self::Up(at) => family.up(at % tabs),
            Self::Down(at) => family.down(at % tabs),
            Self::Attach(at) => family.attach(at % tabs),
            Self::Open if tabs < 4 => family.open(),
            Self::Open => {}
            Self::Move(this) => this.run(&mut family.net, 0),
            Self::Flow(times) => (0..times).for_each(|_| _ = family.net.step(0)),
            Self::Wait => {
                if family.leader().next_timeout().is_some() {
                    family.net.wait_for_retry(0);
                }
            }
            Self::TakeOver(wire) => family.take_over(wire),
            Self::Retry(at, nth) => family.letter(at % tabs, nth, true),
            Self::Forget(at, nth) => family.letter(at % tabs, nth, false),
            Self::Many(at, from) => {
                let (tab, now_ms) = (&mut family.tabs[at % tabs], family.net.now_ms);
                let todos = (0..130).map(|number| todo(&format!("{from}-{number}")));
                if let Ok(committed) = tab
                    .replica
                    .commit(todos.map(|todo| NewEvent::of(todo).unwrap()).collect(), now_ms)
                {
                    tab.committed.push(committed);
                }
            }
            Self::Refuse(nth) => {
                if let Some(push) = family.net.clients[0].pushes.last()
                    && let Some(group) = push.groups.get(usize::from(nth))
                {
                    let id = group.id();
                    if !family.net.backend.ids().contains(&id) {
                        family.net.backend.refused.insert(id);
                    }
                }
            }
        }
        family.note();
    }
}

proptest! {
    #![proptest_config(cases(120))]

    /// A session that has nothing of its own to hand over shows exactly what the leader has shown after
    /// the advance that it has come to; and at the end all show the same, every group has one fate,
    /// and its author was told.
    #[test]
    fn whatever_happens_sessions_show_what_their_leader_shows_and_lose_nothing(
        tabs in 1..4_usize,
        page_events in 1..6_u64,
        steps in prop::collection::vec(step(), 10..100),
    ) {
        let mut family = Family::new(tabs);
        family.net.backend.page_events = page_events;
        for step in steps {
            step.run(&mut family);
        }
        family.converge();
    }
}

#[test]
fn a_session_that_has_missed_too_much_begins_anew() {
    let mut family = Family::new(2);
    let large = "x".repeat((1 << 20) - 100);
    for number in 0..20 {
        family.net.commit(0, DraftSaved { id: number.to_string(), text: large.clone() });
        family.note();
        // One of them keeps up.
        family.down(1);
    }
    let own = family.try_commit(0, &What::Sit(0)).unwrap();
    family.poll(0);
    assert_eq!(family.tabs[0].down.len(), 1, "what is not kept for it is not sent");
    family.converge();
    assert!(matches!(family.net.replica(0).group_state(own).unwrap(), GroupState::Ended(_)));
}

#[test]
fn a_dead_letter_that_somebody_has_forgotten_does_not_come_back_with_its_author() {
    let mut family = Family::new(1);
    family.net.commit(0, SeatTaken { seat: 1, by: "the leader".into() });
    family.note();
    let late = family.try_commit(0, &What::Events(vec![Fact::Take(1, 0)])).unwrap();
    family.up(0);
    let letters = family.leader().dead_letters().unwrap();
    assert_eq!(letters.iter().map(|letter| letter.group.id()).collect::<Vec<_>>(), [late]);
    assert!(family.leader().acknowledge_dead_letter(late).unwrap());
    family.forgotten.insert(late);
    family.net.clients[0].committed.retain(|own| own.group_id != late);
    // Its author has heard nothing of all this, and loses the conversation.
    family.attach(0);
    assert!(family.tabs[0].replica.handed_over());
    family.net.commit(0, SeatFreed { seat: 1 });
    family.converge();
    assert!(family.leader().dead_letters().unwrap().is_empty());
    assert_eq!(family.leader().group_state(late).unwrap(), GroupState::Unknown);
}
