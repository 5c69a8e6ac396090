//! The query builder through a store: what the derive, materializers and live queries make of it.

use livestore::prelude::*;
use livestore::{DynSelect, Scope, Write, ast};
use serde::{Deserialize, Serialize};

#[derive(Table, FromRow, Clone, Debug, PartialEq)]
#[table(name = "books")]
struct Book {
    #[column(primary_key)]
    id: i64,
    title: String,
    author: Option<i64>,
    #[column(default = 0)]
    sold: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "authors")]
struct Author {
    #[column(primary_key)]
    id: i64,
    name: String,
}

/// A column that is not written stands between those that are.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "labels")]
struct Label {
    #[column(primary_key)]
    id: i64,
    #[column(generated = "upper(text)", virtual)]
    loud: Option<String>,
    text: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.AuthorAdded")]
struct AuthorAdded {
    id: i64,
    name: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.BookSold")]
struct BookSold {
    id: i64,
    title: String,
    author: Option<i64>,
    copies: i64,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.SalesReset")]
struct SalesReset {
    author: i64,
}

fn schema() -> Schema {
    Schema::builder()
        .table::<Book>()
        .table::<Author>()
        .event(|e: AuthorAdded, _| Author::insert(Author { id: e.id, name: e.name }).or_ignore())
        .event(|e: BookSold, _| {
            Book::insert(Book { id: e.id, title: e.title, author: e.author, sold: e.copies })
                .on_conflict(Book::id)
                .update([Book::sold.set(Book::sold + excluded(Book::sold))])
        })
        .event(|e: SalesReset, _| {
            let of_author = Author::select().within::<Book>().filter(Author::id.eq(Book::author));
            let is_by = of_author.filter(Author::id.eq(e.author)).exists();
            Book::update().set(Book::sold, 0).filter(is_by)
        })
        .build()
        .unwrap()
}

fn sold(id: i64, title: &str, author: Option<i64>, copies: i64) -> BookSold {
    BookSold { id, title: title.into(), author, copies }
}

fn store() -> Store {
    let store = Store::open(schema(), "books", MemoryAdapter::new()).unwrap();
    store.commit(AuthorAdded { id: 1, name: "Ada".into() }).unwrap();
    store.commit(AuthorAdded { id: 2, name: "Bob".into() }).unwrap();
    store.commit(sold(1, "Engines", Some(1), 3)).unwrap();
    store.commit(sold(2, "Notes", Some(1), 4)).unwrap();
    store.commit(sold(3, "Anonymous", None, 5)).unwrap();
    store
}

#[test]
fn a_live_query_over_a_join_follows_all_of_its_tables() {
    let store = store();
    let by_author = Author::select()
        .left_join::<Book>(Book::author.eq(Author::id))
        .columns((Author::name, Book::sold.sum()))
        .group_by(Author::id)
        .order_by(Author::name);
    let live = store.query_db(by_author);
    let rows = || live.get().unwrap().to_vec();
    assert_eq!(rows(), [("Ada".into(), Some(7)), ("Bob".into(), None)]);
    store.commit(sold(1, "Engines", Some(1), 10)).unwrap();
    assert_eq!(rows()[0].1, Some(17), "sold again");
    store.commit(AuthorAdded { id: 3, name: "Abe".into() }).unwrap();
    assert_eq!(rows()[0], ("Abe".into(), None));
    store.commit(SalesReset { author: 1 }).unwrap();
    assert_eq!(rows()[1].1, Some(0));
    assert_eq!(store.query(Book::select().columns(Book::sold.sum())).unwrap()[0], Some(5));
    assert_eq!(store.state_hash().unwrap(), store.replay_hash().unwrap());
}

#[test]
fn raw_rows_are_read_as_a_table_and_as_a_struct_of_their_own() {
    #[derive(FromRow, Clone, Debug, PartialEq)]
    struct Seller {
        name: String,
        best: Option<i64>,
    }
    let store = store();
    let sql = "SELECT max(sold) AS best, name FROM authors LEFT JOIN books ON author = authors.id
               GROUP BY authors.id HAVING name <> ? ORDER BY name";
    let sellers = store.query(query_as::<Seller>(sql).bind("Bob")).unwrap();
    assert_eq!(sellers.to_vec(), [Seller { name: "Ada".into(), best: Some(4) }]);
    let nobody = query_as::<Seller>("SELECT NULL AS name, 1 AS best");
    let null = "column name: expected alloc::string::String, found null; make the field an Option";
    assert_eq!(store.query(nobody).unwrap_err().to_string(), null);
    let books = store.query(query_as::<Book>("SELECT * FROM books WHERE id = 2")).unwrap();
    let expected = Book { id: 2, title: "Notes".into(), author: Some(1), sold: 4 };
    assert_eq!(books.to_vec(), [expected]);
}

/// What a language without the derive does: names as texts, statements as JSON.
#[test]
fn statements_from_json_do_what_the_builders_do() {
    let schema = schema();
    let tables = schema.tables().to_vec();
    let select = r#"{"columns": [{"expr": {"column": {"name": "title"}}}],
        "from": {"table": "books"}, "filter": {"compare": {"operator": "at_least",
            "left": {"column": {"name": "sold"}}, "right": {"value": 4}}},
        "order": [{"expr": {"column": {"name": "title"}}}]}"#;
    let select: ast::Select = serde_json::from_str(select).unwrap();
    let typed = Book::select().columns(Book::title).filter(Book::sold.ge(4)).order_by(Book::title);
    assert_eq!(typed.into_ast(), with_tables(select.clone()));
    let store = store();
    let titles = store.query(DynSelect::new(select, &tables).unwrap()).unwrap();
    let titles: Vec<String> = titles.iter().map(|row| row.get("title").unwrap()).collect();
    assert_eq!(titles, ["Anonymous", "Notes"]);
    let select = ast::Select::new(ast::Source::table("books"));
    let live = store.query_db(DynSelect::new(select, &tables).unwrap());
    assert_eq!(live.get().unwrap().len(), 3);
    store.commit(sold(4, "New", None, 1)).unwrap();
    assert_eq!(live.get().unwrap()[3].get::<String>("title").unwrap(), "New");

