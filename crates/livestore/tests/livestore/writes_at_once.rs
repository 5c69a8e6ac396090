//! Writes that a materializer runs at once: it sees what they did, and they count as its own.

use livestore::CommitError;
use livestore::prelude::*;
use serde::{Deserialize, Serialize};

use crate::app::assert_state_is_replay;
use crate::backend::{Net, fact};
use crate::family::new;

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "orders")]
struct Order {
    #[column(auto_increment)]
    id: Option<i64>,
    buyer: String,
    lines: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "lines")]
struct Line {
    #[column(primary_key)]
    item: String,
    #[column(primary_key, references = "orders.id")]
    of: i64,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.OrderPlaced")]
struct OrderPlaced {
    buyer: String,
    items: Vec<String>,
}

/// Adds a line twice, and hides the error.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.LineDoubled")]
struct LineDoubled {
    panics: bool,
}

fn schema() -> Schema {
    Schema::builder()
        .table::<Order>()
        .table::<Line>()
        .event(|e: OrderPlaced, cx| {
            let order = Order { id: None, buyer: e.buyer, lines: 0 };
            let id = cx.write(Order::insert(order).returning(Order::id).first_or_error())?;
            let of = id.ok_or_else(|| MaterializeError::failed("an order has no number"))?;
            for item in e.items {
                cx.write(Line::insert(Line { item, of }))?;
            }
            let lines = cx.query(&Line::select().filter(Line::of.eq(of)).count())? as i64;
            Ok::<_, MaterializeError>(
                Order::update().set(Order::lines, lines).filter(Order::id.eq(of)),
            )
        })
        .event(|e: LineDoubled, cx| {
            let order = Order { id: None, buyer: "nobody".into(), lines: 2 };
            let of = cx.write(Order::insert(order).returning(Order::id)).unwrap()[0].unwrap();
            let line = || Line::insert(Line { item: "x".into(), of });
            cx.write(line()).unwrap();
            let again = cx.write(line());
            assert!(again.is_err() && !e.panics, "a panic of its own");
            // Whatever it does now, the event has failed.
            let _ = cx.write(Line::insert(Line { item: "y".into(), of }));
            Line::delete()
        })
        .build()
        .expect("the schema is valid")
}

fn placed(buyer: &str, items: &[&str]) -> OrderPlaced {
    OrderPlaced { buyer: buyer.into(), items: items.iter().map(|item| (*item).into()).collect() }
}

fn order(id: i64, buyer: &str, lines: i64) -> Order {
    Order { id: Some(id), buyer: buyer.into(), lines }
}

fn line(item: &str, of: i64) -> Line {
    Line { item: item.into(), of }
}

fn store() -> Store {
    Store::open(schema(), "test", MemoryAdapter::new()).unwrap()
}

fn state(store: &Store) -> (Vec<Order>, Vec<Line>) {
    let orders = store.query(Order::select().order_by(Order::id)).unwrap().to_vec();
    let lines = Line::select().order_by(Line::of).order_by(Line::item);
    (orders, store.query(lines).unwrap().to_vec())
}

#[test]
fn a_materializer_refers_to_the_row_that_sqlite_has_numbered() {
    let store = store();
    let live = store.query_db(Line::select().count());
    store.commit(placed("a", &["tea", "cup"])).unwrap();
    store.commit(placed("b", &["tea"])).unwrap();
    let orders = vec![order(1, "a", 2), order(2, "b", 1)];
    assert_eq!(state(&store), (orders, vec![line("cup", 1), line("tea", 1), line("tea", 2)]));
    assert_eq!(live.get().unwrap(), 3, "live queries see what was written at once");
    assert_state_is_replay(&store);
}

#[test]
fn an_event_fails_with_the_first_write_that_failed_whatever_its_materializer_makes_of_it() {
    let store = store();
    store.commit(placed("a", &["tea"])).unwrap();
    let before = (state(&store), store.state_hash().unwrap());
    for panics in [false, true] {
        let error = store.commit(LineDoubled { panics }).unwrap_err();
        assert!(
            matches!(&error, CommitError::Materialize { source: MaterializeError::Sqlite(_), .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("UNIQUE constraint failed: lines"), "{error}");
        assert_eq!((state(&store), store.state_hash().unwrap()), before);
    }
    // The number of the order that was taken back is free again.
    store.commit(placed("b", &[])).unwrap();
    assert_eq!(state(&store).0[1], order(2, "b", 0));
    assert_state_is_replay(&store);
}

#[test]
fn an_error_after_a_write_takes_it_back() {
    let store = store();
    let hash = store.state_hash().unwrap();
    let error = store.commit(placed("a", &["tea", "tea"])).unwrap_err();
    assert!(error.to_string().contains("UNIQUE constraint failed: lines"), "{error}");
    assert_eq!((state(&store), store.state_hash().unwrap()), ((vec![], vec![]), hash));
}

#[test]
fn a_rebase_numbers_the_rows_anew_and_their_children_follow() {
    let mut net = Net::new(schema(), 2);
    net.settle();
    let order_of_cup = |net: &mut Net, at| {
        net.assert_state_is_replay(at);
        let cup = Line::select().columns(Line::of).filter(Line::item.eq("cup"));
        net.replica(at).connection().read().query(&cup).unwrap().to_vec()
    };
    net.try_commit(0, new(placed("a", &["tea", "cup"]))).unwrap();
    assert_eq!(order_of_cup(&mut net, 0), [1]);
    net.elsewhere([fact(placed("first", &["pot"]))]);
    net.converge();
    for client in [0, 1] {
        assert_eq!(order_of_cup(&mut net, client), [2]);
    }
}
