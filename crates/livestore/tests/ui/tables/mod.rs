//! Tables for what does not compile.

use livestore::prelude::*;

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "todos")]
pub struct Todo {
    #[column(primary_key)]
    pub id: String,
    pub text: String,
    pub done: bool,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "users")]
pub struct User {
    #[column(primary_key)]
    pub id: String,
    pub name: String,
}
