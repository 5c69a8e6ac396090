//! Payloads and rows of Rust's own types.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use livestore::prelude::*;
use livestore::{DateTime, DateTimeMillis};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::payloads::any_real;
use crate::app::assert_state_is_replay;
use crate::properties::cases;

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Shape {
    Nothing,
    Named(String),
    Circle { radius: f64, centre: Option<(i32, i32)> },
    Path(i64, Vec<Shape>),
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "kind", rename_all_fields = "camelCase")]
enum Reason {
    Unknown,
    Told { by_whom: String, at: DateTime },
}

/// An event with fields of all kinds.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "v1.Everything")]
#[serde(rename_all = "camelCase")]
struct Everything {
    id: u32,
    numbers: Numbers,
    moment: DateTime,
    in_millis: DateTimeMillis,
    yes: bool,
    letter: char,
    text: String,
    bytes: Vec<u8>,
    shape: Shape,
    reason: Reason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    maybe: Option<DateTime>,
    lists: Vec<Option<Vec<String>>>,
    members: BTreeMap<String, Shape>,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Numbers {
    small: i8,
    safe: i64,
    unsigned: u32,
    #[serde(with = "livestore::big_integer")]
    big: i64,
    #[serde(with = "livestore::big_integer")]
    huge: u128,
    real: f64,
    single: f32,
    maybe: Option<f64>,
}

/// A row with columns of all types.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "everything")]
struct Row {
    #[column(primary_key)]
    id: u32,
    small: i8,
    big: i64,
    safe: Option<i64>,
    real: f64,
    single: f32,
    maybe_real: Option<f64>,
    moment: DateTime,
    in_millis: DateTimeMillis,
    maybe: Option<DateTime>,
    yes: bool,
    text: String,
    bytes: Vec<u8>,
    shape: Json<Shape>,
    lists: Option<Json<Vec<Option<Vec<String>>>>>,
}

impl Row {
    fn of(event: Everything) -> Self {
        let Everything { id, numbers, moment, in_millis, maybe, yes, text, bytes, .. } = event;
        let Numbers { small, safe, big, real, single, maybe: maybe_real, .. } = numbers;
        let lists = (!event.lists.is_empty()).then_some(Json(event.lists));
        let (safe, shape) = (yes.then_some(safe), Json(event.shape));
        Self {
            id,
            small,
            big,
            safe,
            real,
            single,
            maybe_real,
            moment,
            in_millis,
            maybe,
            yes,
            text,
            bytes,
            shape,
            lists,
        }
    }
}

fn moment() -> impl Strategy<Value = DateTime> {
    (-62_167_219_200_000..=253_402_207_200_000_i64)
        .prop_map(|ms| DateTime::from_millis(ms).unwrap())
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Nothing),
        any::<String>().prop_map(Shape::Named),
        (any_real(), any::<Option<(i32, i32)>>())
            .prop_map(|(radius, centre)| Shape::Circle { radius, centre }),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        (safe(), vec(inner, 0..3)).prop_map(|(length, shapes)| Shape::Path(length, shapes))
    })
}

fn safe() -> std::ops::RangeInclusive<i64> {
    -9_007_199_254_740_991..=9_007_199_254_740_991
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let single =
        any_real().prop_map(|real| real as f32).prop_filter("it is finite, and not -0.0", |real| {
            real.is_finite() && real.to_bits() != (-0.0_f32).to_bits()
        });
    let whole = (any::<i8>(), safe(), any::<u32>(), any::<i64>(), any::<u128>());
    (whole, any_real(), single, option::of(any_real())).prop_map(
        |((small, safe, unsigned, big, huge), real, single, maybe)| Numbers {
            small,
            safe,
            unsigned,
            big,
            huge,
            real,
            single,
            maybe,
        },
    )
}

fn reason() -> impl Strategy<Value = Reason> {
    let told = (any::<String>(), moment()).prop_map(|(by_whom, at)| Reason::Told { by_whom, at });
    prop_oneof![Just(Reason::Unknown), told]
}

fn everything() -> impl Strategy<Value = Everything> {
    let times = (moment(), moment().prop_map(DateTimeMillis::from), option::of(moment()));
    let scalars = (any::<bool>(), any::<char>(), any::<String>(), vec(any::<u8>(), 0..9));
    let lists = vec(option::of(vec(any::<String>(), 0..3)), 0..3);
    let members = btree_map(any::<String>(), shape(), 0..3);
    (0..4_u32, numbers(), times, scalars, shape(), reason(), lists, members).prop_map(
        |(id, numbers, times, scalars, shape, reason, lists, members)| {
            let ((moment, in_millis, maybe), (yes, letter, text, bytes)) = (times, scalars);
            Everything {
                id,
                numbers,
                moment,
                in_millis,
                yes,
                letter,
                text,
                bytes,
                shape,
                reason,
                maybe,
                lists,
                members,
            }
        },
    )
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn typed_payloads_and_rows_come_back_as_they_were(groups in vec(vec(everything(), 1..4), 1..6)) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let schema = Schema::builder().table::<Row>().event(move |event: Everything, _| {
            sink.lock().unwrap().push(event.clone());
            Row::insert(Row::of(event)).or_replace()
        });
        let store = Store::open(schema.build().unwrap(), "typed", MemoryAdapter::new()).unwrap();
        for group in &groups {
            store.commit(group.clone()).unwrap();
        }
        let committed = groups.concat();
        prop_assert_eq!(&*seen.lock().unwrap(), &committed);
        let logged = store.events().map(|event| event.unwrap().args.decode::<Everything>().unwrap());
        prop_assert_eq!(logged.collect::<Vec<_>>(), &committed[..]);
        let latest: BTreeMap<_, _> =
            committed.into_iter().map(|event| (event.id, Row::of(event))).collect();
        let rows = store.query(Row::select().order_by(Row::id)).unwrap().to_vec();
        prop_assert_eq!(rows, latest.into_values().collect::<Vec<_>>());
        assert_state_is_replay(&store);
    }
}
