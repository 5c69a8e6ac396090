//! The simulated disk: SQLite runs on it as on a real one, whatever happens to the machine.

mod sim {
    mod connections;
    mod crashes;
    mod determinism;
    mod faults;
    mod machine;
    mod support;
}
