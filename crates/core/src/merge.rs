//! The pure merge: what a replica must do when its upstream has something new.
//!
//! Upstream's groups and the pending tail are compared by group id, never by position, so that a
//! client-only group among the pending ones cannot shift the comparison. The caller executes the
//! answer; this module only decides.

use std::collections::HashSet;

use crate::{GlobalSeqNum, GroupId, SeqNum};

/// What the merge needs to know of one pending group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingGroup {
    /// The group.
    pub id: GroupId,
    /// True if it is never sent upstream, so that upstream never confirms it either.
    pub client_only: bool,
}

/// What has to be done to follow upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// The pending tail agrees with upstream.
    ///
    /// The first `confirmed` incoming groups are the first synced pending groups. All further
    /// incoming groups are new, and nothing pending stands in their way: apply them.
    Advance {
        /// How many incoming groups confirm pending ones.
        confirmed: usize,
    },
    /// Upstream put something before our pending tail.
    ///
    /// Undo every pending group that is not settled, newest first; apply the incoming groups from
    /// `confirmed` on; then do the tail again without the groups in `taken`.
    Rebase {
        /// How many incoming groups confirm pending ones before the two orders part.
        confirmed: usize,
        /// Pending groups that upstream holds further on, at another place than ours.
        taken: HashSet<GroupId>,
    },
}

impl Merge {
    /// Returns how many leading incoming groups confirm pending ones in place.
    pub fn confirmed(&self) -> usize {
        match self {
            Self::Advance { confirmed } | Self::Rebase { confirmed, .. } => *confirmed,
        }
    }
}

/// Decides how to merge `incoming` upstream groups into a replica with the given pending tail.
///
/// `incoming` continues the confirmed log without a gap. Both sequences are in order, and each
/// holds an id at most once. `pending` is read only as far as needed: to the first disagreement,
/// then (for a rebase, which touches the whole tail anyway) to its end.
///
/// `stands` is asked about an incoming group, by index, whose id meets a pending one in its turn:
/// whether ours can be confirmed as it stands. It cannot if upstream's content differs from ours,
/// or if ours is not applied; then it is a rebase, since upstream's content is what counts.
pub fn merge(
    pending: impl IntoIterator<Item = PendingGroup>,
    incoming: &[GroupId],
    mut stands: impl FnMut(usize) -> bool,
) -> Merge {
    let mut synced = pending.into_iter().filter(|group| !group.client_only).map(|group| group.id);
    let mut confirmed = 0;
    let parted_at = loop {
        if confirmed == incoming.len() {
            return Merge::Advance { confirmed };
        }
        match synced.next() {
            None => return Merge::Advance { confirmed },
            Some(id) if id == incoming[confirmed] && stands(confirmed) => confirmed += 1,
            Some(id) => break id,
        }
    };
    let ahead: HashSet<GroupId> = incoming[confirmed..].iter().copied().collect();
    let taken = std::iter::once(parted_at).chain(synced).filter(|id| ahead.contains(id)).collect();
    Merge::Rebase { confirmed, taken }
}

/// Numbers a pending tail: yields each event's position and that of its parent.
///
/// `head` is the confirmed head, `client_only` tells the kind of each event in order. Numbers are
/// derived from the head, never stored, so a rebase rewrites none.
pub fn number_tail(
    head: GlobalSeqNum,
    generation: u32,
    client_only: impl IntoIterator<Item = bool>,
) -> impl Iterator<Item = (SeqNum, SeqNum)> {
    let mut last = SeqNum::confirmed(head);
    client_only.into_iter().map(move |client_only| {
        let (next, parent) = last.next_pair(client_only, generation);
        last = next;
        (next, parent)
    })
}
