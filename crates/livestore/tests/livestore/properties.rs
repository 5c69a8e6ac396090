//! How often properties are tried.

use proptest::prelude::ProptestConfig;

/// So many cases of a property, or `PROPTEST_CASES` for a soak.
pub fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default,
        None => ProptestConfig { cases, ..default },
    }
}
