//! Everything that can happen in a simulation, as data.
//!
//! A run is a list of [`Step`]s. Each is explicit: which message arrives, which one is lost, at
//! which operation a disk dies. So a run can be repeated, cut down and kept without the generator
//! that made it up. A step that makes no sense (any more) does nothing, which is what lets the
//! minimiser drop steps at will: clients, connections and messages are therefore named by their
//! place among those that there are, not by an identity.

mod tab;

use livestore::HistoryAnswer;
use serde::{Deserialize, Serialize};

use crate::model::app::Version;
use crate::workload::{Fact, Intent};

pub use tab::TabAction;

/// Something that happens, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The virtual time in milliseconds; it never goes back, whatever a step says.
    pub at: u64,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Action,
}

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// From a client to the server.
    Up,
    /// From the server to a client.
    Down,
}

/// A message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Whose it is.
    pub client: usize,
    /// How many connections ago: 0 is on the newest one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub link: u32,
    /// In which direction.
    pub way: Way,
    /// Its place among the messages that are on the way there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nth: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_none(number: &u16) -> bool {
    *number == 0
}

/// Older traces do not tell it.
fn usual_answer() -> HistoryAnswer {
    HistoryAnswer::RebasePending
}

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Loss {
    /// All of it.
    Nothing,
    /// None of it.
    Unsynced,
    /// Some of it, torn and out of order.
    Random,
}

/// What an app has to show a server that asks who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// The newest token.
    #[default]
    Granted,
    /// A token that has expired.
    Expired,
    /// A token that nobody knows.
    Unknown,
    /// Nothing: somebody has to sign in first.
    SignedOut,
}

/// What a disk does wrong from now on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DiskTrouble {
    /// So many reads, writes and syncs out of a thousand fail.
    #[serde(skip_serializing_if = "is_none")]
    pub io_error_per_mille: u16,
    /// So many syncs out of a thousand fail.
    #[serde(skip_serializing_if = "is_none")]
    pub sync_error_per_mille: u16,
    /// So many more bytes fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_after_bytes: Option<u64>,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// A new client appears; in memory it has no file, so it cannot restart.
    Join {
        /// True if it has no file.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        memory: bool,
        /// What it does when the backend has another history.
        #[serde(default = "usual_answer")]
        answer: HistoryAnswer,
        /// What it runs.
        version: Version,
    },
    /// A client goes away for ever.
    Leave {
        /// Who.
        client: usize,
    },
    /// The user of a client commits a group.
    Commit {
        /// Where.
        client: usize,
        /// The events of the group.
        facts: Vec<Fact>,
        /// True if the user wants to know when it is safe from a power cut.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        full: bool,
    },
    /// The user of a client executes a command.
    Execute {
        /// Where.
        client: usize,
        /// The command.
        intent: Intent,
        /// True if the user wants to know when it is safe from a power cut.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        full: bool,
    },
    /// The user of a client commits a dead letter again.
    Retry {
        /// Where.
        client: usize,
        /// Which one, of those that there are.
        letter: usize,
    },
    /// The user of a client forgets a dead letter.
    Acknowledge {
        /// Where.
        client: usize,
        /// Which one, of those that there are.
        letter: usize,
    },
    /// The user of a client that has stopped goes on with a backend that has another history.
    Follow {
        /// Where.
        client: usize,
        /// How.
        answer: HistoryAnswer,
    },
    /// What the app of a client can show the server changes.
    Access {
        /// Whose.
        client: usize,
        /// What it has from now on.
        access: Access,
    },
    /// The user of a client does not want to wait for the next attempt to connect.
    Hurry {
        /// Where.
        client: usize,
    },
    /// The user of a client looks at the whole state.
    Read {
        /// Where.
        client: usize,
    },
    /// Everything about a client is checked.
    Verify {
        /// Who.
        client: usize,
    },
    /// A client's timer rings.
    Wake {
        /// Whose.
        client: usize,
    },
    /// A client's attempt to connect reaches the server, or does not.
    Open {
        /// Whose.
        client: usize,
    },
    /// The disk has done, or failed, the sync that a client asked for.
    Sync {
        /// Who.
        client: usize,
    },
    /// A message arrives.
    Deliver(Place),
    /// A message is lost.
    Drop(Place),
    /// A message will arrive twice.
    Duplicate(Place),
    /// A connection breaks at both ends; what is on the way is lost.
    Reset {
        /// Whose newest connection.
        client: usize,
    },
    /// A client closes its connection; what it has sent arrives some time.
    HangUp {
        /// Whose newest connection.
        client: usize,
    },
    /// Nothing gets through in one direction, until further notice.
    Block {
        /// Whose messages.
        client: usize,
        /// In which direction.
        way: Way,
        /// False if they get through again.
        on: bool,
    },
    /// The process of a client will be killed before it has done so many disk operations.
    KillAfter {
        /// Whose.
        client: usize,
        /// How many it still does.
        operations: u64,
    },
    /// The process of a client is killed now.
    Kill {
        /// Whose.
        client: usize,
    },
    /// The process of a client ends, and its machine loses power.
    PowerCut {
        /// Whose.
        client: usize,
        /// What is lost.
        loss: Loss,
    },
    /// A client that is not running is started.
    Start {
        /// Who.
        client: usize,
        /// What it runs from now on.
        version: Version,
        /// After how many operations of its disk it is killed, if it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dies_after: Option<u64>,
    },
    /// A client's disk begins to fail, or stops to.
    Trouble {
        /// Whose; the server's if nobody's.
        client: Option<usize>,
        /// What fails.
        trouble: DiskTrouble,
    },
    /// A client's clock is set.
    Clock {
        /// Whose.
        client: usize,
        /// By how much, in milliseconds.
        by_ms: i64,
    },
    /// The process of a client stands still, or goes on.
    Freeze {
        /// Whose.
        client: usize,
        /// False if it goes on.
        on: bool,
    },
    /// Something happens to a session that follows a client's leader.
    Tab {
        /// Whose session.
        client: usize,
        /// In which place.
        tab: usize,
        /// What happens.
        act: TabAction,
    },
    /// The server answers the push that it has decided.
    Answer {
        /// Whose.
        client: usize,
        /// How many connections ago.
        #[serde(default, skip_serializing_if = "is_zero")]
        link: u32,
    },
    /// The server sends a client a page.
    Page {
        /// To whom.
        client: usize,
        /// How many connections ago.
        #[serde(default, skip_serializing_if = "is_zero")]
        link: u32,
    },
    /// The server looks at its clock.
    ServerWake,
    /// The server's process will be killed before it has done so many disk operations.
    ServerKillAfter {
        /// How many it still does.
        operations: u64,
    },
    /// The server's process ends.
    ServerStop {
        /// True if what it has sent still arrives.
        gently: bool,
    },
    /// The server's process ends, and its machine loses power.
    ServerPowerCut {
        /// What is lost.
        loss: Loss,
    },
    /// The server is started, if it is not running.
    ServerStart,
    /// The server takes none of the tokens any more that there are; from the first time on it asks
    /// everybody who they are.
    Revoke,
    /// The server is stopped, and its disk replaced by one with nothing on it: another backend.
    Swap,
    /// A copy of the server's disk is made.
    Backup,
    /// The server is stopped, and its disk replaced by a copy.
    Restore {
        /// How many copies ago.
        copies_ago: usize,
    },
    /// All faults stop, everybody runs and talks, until nothing moves; then all is checked.
    Settle,
}
