//! Commands: what they make, and what becomes of it when the state under them changes.

use livestore::prelude::*;
use livestore::{
    CanonicalJson, CommandFailure, DeadLetterReason, ExecuteError, Fate, HistoryAnswer, NewEvent,
    OnRebase, QueryFailed, RebaseContext, Warning,
};
use serde::{Deserialize, Serialize};

use crate::backend::{Net, OnTheWire, fact};

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "accounts")]
struct Account {
    #[column(primary_key)]
    id: String,
    balance: i64,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "v1.Opened")]
struct Opened {
    id: String,
    balance: i64,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "v1.Changed")]
struct Changed {
    account: String,
    by: i64,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "PointerMoved", client_only)]
struct PointerMoved {}

/// Why the bank does not do something.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, thiserror::Error)]
enum BankError {
    #[error("there is no account {account}")]
    NoAccount { account: String },
    #[error("{account} has {balance}, which is too little")]
    Overdrawn { account: String, balance: i64 },
}

/// Takes money out.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Withdraw", error = BankError)]
struct Withdraw {
    account: String,
    amount: i64,
}

/// Takes all money out.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Empty", error = BankError)]
struct Empty {
    account: String,
}

/// Adds interest to every account: as many events as there are accounts.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "AddInterest")]
struct AddInterest {
    by: i64,
}

/// Opens an account under an id of the command's own.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Open")]
struct Open {}

/// Does something that no handler should do.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Misbehave")]
enum Misbehave {
    Panic,
    Nothing,
    ClientOnly,
    Unknown,
    Loop,
    LoopAndIgnore,
    ManyTexts,
    BadQuery,
}

fn balance(cx: &CommandContext<'_>, account: &str) -> Result<i64, HandlerError<BankError>> {
    let found = cx.query(&Account::select().filter(Account::id.eq(account)).first())?;
    let missing = || BankError::NoAccount { account: account.into() };
    Ok(found.ok_or_else(missing)?.balance)
}

fn misbehave(
    what: &Misbehave,
    cx: &CommandContext<'_>,
) -> Result<Vec<NewEvent>, HandlerError<String>> {
    let all = Sql::new("SELECT count(*) FROM accounts");
    match what {
        Misbehave::Panic => panic!("handlers panic"),
        Misbehave::Nothing => Ok(Vec::new()),
        Misbehave::ClientOnly => Ok(vec![NewEvent::of(PointerMoved {}).unwrap()]),
        Misbehave::Unknown => Ok(vec![NewEvent::new("v1.Unheard", &0).unwrap()]),
        Misbehave::Loop => loop {
            cx.query(&all)?;
        },
        Misbehave::LoopAndIgnore => loop {
            _ = cx.query(&all);
        },
        Misbehave::ManyTexts => {
            for at in 0..1_000 {
                cx.query(&Sql::new(format!("SELECT {at}")))?;
            }
            Ok(vec![NewEvent::of(changed("a", 1)).unwrap()])
        }
        Misbehave::BadQuery => {
            _ = cx.query(&Sql::new("SELECT nothing FROM nowhere"));
            Ok(vec![NewEvent::of(changed("a", 1)).unwrap()])
        }
    }
}

fn changed(account: &str, by: i64) -> Changed {
    Changed { account: account.into(), by }
}

fn opened(id: &str, balance: i64) -> Opened {
    Opened { id: id.into(), balance }
}

fn withdraw(account: &str, amount: i64) -> Withdraw {
    Withdraw { account: account.into(), amount }
}

fn tables() -> livestore::SchemaBuilder {
    Schema::builder()
        .table::<Account>()
        .event(|e: Opened, _| Account::insert(Account { id: e.id, balance: e.balance }))
        .event(|e: Changed, _| {
            Account::update()
                .set(Account::balance, Account::balance + e.by)
                .filter(Account::id.eq(e.account))
        })
        .event(|_: PointerMoved, _| ())
}

fn bank() -> Schema {
    tables()
        .command(|c: Withdraw, cx: &CommandContext<'_>| {
            let Withdraw { account, amount } = c;
            let balance = balance(cx, &account)?;
            if balance < amount {
                return Err(BankError::Overdrawn { account, balance }.into());
            }
            Ok(Changed { account, by: -amount })
        })
        .command(|Empty { account }: Empty, cx: &CommandContext<'_>| {
            let by = -balance(cx, &account)?;
            Ok(Changed { account, by })
        })
        .command(|AddInterest { by }: AddInterest, cx: &CommandContext<'_>| {
            let accounts = cx.query(&Account::select().order_by(Account::id))?;
            Ok(accounts.iter().map(|account| changed(&account.id, by)).collect::<Vec<_>>())
        })
        .command(|_: Open, cx: &CommandContext<'_>| {
            let balance = cx.time().millis();
            Ok(Opened { id: cx.id(), balance })
        })
        .command(|what: Misbehave, cx: &CommandContext<'_>| misbehave(&what, cx))
        .command_budget(100_000)
        .build()
        .unwrap()
}

