//! A list of todos in a browser, without a framework: a live query patches the page.

#![forbid(unsafe_code)]
#![cfg(target_family = "wasm")]

mod model;

use livestore::DiffStep;
use livestore::prelude::*;
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;
use web_sys::{Element, HtmlInputElement};

pub use model::{Todo, TodoEvent, schema};

/// Does something with the events of an element, until it is dropped.
struct Listener {
    element: Element,
    event: &'static str,
    closure: Closure<dyn Fn(web_sys::Event) -> Result<(), JsValue>>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let function = self.closure.as_ref().unchecked_ref();
        let _ = self.element.remove_event_listener_with_callback(self.event, function);
    }
}

/// The list on a page; it goes on until it is freed.
#[wasm_bindgen]
pub struct TodoList {
    _shown: Subscription,
    _listeners: [Listener; 3],
}

/// Opens a store, and shows its list in an element.
#[wasm_bindgen]
pub fn start(parent: &Element) -> Result<TodoList, JsValue> {
    let schema = schema().map_err(JsError::from)?;
    let store = Store::open(schema, "todos", WebAdapter::in_memory()).map_err(JsError::from)?;
    TodoList::show(&store, parent)
}

impl TodoList {
    /// Shows the list of a store in an element.
    #[expect(clippy::missing_panics_doc, reason = "events have a target, and the list is its own")]
    pub fn show(store: &Store, parent: &Element) -> Result<Self, JsValue> {
        parent.set_inner_html(
            "<form><input placeholder='What is to be done?'><button>Add</button></form>\
             <ul></ul><button>Clear what is done</button>",
        );
        let find = |selector| Ok::<_, JsValue>(parent.query_selector(selector)?.ok_or("no such")?);
        let text: HtmlInputElement = find("form input")?.unchecked_into();
        let added = on(&find("form")?, "submit", store, move |event| {
            event.prevent_default();
            let created = TodoEvent::Created { id: new_id(), text: text.value() };
            text.set_value("");
            created
        })?;
        let list = find("ul")?;
        let checked = on(&list, "change", store, |event| {
            let input: HtmlInputElement = event.target().expect("it has one").unchecked_into();
            TodoEvent::Checked { id: input.value(), completed: input.checked() }
        })?;
        let cleared = on(&find("ul + button")?, "click", store, |_| TodoEvent::Cleared {})?;

        // What is to be done comes first. There is one thread, so elements stay on it.
        let todos = store.query_db(Todo::select().order_by(Todo::completed).order_by(Todo::text));
        let list = SendWrapper::new(list);
        let shown = todos.subscribe_diff(move |diff| {
            let patched = diff.steps.iter().try_for_each(|step| patch(&list, step));
            patched.expect("the list is nobody else's");
        });
        Ok(Self { _shown: shown, _listeners: [added, checked, cleared] })
    }
}

/// Commits what it means that an element has an event; an error is the browser's to report.
fn on(
    element: &Element,
    event: &'static str,
    store: &Store,
    meaning: impl Fn(web_sys::Event) -> TodoEvent + 'static,
) -> Result<Listener, JsValue> {
    let store = store.clone();
    let closure = Closure::new(move |event| {
        store.commit(meaning(event)).map_err(JsError::from)?;
        Ok(())
    });
    element.add_event_listener_with_callback(event, closure.as_ref().unchecked_ref())?;
    Ok(Listener { element: element.clone(), event, closure })
}

/// Takes one of the steps by which the list has changed; rows that stay keep their elements.
fn patch(list: &Element, step: &DiffStep<Todo>) -> Result<(), JsValue> {
    let items = list.children();
    let item = |at: &usize| items.item(*at as u32).ok_or("the list has no such item");
    let (item, at) = match step {
        DiffStep::Insert { at, row } => {
            let item = list.owner_document().ok_or("no document")?.create_element("li")?;
            item.set_inner_html("<label><input type='checkbox'> <span></span></label>");
            fill(&item, row)?;
            (item, at)
        }
        DiffStep::Move { from, to } => (item(from)?, to),
        DiffStep::Remove { at } => {
            item(at)?.remove();
            return Ok(());
        }
        DiffStep::Update { at, row } => return fill(&item(at)?, row),
    };
    item.remove();
    list.insert_before(&item, items.item(*at as u32).as_deref())?;
    Ok(())
}

/// Shows a todo in its item.
fn fill(item: &Element, todo: &Todo) -> Result<(), JsValue> {
    let input = item.query_selector("input")?.ok_or("no input")?;
    let input: HtmlInputElement = input.unchecked_into();
    input.set_value(&todo.id);
    input.set_checked(todo.completed);
    item.query_selector("span")?.ok_or("no text")?.set_text_content(Some(&todo.text));
    Ok(())
}
