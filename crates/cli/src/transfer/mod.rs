//! Moving logs: between files, stores and backends.

pub(crate) mod backend;
pub(crate) mod file;
pub(crate) mod place;