fn accounts(net: &mut Net, at: usize) -> Vec<(String, i64)> {
    let all = Account::select().order_by(Account::id);
    let rows = net.replica(at).connection().read().query(&all).unwrap();
    rows.iter().map(|row| (row.id.clone(), row.balance)).collect()
}

fn balance_of(net: &mut Net, at: usize, account: &str) -> i64 {
    let found = accounts(net, at).into_iter().find(|(id, _)| id == account);
    found.expect("the account is there").1
}

/// The payloads of a group of the backend's log.
fn logged(net: &Net, id: livestore::GroupId) -> Vec<Changed> {
    let group = net.backend.log().iter().find(|confirmed| confirmed.group.id() == id);
    let events = group.expect("the log has the group").group.events();
    events.iter().map(|event| event.args.decode().unwrap()).collect()
}

fn fate(net: &Net, at: usize, id: livestore::GroupId) -> Option<Fate> {
    let fates = net.clients[at].fates.iter().filter(|(group, _)| *group == id);
    let fates: Vec<_> = fates.map(|(_, fate)| fate.clone()).collect();
    assert!(fates.len() <= 1, "a fate is told once: {fates:?}");
    fates.into_iter().next()
}

/// Clients in step with a backend that has one account.
fn with_account(clients: usize, balance: i64) -> Net {
    let mut net = Net::new(bank(), clients);
    net.elsewhere([fact(opened("a", balance))]);
    net.settle();
    net
}

#[test]
fn a_command_commits_what_its_handler_makes_of_the_state() {
    let store = Store::open(bank(), "bank", MemoryAdapter::new()).unwrap();
    store.commit(opened("a", 100)).unwrap();
    store.execute(withdraw("a", 30)).unwrap();
    store.execute(Empty { account: "a".into() }).unwrap();
    assert_eq!(store.query(Account::select().first_or_error()).unwrap().balance, 0);
}

#[test]
fn a_command_that_is_refused_returns_its_typed_error_and_changes_nothing() {
    let store = Store::open(bank(), "bank", MemoryAdapter::new()).unwrap();
    store.commit(opened("a", 100)).unwrap();
    let refused = store.execute(withdraw("a", 101)).unwrap_err();
    let ExecuteError::Refused(BankError::Overdrawn { balance: 100, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(refused.to_string(), "a has 100, which is too little");
    let missing = store.execute(withdraw("b", 1)).unwrap_err();
    assert!(matches!(missing, ExecuteError::Refused(BankError::NoAccount { .. })));
    assert_eq!(store.sync_status().unwrap().pending_events, 1);
}

#[test]
fn handlers_that_misbehave_get_an_error_each_and_change_nothing() {
    let store = Store::open(bank(), "bank", MemoryAdapter::new()).unwrap();
    store.commit(opened("a", 100)).unwrap();
    let failure = |what: Misbehave| match store.execute(what).unwrap_err() {
        ExecuteError::Failed(failure) => failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        failure(Misbehave::Panic),
        CommandFailure::Panicked { message: "handlers panic".into() }
    );
    assert_eq!(failure(Misbehave::Nothing), CommandFailure::NoEvents);
    assert!(matches!(failure(Misbehave::ClientOnly), CommandFailure::NotSynced { .. }));
    assert!(matches!(failure(Misbehave::Unknown), CommandFailure::UnknownEvent { .. }));
    assert_eq!(failure(Misbehave::Loop), CommandFailure::OverBudget { steps: 100_000 });
    assert_eq!(failure(Misbehave::LoopAndIgnore), CommandFailure::OverBudget { steps: 100_000 });
    assert_eq!(failure(Misbehave::ManyTexts), CommandFailure::OverBudget { steps: 100_000 });
    let bad = failure(Misbehave::BadQuery);
    assert!(matches!(&bad, CommandFailure::Query { message } if message.contains("nowhere")));
    assert_eq!(store.sync_status().unwrap().pending_events, 1);
    // Whatever went before, it has its whole budget.
    store.execute(withdraw("a", 1)).unwrap();
}

#[test]
fn commands_that_the_schema_lacks_or_cannot_store_are_refused_by_name() {
    let store = Store::open(tables().build().unwrap(), "bank", MemoryAdapter::new()).unwrap();
    let unknown = store.execute(withdraw("a", 1)).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "the schema has no command Withdraw; add it with SchemaBuilder::command"
    );
    let unstorable = store.execute_json("Withdraw", &f64::NAN).unwrap_err();
    assert!(matches!(unstorable, ExecuteError::Payload { .. }), "{unstorable:?}");
}

#[test]
fn a_command_defined_at_run_time_gets_and_refuses_with_json() {
    let schema = tables().command_json("Change", |args: &CanonicalJson, _| {
        let by: i64 = args.decode().map_err(|error| serde_json::json!(error.to_string()))?;
        if by == 0 {
            return Err(serde_json::json!({ "why": "nothing to do" }).into());
        }
        Ok(NewEvent::of(changed("a", by)).unwrap())
    });
    let store = Store::open(schema.build().unwrap(), "bank", MemoryAdapter::new()).unwrap();
    store.commit(opened("a", 1)).unwrap();
    store.execute_json("Change", &5).unwrap();
    let refused = store.execute_json("Change", &0).unwrap_err();
    let ExecuteError::Refused(error) = refused else { panic!("{refused:?}") };
    assert_eq!(error, serde_json::json!({ "why": "nothing to do" }));
    assert_eq!(store.query(Account::select().first_or_error()).unwrap().balance, 6);
}

#[test]
fn a_handler_must_not_call_the_store() {
    static STORE: std::sync::OnceLock<Store> = std::sync::OnceLock::new();
    let schema = tables().command(
        |_: Open, _: &CommandContext<'_>| -> Result<Opened, HandlerError<String>> {
            let error = STORE.get().unwrap().query(Account::select()).unwrap_err();
            Err(error.to_string().into())
        },
    );
    let store = Store::open(schema.build().unwrap(), "bank", MemoryAdapter::new()).unwrap();
    STORE.set(store.clone()).unwrap();
    let refused = store.execute(Open {}).unwrap_err().to_string();
    assert!(refused.starts_with("a function of the schema must not call the store"), "{refused}");
}

