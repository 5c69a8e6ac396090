//! What happens to a session that follows its client's leader.

use livestore::HistoryAnswer;
use serde::{Deserialize, Serialize};

use super::Way;
use crate::model::app::Version;
use crate::workload::{Fact, Intent};

/// One thing that happens to a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TabAction {
    /// It is opened, in a process of its own, if there is none in this place.
    Open {
        /// What it runs.
        version: Version,
    },
    /// It looks for a leader, or becomes one.
    Seek {
        /// After how many operations of the disk it is killed if it leads.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dies_after: Option<u64>,
    },
    /// Bytes of its conversation arrive.
    Bytes {
        /// In which direction.
        way: Way,
        /// How many, if there are so many.
        bytes: usize,
        /// True for the oldest of those conversations that it has given up.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        old: bool,
    },
    /// Its timer rings.
    Wake,
    /// Its conversation breaks, at its end.
    Break,
    /// Its process is killed; if it leads, so is the leader.
    Kill,
    /// Its user commits a group.
    Commit {
        /// The events of the group.
        facts: Vec<Fact>,
        /// True if the user wants to know when it is safe from a power cut.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        full: bool,
    },
    /// Its user executes a command.
    Execute {
        /// The command.
        intent: Intent,
        /// True if the user wants to know when it is safe from a power cut.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        full: bool,
    },
    /// Its user commits a dead letter again.
    Retry {
        /// Which one, of those that it shows.
        letter: usize,
    },
    /// Its user forgets a dead letter.
    Acknowledge {
        /// Which one, of those that it shows.
        letter: usize,
    },
    /// Its user goes on with a backend that has another history.
    Follow {
        /// How.
        answer: HistoryAnswer,
    },
    /// Its user does not want to wait for the next attempt to connect.
    Hurry,
    /// Its user looks at the whole state.
    Read,
}
