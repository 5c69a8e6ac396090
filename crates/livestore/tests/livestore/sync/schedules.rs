//! Random schedules: whatever happens, and in whatever order, nothing is lost or doubled.

use livestore::NewEvent;
use proptest::prelude::*;

use super::*;
use crate::backend::{Move, wire};
use crate::properties::cases;

/// Something that an app commits; small ranges make clients get into each other's way.
#[derive(Debug, Clone)]
pub enum What {
    Create(u8),
    Complete(u8),
    Take(u8, u8),
    Free(u8),
}

impl What {
    pub fn event(&self) -> NewEvent {
        let event = match *self {
            Self::Create(id) => NewEvent::new("v1.TodoCreated", &todo(&id.to_string())),
            Self::Complete(id) => {
                NewEvent::new("v1.TodoCompleted", &TodoCompleted { id: id.to_string() })
            }
            Self::Take(at, by) => NewEvent::new("v1.SeatTaken", &seat(at.into(), &by.to_string())),
            Self::Free(at) => NewEvent::new("v1.SeatFreed", &SeatFreed { seat: at.into() }),
        };
        event.unwrap()
    }

    pub fn fact(&self) -> Fact {
        match *self {
            Self::Create(id) => fact(todo(&id.to_string())),
            Self::Complete(id) => fact(TodoCompleted { id: id.to_string() }),
            Self::Take(at, by) => fact(seat(at.into(), &by.to_string())),
            Self::Free(at) => fact(SeatFreed { seat: at.into() }),
        }
    }
}

/// One thing that happens to one client, or to the backend.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<What>),
    Elsewhere(Vec<What>),
    Sync,
    FailSync,
    Move(Move),
    /// Delivers everything for a while, so that schedules get somewhere.
    Flow(u8),
    Wait,
}

pub fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        3 => (0..8_u8).prop_map(What::Create),
        2 => (0..8_u8).prop_map(What::Complete),
        4 => (0..3_u8, 0..3_u8).prop_map(|(at, by)| What::Take(at, by)),
        3 => (0..3_u8).prop_map(What::Free),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let whats = || prop::collection::vec(what(), 1..4);
    prop_oneof![
        9 => whats().prop_map(Step::Commit),
        2 => whats().prop_map(Step::Elsewhere),
        5 => Just(Step::Move(Move::Poll)),
        2 => Just(Step::Sync),
        1 => Just(Step::FailSync),
        4 => Just(Step::Move(Move::Take)),
        4 => Just(Step::Move(Move::Answer)),
        2 => Just(Step::Move(Move::SendPage)),
        6 => Just(Step::Move(Move::ToClient)),
        5 => (1..5_u8).prop_map(Step::Flow),
        2 => wire().prop_map(|wire| Step::Move(Move::Cut(wire))),
        1 => wire().prop_map(|wire| Step::Move(Move::Restart(wire))),
        1 => wire().prop_map(|wire| Step::Move(Move::PowerCut(wire))),
        2 => Just(Step::Move(Move::LatePush)),
        3 => Just(Step::Wait),
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
            Self::Elsewhere(whats) => _ = net.elsewhere(whats.iter().map(What::fact)),
            Self::Sync => _ = net.sync(at),
            Self::FailSync => _ = net.fail_sync(at),
            Self::Move(this) => this.run(net, at),
            Self::Flow(times) => {
                for _ in 0..*times {
                    net.step(at);
                }
            }
            Self::Wait => {
                if net.replica(at).next_timeout().is_some() {
                    net.wait_for_retry(at);
                }
            }
        }
    }
}

/// Two clients on files, which can restart and lose power, and up to two in memory.
fn a_net(in_memory: usize, page_events: u64) -> Net {
    let mut net = Net::new(schema(), 0);
    net.slow_disk = true;
    net.backend.page_events = page_events;
    for client in 0..2 + in_memory {
        net.add_client(client < 2);
    }
    net
}

proptest! {
    #![proptest_config(cases(60))]

    /// After every step, each confirmed log is a prefix of the backend's, nothing is pushed that a
    /// power cut could take, and after each restart the state is a replay of the log (see
    /// [`Net`]). At the end, all logs and states are equal, and each group that was committed is
    /// in the log once, or once a dead letter of its author.
    #[test]
    fn whatever_happens_nothing_is_lost_or_doubled_and_all_converge(
        in_memory in 0..3_usize,
        page_events in 1..6_u64,
        steps in prop::collection::vec((0..4_usize, step()), 20..120),
    ) {
        let mut net = a_net(in_memory, page_events);
        for (at, step) in &steps {
            step.run(&mut net, at % (2 + in_memory));
        }
        net.converge();
    }

}

proptest! {
    #![proptest_config(cases(25))]

    /// The state is a replay of the log at every moment, also while groups are in doubt.
    #[test]
    fn the_state_is_a_replay_of_the_log_at_every_moment(
        page_events in 1..4_u64,
        steps in prop::collection::vec((0..2_usize, step()), 10..40),
    ) {
        let mut net = a_net(0, page_events);
        for (at, step) in &steps {
            step.run(&mut net, *at);
            net.assert_state_is_replay(*at);
        }
        net.converge();
    }
}