#[test]
fn a_pending_command_runs_again_on_what_others_have_done() {
    let mut net = with_account(1, 100);
    net.clients[0].is_reachable = false;
    net.cut(0, OnTheWire::Lost);
    let emptied = net.execute(0, &Empty { account: "a".into() }).group_id;
    assert_eq!(balance_of(&mut net, 0, "a"), 0);
    net.elsewhere([fact(changed("a", 25))]);
    net.clients[0].is_reachable = true;
    net.settle();
    // Blindly applied, the event of before would leave 25.
    assert_eq!(balance_of(&mut net, 0, "a"), 0);
    assert_eq!(logged(&net, emptied), [changed("a", -125)]);
    assert!(matches!(fate(&net, 0, emptied), Some(Fate::Rewritten { .. })));
    net.converge();
}

#[test]
fn a_command_that_makes_the_same_again_is_confirmed_as_it_was() {
    let mut net = with_account(1, 100);
    net.cut(0, OnTheWire::Lost);
    let first = net.execute(0, &withdraw("a", 30)).group_id;
    net.elsewhere([fact(changed("a", 25))]);
    net.settle();
    assert!(matches!(fate(&net, 0, first), Some(Fate::Confirmed { .. })));
    assert_eq!(balance_of(&mut net, 0, "a"), 95);
}

#[test]
fn a_command_that_is_no_longer_possible_is_a_dead_letter_and_those_behind_it_run_without_it() {
    let mut net = with_account(1, 100);
    net.cut(0, OnTheWire::Lost);
    let too_much = net.execute(0, &withdraw("a", 80)).group_id;
    let rest = net.execute(0, &Empty { account: "a".into() }).group_id;
    assert_eq!(balance_of(&mut net, 0, "a"), 0);
    net.elsewhere([fact(changed("a", -50))]);
    net.settle();
    let Some(Fate::Rejected { reason: DeadLetterReason::CommandFailed { failure } }) =
        fate(&net, 0, too_much)
    else {
        panic!("{:?}", fate(&net, 0, too_much));
    };
    let error = BankError::Overdrawn { account: "a".into(), balance: 50 };
    assert_eq!(failure.refusal::<BankError>(), Some(error));
    assert_eq!(failure.refusal::<u8>(), None);
    assert!(matches!(fate(&net, 0, rest), Some(Fate::Rewritten { .. })));
    assert_eq!(logged(&net, rest), [changed("a", -50)]);
    assert_eq!(balance_of(&mut net, 0, "a"), 0);

    let letter = net.replica(0).dead_letters().unwrap().remove(0);
    let command = letter.command.expect("the letter has the command");
    assert_eq!(command.name, "Withdraw");
    assert_eq!(
        letter.reason.to_string(),
        "the command is no longer possible: a has 50, which is too little"
    );
    net.converge();
}

