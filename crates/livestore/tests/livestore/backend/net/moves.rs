//! Things that can happen to one client, in whatever order a test puts them.

use proptest::prelude::*;

use super::{Net, OnTheWire};

/// One thing that happens between one client and the backend.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    Poll,
    Take,
    Answer,
    SendPage,
    ToClient,
    Cut(OnTheWire),
    Restart(OnTheWire),
    PowerCut(OnTheWire),
    LatePush,
}

/// Either end of what is on the wire.
pub fn wire() -> impl Strategy<Value = OnTheWire> {
    prop_oneof![Just(OnTheWire::Lost), Just(OnTheWire::Late)]
}

impl Move {
    pub fn run(self, net: &mut Net, at: usize) {
        match self {
            Self::Poll => _ = net.poll(at),
            Self::Take => _ = net.take(at),
            Self::Answer => _ = net.answer(at),
            Self::SendPage => _ = net.send_page(at),
            Self::ToClient => _ = net.reach_client(at),
            Self::Cut(wire) => net.cut(at, wire),
            Self::Restart(wire) => net.restart(at, wire),
            Self::PowerCut(wire) => net.power_cut(at, wire),
            Self::LatePush => _ = net.late_push_arrives(),
        }
    }
}
