//! The server as its clients see it: real sockets, real files.

mod auth;
mod crash;
mod faults;
mod golden;
mod http;
mod livestore_clients;
mod locate;
mod refusals;
mod rules;
mod seats;
mod spec;
mod storage;
mod support;
mod sync;
mod turns;
