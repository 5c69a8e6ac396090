//! A write where a query is expected.

mod tables;
use livestore::prelude::*;
use tables::Todo;

fn write_through_query(store: &Store) {
    let _ = store.query(Todo::delete());
}

fn main() {}
