//! A row read as something that says nothing about columns.

use livestore::prelude::*;

struct Stats {
    count: i64,
}

fn main() {
    let _ = query_as::<Stats>("SELECT count(*) AS count FROM todos");
}