#[test]
fn the_command_of_a_dead_letter_is_executed_again() {
    let mut net = with_account(1, 100);
    net.cut(0, OnTheWire::Lost);
    let first = net.execute(0, &withdraw("a", 80)).group_id;
    net.elsewhere([fact(changed("a", -50))]);
    net.settle();
    let now_ms = net.now_ms;
    let refused = net.replica(0).retry_dead_letter(first, now_ms).unwrap_err();
    assert!(matches!(refused, ExecuteError::Failed(CommandFailure::Refused { .. })), "{refused:?}");
    assert_eq!(net.status(0).dead_letters, 1);
    net.elsewhere([fact(changed("a", 30))]);
    net.settle();
    let again = net.replica(0).retry_dead_letter(first, now_ms).unwrap().unwrap();
    assert_ne!(again.group_id, first);
    net.settle();
    assert_eq!((balance_of(&mut net, 0, "a"), net.status(0).dead_letters), (0, 0));
}

#[test]
fn a_command_may_make_more_events_or_fewer_than_before() {
    for on_disk in [false, true] {
        let mut net = if on_disk { Net::on_disk(bank(), 1) } else { Net::new(bank(), 1) };
        net.elsewhere([fact(opened("a", 0))]);
        net.settle();
        net.cut(0, OnTheWire::Lost);
        let first = net.execute(0, &AddInterest { by: 1 }).group_id;
        // Everything that stands behind it stays behind it.
        net.commit(0, opened("z", 0));
        let second = net.execute(0, &AddInterest { by: 10 }).group_id;
        if on_disk {
            // Where the last group may grow to is known after a restart as well.
            net.restart(0, OnTheWire::Lost);
        }
        net.commit(0, changed("a", 100));
        net.elsewhere((0..300).map(|nth| fact(opened(&format!("b{nth:03}"), 0))));
        net.settle();
        assert_eq!(logged(&net, first).len(), 301);
        assert_eq!(logged(&net, second).len(), 302);
        assert!(matches!(fate(&net, 0, first), Some(Fate::Rewritten { .. })));
        assert_eq!(balance_of(&mut net, 0, "a"), 111);
        assert_eq!(balance_of(&mut net, 0, "b299"), 11);
        assert_eq!(balance_of(&mut net, 0, "z"), 10);
        net.converge();
    }
}

#[test]
fn the_last_command_of_the_tail_may_make_more_events_than_before() {
    let mut net = with_account(1, 0);
    net.cut(0, OnTheWire::Lost);
    let last = net.execute(0, &AddInterest { by: 1 }).group_id;
    net.elsewhere([fact(opened("b", 0))]);
    net.settle();
    assert_eq!(logged(&net, last), [changed("a", 1), changed("b", 1)]);
    net.converge();
}

#[test]
fn ids_and_the_time_are_the_same_in_every_run() {
    let mut net = with_account(1, 0);
    net.cut(0, OnTheWire::Lost);
    net.execute(0, &Open {});
    net.execute(0, &Open {});
    let before = accounts(&mut net, 0);
    assert_eq!(before.len(), 3);
    net.elsewhere([fact(changed("a", 1))]);
    net.now_ms += 5_000;
    net.settle();
    let mut after = accounts(&mut net, 0);
    for (id, balance) in &mut after {
        *balance -= i64::from(id == "a");
    }
    assert_eq!(before, after);
    assert!(net.clients[0].fates.iter().all(|(_, fate)| matches!(fate, Fate::Confirmed { .. })));
}

#[test]
fn a_command_whose_first_result_was_accepted_is_not_made_anew() {
    // The backend takes the push, and the answer is lost. Others then do something.
    let mut net = with_account(1, 100);
    let emptied = net.execute(0, &Empty { account: "a".into() }).group_id;
    while net.clients[0].pushes.is_empty() {
        net.poll(0);
        net.reach_backend(0);
        net.reach_client(0);
    }
    net.take(0);
    assert!(net.backend.position_of(emptied).is_some());
    net.cut(0, OnTheWire::Lost);
    for _ in 0..5 {
        net.elsewhere([fact(changed("a", 25))]);
    }
    net.backend.page_events = 1;
    net.settle();
    assert!(matches!(fate(&net, 0, emptied), Some(Fate::Confirmed { .. })));
    assert_eq!(logged(&net, emptied), [changed("a", -100)]);
    assert_eq!(balance_of(&mut net, 0, "a"), 125);
    net.converge();
}

