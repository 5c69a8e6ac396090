use livestore_core::protocol::{Page, ProtocolError, ServerAhead, ServerMessage};
use livestore_core::{ConfirmedGroup, GlobalSeqNum, LogHash, LogPosition};

use super::support::{confirmed, group};

/// A page that says it ends at `end`, of a log that ends at `head`.
fn page(groups: Vec<ConfirmedGroup>, end: u64, head: u64) -> Page {
    let end = LogPosition { seq: GlobalSeqNum(end), hash: LogHash::EMPTY };
    Page { groups, end, head: GlobalSeqNum(head) }
}

fn gap(after: u64, found: u64) -> Result<(), ProtocolError> {
    Err(ProtocolError::Gap { after: GlobalSeqNum(after), found: GlobalSeqNum(found) })
}

#[test]
fn a_gapless_page_is_accepted() {
    assert_eq!(page(vec![confirmed(1, group(1, 1))], 1, 1).check(), Ok(()));
    let groups = vec![confirmed(7, group(1, 3)), confirmed(10, group(2, 1))];
    assert_eq!(page(groups, 10, 99).check(), Ok(()));
}

#[test]
fn an_empty_page_is_refused() {
    let refused = page(vec![], 0, 0).check();
    assert!(matches!(refused, Err(ProtocolError::WrongCount { count: 0, .. })), "{refused:?}");
}

#[test]
fn a_gap_or_an_overlap_between_groups_is_refused() {
    let second_at = |first| vec![confirmed(5, group(1, 2)), confirmed(first, group(2, 1))];
    assert_eq!(page(second_at(7), 7, 7).check(), Ok(()));
    assert_eq!(page(second_at(8), 8, 8).check(), gap(6, 8));
    assert_eq!(page(second_at(6), 6, 7).check(), gap(6, 6));
    assert_eq!(page(second_at(5), 5, 7).check(), gap(6, 5));
}

#[test]
fn a_page_that_ends_elsewhere_than_it_says_is_refused() {
    let groups = || vec![confirmed(5, group(1, 2))];
    assert_eq!(page(groups(), 5, 9).check(), gap(6, 5));
    assert_eq!(page(groups(), 7, 9).check(), gap(6, 7));
}

#[test]
fn a_page_beyond_the_end_of_its_own_log_is_refused() {
    assert!(page(vec![confirmed(5, group(1, 2))], 6, 5).check().is_err());
}

#[test]
fn no_group_stands_before_the_first_position() {
    assert!(page(vec![confirmed(0, group(1, 1))], 0, 0).check().is_err());
    assert!(page(vec![confirmed(0, group(1, 2))], 1, 1).check().is_err());
}

#[test]
fn positions_at_the_end_of_the_range_are_refused_without_overflow() {
    for first in [u64::MAX, u64::MAX - 1, u64::MAX - 2] {
        let groups = vec![confirmed(first, group(1, 3))];
        assert!(page(groups, u64::MAX, u64::MAX).check().is_err(), "{first}");
    }
    let last_that_fits = vec![confirmed(u64::MAX - 3, group(1, 3))];
    assert_eq!(page(last_that_fits, u64::MAX - 1, u64::MAX).check(), Ok(()));
}

#[test]
fn positions_that_no_database_holds_are_refused_on_the_wire() {
    let decode = |first: u64| {
        let page = page(vec![confirmed(first, group(1, 1))], first, first);
        ServerMessage::decode(&ServerMessage::Page(page).encode())
    };
    assert!(decode(GlobalSeqNum::MAX.0).is_ok());
    for beyond in [GlobalSeqNum::MAX.0 + 1, GlobalSeqNum::MAX.0 + 2, u64::MAX - 1] {
        assert!(matches!(decode(beyond), Err(ProtocolError::Malformed { .. })), "{beyond}");
    }
}

#[test]
fn pages_are_checked_when_they_are_decoded_alone_or_inside_a_refusal() {
    let bad = page(vec![confirmed(5, group(1, 1))], 9, 9);
    let alone = ServerMessage::Page(bad.clone()).encode();
    let inside =
        ServerMessage::ServerAhead(ServerAhead { request: 1, missing: Some(bad) }).encode();
    for frame in [alone, inside] {
        let refused = ServerMessage::decode(&frame);
        assert!(matches!(refused, Err(ProtocolError::Gap { .. })), "{refused:?}");
    }
}
