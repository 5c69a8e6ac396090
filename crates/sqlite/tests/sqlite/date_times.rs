//! Moments in both forms, and numbers at the edges of what SQLite has.

use livestore_sqlite::{
    ColumnDef, ColumnType, ColumnValue, DateTime, DateTimeError, DateTimeMillis, Query, Select,
    Table, Value, ValueError, jiff,
};
use proptest::prelude::*;

use super::support::{cases, columns, database_of, state_table, table_of};

const FIRST: &str = "0000-01-01T00:00:00.000Z";
const LAST: &str = "9999-12-30T22:00:00.000Z";

fn moment(text: &str) -> DateTime {
    text.parse().unwrap()
}

#[test]
fn a_moment_is_text_of_one_form_or_milliseconds() {
    let at = moment("2026-01-02T03:04:05.678Z");
    assert_eq!(at.to_string(), "2026-01-02T03:04:05.678Z");
    assert_eq!(at.millis(), 1_767_323_045_678);
    let millis = DateTimeMillis::from(at);
    assert_eq!((millis.millis(), DateTime::from(millis)), (1_767_323_045_678, at));
    let text = |value| Value::from(value);
    assert_eq!(at.into_value("c"), Ok(text("2026-01-02T03:04:05.678Z")));
    assert_eq!(millis.into_value("c"), Ok(1_767_323_045_678.into()));
    assert_eq!(
        (DateTime::TYPE, DateTimeMillis::TYPE),
        (ColumnType::DateTime, ColumnType::DateTimeMillis)
    );
    assert_eq!(DateTime::from_millis(0).unwrap().to_string(), "1970-01-01T00:00:00.000Z");
    assert_eq!(DateTime::from_millis(-1).unwrap().to_string(), "1969-12-31T23:59:59.999Z");
}

#[test]
fn other_spellings_of_a_moment_are_read_and_written_in_the_one_form() {
    for text in [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.000000Z",
        "2026-01-02t03:04:05z",
        "2026-01-02 03:04:05+00:00",
        "2026-01-02T05:34:05+02:30",
    ] {
        assert_eq!(moment(text).to_string(), "2026-01-02T03:04:05.000Z", "{text}");
    }
    for text in ["", "2026-01-02", "2026-01-02T03:04:05", "yesterday", "2026-02-30T00:00:00Z"] {
        let refused: Result<DateTime, _> = text.parse();
        assert_eq!(refused, Err(DateTimeError::NotADateTime { text: text.into() }));
    }
}

#[test]
fn what_a_moment_cannot_hold_is_refused_and_never_rounded() {
    let refused: Result<DateTime, _> = "2026-01-02T03:04:05.6785Z".parse();
    assert!(matches!(refused, Err(DateTimeError::TooFine { .. })), "{refused:?}");
    let (first, last) = (moment(FIRST), moment(LAST));
    assert_eq!((first.to_string(), last.to_string()), (FIRST.into(), LAST.into()));
    for ms in [first.millis() - 1, last.millis() + 1, i64::MIN, i64::MAX] {
        assert_eq!(DateTime::from_millis(ms), Err(DateTimeError::OutOfRange { ms }));
        assert_eq!(DateTimeMillis::from_millis(ms), Err(DateTimeError::OutOfRange { ms }));
    }
    assert!(DateTime::now() > moment("2020-01-01T00:00:00Z"));
}

#[test]
fn the_default_of_a_moment_is_in_the_one_form() {
    let table = |column_type, value: Value| {
        let key = ColumnDef::new("id", ColumnType::Integer).primary_key();
        let column = ColumnDef::new("at", column_type).default(value);
        livestore_sqlite::TableDef::new("t", [key, column])
    };
    assert!(table(ColumnType::DateTime, "2026-01-02T03:04:05.678Z".into()).is_ok());
    assert!(table(ColumnType::DateTimeMillis, (-5).into()).is_ok());
    for value in ["2026-01-02T03:04:05Z", "now", "CURRENT_TIMESTAMP", ""] {
        assert!(table(ColumnType::DateTime, value.into()).is_err(), "{value}");
    }
    assert!(table(ColumnType::DateTimeMillis, i64::MAX.into()).is_err());
    assert!(table(ColumnType::DateTimeMillis, "2026-01-02T03:04:05.678Z".into()).is_err());
}

