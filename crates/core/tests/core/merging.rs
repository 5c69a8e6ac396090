use std::collections::HashSet;

use livestore_core::merge::{Merge, PendingGroup, merge, number_tail};
use livestore_core::{GlobalSeqNum, GroupId, SeqNum};
use proptest::collection::vec;
use proptest::prelude::*;

use super::support::{cases, group_id};

/// A replica reduced to ids: the confirmed log and the pending tail behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Replica {
    log: Vec<GroupId>,
    tail: Vec<PendingGroup>,
}

impl Replica {
    /// Does what the merge says, by the letter of its documentation.
    fn receive(&mut self, incoming: &[GroupId], stands: impl FnMut(usize) -> bool) -> Merge {
        let decision = merge(self.tail.iter().copied(), incoming, stands);
        let mut left_to_confirm = decision.confirmed();
        self.tail.retain(|group| {
            let confirmed = !group.client_only && left_to_confirm > 0;
            left_to_confirm -= usize::from(confirmed);
            !confirmed
        });
        if let Merge::Rebase { taken, .. } = &decision {
            self.tail.retain(|group| !taken.contains(&group.id));
        }
        self.log.extend(incoming);
        decision
    }

    /// What git does: the log grows, and the tail is what is not in it.
    fn receive_like_git(&mut self, incoming: &[GroupId]) {
        self.log.extend(incoming);
        let log: HashSet<_> = self.log.iter().collect();
        self.tail.retain(|group| !log.contains(&group.id));
    }
}

/// Nothing differs from ours but the order.
fn same_content(_: usize) -> bool {
    true
}

fn merged(pending: impl IntoIterator<Item = PendingGroup>, incoming: &[GroupId]) -> Merge {
    merge(pending, incoming, same_content)
}

fn synced(number: u64) -> PendingGroup {
    PendingGroup { id: group_id(number), client_only: false }
}

