use livestore_core::protocol::{GroupPosition, Locate, Located};
use livestore_core::{
    CanonicalJson, ClientId, ConfirmedGroup, Event, EventId, EventName, Group, LogHash, SessionId,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const OURS: BackendId = BackendId::from_bytes([1; 16]);
const OTHER: BackendId = BackendId::from_bytes([2; 16]);

fn seq(number: u64) -> GlobalSeqNum {
    GlobalSeqNum(number)
}

fn group_id(number: u64) -> GroupId {
    GroupId::from_bytes(u128::from(number).to_be_bytes())
}

/// A group of one event.
fn group(number: u64) -> Group {
    let event = Event {
        id: EventId::from_bytes(u128::from(number).to_be_bytes()),
        name: EventName::new("v1.NoteAdded").unwrap(),
        args: CanonicalJson::encode(&number).unwrap(),
    };
    let (client, session) = (ClientId::new("laptop").unwrap(), SessionId::new("tab-1").unwrap());
    Group::new(group_id(number), client, session, vec![event]).unwrap()
}

/// A log of groups of one event, with the storage's rules.
#[derive(Default)]
struct Log(Vec<Group>);

impl Log {
    fn of(groups: impl IntoIterator<Item = u64>) -> Self {
        Self(groups.into_iter().map(group).collect())
    }

    fn head(&self) -> GlobalSeqNum {
        seq(self.0.len() as u64)
    }

    fn position(&self, at: u64) -> LogPosition {
        let groups = self.0.iter().take(at as usize);
        let hash = groups.fold(LogHash::EMPTY, |hash, group| hash.extend(group.content_hash()));
        LogPosition { seq: seq(at), hash }
    }

    fn view(&self, question: &Question) -> LogView {
        let hash_at = |at: &GlobalSeqNum| (*at <= self.head()).then(|| self.position(at.0).hash);
        let find = |id: &GroupId| {
            let at = self.0.iter().position(|group| group.id() == *id)?;
            Some(GroupPosition { id: *id, first: seq(at as u64 + 1) })
        };
        LogView {
            head: self.head(),
            hashes: question.at.iter().map(hash_at).collect(),
            positions: question.groups.iter().filter_map(find).collect(),
        }
    }

    /// The page after a position, cut after two groups.
    fn page(&self, after: GlobalSeqNum) -> Page {
        let rest = self.0.iter().enumerate().skip(after.0 as usize).take(2);
        let confirmed = |(at, group): (usize, &Group)| ConfirmedGroup {
            first: seq(at as u64 + 1),
            group: group.clone(),
        };
        let groups: Vec<_> = rest.map(confirmed).collect();
        let end = self.position(groups.last().expect("a page is asked for where one is").first.0);
        Page { groups, end, head: self.head() }
    }

    fn append(&mut self, request: &AppendRequest) -> AppendOutcome {
        if request.base != self.head() {
            return AppendOutcome::ServerAhead { head: self.head() };
        }
        self.0.extend_from_slice(&request.groups);
        AppendOutcome::Appended { first: request.base.next(), end: self.position(self.head().0) }
    }
}

fn store_id() -> StoreId {
    StoreId::new("notes").unwrap()
}

fn hello() -> Hello {
    Hello {
        versions: vec![PROTOCOL_VERSION],
        store_id: store_id(),
        client_id: ClientId::new("laptop").unwrap(),
        cursor: None,
        attempted: Vec::new(),
    }
}

fn hello_at(backend_id: BackendId, position: LogPosition) -> Hello {
    Hello { cursor: Some(Cursor { backend_id, position }), ..hello() }
}

fn locate(positions: Vec<LogPosition>) -> Locate {
    let Hello { versions, store_id, client_id, .. } = hello();
    Locate { versions, store_id, client_id, positions }
}

fn push(base: u64, groups: impl IntoIterator<Item = u64>) -> Push {
    Push { request: 7, base: seq(base), groups: groups.into_iter().map(group).collect() }
}

fn open(log: &Log, hello: &Hello) -> Result<(Session, Welcome), Goodbye> {
    Session::open(hello, OURS, &log.view(&Session::question(hello)))
}

fn session_at(log: &Log, at: u64) -> Session {
    open(log, &hello_at(OURS, log.position(at))).unwrap().0
}

fn reason<T: std::fmt::Debug>(refused: Result<T, Goodbye>) -> GoodbyeReason {
    refused.unwrap_err().reason
}

#[test]
fn a_newcomer_is_welcomed_at_the_root() {
    let (session, welcome) = open(&Log::of(1..=3), &hello()).unwrap();
    let accepted = Vec::new();
    let expected = Welcome { version: PROTOCOL_VERSION, backend_id: OURS, head: seq(3), accepted };
    assert_eq!(welcome, expected);
    assert_eq!(session.wants_page(), Some(seq(0)));
    let (session, _) = open(&Log::default(), &hello()).unwrap();
    assert_eq!(session.wants_page(), None);
}

#[test]
fn a_client_goes_on_at_its_cursor_and_learns_of_its_attempts() {
    let log = Log::of(1..=3);
    let attempted = vec![group_id(3), group_id(9), group_id(2)];
    let hello = Hello { attempted, ..hello_at(OURS, log.position(1)) };
    let (session, welcome) = open(&log, &hello).unwrap();
    let position = |at| GroupPosition { id: group_id(at), first: seq(at) };
    assert_eq!(welcome.accepted, [position(3), position(2)]);
    assert_eq!(session.wants_page(), Some(seq(1)));
    assert_eq!(session_at(&log, 3).wants_page(), None);
}

#[test]
fn a_cursor_on_another_history_is_refused() {
    let (log, fork) = (Log::of(1..=3), Log::of([1, 2, 30, 40]));
    let diverged = [
        hello_at(OTHER, log.position(3)),
        hello_at(OURS, fork.position(3)),
        hello_at(OURS, fork.position(4)),
        hello_at(OURS, LogPosition { seq: seq(0), hash: log.position(1).hash }),
    ];
    for hello in diverged {
        assert_eq!(reason(open(&log, &hello)), GoodbyeReason::HistoryDiverged, "{hello:?}");
    }
    // Where no group ends there is no hash.
    let hello = hello_at(OURS, log.position(2));
    let inside_a_group = LogView { hashes: vec![None], ..log.view(&Session::question(&hello)) };
    let refused = Session::open(&hello, OURS, &inside_a_group);
    assert_eq!(reason(refused), GoodbyeReason::HistoryDiverged);
    open(&log, &hello_at(OURS, fork.position(2))).unwrap();
}

#[test]
fn a_client_of_another_version_is_refused_before_its_cursor_is_looked_at() {
    let log = Log::of(1..=3);
    let other_version = vec![PROTOCOL_VERSION + 1];
    let cursor = hello_at(OTHER, log.position(3)).cursor;
    let hello = Hello { versions: other_version.clone(), cursor, ..hello() };
    assert_eq!(reason(open(&log, &hello)), GoodbyeReason::UnsupportedVersion);
    let locate = Locate { versions: other_version, ..locate(vec![LogPosition::ROOT]) };
    let view = log.view(&Introduction::question(&locate));
    let refused = Introduction::locate(&locate, OURS, &view);
    assert_eq!(reason(refused), GoodbyeReason::UnsupportedVersion);
}

#[test]
fn before_the_hello_only_a_bounded_number_of_locates_may_come() {
    let mut introduction = Introduction::default();
    let first = Introduction::default().hear(ClientMessage::Push(push(0, [1])));
    assert_eq!(reason(first), GoodbyeReason::ProtocolError);
    let locate = locate(vec![LogPosition::ROOT]);
    for _ in 0..16 {
        let opening = introduction.hear(ClientMessage::Locate(locate.clone()));
        assert_eq!(opening, Ok(Opening::Locate(locate.clone())));
    }
    let one_more = introduction.hear(ClientMessage::Locate(locate));
    assert_eq!(reason(one_more), GoodbyeReason::ProtocolError);
    let opening = introduction.hear(ClientMessage::Hello(hello()));
    assert_eq!(opening, Ok(Opening::Hello(hello())));
}

#[test]
fn after_the_hello_only_pushes_may_come() {
    let session = session_at(&Log::default(), 0);
    assert_eq!(session.hear(ClientMessage::Push(push(0, [1]))), Ok(push(0, [1])));
    let locate = locate(vec![LogPosition::ROOT]);
    for message in [ClientMessage::Hello(hello()), ClientMessage::Locate(locate)] {
        assert_eq!(reason(session.hear(message)), GoodbyeReason::ProtocolError);
    }
}

#[test]
fn a_locate_is_told_the_last_position_that_is_common() {
    let (log, fork) = (Log::of(1..=5), Log::of([1, 2, 3, 40, 50, 60]));
    let common = |positions: &[u64]| {
        let locate = locate(positions.iter().map(|at| fork.position(*at)).collect());
        let view = log.view(&Introduction::question(&locate));
        let located = Introduction::locate(&locate, OURS, &view).unwrap();
        assert_eq!(located, Located { backend_id: OURS, head: seq(5), ..located });
        located.common.0
    };
    assert_eq!(common(&[0, 1, 2, 3, 4, 5, 6]), 3);
    assert_eq!(common(&[1, 2, 5]), 2);
    assert_eq!(common(&[4, 6]), 0);
    assert_eq!(common(&[0]), 0);
    // The greatest counts, whatever is before it.
    let mut positions = vec![fork.position(4), log.position(5)];
    positions.insert(0, fork.position(1));
    let locate = locate(positions);
    let view = log.view(&Introduction::question(&locate));
    assert_eq!(Introduction::locate(&locate, OURS, &view).unwrap().common, seq(5));
}

#[test]
fn a_push_of_too_many_groups_is_refused() {
    let session = session_at(&Log::default(), 0);
    let groups = session.push(&store_id(), push(0, 1..=256)).unwrap().groups;
    assert_eq!(groups.len(), 256);
    let refused = session.push(&store_id(), push(0, 1..=257));
    assert_eq!(reason(refused), GoodbyeReason::ProtocolError);
}

#[test]
fn own_groups_that_continue_what_the_client_has_count_as_sent() {
    let mut log = Log::of(1..=2);
    let mut session = session_at(&log, 2);
    let outcome = log.append(&session.push(&store_id(), push(2, [3, 4])).unwrap());
    let (first, end) = (seq(3), log.position(4));
    let accepted = ServerMessage::PushAccepted(PushAccepted { request: 7, first, end });
    assert_eq!(session.answer(7, outcome).unwrap(), Answer::Send(accepted));
    session.grown(seq(4));
    assert_eq!(session.wants_page(), None);
}

#[test]
fn own_groups_that_a_page_brought_first_are_not_sent_again() {
    let mut log = Log::default();
    let mut session = session_at(&log, 0);
    let outcome = log.append(&session.push(&store_id(), push(0, [1, 2, 3])).unwrap());
    session.grown(seq(3));
    let page = log.page(session.wants_page().unwrap());
    assert_eq!(session.page(page.clone()), ServerMessage::Page(page));
    assert!(matches!(
        session.answer(7, outcome).unwrap(),
        Answer::Send(ServerMessage::PushAccepted(_))
    ));
    assert_eq!(session.wants_page(), Some(seq(2)));
}

#[test]
fn a_late_push_is_answered_with_the_page_that_comes_next() {
    let mut log = Log::of(1..=5);
    let mut session = session_at(&log, 1);
    session.sent_through(log.position(2));
    let outcome = log.append(&session.push(&store_id(), push(1, [9])).unwrap());
    assert_eq!(session.answer(7, outcome).unwrap(), Answer::Ahead);
    let missing = log.page(session.wants_page().unwrap());
    assert_eq!(missing.groups[0].first, seq(3));
    let ahead = ServerAhead { request: 7, missing: Some(missing.clone()) };
    assert_eq!(session.ahead(7, Some(missing)), ServerMessage::ServerAhead(ahead));
    assert_eq!(session.wants_page(), Some(seq(4)));
}

#[test]
fn a_push_that_crossed_the_last_page_misses_nothing() {
    let mut log = Log::of(1..=2);
    let mut session = session_at(&log, 0);
    session.page(log.page(seq(0)));
    let outcome = log.append(&session.push(&store_id(), push(0, [9])).unwrap());
    assert_eq!(session.answer(7, outcome).unwrap(), Answer::Ahead);
    assert_eq!(session.wants_page(), None);
    let ahead = ServerAhead { request: 7, missing: None };
    assert_eq!(session.ahead(7, None), ServerMessage::ServerAhead(ahead));
}

#[test]
fn repeats_and_conflicts_move_nothing() {
    let log = Log::of(1..=2);
    let before = session_at(&log, 1);
    let mut session = before;
    let groups = vec![GroupPosition { id: group_id(1), first: seq(1) }];
    let already = AlreadyAccepted { request: 7, groups: groups.clone() };
    let answer = session.answer(7, AppendOutcome::AlreadyAccepted { groups }).unwrap();
    assert_eq!(answer, Answer::Send(ServerMessage::AlreadyAccepted(already)));
    let answer = session.answer(7, AppendOutcome::Conflict { group: group_id(1) }).unwrap();
    let reason = RejectReason::EventIdConflict;
    let rejected = GroupRejected { request: 7, group: group_id(1), reason };
    assert_eq!(answer, Answer::Send(ServerMessage::GroupRejected(rejected)));
    assert_eq!(session, before);
}

#[test]
fn news_that_are_late_do_not_shrink_the_log() {
    let log = Log::of(1..=3);
    let mut session = session_at(&log, 0);
    session.grown(seq(2));
    session.page(log.page(seq(0)));
    assert_eq!(session.wants_page(), Some(seq(2)));
}

/// What a driver may do next, in any order but one push at a time.
#[derive(Debug, Clone)]
enum Step {
    /// Somebody else appends.
    Foreign,
    /// The storage decides on a push of the client's, of so many groups.
    Decide(u64),
    /// The client is answered.
    Answer,
    /// The session hears that the log has grown.
    Grown,
    /// A page is read and sent.
    SendPage,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Foreign),
        (1..4_u64).prop_map(Step::Decide),
        Just(Step::Answer),
        Just(Step::Grown),
        Just(Step::SendPage),
    ]
}

