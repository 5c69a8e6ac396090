//! Situations that the simulation has to get into: fault × state of the protocol.
//!
//! A simulator that never kills a client in the middle of a rebase proves nothing about that. So
//! each of these is counted, and each has to happen within 2,000 seeds.

use std::fmt;

macro_rules! points {
    ($($point:ident = $name:literal)*) => {
        /// A situation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the name says it")]
        pub enum Point {
            $($point),*
        }

        impl Point {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$point),*];

            /// Returns what happens there, in words.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name),*
                }
            }
        }
    };
}

points! {
    ServerStarted = "the server starts"
    ServerKilledInside = "the server is killed while it appends"
    ServerPowerCut = "the server loses power"
    UnansweredPushSurvived = "a push without an answer is in the log after a crash of the server"
    AppendFailed = "the server's disk fails an append"
    ServerRestored = "the server is restored from a backup, and groups are gone"
    ServerRestoredWhileClientOfflineWithPending = "the server is restored while a client is offline with pending groups"
    ServerStoppedWithPushInFlight = "the server stops with a push in flight"
    PushWaitsForATurn = "a push waits because another client has its turn"
    PushInItsTurn = "a client that lost a race pushes in its turn"
    TurnRevoked = "a turn ends while others wait"
    PushCrossedAPage = "a push crosses a page on the wire"
    PageBeforeAnswer = "a page goes out while the client's push is decided but not answered"
    PushRefusedAhead = "a push loses the race"
    PushAlreadyAccepted = "a push repeats groups that the log has"
    LatePushTaken = "a push of a connection that is gone is taken"
    LatePushRefused = "a push of a connection that is gone is refused"
    Superseded = "a hello ends an earlier conversation of its client"
    AckLost = "an acknowledgement is lost"
    AckLostAndGroupFurtherOn = "after a lost acknowledgement the group is further on in the log"
    WelcomeNamesAccepted = "a welcome names groups that were accepted without an answer"
    PageEndsInsideAttempted = "a page ends between two groups of a push without an answer"
    KilledCommitting = "a client is killed while it commits"
    KilledFollowing = "a client is killed while it takes a message"
    KilledWhileOpening = "a client is killed while it opens its store"
    KilledWhileSyncing = "a client is killed while it syncs"
    KilledRebasing = "a client with pending groups is killed while it takes a page"
    KilledWithPushInFlight = "a client is killed with a push in flight"
    KilledCommitSurvived = "a commit that was killed is there after the restart"
    KilledCommitVanished = "a commit that was killed is gone after the restart"
    PowerCutWithPushInFlight = "power fails with a push in flight"
    PowerCutLostGroups = "a power cut takes groups back"
    PowerCutLostConfirmations = "a power cut takes the confirmed head back"
    RestartWithPending = "a client restarts with pending groups"
    RestartWhileCatchingUp = "a client restarts while it is behind the backend"
    OpenFailed = "a store does not open, since its disk fails"
    CommitRefused = "a commit does not apply to its author's own state"
    CommitFailed = "the disk fails a commit"
    ReceiveFailed = "the disk fails while a message is taken"
    SyncFailed = "the disk fails a sync"
    Rebased = "a rebase"
    BackendSwapped = "another backend takes the place of one that has groups"
    RepublishesGroups = "a client publishes a piece of its log anew"
    Republished = "a client has published its log to its end"
    RepublishedLater = "a client that stopped publishes its log after all"
    RepublishedByTwo = "two clients publish their logs at the same time"
    KilledRepublishing = "a client is killed while it publishes its log anew"
    NotRepublished = "a backend refuses a piece of a log that is published anew"
    NotRepublishedOntoOthers = "a client may not publish its log, since the backend has another one"
    Discarded = "a client makes dead letters of what is pending, to follow another history"
    DiscardedLater = "a client that stopped discards what the backend does not have"
    OwnArchived = "a client leaves own groups with the history that they were in"
    TokenExpired = "a conversation ends since the token has expired"
    TokenExpiredWithPushInFlight = "a token expires with a push in flight"
    NotLetIn = "the server does not let a client in"
    SignedOut = "an app has nothing to show to the server"
    LetInAgain = "a client that was not let in is let in later"
    RefusedForTheLog = "the backend's rules refuse a group for what the log has"
    RefusedByRule = "the backend's rules refuse a group"
    RefusedWithOthersBehind = "a group is refused, and others of its author stand behind it"
    DeadLetterAfterRebase = "a group becomes a dead letter after a rebase"
    Quarantined = "an event is quarantined"
    DeadLetterRetried = "a dead letter is committed again"
    FullDurabilityTold = "a commit is told to be on disk"
    ClientOnlySettled = "a client-only group comes to its place behind synced ones"
    ClientOnlyRejected = "a client-only group becomes a dead letter"
    CommandRefused = "a command is refused when it is executed"
    CommandRewritten = "a command makes other events when it runs again"
    CommandGrew = "a command makes more events when it runs again"
    CommandShrank = "a command makes fewer events when it runs again"
    CommandFailedLater = "a command is no longer possible when it runs again"
    CommandRetried = "the command of a dead letter is executed again"
    CommandBecameAFact = "a command that was confirmed is pending again, and keeps its events"
    EventRewritten = "an event is rewritten on a rebase"
    EventDropped = "an event is dropped on a rebase"
    RevisionPutOff = "pending groups are not made anew yet, since the backend may have some"
    RevisionMadeUpFor = "pending groups are made anew that could not be before"
    RestartWithRevisionDue = "a client restarts with groups that are still to be made anew"
    RewrittenConfirmed = "a group is confirmed as something else than was committed"
    RewrittenAckLost = "after a lost acknowledgement the log has a group as it was made anew"
    Gathering = "a rebase gathers pages on disk"
    KilledGathering = "a client is killed while the log on disk is ahead of the state"
    HistoryFollowed = "a client goes back to follow another history"
    HistoryFollowedLater = "a client that stopped follows another history after all"
    Diverged = "a client learns that the backend has another history"
    VersionChanged = "a client restarts with another version of the schema"
    VersionChangedWithPending = "a client with pending groups restarts with another version"
    MessageDropped = "a message is dropped"
    MessageDuplicated = "a message is duplicated"
    MessageReordered = "a message overtakes another"
    OneWayPartition = "messages get through in one direction only"
    ClockBack = "a client's clock goes back while it is offline"
    Attached = "a session attaches to its leader"
    AttachedWhileGathering = "a session attaches while the log on disk is ahead of the state"
    AttachedAnewWithOwn = "a session attaches anew with commits that its leader does not have"
    SessionLeftBehind = "a session has missed so much that it begins anew"
    SchemaMismatch = "a session is refused since it runs another version"
    Taken = "a leader takes what was committed in a session"
    TakenUnseen = "a leader takes what was committed in a session that had not seen what others did"
    TakenRewritten = "a leader takes what a session has committed as something else"
    TakenAsDeadLetter = "a leader takes what a session has committed as a dead letter"
    LetterGone = "a session has tried a dead letter again that somebody else dealt with"
    KilledTaking = "a leader is killed while it takes what a session has committed"
    TakingFailed = "the disk fails while a leader takes something of a session"
    TakenOver = "a session takes the lead"
    TakenOverWithPending = "a session takes the lead with pending groups"
    SessionDiedWithOwn = "a session dies with commits that no leader has"
    CommittedWithoutLeader = "a session commits while there is no leader"
    SessionCommitRefused = "a commit does not apply to the state of its session"
    LetterRetriedInSession = "a session commits a dead letter again"
    AnsweredBySession = "a session goes on with a backend that has another history"
    SessionToldOnDisk = "a session is told that a commit is on disk"
    LinkEndedInsideAFrame = "a leader dies in the middle of a message to a session"
    Frozen = "a leader is frozen"
    FrozenLeaderReported = "a session says that its leader is frozen"
    ClientLeft = "a client leaves with pending groups"
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often each situation came up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sometimes {
    counts: Vec<u64>,
}

impl Default for Sometimes {
    fn default() -> Self {
        Self { counts: vec![0; Point::ALL.len()] }
    }
}

impl Sometimes {
    /// It came up.
    pub fn hit(&mut self, point: Point) {
        self.counts[point as usize] += 1;
    }

    /// Adds the counts of other runs.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Walks over all situations with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Point, u64)> {
        Point::ALL.iter().copied().zip(self.counts.iter().copied())
    }

    /// Returns the situations that never came up.
    pub fn missing(&self) -> Vec<Point> {
        self.iter().filter(|(_, count)| *count == 0).map(|(point, _)| point).collect()
    }
}
