//! What `#[derive(Table)]` makes is what could be written by hand.

// The generated code names the `livestore` crate, which hands these on.
extern crate livestore_sqlite as livestore;

mod derive {
    mod rows;
    mod tables;
}
