//! Columns of a table that the query does not name, where it reads and orders.

mod tables;
use livestore::prelude::*;
use tables::{Todo, User};

fn main() {
    let _ = Todo::select().columns(User::name);
    let _ = Todo::select().columns((Todo::id, User::name));
    let _ = Todo::select().order_by(User::name);
    let _ = Todo::update().set(User::name, "Ada");
}
