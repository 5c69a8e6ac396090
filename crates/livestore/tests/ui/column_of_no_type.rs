//! A field that no column can hold, and a sum of what has none.

mod tables;
use livestore::prelude::*;
use tables::Todo;

struct Priority(u8);

#[derive(Table)]
#[table(name = "tasks")]
struct Task {
    #[column(primary_key)]
    id: String,
    priority: Priority,
}

fn main() {
    let _ = Todo::select().columns(Todo::text.sum());
}
