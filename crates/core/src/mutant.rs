//! Bugs that the simulator brings back on purpose, to prove that its checks find them.
//!
//! Without the feature `mutants`, [`is_active`] is a constant `false` and every mutated branch is
//! compiled away. With it, a thread chooses at run time which single bug its code has. Code that
//! checks results must never ask here.

/// A mistake that one could make, and that somebody somewhere has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mutant {
    /// The confirmed head is made durable before the events that lead to it.
    HeadBeforeEvents,
    /// Groups are confirmed by counting positions, and client-only ones are counted too.
    ConfirmByPosition,
    /// Later groups are pushed although an earlier one was rejected and not yet handled.
    TailOvertakesRejected,
    /// A push without an answer is pushed again under new ids.
    LostAckPushedAsNew,
    /// Groups in doubt are given up before the pages reach the head told at the welcome.
    PageMergedEarly,
    /// Undo data does not survive a restart.
    UndoLostOnRestart,
    /// The events of one incoming group become visible one by one.
    HalfGroupVisible,
    /// A rebuild that was cut short is taken for complete.
    RebuildTakenAsComplete,
    /// The cursor is ahead of what the state was derived from.
    CursorAheadOfState,
    /// The backend does not compare a cursor's hash.
    DivergenceUnnoticed,
    /// A push leaves before its barrier is done.
    BarrierSkipped,
    /// An I/O error is blamed on the event that met it.
    IoErrorQuarantined,
    /// Commands run again although the backend may have what they made before.
    CommandRerunInFlight,
    /// A command that is no longer possible is given up although the backend may have taken it.
    ConflictBeforeOutcome,
    /// A refused group leaves the state, and what stands behind it stays as it was.
    RejectionLeavesLater,
    /// What is pending is forgotten when the backend wants to see another token.
    TokenExpiryDropsQueue,
    /// The log is published to whatever backend there is, and what that has is taken for it.
    RepublishOntoOthers,
    /// A store is opened although somebody else has its lock.
    TwoLeaders,
    /// A leader that says nothing for long loses its place, though it has the lock.
    FrozenLeaderRobbed,
    /// A session takes what it has handed over for safe before its leader says so.
    AcknowledgedEarly,
    /// A new session gets the leader's state, but not what is pending there.
    BootstrapMissesTail,
    /// What a read brings is taken for a whole frame.
    FrameCutInHalf,
    /// A session keeps the effects of a group that its leader has taken as something else.
    KeepsOldUndo,
}

impl Mutant {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 23] = [
        Self::HeadBeforeEvents,
        Self::ConfirmByPosition,
        Self::TailOvertakesRejected,
        Self::LostAckPushedAsNew,
        Self::PageMergedEarly,
        Self::UndoLostOnRestart,
        Self::HalfGroupVisible,
        Self::RebuildTakenAsComplete,
        Self::CursorAheadOfState,
        Self::DivergenceUnnoticed,
        Self::BarrierSkipped,
        Self::IoErrorQuarantined,
        Self::CommandRerunInFlight,
        Self::ConflictBeforeOutcome,
        Self::RejectionLeavesLater,
        Self::TokenExpiryDropsQueue,
        Self::RepublishOntoOthers,
        Self::TwoLeaders,
        Self::FrozenLeaderRobbed,
        Self::AcknowledgedEarly,
        Self::BootstrapMissesTail,
        Self::FrameCutInHalf,
        Self::KeepsOldUndo,
    ];
}

#[cfg(feature = "mutants")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Chooses the one bug that code on this thread has from now on, or none.
#[cfg(feature = "mutants")]
pub fn activate(mutant: Option<Mutant>) {
    ACTIVE.set(mutant);
}

/// Tells whether code on this thread is to have this bug.
#[cfg(feature = "mutants")]
pub fn is_active(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(mutant)
}

/// Tells whether code on this thread is to have this bug: never.
#[cfg(not(feature = "mutants"))]
#[inline]
pub const fn is_active(_mutant: Mutant) -> bool {
    false
}
