//! Rebase ≡ replay, for any history and depth.
//!
//! Several clients commit events of all three kinds, with tails of up to 200 groups, while the
//! backend's log grows before these, in pages of any size; groups are refused, connections break,
//! clients restart, lose power, run other code, and meet another history. After every step, the
//! tables of the client in question are what its log leads to, positions of events included.

use livestore::{ConnectionState, HistoryAnswer, NewEvent};
use proptest::prelude::*;

use crate::backend::{Fact, Move, Net, OnTheWire, fact, wire};
use crate::family::{
    NoteDeleted, PointerMoved, SeatFreed, SeatPinned, draft, new, note, schema_with_places, seat,
};
use crate::oracle::assert_state_is_replay;
use crate::properties::cases;

/// Something that happened; small ranges make clients get into each other's way.
#[derive(Debug, Clone)]
enum What {
    Write(u8),
    Delete(u8),
    Take(u8, u8),
    Free(u8),
    Draft(u8),
    Pin(u8),
    Point(u8),
}

impl What {
    fn event(&self) -> NewEvent {
        match *self {
            Self::Write(id) => new(note(&id.to_string(), "text")),
            Self::Delete(id) => new(NoteDeleted { id: id.to_string() }),
            Self::Take(at, by) => new(seat(at.into(), &by.to_string())),
            Self::Free(seat) => new(SeatFreed { seat: seat.into() }),
            Self::Draft(id) => new(draft(&id.to_string(), "text")),
            Self::Pin(seat) => new(SeatPinned { seat: seat.into() }),
            Self::Point(to) => new(PointerMoved { to: to.into() }),
        }
    }

    /// What somebody else could have committed; what never leaves a client becomes a note.
    fn fact(&self) -> Fact {
        match *self {
            Self::Delete(id) => fact(NoteDeleted { id: id.to_string() }),
            Self::Take(at, by) => fact(seat(at.into(), &by.to_string())),
            Self::Free(seat) => fact(SeatFreed { seat: seat.into() }),
            Self::Write(id) | Self::Draft(id) | Self::Pin(id) | Self::Point(id) => {
                fact(note(&id.to_string(), "theirs"))
            }
        }
    }
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => (0..8_u8).prop_map(What::Write),
        2 => (0..8_u8).prop_map(What::Delete),
        5 => (0..3_u8, 0..3_u8).prop_map(|(at, by)| What::Take(at, by)),
        3 => (0..3_u8).prop_map(What::Free),
        3 => (0..4_u8).prop_map(What::Draft),
        2 => (0..3_u8).prop_map(What::Pin),
        1 => (0..8_u8).prop_map(What::Point),
    ]
}

/// One thing that happens to one client, or to the backend.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<What>),
    /// Many groups while there is no connection, so that a rebase is deep.
    Tail(u8, Vec<What>),
    Elsewhere(u8, Vec<What>),
    /// The operator forbids a group that is on the wire.
    Refuse(u8),
    Move(Move),
    /// Connects, if that is due, and delivers everything for a while, so that schedules get
    /// somewhere.
    Flow(u8),
    /// Restarts with code of another release, which derives the state anew.
    Release(bool),
    /// The backend is made anew from an old backup, and goes on.
    Restore(u8, Vec<What>),
}

fn step() -> impl Strategy<Value = Step> {
    let whats = || prop::collection::vec(what(), 1..5);
    prop_oneof![
        10 => whats().prop_map(Step::Commit),
        3 => (1..200_u8, whats()).prop_map(|(groups, whats)| Step::Tail(groups, whats)),
        8 => (1..40_u8, whats()).prop_map(|(groups, whats)| Step::Elsewhere(groups, whats)),
        2 => (0..4_u8).prop_map(Step::Refuse),
        3 => Just(Step::Move(Move::Poll)),
        3 => Just(Step::Move(Move::Take)),
        3 => Just(Step::Move(Move::Answer)),
        3 => Just(Step::Move(Move::SendPage)),
        6 => Just(Step::Move(Move::ToClient)),
        14 => (1..12_u8).prop_map(Step::Flow),
        4 => wire().prop_map(|wire| Step::Move(Move::Cut(wire))),
        1 => wire().prop_map(|wire| Step::Move(Move::Restart(wire))),
        1 => any::<bool>().prop_map(Step::Release),
        1 => wire().prop_map(|wire| Step::Move(Move::PowerCut(wire))),
        1 => Just(Step::Move(Move::LatePush)),
        2 => (0..20_u8, whats()).prop_map(|(groups, whats)| Step::Restore(groups, whats)),
    ]
}

impl Step {
    fn run(&self, net: &mut Net, at: usize) {
        match self {
            // A commit that fails on the client's own state is not the subject here.
            Self::Commit(whats) => {
                let events: Vec<_> = whats.iter().map(What::event).collect();
                _ = net.try_commit(at, events);
            }
            Self::Tail(groups, whats) => {
                net.cut(at, OnTheWire::Lost);
                for what in whats.iter().cycle().take(usize::from(*groups)) {
                    _ = net.try_commit(at, what.event());
                }
            }
            Self::Elsewhere(groups, whats) => {
                for chunk in
                    whats.iter().cycle().take(usize::from(*groups)).collect::<Vec<_>>().chunks(2)
                {
                    net.elsewhere(chunk.iter().map(|what| what.fact()));
                }
            }
            Self::Refuse(nth) => net.refuse_nth_pushed(at, usize::from(*nth)),
            Self::Move(this) => this.run(net, at),
            Self::Flow(times) => {
                if net.status(at).connection == ConnectionState::Offline {
                    net.wait_for_retry(at);
                }
                for _ in 0..*times {
                    net.step(at);
                }
            }
            Self::Release(is_later) => {
                net.use_schema(schema_with_places(u64::from(*is_later)));
                net.restart(at, OnTheWire::Lost);
            }
            Self::Restore(lost, whats) => {
                net.restore_backend(usize::from(*lost));
                net.elsewhere(whats.iter().map(What::fact));
            }
        }
    }
}

/// Two clients on files, which can restart and lose power, and one in memory.
fn a_net(page_events: u64) -> Net {
    let mut net = Net::new(schema_with_places(0), 0);
    net.on_history_diverged = HistoryAnswer::RebasePending;
    net.backend.page_events = page_events;
    for client in 0..3 {
        net.add_client(client < 2);
    }
    net
}

proptest! {
    #![proptest_config(cases(25))]

    #[test]
    fn whatever_is_rebased_the_state_is_what_the_log_leads_to(
        page_events in prop_oneof![1..6_u64, 20..60_u64],
        steps in prop::collection::vec((0..3_usize, step()), 20..70),
    ) {
        let mut net = a_net(page_events);
        for (at, step) in &steps {
            step.run(&mut net, *at);
            assert_state_is_replay(net.replica(*at));
        }
        net.converge();
        for at in 0..3 {
            assert_state_is_replay(net.replica(at));
        }
    }
}

#[test]
fn events_behind_a_refused_group_move_up() {
    let mut net = Net::on_disk(schema_with_places(0), 1);
    net.settle();
    let groups = ["a", "b", "c"].map(|id| {
        let committed = net.commit(0, (note(id, "text"), draft(id, "text")));
        committed.group_id
    });
    net.backend.refused.insert(groups[1]);
    net.settle();
    assert_eq!(net.status(0).dead_letters, 1);
    assert_eq!(net.status(0).confirmed_head.0, 2, "a and c");
    assert_state_is_replay(net.replica(0));
}