/// The driver and the client of one session; the client checks that its log never has a gap.
struct Both {
    log: Log,
    session: Session,
    decided: Option<AppendOutcome>,
    client_end: LogPosition,
    next_group: u64,
}

impl Both {
    fn new_groups(&mut self, count: u64) -> std::ops::Range<u64> {
        self.next_group += count;
        self.next_group - count..self.next_group
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Foreign => {
                let groups = self.new_groups(1);
                self.log.0.extend(groups.map(group));
            }
            Step::Decide(count) if self.decided.is_none() => {
                let groups = self.new_groups(*count);
                let push = push(self.client_end.seq.0, groups);
                let request = self.session.push(&store_id(), push).unwrap();
                self.decided = Some(self.log.append(&request));
            }
            Step::Decide(_) => {}
            Step::Answer => {
                let Some(outcome) = self.decided.take() else { return };
                let message = match self.session.answer(7, outcome).unwrap() {
                    Answer::Send(message) => message,
                    Answer::Ahead => {
                        let page = self.session.wants_page().map(|after| self.log.page(after));
                        self.session.ahead(7, page)
                    }
                };
                self.receive(message);
            }
            Step::Grown => self.session.grown(self.log.head()),
            Step::SendPage => {
                let Some(after) = self.session.wants_page() else { return };
                let message = self.session.page(self.log.page(after));
                self.receive(message);
            }
        }
    }

    fn receive(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Page(page) => self.take_page(&page),
            ServerMessage::ServerAhead(ahead) => {
                if let Some(page) = ahead.missing {
                    self.take_page(&page);
                }
            }
            ServerMessage::PushAccepted(accepted) => {
                if accepted.first == self.client_end.seq.next() {
                    self.client_end = accepted.end;
                }
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(self.client_end, self.log.position(self.client_end.seq.0));
    }

    fn take_page(&mut self, page: &Page) {
        page.check().unwrap();
        assert_eq!(page.groups[0].first, self.client_end.seq.next());
        self.client_end = page.end;
    }
}

proptest! {
    #[test]
    fn in_any_order_of_events_a_client_receives_the_log_once(
        from in 0..4_u64, steps in vec(any_step(), 0..60),
    ) {
        let log = Log::of(1..=3);
        let (session, client_end) = (session_at(&log, from), log.position(from));
        let mut both = Both { log, session, decided: None, client_end, next_group: 100 };
        for step in &steps {
            both.step(step);
        }
        both.step(&Step::Answer);
        both.step(&Step::Grown);
        while both.session.wants_page().is_some() {
            both.step(&Step::SendPage);
        }
        prop_assert_eq!(both.client_end, both.log.position(both.log.head().0));
    }
}
