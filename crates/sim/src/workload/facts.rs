//! What the simulated app commits.
//!
//! The payloads are small numbers from small ranges, so that clients get into each other's way all
//! the time. How the numbers become rows is the business of [the schema](mod@super::schema);
//! what they mean is written down a second time, without SQL, in [`crate::model::app`].

use livestore::{CanonicalJson, Event, EventKind, NewEvent};
use serde::{Deserialize, Serialize};

macro_rules! facts {
    ($(
        $(#[$doc:meta])*
        $fact:ident = $name:literal $(($($option:ident),*))? { $($field:ident: $type:ty),* }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Event, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            #[event(name = $name $(, $($option),*)?)]
            pub struct $fact {
                $(#[doc = "A small number."] pub $field: $type),*
            }

            impl From<$fact> for Fact {
                fn from(fact: $fact) -> Self {
                    Self::$fact(fact)
                }
            }
        )*

        /// One event of the app.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Fact {
            $($(#[$doc])* $fact($fact)),*
        }

        impl Fact {
            /// Encodes the fact as an app would.
            ///
            /// # Panics
            ///
            /// Never: the payloads are plain numbers.
            pub fn event(&self) -> NewEvent {
                match self {
                    $(Self::$fact(fact) => NewEvent::new($name, fact).expect("numbers have a canonical form")),*
                }
            }

            /// Writes the payload as it is in the log.
            ///
            /// # Panics
            ///
            /// Never: the payloads are plain numbers.
            pub fn args(&self) -> String {
                let args = match self {
                    $(Self::$fact(fact) => CanonicalJson::encode(fact)),*
                };
                args.expect("numbers have a canonical form").as_str().to_owned()
            }

            /// Returns how far the event goes.
            pub fn kind(&self) -> EventKind {
                match self {
                    $(Self::$fact(_) => <$fact as Event>::definitions()[0].kind()),*
                }
            }

            /// Reads an event as it is in the log.
            pub(crate) fn read(name: &str, args: &str) -> Option<Self> {
                match name {
                    $($name => serde_json::from_str(args).map(Self::$fact).ok(),)*
                    _ => None,
                }
            }

            /// Returns the event's name in the log.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$fact(_) => $name),*
                }
            }
        }
    };
}

facts! {
    /// Takes a free seat; fails if it is taken, or if the person sits elsewhere.
    SeatTaken = "v1.SeatTaken" { seat: u8, by: u8 }
    /// Takes a seat and sends away whoever is in the way.
    SeatForced = "v1.SeatForced" { seat: u8, by: u8 }
    /// Swaps two people; fails if one of the seats is free.
    SeatsSwapped = "v1.SeatsSwapped" { a: u8, b: u8 }
    /// Frees a seat.
    SeatFreed = "v1.SeatFreed" { seat: u8 }
    /// Changes a counter to something that depends on what it was.
    Counted = "v1.Counted" { counter: u8, by: u8 }
    /// Fails while a counter is odd; else it is like a count of one.
    CountedEven = "v1.CountedEven" { counter: u8 }
    /// Moves money; fails if there is not enough.
    Moved = "v1.Moved" { from: u8, to: u8, amount: u8 }
    /// Creates a note; fails if it is there.
    NoteCreated = "v1.NoteCreated" { note: u8, text: u8 }
    /// Writes a note, whether it is there or not.
    NoteWritten = "v1.NoteWritten" { note: u8, text: u8 }
    /// Changes a note if it is there.
    NoteEdited = "v1.NoteEdited" { note: u8, text: u8 }
    /// Gives a note another key; fails if that is taken.
    NoteRenamed = "v1.NoteRenamed" { from: u8, to: u8 }
    /// Deletes a note.
    NoteDeleted = "v1.NoteDeleted" { note: u8 }
    /// Deletes all notes from one on.
    NotesDropped = "v1.NotesDropped" { from: u8 }
    /// Adds a member unless it is one.
    MemberJoined = "v1.MemberJoined" { team: u8, person: u8 }
    /// Removes a whole team.
    TeamLeft = "v1.TeamLeft" { team: u8 }
    /// Fails for every third number, but only in version two of the schema.
    Skewed = "v1.Skewed" { number: u8 }
    /// Unknown to version one of the schema.
    Novel = "v2.Novel" { number: u8 }
    /// Moves coins from one purse to another, whether they are there or not.
    Paid = "v1.Paid" { from: u8, to: u8, coins: i64 }
    /// Does the same, but on a rebase it becomes what there is to lend, or is dropped.
    Lent = "v1.Lent" { from: u8, to: u8, coins: i64 }
    /// Keeps a draft whose value depends on what it was, and on a counter of the synced state.
    DraftKept = "DraftKept" (client_only, persist) { draft: u8, counter: u8 }
    /// Keeps a draft, unless a counter of the synced state is odd; then it fails.
    DraftKeptEven = "DraftKeptEven" (client_only, persist) { draft: u8, counter: u8 }
    /// Drops a draft.
    DraftDropped = "DraftDropped" (client_only, persist) { draft: u8 }
    /// Shows something that depends on all that there is, and is forgotten with the process.
    Flashed = "Flashed" (client_only) { lamp: u8, counter: u8 }
}

/// The events of one commit, by how far they go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ByKind {
    pub(crate) synced: Vec<Fact>,
    pub(crate) client_only: Vec<Fact>,
    pub(crate) memory: Vec<Fact>,
}

impl ByKind {
    pub(crate) fn of(facts: &[Fact]) -> Self {
        let mut kinds = Self::default();
        for fact in facts {
            let kind = match fact.kind() {
                EventKind::Synced => &mut kinds.synced,
                EventKind::ClientOnly => &mut kinds.client_only,
                EventKind::Memory => &mut kinds.memory,
            };
            kind.push(fact.clone());
        }
        kinds
    }
}

impl Fact {
    /// Tells whether the rules of the simulated backend forbid it; a strict one forbids more.
    pub fn is_forbidden(&self, is_strict: bool) -> bool {
        match self {
            Self::Counted(Counted { by: 8, .. }) | Self::Paid(Paid { coins: 13, .. }) => true,
            Self::Counted(Counted { by: 7, .. }) => is_strict,
            _ => false,
        }
    }
}
