//! The list on a page, in a browser: `cargo xtask web --test`.

#![cfg(target_family = "wasm")]

use livestore::prelude::*;
use todos_wasm::{Todo, TodoEvent, TodoList, schema};
use wasm_bindgen::JsCast;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{Element, HtmlElement, HtmlFormElement, HtmlInputElement};

wasm_bindgen_test_configure!(run_in_browser);

/// A list on a page of its own.
struct Page {
    store: Store,
    parent: Element,
    list: TodoList,
}

impl Page {
    fn open() -> Self {
        let store = Store::open(schema().unwrap(), "todos", WebAdapter::in_memory()).unwrap();
        let document = web_sys::window().unwrap().document().unwrap();
        let parent = document.create_element("main").unwrap();
        document.body().unwrap().append_child(&parent).unwrap();
        let list = TodoList::show(&store, &parent).unwrap();
        Self { store, parent, list }
    }

    fn find<E: JsCast>(&self, selector: &str) -> E {
        self.parent.query_selector(selector).unwrap().unwrap().unchecked_into()
    }

    fn add(&self, text: &str) {
        self.find::<HtmlInputElement>("form input").set_value(text);
        self.find::<HtmlFormElement>("form").request_submit().unwrap();
    }
}

/// What can be read in an element's list, with `x` for what is done.
fn items(parent: &Element) -> Vec<String> {
    let items = parent.query_selector("ul").unwrap().unwrap().children();
    let shown = |at| {
        let item = items.item(at).unwrap();
        let input = item.query_selector("input").unwrap().unwrap();
        let done = input.unchecked_into::<HtmlInputElement>().checked();
        format!("{}{}", if done { "x" } else { "-" }, item.text_content().unwrap())
    };
    (0..items.length()).map(shown).collect()
}

#[wasm_bindgen_test]
fn what_is_typed_is_committed_and_shown() {
    let page = Page::open();
    page.add("write");
    page.add("<b>read</b>");
    assert_eq!(items(&page.parent), ["- <b>read</b>", "- write"]);
    assert_eq!(page.find::<HtmlInputElement>("form input").value(), "");
    assert_eq!(page.store.query(Todo::select().order_by(Todo::text)).unwrap()[1].text, "write");
}

#[wasm_bindgen_test]
fn what_is_checked_moves_down_and_is_cleared() {
    let page = Page::open();
    for text in ["a", "b", "c"] {
        page.add(text);
    }
    let kept: Element = page.find("li");
    page.find::<HtmlElement>("li input").click();
    assert_eq!(items(&page.parent), ["- b", "- c", "x a"]);
    assert!(kept.is_same_node(Some(&page.find::<Element>("li:last-child"))), "it was moved");
    page.find::<HtmlElement>("ul + button").click();
    assert_eq!(items(&page.parent), ["- b", "- c"]);
}

#[wasm_bindgen_test]
fn what_others_commit_is_shown_until_the_list_is_freed() {
    let page = Page::open();
    let commit =
        |id: &str| page.store.commit(TodoEvent::Created { id: id.into(), text: id.into() });
    commit("a").unwrap();
    assert_eq!(items(&page.parent), ["- a"]);
    let Page { store, parent, list } = page;
    drop(list);
    store.commit(TodoEvent::Created { id: "b".into(), text: "b".into() }).unwrap();
    assert_eq!(items(&parent), ["- a"]);
    // What is clicked then does nothing any more.
    let find = |selector| parent.query_selector(selector).unwrap().unwrap();
    find("li input").unchecked_into::<HtmlElement>().click();
    find("ul + button").unchecked_into::<HtmlElement>().click();
    assert_eq!(store.query(Todo::select()).unwrap().len(), 2);
}
