//! Columns that are compared with columns of other types.

mod tables;
use livestore::prelude::*;
use tables::Todo;

fn main() {
    let _ = Todo::select().filter(Todo::text.lt(Todo::done));
    let _ = Todo::select().filter(Todo::done);
    let _ = Todo::select().filter(Todo::text);
}
