//! The behaviour of the SQLite layer, as the rest of LiveStore relies on it.

mod sqlite {
    mod authorization;
    mod budgets;
    mod change_capture;
    mod connections;
    mod constraints;
    mod date_times;
    mod dates;
    mod definitions;
    mod expression_laws;
    mod full_text;
    mod memory_tables;
    mod plain_statements;
    mod queries;
    mod query_builder;
    mod raw_files;
    mod read_dependencies;
    mod returning;
    mod scopes;
    mod state_hashes;
    mod support;
    mod transactions;
    mod transfers;
    mod undo;
    mod undo_damage;
    mod undo_relations;
    mod upserts;
    mod writes;
}
