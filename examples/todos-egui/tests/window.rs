//! The window without a screen: somebody clicks and types, and looks at what is shown.

#![allow(missing_docs)]

use eframe::egui::Ui;
use eframe::egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use livestore::prelude::*;
use todos::model::{Happened, Todo, schema};
use todos_egui::{App, Bound};

fn window(store: &Store) -> Harness<'static, Option<App>> {
    let store = store.clone();
    let show = move |ui: &mut Ui, app: &mut Option<App>| {
        let window = ui.ctx().clone();
        app.get_or_insert_with(|| App::new(store.clone(), &window)).ui(ui);
    };
    Harness::new_ui_state(show, None)
}

fn store() -> Store {
    Store::open(schema(), "todos", MemoryAdapter::new()).unwrap()
}

fn add(store: &Store, title: &str) {
    store.commit(Happened::Added { id: new_id(), title: title.into(), done: false }).unwrap();
}

#[test]
fn what_is_typed_is_committed_and_shown() {
    let store = store();
    let mut window = window(&store);
    window.run();
    window.get_by_label("0 to do");
    window.get_by_role(Role::TextInput).focus();
    window.run();
    window.get_by_role(Role::TextInput).type_text("Buy milk");
    window.run();
    window.get_by_label("Add").click();
    window.run();
    window.get_by_label("Buy milk");
    window.get_by_label("1 to do");
    let rows = store.query(Todo::select()).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].title, "Buy milk");
}

#[test]
fn clicks_change_todos_and_choose_which_are_shown() {
    let store = store();
    add(&store, "Buy milk");
    add(&store, "Bake a cake");
    let mut window = window(&store);
    window.run();
    window.get_by_label("Buy milk").click();
    window.run();
    assert!(window.query_by_label("Buy milk").is_none(), "it is done, and those are not shown");
    window.get_by_label("1 to do");
    window.get_by_label("Done").click();
    window.run();
    window.get_by_label("Buy milk");
    assert!(window.query_by_label("Bake a cake").is_none());
    window.get_by_label("All").click();
    window.run();
    window.get_by_label("Bake a cake");
    assert_eq!(window.query_all_by_label("Delete").count(), 2);
    window.query_all_by_label("Delete").next().unwrap().click();
    window.run();
    assert_eq!(store.query(Todo::select().count()).unwrap(), 1);
}

#[test]
fn what_happens_elsewhere_is_shown() {
    let store = store();
    let mut window = window(&store);
    window.run();
    assert!(!window.ctx.has_requested_repaint(), "nothing happens, nothing is drawn");
    let committing = store.clone();
    std::thread::spawn(move || add(&committing, "From another thread")).join().unwrap();
    assert!(window.ctx.has_requested_repaint());
    window.run();
    window.get_by_label("From another thread");
}

#[test]
fn a_bound_value_asks_for_a_repaint_when_it_has_changed_and_only_then() {
    let store = store();
    let mut frames = Harness::new_ui(|_| ());
    let titles = Todo::select().columns(Todo::title);
    let titles = Bound::new(store.query_db(titles), &frames.ctx);
    frames.run();
    add(&store, "Buy milk");
    assert!(frames.ctx.has_requested_repaint());
    assert_eq!(titles.get().unwrap().len(), 1);
    frames.run();
    let id = store.query(Todo::select()).unwrap()[0].id.clone();
    store.commit(Happened::Done { id, done: true }).unwrap();
    assert!(!frames.ctx.has_requested_repaint(), "nobody shows whether it is done");
    drop(titles);
    add(&store, "Bake a cake");
    assert!(!frames.ctx.has_requested_repaint(), "nobody shows titles any more");
}

#[test]
fn a_list_of_many_draws_those_that_can_be_seen() {
    let store = store();
    let added = |index| {
        let (id, title) = (format!("{index:06}"), format!("Todo {index}"));
        Happened::Added { id, title, done: false }
    };
    for from in (0..20_000).step_by(1_000) {
        store.commit((from..from + 1_000).map(added).collect::<Vec<_>>()).unwrap();
    }
    let mut window = window(&store);
    window.run();
    window.get_by_label("20000 to do");
    window.get_by_label("Todo 0");
    let shown = window.query_all_by_label("Delete").count();
    assert!((5..100).contains(&shown), "{shown} rows are drawn");
}
