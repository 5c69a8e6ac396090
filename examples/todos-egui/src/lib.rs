//! The list of todos in a window: live queries and egui.

#![forbid(unsafe_code)]

mod app;
mod bind;

pub use app::App;
pub use bind::Bound;