state_table! {
    /// A table of the types that not every number fits.
    Edges, "edges_of_types", {
        id: i64, primary_key();
        big: u64;
        narrow: f32;
        at: DateTime;
        millis: Option<DateTimeMillis>;
    }
}

#[test]
fn unsigned_integers_beyond_those_of_sqlite_are_refused() {
    let max = i64::MAX as u64;
    assert_eq!(max.into_value("c"), Ok(i64::MAX.into()));
    let value = max + 1;
    let refused = value.into_value("c").unwrap_err();
    assert_eq!(refused, ValueError::IntegerTooLarge { column: "c".into(), value });
    assert_eq!(
        refused.to_string(),
        "9223372036854775808 is too large for integer column c, which ends at 2^63 - 1"
    );
    assert_eq!(u64::from_sql(Value::from(-1).as_sql()), None);
}

#[test]
fn a_real_that_a_narrow_one_would_change_is_not_read_as_one() {
    assert_eq!(f32::from_sql(Value::from(0.5).as_sql()), Some(0.5));
    assert_eq!(f32::from_sql(Value::from(0.1).as_sql()), None);
    assert_eq!(f32::from_sql(Value::from(1e300).as_sql()), None);
    assert_eq!(f32::from_sql(Value::from(f64::INFINITY).as_sql()), Some(f32::INFINITY));
    assert!(f32::NAN.into_value("c").is_err());
}

#[test]
fn moments_written_at_run_time_are_checked_when_they_are_read() {
    let table = table_of([ColumnDef::new("at", ColumnType::DateTime)]);
    let connection = database_of(vec![table.clone()]);
    let row = columns([("id", 1.into()), ("at", "tomorrow".into())]);
    let insert = livestore_sqlite::TableWrite::insert(&table, row).unwrap();
    connection.write(table.scope()).execute(&insert).unwrap();
    let rows = super::support::raw(&connection, "SELECT at FROM things").unwrap();
    let refused = rows[0].get::<DateTime>("at").unwrap_err();
    assert!(refused.to_string().starts_with("column at: expected "), "{refused}");
}

/// Three rows; the last has no second moment.
fn edges() -> livestore_sqlite::Connection {
    let connection = database_of(vec![Edges::definition().unwrap()]);
    let row = |id: i64, at: &str, millis: Option<&str>| Edges {
        id,
        big: 10 * id.unsigned_abs(),
        narrow: id as f32 / 2.0,
        at: moment(at),
        millis: millis.map(|text| moment(text).into()),
    };
    super::support::insert(
        &connection,
        [
            row(1, "1999-12-31T23:59:59.999Z", Some("2030-01-01T00:00:00Z")),
            row(2, "2026-01-02T03:04:05Z", Some("1969-07-20T20:17:40Z")),
            row(3, "2026-01-02T03:04:05.001Z", None),
        ],
    );
    connection
}