fn client_only(number: u64) -> PendingGroup {
    PendingGroup { id: group_id(number), client_only: true }
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<GroupId> {
    numbers.into_iter().map(group_id).collect()
}

fn rebase(confirmed: usize, taken: impl IntoIterator<Item = u64>) -> Merge {
    Merge::Rebase { confirmed, taken: ids(taken).into_iter().collect() }
}

const A: u64 = 1;
const B: u64 = 2;
const C: u64 = 3;
const LOCAL: u64 = 9;
const X: u64 = 20;
const Y: u64 = 21;

#[test]
fn nothing_new_advances_by_nothing() {
    assert_eq!(merged([], &[]), Merge::Advance { confirmed: 0 });
    assert_eq!(merged([synced(A)], &[]), Merge::Advance { confirmed: 0 });
}

#[test]
fn without_a_pending_tail_everything_applies() {
    assert_eq!(merged([], &ids([X, Y])), Merge::Advance { confirmed: 0 });
    assert_eq!(merged([client_only(LOCAL)], &ids([X])), Merge::Advance { confirmed: 0 });
}

#[test]
fn own_groups_that_come_back_in_order_are_confirmed() {
    let pending = [synced(A), synced(B), synced(C)];
    assert_eq!(merged(pending, &ids([A, B])), Merge::Advance { confirmed: 2 });
    assert_eq!(merged(pending, &ids([A, B, C])), Merge::Advance { confirmed: 3 });
    assert_eq!(merged(pending, &ids([A, B, C, X])), Merge::Advance { confirmed: 3 });
}

#[test]
fn a_foreign_group_in_front_of_the_tail_is_a_rebase() {
    assert_eq!(merged([synced(A)], &ids([X])), rebase(0, []));
    assert_eq!(merged([synced(A), synced(B)], &ids([A, X])), rebase(1, []));
}

#[test]
fn own_groups_further_on_are_taken_and_not_done_again() {
    assert_eq!(merged([synced(A), synced(B), synced(C)], &ids([X, A, B])), rebase(0, [A, B]));
    assert_eq!(merged([synced(A), synced(B), synced(C)], &ids([A, C])), rebase(1, [C]));
}

/// LiveStore 0.4.0 finds the place of divergence in the list without client-only events and uses
/// it in the list with them; `a` is then rolled back, applied and pushed a second time.
#[test]
fn a_client_only_group_does_not_shift_the_comparison_as_it_does_in_livestore() {
    let pending = vec![client_only(LOCAL), synced(A), synced(B)];
    assert_eq!(merged(pending.clone(), &ids([A, X])), rebase(1, []));

    let mut replica = Replica { log: vec![], tail: pending };
    replica.receive(&ids([A, X]), same_content);
    assert_eq!(replica.log, ids([A, X]));
    assert_eq!(replica.tail, [client_only(LOCAL), synced(B)], "a is settled, b waits behind x");
}

/// Confirmation by id carries upstream's bytes; if they differ from ours it is a rebase.
#[test]
fn an_own_group_that_comes_back_changed_is_a_rebase_that_takes_it() {
    let pending = [synced(A), synced(B), synced(C)];
    let decision = merge(pending, &ids([A, B]), |index| index != 1);
    assert_eq!(decision, rebase(1, [B]));
}

#[test]
fn content_is_compared_only_where_the_ids_meet() {
    let mut asked = Vec::new();
    let pending = [client_only(LOCAL), synced(A), synced(B), synced(C)];
    merge(pending, &ids([A, B, X, C]), |index| {
        asked.push(index);
        true
    });
    assert_eq!(asked, [0, 1]);
}

#[test]
fn pending_groups_are_read_no_further_than_needed() {
    let mut read = 0;
    let pending = (A..=C).map(synced).inspect(|_| read += 1);
    assert_eq!(merged(pending, &ids([A])), Merge::Advance { confirmed: 1 });
    assert_eq!(read, 1);
}

#[test]
fn a_tail_is_numbered_from_the_head_with_client_only_events_beside_it() {
    let numbered = |head, generation, tail: &[bool]| {
        number_tail(GlobalSeqNum(head), generation, tail.iter().copied())
            .map(|(seq_num, parent)| format!("{seq_num} after {parent}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(numbered(0, 0, &[false, false]), ["e1 after e0", "e2 after e1"]);
    assert_eq!(
        numbered(5, 0, &[true, true, false, true, false]),
        ["e5.1 after e5", "e5.2 after e5.1", "e6 after e5", "e6.1 after e6", "e7 after e6"]
    );
    assert_eq!(numbered(5, 2, &[false, true]), ["e6r2 after e5", "e6.1r2 after e6r2"]);
}

/// Pending groups, some of them client-only, and incoming ones that begin with some of them.
fn any_meeting() -> impl Strategy<Value = (Vec<PendingGroup>, Vec<GroupId>)> {
    let pending = vec(any::<bool>(), 0..8).prop_map(|kinds| {
        let numbered = (0..).zip(kinds);
        numbered.map(|(n, client_only)| PendingGroup { id: group_id(n), client_only }).collect()
    });
    (pending, 0..8_usize, vec(0..12_u64, 0..8)).prop_map(|(pending, agreeing, others)| {
        let pending: Vec<PendingGroup> = pending;
        let own = pending.iter().filter(|group| !group.client_only).map(|group| group.id);
        let mut incoming: Vec<_> = own.take(agreeing).collect();
        for id in ids(others) {
            let sent = !pending.iter().any(|group| group.client_only && group.id == id);
            if sent && !incoming.contains(&id) {
                incoming.push(id);
            }
        }
        (pending, incoming)
    })
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn the_merge_gives_what_git_would(
        (tail, incoming) in any_meeting(), stands in vec(prop::bool::weighted(0.8), 16),
    ) {
        let mut replica = Replica { log: vec![], tail };
        let mut reference = replica.clone();
        replica.receive(&incoming, |index| stands[index]);
        reference.receive_like_git(&incoming);
        prop_assert_eq!(replica, reference);
    }

    #[test]
    fn the_decision_follows_from_the_common_prefix((tail, incoming) in any_meeting()) {
        let synced: Vec<_> = tail.iter().filter(|g| !g.client_only).map(|g| g.id).collect();
        let common = synced.iter().zip(&incoming).take_while(|(a, b)| a == b).count();
        let decision = merged(tail.iter().copied(), &incoming);
        prop_assert_eq!(decision.confirmed(), common);
        let agree = common == synced.len() || common == incoming.len();
        match decision {
            Merge::Advance { .. } => prop_assert!(agree),
            Merge::Rebase { taken, .. } => {
                prop_assert!(!agree);
                let ahead: HashSet<_> = incoming[common..].iter().copied().collect();
                let behind: HashSet<_> = synced[common..].iter().copied().collect();
                prop_assert_eq!(taken, &ahead & &behind);
            }
        }
    }

    #[test]
    fn client_only_groups_make_no_difference((tail, incoming) in any_meeting()) {
        let synced: Vec<_> = tail.iter().copied().filter(|group| !group.client_only).collect();
        prop_assert_eq!(merged(tail, &incoming), merged(synced, &incoming));
    }

    #[test]
    fn merging_page_by_page_is_merging_at_once(
        (tail, incoming) in any_meeting(), cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut at_once = Replica { log: vec![], tail };
        let mut paged = at_once.clone();
        at_once.receive(&incoming, same_content);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(incoming.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(incoming.len());
        let mut start = 0;
        for cut in cuts {
            paged.receive(&incoming[start..cut], same_content);
            start = cut;
        }
        prop_assert_eq!(paged, at_once);
    }

    #[test]
    fn neither_head_moves_back((tail, incoming) in any_meeting(), head in 0..100_u64) {
        let local_head = |replica: &Replica| {
            let head = GlobalSeqNum(head + replica.log.len() as u64);
            let kinds = replica.tail.iter().map(|group| group.client_only);
            let last = number_tail(head, 0, kinds).last();
            last.map_or(SeqNum::confirmed(head), |(seq_num, _)| seq_num)
        };
        let mut replica = Replica { log: vec![], tail };
        let before = local_head(&replica);
        replica.receive(&incoming, same_content);
        prop_assert!(local_head(&replica) >= before);
    }

    #[test]
    fn numbers_of_a_tail_keep_the_laws(
        head in 0..1000_u64, generation in 0..4_u32, tail in vec(any::<bool>(), 0..20),
    ) {
        let head = GlobalSeqNum(head);
        let numbered: Vec<_> = number_tail(head, generation, tail.iter().copied()).collect();
        prop_assert_eq!(numbered.len(), tail.len());
        let mut last = SeqNum::confirmed(head);
        for ((seq_num, parent), client_only) in numbered.into_iter().zip(tail) {
            prop_assert!(seq_num > last, "numbers rise strictly");
            prop_assert!(parent < seq_num, "a parent comes before its child");
            prop_assert_eq!(seq_num.generation, generation);
            prop_assert_eq!(seq_num.client > 0, client_only, "the kind is kept");
            if seq_num.global > last.global {
                prop_assert_eq!((seq_num.global, seq_num.client), (last.global.next(), 0));
                prop_assert_eq!((parent.global, parent.client), (last.global, 0));
            } else {
                prop_assert_eq!(parent, last, "a leaf hangs on its predecessor");
            }
            last = seq_num;
        }
    }
}