    let delete: ast::Statement = serde_json::from_str(r#"{"delete": {"table": "book"}}"#).unwrap();
    let refused = Write::checked(&delete, &tables).unwrap_err();
    assert_eq!(refused.to_string(), "there is no table \"book\"; there are authors, books");
    assert!(tables.iter().all(|table| table.scope() == Scope::Synced));
}

/// The same selection with the table named at each column, as the builder does.
fn with_tables(mut select: ast::Select) -> ast::Select {
    fn name(expr: &mut ast::Expr) {
        match expr {
            ast::Expr::Column(column) => column.of = Some("books".into()),
            ast::Expr::Compare { left, right, .. } => {
                name(left);
                name(right);
            }
            _ => {}
        }
    }
    select.columns.iter_mut().for_each(|output| name(&mut output.expr));
    select.filter.iter_mut().for_each(name);
    select.order.iter_mut().for_each(|order| name(&mut order.expr));
    select
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.LabelPut")]
struct LabelPut {
    id: i64,
    text: String,
    how: String,
}

#[test]
fn rows_with_generated_columns_are_upserted_and_these_are_never_set() {
    let schema = Schema::builder().table::<Label>().event(|e: LabelPut, _| {
        let text = || e.text.clone();
        let insert = Label::insert(Label { id: e.id, loud: None, text: text() });
        Write::try_from(match &*e.how {
            "replace any" => insert.or_replace(),
            "replace" => insert.on_conflict(Label::id).replace(),
            "ignore" => insert.or_ignore(),
            "update" => insert.on_conflict(Label::id).update([Label::text.set(text())]),
            "update it" => insert.on_conflict(Label::id).update([Label::loud.set(text())]),
            "insert it" => Label::insert_columns([Label::loud.set(text()), Label::id.set(e.id)]),
            _ => return Label::update().set(Label::loud, text()).try_into(),
        })
    });
    let store = Store::open(schema.build().unwrap(), "labels", MemoryAdapter::new()).unwrap();
    let put =
        |how: &str| store.commit(LabelPut { id: 1, text: format!("by {how}"), how: how.into() });
    let first = || store.query(Label::select().first_or_error()).unwrap();
    for how in ["replace any", "replace", "update"] {
        put(how).unwrap();
        let loud = Some(format!("BY {}", how.to_uppercase()));
        assert_eq!(*first(), Label { id: 1, loud, text: format!("by {how}") });
    }
    put("ignore").unwrap();
    assert_eq!(first().text, "by update");
    for how in ["update it", "insert it", "set it"] {
        let refused = put(how).unwrap_err().to_string();
        let expected =
            "column loud of labels is generated; set the columns that it is computed from";
        assert!(refused.contains(expected), "{how}: {refused}");
    }
    let mut json = serde_json::json!({"update": {"table": "labels", "set": [
        {"column": "loud", "value": {"value": "x"}}]}});
    let checked = |json: &serde_json::Value| {
        let statement = serde_json::from_value(json.clone()).unwrap();
        Write::checked(&statement, &[Label::definition().unwrap()])
    };
    let refused = checked(&json).unwrap_err().to_string();
    assert!(refused.starts_with("column loud of labels is generated"), "{refused}");
    json["update"]["set"][0]["column"] = "text".into();
    checked(&json).unwrap();
}
