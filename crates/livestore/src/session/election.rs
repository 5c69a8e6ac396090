//! Who may lead: one session at a time, and never an older version of the app than has led.

use livestore_core::mutant::{self, Mutant};

use super::message::{Refused, RefusedReason};
use super::outline::Newer;

/// What became of the attempt to take the lock of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// It is taken, and held until whoever has it is gone.
    Taken,
    /// Somebody else has it.
    Held,
}

impl Lock {
    /// Tells whether the store may be opened by whoever has tried to take its lock.
    ///
    /// However long somebody `is_silent` who has it: what is frozen goes on where it was as soon as it is
    /// let go, and then there would be two.
    pub fn lets_lead(self, is_silent: bool) -> bool {
        let is_robbed = is_silent && mutant::is_active(Mutant::FrozenLeaderRobbed);
        self == Self::Taken || is_robbed || mutant::is_active(Mutant::TwoLeaders)
    }
}

/// What a session has seen that decides whether it stands for the lead.
#[derive(Debug, Clone, Copy, Default)]
pub struct Candidacy {
    /// A version of the app that is newer than this one, or that may be: its state must not be derived
    /// anew by this one.
    has_seen_newer: bool,
}

impl Candidacy {
    /// Takes note that a leader does not let this session follow.
    pub fn refused(&mut self, refused: &Refused) {
        self.has_seen_newer |=
            matches!(refused.reason, RefusedReason::Schema(Newer::Them | Newer::Neither));
    }

    /// Tells whether this session may try to lead when nobody answers.
    pub fn may_stand(&self) -> bool {
        !self.has_seen_newer
    }
}
