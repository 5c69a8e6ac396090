//! Values that may be null where null cannot stand.

mod tables;
use livestore::prelude::*;
use livestore::{Expr, case};
use tables::{Todo, User};

fn is_ada() -> Expr<User> {
    User::name.eq("Ada")
}

fn main() {
    let _ = Todo::update().set(Todo::text, Todo::select().columns(Todo::id).scalar());
    let by_user = Todo::select().left_join::<User>(User::id.eq(Todo::id));
    let _ = by_user.clone().columns(case::<_, String>().otherwise(User::name));
    let _ = by_user.filter(is_ada().lift());
}
