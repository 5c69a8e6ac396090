//! A column of a table that the query does not name.

mod tables;
use livestore::prelude::*;
use tables::{Todo, User};

fn main() {
    let _ = Todo::select().filter(User::name.eq("Ada"));
}