#[test]
fn no_conflict_is_told_while_the_backend_may_have_taken_the_command() {
    // What others did stands before the push that the backend took late, so on the way there the
    // command looks impossible.
    let mut net = with_account(1, 100);
    let taken = net.execute(0, &withdraw("a", 80)).group_id;
    while net.clients[0].pushes.is_empty() {
        net.poll(0);
        net.reach_backend(0);
        net.reach_client(0);
    }
    net.take(0);
    net.cut(0, OnTheWire::Lost);
    net.elsewhere([fact(changed("a", -50))]);
    net.elsewhere([fact(changed("a", 7))]);
    net.backend.page_events = 1;
    net.settle();
    assert!(matches!(fate(&net, 0, taken), Some(Fate::Confirmed { .. })));
    assert_eq!(balance_of(&mut net, 0, "a"), -23);
    net.converge();
}

#[test]
fn a_restart_keeps_the_command_of_a_pending_group() {
    let mut net = Net::on_disk(bank(), 1);
    net.elsewhere([fact(opened("a", 100))]);
    net.settle();
    net.cut(0, OnTheWire::Lost);
    let emptied = net.execute(0, &Empty { account: "a".into() }).group_id;
    net.restart(0, OnTheWire::Lost);
    net.elsewhere([fact(changed("a", 25))]);
    net.settle();
    assert_eq!(logged(&net, emptied), [changed("a", -125)]);
    // And what became of it is known after the next one.
    net.restart(0, OnTheWire::Lost);
    let state = net.replica(0).group_state(emptied).unwrap();
    let is_rewritten = |fate: &Fate| matches!(fate, Fate::Rewritten { .. });
    assert!(
        matches!(&state, livestore::replica::GroupState::Ended(fate) if is_rewritten(fate)),
        "{state:?}"
    );
}

#[test]
fn a_command_whose_type_is_gone_keeps_its_events_and_says_so() {
    let mut net = Net::on_disk(bank(), 1);
    net.elsewhere([fact(opened("a", 100))]);
    net.settle();
    net.cut(0, OnTheWire::Lost);
    let emptied = net.execute(0, &Empty { account: "a".into() }).group_id;
    net.use_schema(tables().build().unwrap());
    net.restart(0, OnTheWire::Lost);
    net.elsewhere([fact(changed("a", 25))]);
    net.settle();
    assert_eq!(logged(&net, emptied), [changed("a", -100)]);
    assert!(matches!(fate(&net, 0, emptied), Some(Fate::Confirmed { .. })));
    let warnings = net.replica(0).poll_warnings();
    let gone =
        |warning: &Warning| matches!(warning, Warning::CommandGone { name, .. } if name == "Empty");
    assert_eq!(warnings.iter().filter(|warning| gone(warning)).count(), 1, "{warnings:?}");
}

#[test]
fn a_handler_that_fails_in_a_later_run_costs_its_command_alone() {
    let panics_again = || {
        tables().command(|Empty { account }: Empty, cx: &CommandContext<'_>| {
            assert!(!cx.is_rerun(), "not prepared for this");
            let by = -balance(cx, &account)?;
            Ok(Changed { account, by })
        })
    };
    let mut net = Net::new(panics_again().build().unwrap(), 1);
    net.elsewhere([fact(opened("a", 100))]);
    net.settle();
    net.cut(0, OnTheWire::Lost);
    let emptied = net.execute(0, &Empty { account: "a".into() }).group_id;
    net.commit(0, changed("a", 1));
    net.elsewhere([fact(changed("a", 25))]);
    net.settle();
    let Some(Fate::Rejected { reason }) = fate(&net, 0, emptied) else { panic!() };
    assert_eq!(
        reason.to_string(),
        "the command is no longer possible: the command's handler panicked: not prepared for this"
    );
    assert_eq!(balance_of(&mut net, 0, "a"), 126);
    net.converge();
}

#[test]
fn a_refused_group_takes_back_what_commands_behind_it_were_built_on() {
    let mut net = with_account(1, 0);
    net.cut(0, OnTheWire::Lost);
    let deposit = net.commit(0, changed("a", 100)).group_id;
    let spent = net.execute(0, &withdraw("a", 60)).group_id;
    net.backend.refused.insert(deposit);
    net.settle();
    assert!(matches!(fate(&net, 0, deposit), Some(Fate::Rejected { .. })));
    let Some(Fate::Rejected { reason: DeadLetterReason::CommandFailed { failure } }) =
        fate(&net, 0, spent)
    else {
        panic!()
    };
    let error = BankError::Overdrawn { account: "a".into(), balance: 0 };
    assert_eq!(failure.refusal(), Some(error));
    assert_eq!(balance_of(&mut net, 0, "a"), 0);
    net.converge();
}