#[test]
fn moments_and_numbers_of_all_sizes_are_compared_and_ordered_by_what_they_are() {
    let connection = edges();
    let ids = |select: Select<Edges>| {
        super::support::read(&connection, &select.columns(Edges::id)).to_vec()
    };
    let found = |condition| ids(Edges::select().filter(condition).order_by(Edges::id));
    let new_year = moment("2000-01-01T01:00:00+01:00");
    assert_eq!(found(Edges::at.lt(new_year)), [1]);
    assert_eq!(found(Edges::at.between(new_year, moment("2026-01-02T03:04:05Z"))), [2]);
    assert_eq!(found(Edges::at.is_in([moment("2026-01-02T04:04:05+01:00")])), [2]);
    assert_eq!(found(Edges::millis.gt(DateTimeMillis::from(new_year))), [1]);
    assert_eq!(found(Edges::millis.eq(None)), [3]);
    assert_eq!(
        found(
            Edges::millis
                .coalesce(DateTimeMillis::from(new_year))
                .le(DateTimeMillis::from(new_year))
        ),
        [2, 3]
    );
    assert_eq!(found(Edges::big.between(11, 20)), [2]);
    assert_eq!(found(Edges::big.to_integer().gt(Edges::id)), [1, 2, 3]);
    assert_eq!(found(Edges::narrow.le(1.0)), [1, 2]);
    assert_eq!(ids(Edges::select().order_by(Edges::at.desc())), [3, 2, 1]);
    assert_eq!(ids(Edges::select().order_by(Edges::millis.asc().nulls_last())), [2, 1, 3]);
    assert_eq!(ids(Edges::select().order_by(Edges::big.desc())), [3, 2, 1]);
    let too_large = Edges::select().filter(Edges::big.lt(u64::MAX)).compile();
    assert_eq!(
        too_large,
        Err(ValueError::IntegerTooLarge { column: "big".into(), value: u64::MAX })
    );
}

#[test]
fn moments_and_numbers_of_all_sizes_have_extremes_and_numbers_sums() {
    let connection = edges();
    let extremes = (Edges::at.min(), Edges::at.max(), Edges::millis.min(), Edges::millis.max());
    let all = Edges::select().columns(extremes);
    let (first, last): (DateTime, DateTime) =
        (moment("1999-12-31T23:59:59.999Z"), moment("2026-01-02T03:04:05.001Z"));
    let (early, late) = (moment("1969-07-20T20:17:40Z"), moment("2030-01-01T00:00:00Z"));
    assert_eq!(
        super::support::read(&connection, &all)[0],
        (Some(first), Some(last), Some(early.into()), Some(late.into()))
    );
    let sums = (Edges::big.sum(), Edges::big.avg(), Edges::big.max(), Edges::narrow.sum());
    let all = Edges::select().columns(sums);
    assert_eq!(
        super::support::read(&connection, &all)[0],
        (Some(60), Some(20.0), Some(30_u64), Some(3.0))
    );
    let of_none =
        Edges::select().filter(Edges::id.gt(9)).columns((Edges::at.max(), Edges::big.sum()));
    assert_eq!(super::support::read(&connection, &of_none)[0], (None, None));
}

fn any_moment() -> impl Strategy<Value = DateTime> {
    let (first, last) = (moment(FIRST).millis(), moment(LAST).millis());
    (first..=last).prop_map(|ms| DateTime::from_millis(ms).unwrap())
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn every_form_of_a_moment_reads_back(at in any_moment()) {
        prop_assert_eq!(moment(&at.to_string()), at);
        prop_assert_eq!(DateTime::try_from(jiff::Timestamp::from(at)), Ok(at));
        let text = serde_json::to_string(&at).unwrap();
        prop_assert_eq!(&text, &format!("\"{at}\""));
        prop_assert_eq!(serde_json::from_str::<DateTime>(&text).unwrap(), at);
        let millis = DateTimeMillis::from(at);
        let text = serde_json::to_string(&millis).unwrap();
        prop_assert_eq!(&text, &at.millis().to_string());
        prop_assert_eq!(serde_json::from_str::<DateTimeMillis>(&text).unwrap(), millis);
    }

    #[test]
    fn the_order_of_texts_is_that_of_time(a in any_moment(), b in any_moment()) {
        prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
    }

    #[test]
    fn rows_of_every_type_read_back(
        big in 0..=i64::MAX as u64, narrow in any::<f32>(), at in any_moment(),
        millis in prop::option::of(any_moment()),
    ) {
        prop_assume!(!narrow.is_nan());
        let row = Edges { id: 1, big, narrow, at, millis: millis.map(Into::into) };
        let connection = database_of(vec![Edges::definition().unwrap()]);
        super::support::insert(&connection, [row.clone()]);
        let rows = super::support::read(&connection, &Edges::select());
        prop_assert_eq!(&rows[0], &row);
    }
}
