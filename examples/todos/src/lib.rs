//! The model of the todos, for the app and for others that work on the same list.

#![forbid(unsafe_code)]

pub mod model;