#[test]
fn clients_who_are_offline_never_overdraw_an_account_together() {
    let mut net = with_account(3, 100);
    for at in 0..3 {
        net.cut(at, OnTheWire::Lost);
    }
    for (at, amount) in [(0, 60), (1, 60), (2, 30), (0, 10), (1, 40), (2, 70)] {
        net.execute(at, &withdraw("a", amount));
    }
    net.settle();
    let left = balance_of(&mut net, 0, "a");
    assert!(left >= 0, "{left}");
    let letters: Vec<_> = (0..3).flat_map(|at| net.replica(at).dead_letters().unwrap()).collect();
    let refused: i64 = letters
        .iter()
        .map(|letter| letter.command.as_ref().unwrap().args.decode::<Withdraw>().unwrap().amount)
        .sum();
    assert_eq!(left, 100 - (60 + 60 + 30 + 10 + 40 + 70 - refused));
    net.converge();
}

/// Sets the balance of an account to a number that somebody has seen.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "v1.Counted")]
struct Counted {
    account: String,
    balance: i64,
}

/// A bank that keeps to what it has counted unless others have changed it since.
fn counting(
    decide: impl Fn(Counted, &RebaseContext<'_>) -> Result<OnRebase<Counted>, QueryFailed>
    + Send
    + Sync
    + 'static,
) -> Net {
    let schema = tables()
        .event(|e: Counted, _| {
            Account::update().set(Account::balance, e.balance).filter(Account::id.eq(e.account))
        })
        .on_rebase(decide);
    let mut net = Net::new(schema.build().unwrap(), 1);
    net.elsewhere([fact(opened("a", 100))]);
    net.settle();
    net.cut(0, OnTheWire::Lost);
    net
}

fn counted(balance: i64) -> Counted {
    Counted { account: "a".into(), balance }
}

#[test]
fn an_event_is_rewritten_on_a_rebase_as_the_app_says() {
    let mut net = counting(|e, cx| {
        let all = Account::select().filter(Account::id.eq(&*e.account)).first();
        let now = cx.query(&all)?.map_or(0, |account| account.balance);
        Ok(if now == 0 { OnRebase::Keep } else { OnRebase::Rewrite(counted(e.balance + now)) })
    });
    let ids = [net.commit(0, counted(1)).group_id, net.commit(0, counted(2)).group_id];
    net.elsewhere([fact(changed("a", -100))]);
    net.settle();
    // On the first, others' change has left nothing; the second stands on the first.
    assert!(matches!(fate(&net, 0, ids[0]), Some(Fate::Confirmed { .. })));
    assert!(matches!(fate(&net, 0, ids[1]), Some(Fate::Rewritten { .. })));
    assert_eq!(balance_of(&mut net, 0, "a"), 3);
    net.converge();
}

#[test]
fn an_event_is_dropped_on_a_rebase_with_its_group_and_a_reason() {
    let mut net = counting(|_, _| Ok(OnRebase::Drop { reason: "the count is out of date".into() }));
    let dropped = net.commit(0, (changed("a", 1), counted(7))).group_id;
    let kept = net.commit(0, changed("a", 2)).group_id;
    net.elsewhere([fact(changed("a", -10))]);
    net.settle();
    let Some(Fate::Rejected { reason }) = fate(&net, 0, dropped) else { panic!() };
    let expected = DeadLetterReason::DroppedOnRebase {
        event_index: 1,
        reason: "the count is out of date".into(),
    };
    assert_eq!(reason, expected);
    assert!(matches!(fate(&net, 0, kept), Some(Fate::Confirmed { .. })));
    assert_eq!(balance_of(&mut net, 0, "a"), 92);
    assert_eq!(net.replica(0).dead_letters().unwrap()[0].group.events().len(), 2);
    net.converge();
}

#[test]
fn an_event_is_kept_while_nobody_else_has_come_in_before_it() {
    let mut net = counting(|_, _| panic!("nothing has changed"));
    let own = net.commit(0, counted(7)).group_id;
    net.settle();
    assert!(matches!(fate(&net, 0, own), Some(Fate::Confirmed { .. })));
}

#[test]
fn an_event_is_decided_about_when_an_own_group_before_it_was_refused() {
    let mut net = counting(|e, cx| {
        let all = Account::select().filter(Account::id.eq(&*e.account)).first();
        let now = cx.query(&all)?.map_or(0, |account| account.balance);
        Ok(OnRebase::Rewrite(counted(now + 1)))
    });
    let refused = net.commit(0, changed("a", -30)).group_id;
    let behind = net.commit(0, counted(71)).group_id;
    net.backend.refused.insert(refused);
    net.settle();
    assert!(matches!(fate(&net, 0, refused), Some(Fate::Rejected { .. })));
    assert!(matches!(fate(&net, 0, behind), Some(Fate::Rewritten { .. })));
    assert_eq!(balance_of(&mut net, 0, "a"), 101);
    net.converge();
}

#[test]
fn what_cannot_be_decided_on_a_rebase_is_a_dead_letter() {
    let mut net = counting(|e, cx| {
        assert_ne!(e.balance, 1, "cannot decide");
        cx.query(&Sql::new("SELECT nothing FROM nowhere")).map(|_| OnRebase::Keep)
    });
    let panics = net.commit(0, counted(1)).group_id;
    let fails = net.commit(0, counted(2)).group_id;
    net.elsewhere([fact(changed("a", -10))]);
    net.settle();
    for (id, what) in [(panics, "cannot decide"), (fails, "nowhere")] {
        let Some(Fate::Rejected { reason }) = fate(&net, 0, id) else { panic!() };
        assert!(matches!(reason, DeadLetterReason::OnRebaseFailed { event_index: 0, .. }));
        assert!(reason.to_string().contains(what), "{reason}");
    }
    assert_eq!(balance_of(&mut net, 0, "a"), 90);
}

#[test]
fn the_schema_says_once_what_becomes_of_an_event_that_it_has() {
    let keep = |_: Counted, _: &RebaseContext<'_>| Ok(OnRebase::Keep);
    let error = tables().on_rebase(keep).build().unwrap_err().to_string();
    assert!(error.contains("no synced event v1.Counted"), "{error}");
    let local = |_: PointerMoved, _: &RebaseContext<'_>| Ok(OnRebase::Keep);
    let error = tables().on_rebase(local).build().unwrap_err().to_string();
    assert!(error.contains("no synced event PointerMoved"), "{error}");
    let twice = tables().event(|_: Counted, _| ()).on_rebase(keep).on_rebase(keep);
    let error = twice.build().unwrap_err().to_string();
    assert_eq!(
        error,
        "the schema says twice what becomes of event v1.Counted on a rebase; keep one"
    );
    let twice = tables()
        .command_json("Twice", |_, _| Ok(NewEvent::of(changed("a", 1)).unwrap()))
        .command_json("Twice", |_, _| Ok(NewEvent::of(changed("a", 1)).unwrap()));
    assert_eq!(twice.build().unwrap_err().to_string(), "the schema has two commands named Twice");
}

#[test]
fn the_recovery_of_a_file_keeps_commands_and_what_was_submitted() {
    use livestore::inspect::{Progress, RecoverOptions, recover};
    use livestore_sqlite::{Connection, rusqlite};

    let mut net = Net::on_disk(bank(), 1);
    net.elsewhere([fact(opened("a", 100))]);
    net.settle();
    net.cut(0, OnTheWire::Lost);
    let rewritten = net.execute(0, &Empty { account: "a".into() }).group_id;
    let rejected = net.execute(0, &withdraw("a", 0)).group_id;
    net.backend.refused.insert(rejected);
    net.elsewhere([fact(changed("a", 25))]);
    net.settle();
    assert!(matches!(fate(&net, 0, rewritten), Some(Fate::Rewritten { .. })));
    assert_eq!(net.status(0).dead_letters, 1);
    net.cut(0, OnTheWire::Lost);
    net.execute(0, &AddInterest { by: 3 });
    net.commit(0, changed("a", 1));
    net.checkpoint(0, false);

    let folder = tempfile::tempdir().unwrap();
    let from = net.clients[0].file();
    let report = recover(from, folder.path(), &RecoverOptions::default(), &Progress::new());
    let to = report.unwrap().to;
    let read = |path: &std::path::Path, sql: &str| -> Vec<String> {
        let connection = Connection::open_read_only(path).unwrap();
        connection.system().query(sql, [], |row: &rusqlite::Row<'_>| row.get(0)).unwrap()
    };
    for sql in [
        "SELECT origin FROM __livestore_pending WHERE origin IS NOT NULL",
        "SELECT command FROM __livestore_dead_letter",
        "SELECT seq || hex(submitted) FROM __livestore_eventlog WHERE submitted IS NOT NULL",
    ] {
        let before = read(from, sql);
        assert_eq!(before.len(), 1, "{sql}");
        assert_eq!(read(&to, sql), before, "{sql}");
    }
    // The command's group may grow in the new file as well.
    let gap = "SELECT CAST(max(ordinal) - min(ordinal) AS TEXT) FROM __livestore_pending";
    let distance: i64 = read(&to, gap)[0].parse().unwrap();
    assert!(distance >= 10_000, "{distance}");
}

/// Fails in the second release.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "v1.Odd")]
struct Odd {}

/// A bank whose second release does not know odd things, leaves 30 in an account that is emptied, and
/// looks before something is withdrawn.
fn release(number: u64) -> Schema {
    let schema = tables()
        .materializer_version(number)
        .event(move |_: Odd, _| {
            let fails = || MaterializeError::failed("not in this release");
            if number == 1 { Ok(()) } else { Err(fails()) }
        })
        .command(move |Empty { account }: Empty, cx: &CommandContext<'_>| {
            let by = if number == 1 { 0 } else { 30 } - balance(cx, &account)?;
            Ok(Changed { account, by })
        })
        .command(move |Withdraw { account, amount }: Withdraw, cx: &CommandContext<'_>| {
            let balance = balance(cx, &account)?;
            if number > 1 && balance < amount {
                return Err(BankError::Overdrawn { account, balance }.into());
            }
            Ok(Changed { account, by: -amount })
        });
    schema.build().unwrap()
}

