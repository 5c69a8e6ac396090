//! Given, when, then; and how it reads when something is not as expected.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, Ordering};

use livestore::prelude::*;
use livestore::{NewEvent, Query};
use livestore_testing::given;

use crate::app::{Author, Todo, TodoCreated, completed, created, schema, todo};

/// Returns what a panic says.
fn panic_of(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it panics");
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap()
}

fn open() -> impl Query<Output = u64> {
    Todo::select().filter(Todo::completed.eq(false)).count()
}

#[test]
fn given_events_when_a_commit_then_a_state() {
    given(schema())
        .events((created("1"), created("2"), completed("2")))
        .then(open(), 1)
        .when(|store| store.commit(completed("1")))
        .then(open(), 0)
        .then(Todo::select().order_by(Todo::id), [todo("1", true), todo("2", true)])
        .then(Todo::select().order_by(Todo::id), vec![todo("1", true), todo("2", true)])
        .then(Todo::select().filter(Todo::id.eq("2")).first(), Some(todo("2", true)))
        .then(Todo::select().filter(Todo::id.eq("3")).first(), None::<Todo>)
        .then(Todo::select().filter(Todo::id.eq("3")), [])
        .then_with(Sql::new("SELECT count(*) AS n FROM todos"), |rows| {
            assert_eq!(rows[0].get::<i64>("n").unwrap(), 2);
        })
        .then_committed(completed("1"));
}

#[test]
fn what_the_app_did_is_handed_back() {
    let receipt = given(schema()).when(|store| store.commit(created("1"))).result();
    drop(receipt);
    let sum = given(schema()).when(|_| Ok::<_, String>(1 + 1)).result();
    assert_eq!(sum, 2);
}

#[test]
fn a_failure_that_is_expected_changes_nothing() {
    given(schema())
        .events(created("1"))
        .when(|store| store.commit([created("2"), created("1")]))
        .then_fails("UNIQUE constraint failed")
        .then(open(), 1)
        .when(|store| store.commit(created("2")))
        .then(open(), 2);
}

#[test]
fn ids_and_times_are_the_same_in_every_run() {
    let run = || {
        let scenario = given(schema()).events([created("1"), created("2")]);
        scenario.store().query(Author::select().order_by(Author::event)).unwrap()
    };
    assert_eq!(run(), run());
    assert_ne!(run()[0].event, run()[1].event);
}

#[test]
fn another_state_is_shown_line_by_line_with_the_log() {
    let said = panic_of(|| {
        drop(
            given(schema())
                .events([created("1")])
                .when(|store| store.commit(completed("1")))
                .then(Todo::select(), [todo("1", false)]),
        );
    });
    insta::assert_snapshot!(said, @r#"
    the state is not as expected

    query  SELECT "id", "text", "completed" FROM "todos" ORDER BY "todos"."id"

    - expected
    + found
      [
          Todo {
              id: "1",
              text: "Buy milk",
    -         completed: false,
    +         completed: true,
          },
      ]

    log
      e1 v1.TodoCreated {"id":"1","text":"Buy milk"}
      e2 v1.TodoCompleted {"id":"1"}
    "#);
}

#[test]
fn other_events_are_shown_side_by_side() {
    let said = panic_of(|| {
        drop(
            given(schema())
                .when(|store| store.commit((created("1"), completed("1"))))
                .then_committed([created("1")]),
        );
    });
    insta::assert_snapshot!(said, @r#"
    other events were committed than expected

    - expected
    + found
      v1.TodoCreated {"id":"1","text":"Buy milk"}
    + v1.TodoCompleted {"id":"1"}
    "#);
}

#[test]
fn a_failure_that_nobody_expected_is_told() {
    let said = panic_of(|| {
        drop(given(schema()).when(|_| Err::<(), _>("no network")).then(open(), 0));
    });
    assert!(said.starts_with("what was done has failed: no network"), "{said}");
    let said = panic_of(|| drop(given(schema()).events([created("1"), created("1")])));
    assert!(said.starts_with("the given event v1.TodoCreated cannot be committed"), "{said}");
}

#[test]
fn a_success_that_was_to_be_a_failure_is_told() {
    let said = panic_of(|| {
        drop(given(schema()).when(|store| store.commit(created("1"))).then_fails("UNIQUE"));
    });
    assert!(said.starts_with("it did not fail; expected a message with \"UNIQUE\""), "{said}");
    let said = panic_of(|| drop(given(schema()).when(|_| Err::<(), _>("a")).then_fails("b")));
    assert!(said.starts_with("it failed otherwise than expected"), "{said}");
}

#[test]
fn a_failure_that_leaves_something_behind_is_told() {
    let said = panic_of(|| {
        let half_done = |store: &Store| {
            store.commit(created("1")).map_err(|error| error.to_string())?;
            Err::<(), _>("the second step failed".to_owned())
        };
        drop(given(schema()).when(half_done).then_fails("the second step failed"));
    });
    assert!(said.starts_with("it failed, but the state has changed"), "{said}");
}

#[test]
fn a_materializer_that_looks_elsewhere_is_found_out() {
    static CALLS: AtomicI64 = AtomicI64::new(0);
    let schema = Schema::builder()
        .table::<Todo>()
        .event(|e: TodoCreated, _| {
            let text = CALLS.fetch_add(1, Ordering::Relaxed).to_string();
            Todo::insert(Todo { id: e.id, text, completed: false })
        })
        .build()
        .unwrap();
    let said = panic_of(|| drop(given(schema).events(created("1")).then(open(), 1)));
    assert!(said.starts_with("a replay of the log leads to another state"), "{said}");
}

#[test]
fn events_of_run_time_schemas_take_part() {
    let event = || NewEvent::new("v1.TodoCompleted", &completed("1")).unwrap();
    given(schema())
        .events(created("1"))
        .when(|store| store.commit(event()))
        .then_committed(event())
        .then(open(), 0);
}
