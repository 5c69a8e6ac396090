//! Rules of the operator: which groups a log takes, whatever the clients' code says.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use livestore_core::protocol::{Page, Refusal};
use livestore_core::{Event, GlobalSeqNum, Group, GroupId, LogPosition, StoreId};

use crate::auth::Principal;
use crate::storage::{AppendOutcome, AppendRequest, StorageError};

/// Decides which groups a log takes.
///
/// The writer asks about each group that fits the log, in log order, and takes a push only if no rule
/// has anything against any of its groups. A group that is refused never comes back: it becomes a dead
/// letter at its author, with the refusal, and what the author built on it is made anew without it.
///
/// All logs wait meanwhile, so a rule decides quickly and asks nobody far away.
///
/// A function is a rule already:
///
/// ```
/// use std::sync::Arc;
///
/// use livestore_server::{Proposal, Refusal, ServerConfig};
///
/// let mut config = ServerConfig::new("data");
/// config.rules = Arc::new(|proposal: &Proposal<'_>| {
///     let group = proposal.group();
///     match group.events().iter().find(|event| event.name.as_str().starts_with("v1.Admin")) {
///         Some(event) => Err(Refusal::new(format!("nobody may do {}", event.name))
///             .with_code("forbidden")),
///         None => Ok(()),
///     }
/// });
/// ```
pub trait Rules: Send + Sync + 'static {
    /// Decides on one group.
    ///
    /// # Errors
    ///
    /// What the rule has against it, or why it cannot decide now. A panic decides nothing, either.
    fn check(&self, proposal: &Proposal<'_>) -> Result<(), RuleError>;

    /// Tells whether there is anything that may be refused.
    ///
    /// A LiveStore client knows of no refusals and tries for ever, so it is not let in where there is,
    /// unless [`ServerConfig::let_livestore_meet_rules`](crate::ServerConfig::let_livestore_meet_rules)
    /// says so.
    fn may_refuse(&self, _store_id: &StoreId) -> bool {
        true
    }

    /// Says that what was read from logs since the last call may not have come to be, since the
    /// transaction has failed; for rules that remember what they have read.
    fn rolled_back(&self) {}
}

/// Why a rule does not let a group pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// It has something against the group, which never comes back.
    #[error("refused: {}", .0.message)]
    Refused(Refusal),
    /// It cannot decide now: the conversation ends, and the client comes back with the group.
    #[error("undecided: {message}")]
    Undecided {
        /// What the operator is told; no client sees it.
        message: String,
    },
}

impl From<Refusal> for RuleError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StorageError> for RuleError {
    fn from(error: StorageError) -> Self {
        Self::Undecided { message: error.to_string() }
    }
}

/// The rules of an operator who has none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRules;

impl Rules for NoRules {
    fn check(&self, _proposal: &Proposal<'_>) -> Result<(), RuleError> {
        Ok(())
    }

    fn may_refuse(&self, _store_id: &StoreId) -> bool {
        false
    }
}

impl<R, E> Rules for R
where
    R: Fn(&Proposal<'_>) -> Result<(), E> + Send + Sync + 'static,
    E: Into<RuleError>,
{
    fn check(&self, proposal: &Proposal<'_>) -> Result<(), RuleError> {
        self(proposal).map_err(Into::into)
    }
}

/// A group that somebody wants to append to a log, and what a rule may want to know about it.
pub struct Proposal<'a> {
    request: &'a AppendRequest,
    index: usize,
    head: LogPosition,
    read: &'a ReadPage<'a>,
}

/// Reads the groups of the log that follow a position, as [`LogReader::page`](crate::LogReader::page)
/// does.
pub type ReadPage<'a> = dyn Fn(GlobalSeqNum) -> Result<Option<Page>, StorageError> + 'a;

impl fmt::Debug for Proposal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, head, .. } = self;
        let group = self.group().id();
        f.debug_struct("Proposal")
            .field("store_id", &request.store_id)
            .field("group", &group)
            .field("head", head)
            .finish_non_exhaustive()
    }
}

impl<'a> Proposal<'a> {
    /// Returns the log.
    pub fn store_id(&self) -> &'a StoreId {
        &self.request.store_id
    }

    /// Returns who pushes it; none if the server asks nobody who they are.
    pub fn principal(&self) -> Option<&'a Principal> {
        self.request.principal.as_deref()
    }

    /// Returns the group.
    pub fn group(&self) -> &'a Group {
        &self.request.groups[self.index]
    }

    /// Returns the groups of the same push that come before it; they are not in the log yet.
    pub fn earlier(&self) -> &'a [Group] {
        &self.request.groups[..self.index]
    }

    /// Returns the end of the log.
    pub fn head(&self) -> LogPosition {
        self.head
    }

    /// Reads the groups of the log that follow a position, the end of a group; none if it ends there.
    ///
    /// A rule that needs to know what is in the log reads on from where it has come to the last time.
    pub fn page(&self, after: GlobalSeqNum) -> Result<Option<Page>, StorageError> {
        (self.read)(after)
    }
}

/// Asks the rules about a push that fits the log; for a storage, inside its transaction.
///
/// Returns the outcome if it is not to be taken.
pub fn judge(
    rules: &dyn Rules,
    request: &AppendRequest,
    head: LogPosition,
    read: &ReadPage<'_>,
) -> Option<AppendOutcome> {
    let judge_one = |(index, group): (usize, &Group)| {
        let proposal = Proposal { request, index, head, read };
        // What a rule remembers is its own business; it is shown the log anew if it has to.
        let checked = catch_unwind(AssertUnwindSafe(|| rules.check(&proposal)));
        verdict(&request.store_id, group.id(), checked)
    };
    // What stands for a hole says nothing, so there is nothing to refuse.
    let says_something =
        |(_, group): &(usize, &Group)| !group.events().iter().all(Event::is_missing);
    request.groups.iter().enumerate().filter(says_something).find_map(judge_one)
}

/// Cuts a refusal to a size that fits a message, whatever a rule has put into it.
fn bounded(mut refusal: Refusal) -> Refusal {
    let cut = |text: &mut String| {
        let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= MAX_REFUSAL_BYTES);
        text.truncate(end.unwrap_or(text.len()));
    };
    cut(&mut refusal.message);
    if let Some(code) = &mut refusal.code {
        cut(code);
    }
    refusal.details = refusal.details.filter(|details| details.to_string().len() <= MAX_DETAILS);
    refusal
}

/// Most bytes of a refusal's text, and of its code.
const MAX_REFUSAL_BYTES: usize = 4 << 10;
/// Most bytes of its details, which are left out if they have more.
const MAX_DETAILS: usize = 64 << 10;

fn verdict(
    store: &StoreId,
    group: GroupId,
    checked: std::thread::Result<Result<(), RuleError>>,
) -> Option<AppendOutcome> {
    match checked {
        Ok(Ok(())) => None,
        Ok(Err(RuleError::Refused(refusal))) => {
            let refusal = bounded(refusal);
            tracing::info!(%store, %group, code = refusal.code.as_deref(), "a group was refused");
            Some(AppendOutcome::Refused { group, refusal })
        }
        Ok(Err(RuleError::Undecided { message })) => {
            tracing::warn!(%store, %group, message, "a rule is undecided; the client will come back");
            Some(AppendOutcome::RuleFailed)
        }
        Err(_) => {
            tracing::error!(%store, %group, "a rule panicked; the client will come back");
            Some(AppendOutcome::RuleFailed)
        }
    }
}
