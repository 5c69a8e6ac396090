//! Stores that sync over LiveStore's protocol, with our server and its endpoint for that.

#![allow(missing_docs)]

mod support;

mod faults;
mod histories;
mod hostile;
mod stores;
