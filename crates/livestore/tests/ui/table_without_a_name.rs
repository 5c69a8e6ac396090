//! A table that does not say what it is called.

use livestore::prelude::*;

#[derive(Table)]
struct Todo {
    #[column(primary_key)]
    id: String,
}

fn main() {}