#[test]
fn a_command_is_judged_by_what_those_before_it_have_become() {
    let mut net = Net::on_disk(release(1), 1);
    net.elsewhere([fact(opened("a", 100))]);
    net.settle();
    net.cut(0, OnTheWire::Lost);
    let emptied = net.execute(0, &Empty { account: "a".into() }).group_id;
    let odd = net.commit(0, Odd {}).group_id;
    let withdrawn = net.execute(0, &withdraw("a", 20)).group_id;
    // Nothing but the release changes, so the tail is done again from the odd event on at first.
    net.use_schema(release(2));
    net.restart(0, OnTheWire::Lost);
    net.settle();
    assert!(matches!(fate(&net, 0, odd), Some(Fate::Rejected { .. })));
    assert!(matches!(fate(&net, 0, emptied), Some(Fate::Rewritten { .. })));
    assert!(matches!(fate(&net, 0, withdrawn), Some(Fate::Confirmed { .. })));
    assert_eq!(balance_of(&mut net, 0, "a"), 10);
    net.converge();
}

#[test]
fn a_command_behind_a_refused_group_is_judged_by_what_those_before_both_have_become() {
    let mut net = with_account(1, 100);
    net.cut(0, OnTheWire::Lost);
    let first = net.execute(0, &withdraw("a", 80)).group_id;
    let refused = net.commit(0, changed("a", 1)).group_id;
    let last = net.execute(0, &withdraw("a", 15)).group_id;
    net.wait_for_retry(0);
    while net.clients[0].pushes.is_empty() {
        net.poll(0);
        net.reach_backend(0);
        net.reach_client(0);
    }
    // A page comes before the answer, and leaves too little for the first.
    net.elsewhere([fact(changed("a", -50))]);
    net.backend.refused.insert(refused);
    net.send_page(0);
    net.reach_client(0);
    net.settle();
    assert!(matches!(fate(&net, 0, first), Some(Fate::Rejected { .. })));
    assert!(matches!(fate(&net, 0, refused), Some(Fate::Rejected { .. })));
    assert!(matches!(fate(&net, 0, last), Some(Fate::Confirmed { .. })));
    assert_eq!(balance_of(&mut net, 0, "a"), 35);
    net.converge();
}

