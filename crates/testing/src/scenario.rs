//! Given events, when this commit, then this state.

use std::fmt::{Display, Write as _};

use livestore::{
    IntoGroup, LoggedEvent, MemoryAdapter, NewEvent, Query, QueryError, Schema, StateHash, Store,
    StoreOptions,
};

use crate::expect::{Difference, Expect};

/// Events of the log that a failure shows, the newest ones.
const SHOWN: usize = 20;

/// Starts a scenario: a new store in memory, whose ids and times are the same in every run.
///
/// ```
/// # use livestore::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(name = "v1.SeatTaken")]
/// # struct SeatTaken { seat: i64, by: String }
/// # #[derive(Table, Clone, Debug, PartialEq)]
/// # #[table(name = "seats")]
/// # struct Seat { #[column(primary_key)] seat: i64, by: String }
/// # fn schema() -> Schema {
/// #     Schema::builder()
/// #         .table::<Seat>()
/// #         .event(|e: SeatTaken, _| Seat::insert(Seat { seat: e.seat, by: e.by }))
/// #         .build()
/// #         .unwrap()
/// # }
/// use livestore_testing::given;
///
/// let taken = |by: &str| SeatTaken { seat: 7, by: by.into() };
/// given(schema())
///     .events(taken("Ada"))
///     .when(|store| store.commit(taken("Bob")))
///     .then_fails("UNIQUE constraint failed")
///     .then(Seat::select(), [Seat { seat: 7, by: "Ada".into() }]);
/// ```
///
/// # Panics
///
/// If the store cannot be opened; everything else panics likewise when it is not as expected.
#[track_caller]
#[must_use = "a scenario tells nothing until `then` is asked"]
pub fn given(schema: Schema) -> Scenario {
    let options = StoreOptions::new().reproducible(0);
    match Store::open_with(schema, "scenario", MemoryAdapter::new(), options) {
        Ok(store) => Scenario { store, outcome: Outcome::Done(()), before: None },
        Err(error) => panic!("the store cannot be opened: {error}"),
    }
}

/// A store on its way through a test; [`given`] starts it.
#[derive(Debug)]
pub struct Scenario<R = ()> {
    store: Store,
    outcome: Outcome<R>,
    /// How the store was before the last `when`.
    before: Option<Before>,
}

#[derive(Debug)]
enum Outcome<R> {
    Done(R),
    Failed(String),
    FailedAsExpected,
}

#[derive(Debug)]
struct Before {
    state: StateHash,
    events: usize,
}

#[expect(clippy::return_self_not_must_use, reason = "the last `then` is the end of a test")]
impl<R> Scenario<R> {
    /// Commits events that happened before, each as a group of its own.
    ///
    /// # Panics
    ///
    /// If one of them cannot be committed.
    #[track_caller]
    #[must_use = "a scenario tells nothing until `then` is asked"]
    pub fn events<Kind>(self, events: impl IntoGroup<Kind>) -> Self {
        for event in encoded(events) {
            let name = event.name().clone();
            if let Err(error) = self.store.commit(event) {
                panic!("the given event {name} cannot be committed: {error}{}", self.log());
            }
        }
        self
    }

    /// Lets the app do something, which may fail.
    #[track_caller]
    #[must_use = "that it has failed is told by `then`"]
    pub fn when<S, E: Display>(self, action: impl FnOnce(&Store) -> Result<S, E>) -> Scenario<S> {
        let before =
            Before { state: read(self.store.state_hash()), events: self.logged_events().len() };
        let outcome = match action(&self.store) {
            Ok(done) => Outcome::Done(done),
            Err(error) => Outcome::Failed(error.to_string()),
        };
        Scenario { store: self.store, outcome, before: Some(before) }
    }

    /// Compares what a query finds; see [`Expect`] for what may be expected of which query.
    ///
    /// It also holds the materializers to what they promise: a replay of the log has to lead to
    /// the same state.
    ///
    /// # Panics
    ///
    /// If the query finds something else, or what `when` did has failed and
    /// [`Scenario::then_fails`] did not say so.
    #[track_caller]
    pub fn then<Q: Query>(self, query: Q, expected: impl Expect<Q::Output>) -> Self {
        self.check();
        let sql = query.compile().map_or_else(|error| error.to_string(), |(sql, _)| sql);
        let found = match self.store.query(query) {
            Ok(found) => found,
            Err(error) => panic!("the query failed: {error}\n\nquery  {sql}{}", self.log()),
        };
        if let Some(difference) = expected.differs_from(&found) {
            panic!("the state is not as expected\n\nquery  {sql}\n\n{difference}{}", self.log());
        }
        self
    }

