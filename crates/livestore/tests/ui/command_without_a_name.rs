use livestore::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Command, Serialize, Deserialize)]
struct Withdraw {
    amount: i64,
}

#[derive(Command, Serialize, Deserialize)]
#[command(name = "Deposit", kind = "x")]
struct Deposit {
    amount: i64,
}

fn main() {}