#[test]
fn a_group_that_histories_hold_with_different_contents_is_told_to_be_rewritten_by_each() {
    let at_most_what_is_there = |e: Counted, cx: &RebaseContext<'_>| {
        let all = Account::select().filter(Account::id.eq(&*e.account)).first();
        let now = cx.query(&all)?.map_or(0, |account| account.balance);
        Ok(if e.balance <= now { OnRebase::Keep } else { OnRebase::Rewrite(counted(now)) })
    };
    let schema = tables()
        .event(|e: Counted, _| {
            Account::update().set(Account::balance, e.balance).filter(Account::id.eq(e.account))
        })
        .on_rebase(at_most_what_is_there);
    let mut net = Net::new(schema.build().unwrap(), 0);
    net.on_history_diverged = HistoryAnswer::RebasePending;
    net.add_client(false);
    net.elsewhere([fact(opened("a", 100))]);
    net.settle();
    let own = net.commit(0, counted(90)).group_id;
    net.settle();
    let follow = |net: &mut Net, backend| {
        net.cut(0, OnTheWire::Lost);
        let before = std::mem::replace(&mut net.backend, backend);
        (before, net.clients[0].fates.clear())
    };
    // The backup lacks the group; others get in before it, and it is not what it was.
    let without = net.backend.made_anew(1);
    let (as_committed, ()) = follow(&mut net, without);
    net.elsewhere([fact(changed("a", -50))]);
    net.settle();
    assert!(matches!(fate(&net, 0, own), Some(Fate::Rewritten { .. })));
    let (as_rewritten, ()) = follow(&mut net, as_committed);
    net.settle();
    assert!(matches!(fate(&net, 0, own), Some(Fate::Confirmed { .. })));
    follow(&mut net, as_rewritten);
    net.settle();
    assert_eq!(balance_of(&mut net, 0, "a"), 50);
    assert!(matches!(fate(&net, 0, own), Some(Fate::Rewritten { .. })));
}