    /// Hands what a query finds to a closure that makes its own assertions.
    ///
    /// # Panics
    ///
    /// As [`Scenario::then`].
    #[track_caller]
    pub fn then_with<Q: Query>(self, query: Q, check: impl FnOnce(Q::Output)) -> Self {
        self.check();
        check(read(self.store.query(query)));
        self
    }

    /// Compares the events that `when` has committed, payloads included, in their order.
    ///
    /// Memory events leave no trace in the log, so they are not among them.
    ///
    /// # Panics
    ///
    /// If other events were committed.
    #[track_caller]
    pub fn then_committed<Kind>(self, events: impl IntoGroup<Kind>) -> Self {
        self.check();
        let shown = |name: &str, args: &str| format!("{name} {args}\n");
        let expected: String = encoded(events)
            .iter()
            .map(|event| shown(event.name().as_str(), event.args().as_str()))
            .collect();
        let from = self.before.as_ref().map_or(0, |before| before.events);
        let found: String = self.logged_events()[from..]
            .iter()
            .map(|event| shown(event.name.as_str(), event.args.as_str()))
            .collect();
        if expected != found {
            let difference = Difference { expected, found };
            panic!("other events were committed than expected\n\n{difference}");
        }
        self
    }

    /// Asks that what `when` did has failed with a message that contains a text, and that it
    /// changed nothing.
    ///
    /// # Panics
    ///
    /// If it did not fail, failed otherwise, or left something behind.
    #[track_caller]
    pub fn then_fails(mut self, message: &str) -> Self {
        match &self.outcome {
            Outcome::Failed(error) if error.contains(message) => {}
            Outcome::Failed(error) => panic!(
                "it failed otherwise than expected\n\nexpected a message with  {message}\n\
                 found                    {error}"
            ),
            Outcome::Done(_) => {
                panic!("it did not fail; expected a message with {message:?}{}", self.log())
            }
            Outcome::FailedAsExpected => {}
        }
        if let Some(Before { state, events }) = &self.before {
            let is_same_state = read(self.store.state_hash()) == *state;
            assert!(is_same_state, "it failed, but the state has changed{}", self.log());
            let is_same_log = self.logged_events().len() == *events;
            assert!(is_same_log, "it failed, but has committed events{}", self.log());
        }
        self.outcome = Outcome::FailedAsExpected;
        self
    }

    /// Returns the store, for whatever else there is to ask.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns what `when` gave.
    ///
    /// # Panics
    ///
    /// If it failed.
    #[track_caller]
    pub fn result(self) -> R {
        self.check();
        let Outcome::Done(result) = self.outcome else { panic!("it failed, as was expected") };
        result
    }

    #[track_caller]
    fn check(&self) {
        if let Outcome::Failed(error) = &self.outcome {
            panic!("what was done has failed: {error}{}", self.log());
        }
        let (state, replay) = (read(self.store.state_hash()), read(self.store.replay_hash()));
        assert!(
            state == replay,
            "a replay of the log leads to another state: some materializer is not a function of \
             its arguments and the state before{}",
            self.log()
        );
    }

    #[track_caller]
    fn logged_events(&self) -> Vec<LoggedEvent> {
        read(self.store.events().collect::<Result<_, _>>())
    }

    /// Shows the newest events of the log.
    fn log(&self) -> String {
        let events: Vec<_> = self.store.events().flatten().collect();
        let mut shown = String::from("\n\nlog");
        if events.is_empty() {
            shown.push_str("\n  has no events");
        }
        if events.len() > SHOWN {
            let _ = write!(shown, "\n  … {} older events", events.len() - SHOWN);
        }
        for LoggedEvent { seq, name, args, .. } in &events[events.len().saturating_sub(SHOWN)..] {
            let _ = write!(shown, "\n  {seq} {name} {}", args.as_str());
        }
        shown
    }
}

#[track_caller]
fn encoded<Kind>(events: impl IntoGroup<Kind>) -> Vec<NewEvent> {
    match events.into_events() {
        Ok(events) => events,
        Err(error) => panic!("the events cannot be encoded: {error}"),
    }
}

#[track_caller]
fn read<T>(result: Result<T, QueryError>) -> T {
    match result {
        Ok(found) => found,
        Err(error) => panic!("the store cannot be read: {error}"),
    }
}
