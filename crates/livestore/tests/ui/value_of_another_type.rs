//! A number where a text is.

mod tables;
use livestore::prelude::*;
use tables::{Todo, User};

fn main() {
    let _ = Todo::select().filter(Todo::text.eq(5));
    let _ = Todo::update().set(Todo::done, "yes");
    let _ = Todo::select().join::<User>(Todo::done.eq(User::name));
    let _ = Todo::select().columns(Todo::text.concat(5));
    let _ = Todo::select().columns(Todo::text.concat(Todo::done));
}
