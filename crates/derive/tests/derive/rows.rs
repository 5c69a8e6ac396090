use livestore_derive::FromRow;
use livestore_sqlite::{Connection, SqliteError, query_as};

#[derive(FromRow, Debug, Clone, PartialEq)]
struct Busy {
    r#type: String,
    #[row(name = "how often")]
    count: i64,
    last: Option<f64>,
}

#[test]
fn a_row_is_read_by_the_names_of_its_columns_whatever_their_order() {
    let connection = Connection::open_memory().unwrap();
    let sql = "SELECT 1.5 AS last, 'unused' AS other, 7 AS \"how often\", ? AS type \
               UNION ALL SELECT NULL, 0, 8, 'b'";
    let rows = connection.read().query(&query_as::<Busy>(sql).bind("a")).unwrap();
    let first = Busy { r#type: "a".into(), count: 7, last: Some(1.5) };
    let second = Busy { r#type: "b".into(), count: 8, last: None };
    assert_eq!(rows.to_vec(), [first, second]);
}

#[test]
fn a_column_that_the_query_does_not_have_is_named() {
    let connection = Connection::open_memory().unwrap();
    let error = connection.read().query(&query_as::<Busy>("SELECT 'a' AS type")).unwrap_err();
    let SqliteError::Decode(error) = error else { panic!("{error}") };
    assert_eq!(error.column, "how often");
    assert_eq!(error.found, "only the columns type");
}
