//! Where in a value something stands that cannot be encoded.
//!
//! Nothing is noted while all goes well: on its way out of the value, an error passes whatever it
//! stands in, and each puts its own step in front.

use super::JsonError;

/// What leads one level into a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Element(usize),
    Member(&'a str),
}

impl JsonError {
    /// Notes what the refused number stands in; other errors say where they are themselves.
    #[cold]
    pub(super) fn within(mut self, step: Step<'_>) -> Self {
        if let Self::IntegerTooLarge { path, .. } | Self::NotFinite { path, .. } = &mut self {
            if !path.is_empty() && !path.starts_with('[') {
                path.insert(0, '.');
            }
            let first = match step {
                Step::Element(index) => format!("[{index}]"),
                Step::Member(name) if is_plain(name) => name.into(),
                Step::Member(name) => format!("[{name:?}]"),
            };
            path.insert_str(0, &first);
        }
        self
    }
}

/// Tells whether a name can stand in a path as it is.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

/// Says where, for a message.
pub(super) fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at `{path}`") }
}
