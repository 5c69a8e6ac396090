use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use livestore_sqlite::{Connection, Sql, SqliteError};

use super::support::database;

/// Counts so far, which takes some steps for each number.
fn count_to(connection: &Connection, last: u64) -> Result<(), SqliteError> {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
               SELECT count(*) FROM n";
    connection.read().query(&Sql::new(sql).bind(last as i64)).map(drop)
}

/// Runs a small query, whose text is another one for each number.
fn small(connection: &Connection, number: u64) -> Result<(), SqliteError> {
    connection.read().query(&Sql::new(format!("SELECT {number}"))).map(drop)
}

#[test]
fn many_small_queries_use_up_a_budget_as_one_long_one_does() {
    let connection = database();
    let (done, is_over) = connection
        .within_steps(100_000, || (0..10_000).find(|at| small(&connection, *at).is_err()));
    assert!(is_over);
    assert!(done.is_some_and(|done| (50..200).contains(&done)), "{done:?}");
    // One that is prepared already costs less, and something.
    let (done, is_over) =
        connection.within_steps(100_000, || (0..10_000).find(|_| small(&connection, 0).is_err()));
    assert!(is_over);
    assert!(done.is_some_and(|done| (500..2_000).contains(&done)), "{done:?}");
    let (result, is_over) = connection.within_steps(100_000, || count_to(&connection, 1_000_000));
    assert!(is_over && result.is_err());
    count_to(&connection, 100_000).unwrap();
}

#[test]
fn what_follows_one_step_too_many_fails_at_once() {
    let connection = database();
    let (after, is_over) = connection.within_steps(10_000, || {
        count_to(&connection, 1_000_000).unwrap_err();
        assert!(connection.is_out_of_steps());
        small(&connection, 1)
    });
    assert!(is_over);
    let error = after.unwrap_err();
    assert!(!error.is_deterministic() && error.to_string().contains("used up"), "{error}");
    assert!(!connection.is_out_of_steps());
    small(&connection, 1).unwrap();
}

#[test]
fn a_budget_within_another_has_no_more_than_is_left_and_leaves_what_it_does_not_take() {
    let connection = database();
    let ((), is_over) = connection.within_steps(1_000_000, || {
        let (cut, is_over) = connection.within_steps(10_000, || count_to(&connection, 1_000_000));
        assert!(is_over && cut.is_err(), "the inner one holds");
        assert!(!connection.is_out_of_steps(), "the outer one has enough left");
        count_to(&connection, 10_000).unwrap();
        let (cut, is_over) =
            connection.within_steps(u64::MAX, || count_to(&connection, 10_000_000));
        assert!(is_over && cut.is_err(), "there is no more than the outer one has");
        small(&connection, 1).unwrap_err();
    });
    assert!(is_over);
    count_to(&connection, 100_000).unwrap();
}

#[test]
fn a_panic_gives_the_budget_around_it_back() {
    let connection = database();
    let panics = || {
        connection.within_steps(1_000, || {
            let _ = count_to(&connection, 1_000_000);
            panic!("in the middle");
        })
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(!connection.is_out_of_steps());
    count_to(&connection, 1_000_000).unwrap();
    let (caught, is_over) =
        connection.within_steps(1_000_000, || catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(caught && !is_over);
}

#[test]
fn a_budget_and_an_interruption_do_not_know_of_each_other() {
    let connection = database();
    let ends = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&ends);
    connection.interrupt_when(move || asked.load(Ordering::Relaxed));
    let (result, is_over) = connection.within_steps(100_000, || count_to(&connection, 1_000_000));
    assert!(is_over && result.is_err(), "the budget still holds");
    count_to(&connection, 1_000_000).unwrap();
    ends.store(true, Ordering::Relaxed);
    count_to(&connection, 1_000_000).unwrap_err();
    let (result, is_over) = connection.within_steps(100_000_000, || count_to(&connection, 100_000));
    assert!(!is_over && result.is_err(), "the interruption still does");
}
