//! What the agent can do, and how it goes about it.

use std::error::Error;

use livestore::ExecuteError;
use livestore::prelude::*;
use todos::model::{Annotate, Delete, Refused, SetDone, Todo};

/// What todos begin with that are left to the agent.
pub(crate) const CALL: &str = "@agent";

/// Finds the first todo that is left to the agent and has no answer.
pub(crate) fn next(todos: &Rows<Todo>) -> Option<Todo> {
    let is_open = |todo: &&Todo| task(todo).is_some() && !todo.done && todo.note.is_empty();
    todos.iter().map(|todo| &**todo).find(is_open).cloned()
}

fn task(todo: &Todo) -> Option<&str> {
    let rest = todo.title.strip_prefix(CALL)?;
    rest.starts_with(char::is_whitespace).then(|| rest.trim())
}

/// Does what a todo asks for; returns what there is to say about it, and the receipt of the last commit.
///
/// # Errors
///
/// The store failed. That somebody was quicker is no error.
pub(crate) fn work(
    store: &Store,
    todo: &Todo,
) -> Result<(String, Option<CommitReceipt>), Box<dyn Error>> {
    let todos = store.query(Todo::select().order_by(Todo::id))?;
    let done = todos.iter().filter(|todo| todo.done);
    let (note, is_done) = match task(todo).unwrap_or_default() {
        "count" => (format!("{} todos, {} of them done", todos.len(), done.count()), true),
        "sort out" => {
            let mut count = 0;
            for Todo { id, title, .. } in done.map(|todo| Todo::clone(todo)) {
                count += u32::from(quick(store.execute(Delete { id, title }))?.is_ok());
            }
            (format!("{count} todos deleted that were done"), true)
        }
        _ => ("this agent can count and sort out".into(), false),
    };
    let Todo { id, title, .. } = todo.clone();
    let annotate = Annotate { id: id.clone(), title: title.clone(), note: note.clone() };
    let mut receipt = match quick(store.execute(annotate))? {
        Ok(receipt) => receipt,
        Err(refused) => return Ok((refused.to_string(), None)),
    };
    if is_done && let Ok(set) = quick(store.execute(SetDone { id, title, done: true }))? {
        receipt = set;
    }
    Ok((note, Some(receipt)))
}

/// Tells that somebody was quicker from all else that can go wrong.
fn quick(
    executed: Result<CommitReceipt, ExecuteError<Refused>>,
) -> Result<Result<CommitReceipt, Refused>, ExecuteError<Refused>> {
    match executed {
        Err(ExecuteError::Refused(refused)) => Ok(Err(refused)),
        other => other.map(Ok),
    }
}
