//! Things that are no events.

use livestore::prelude::*;

#[derive(Event)]
#[event(name = "v1.Either")]
union Either {
    number: u32,
    bytes: [u8; 4],
}

fn main() {}
