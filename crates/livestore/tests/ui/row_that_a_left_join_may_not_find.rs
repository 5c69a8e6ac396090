//! A column of a left-joined table, which is null where there is no row.

mod tables;
use livestore::prelude::*;
use livestore::QueryError;
use tables::{Todo, User};

fn names(store: &Store) -> Result<Rows<String>, QueryError> {
    store.query(Todo::select().left_join::<User>(User::id.eq(Todo::id)).columns(User::name))
}

fn main() {}
