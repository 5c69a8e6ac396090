//! What the compiler says about mistakes: each file in `ui/` has the message beside it.
//!
//! After a change, `TRYBUILD=overwrite cargo test -p livestore-rs --test ui` writes the messages
//! anew; read them as an app's developer would.

#[test]
fn mistakes_in_queries_and_tables_get_messages_that_name_them() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
