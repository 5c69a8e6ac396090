//! Options that tables and columns do not have.

use livestore::prelude::*;

#[derive(Table)]
#[table(name = "todos", strict)]
struct Todo {
    #[column(primary_key)]
    id: String,
}

#[derive(Table)]
#[table(name = "users")]
struct User {
    #[column(primary)]
    id: String,
}

fn main() {}
