//! What the user does, and what there is to see; without a terminal.

use livestore::prelude::*;
use livestore::{
    ConnectionState, DeadLetter, DeadLetterReason, ExecuteError, QueryError, SyncStatus,
};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use todos::model::{Delete, Happened, Refused, Rename, SetDone, Todo};
use tokio::sync::watch;

/// What keys mean now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They act on the list.
    List,
    /// They write the title of a new todo.
    Adding(String),
    /// They write another title for a todo.
    Renaming { id: String, from: String, title: String },
    /// They go through what did not make it.
    Letters,
}

/// What takes back what the user has done.
#[derive(Debug, Clone)]
enum Inverse {
    Commit(Happened),
    Rename(Rename),
    SetDone(SetDone),
    Delete(Delete),
}

/// The app's state besides the store.
pub(crate) struct App {
    store: Store,
    online: watch::Sender<bool>,
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) cursor: usize,
    /// What the last key has led to, for the user.
    pub(crate) message: String,
    undo: Vec<Inverse>,
    pub(crate) ends: bool,
}

type Failure = Box<dyn std::error::Error>;

impl App {
    pub(crate) fn new(store: Store, online: watch::Sender<bool>, name: &str) -> Self {
        let (mode, name) = (Mode::List, name.to_owned());
        let (message, undo) = (String::new(), Vec::new());
        Self { store, online, name, mode, cursor: 0, message, undo, ends: false }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Reads the todos in their order.
    pub(crate) fn todos(&self) -> Result<Rows<Todo>, QueryError> {
        self.store.query(Todo::select().order_by(Todo::id))
    }

    pub(crate) fn letters(&self) -> Result<Vec<DeadLetter>, QueryError> {
        self.store.dead_letters()
    }

    pub(crate) fn is_online(&self) -> bool {
        *self.online.borrow()
    }

    /// Says in a few words how syncing goes.
    pub(crate) fn connection(&self, status: &SyncStatus) -> String {
        match &status.connection {
            _ if !self.is_online() => "offline (o: go online)".into(),
            ConnectionState::Connected => "online".into(),
            ConnectionState::Connecting => "connecting".into(),
            ConnectionState::Stopped(reason) => format!("stopped: {reason}"),
            _ => "not reachable".into(),
        }
    }

    /// Takes a key; whatever goes wrong is shown.
    pub(crate) fn key(&mut self, key: KeyEvent) {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            self.ends = true;
            return;
        }
        self.message.clear();
        let done = match std::mem::replace(&mut self.mode, Mode::List) {
            Mode::List => self.list_key(key.code),
            Mode::Adding(title) => self.adding_key(key.code, title),
            Mode::Renaming { id, from, title } => self.renaming_key(key.code, id, from, title),
            Mode::Letters => self.letters_key(key.code),
        };
        if let Err(error) = done {
            self.message = error.to_string();
        }
    }

    fn list_key(&mut self, code: KeyCode) -> Result<(), Failure> {
        let todos = self.todos()?;
        self.cursor = self.cursor.min(todos.len().saturating_sub(1));
        let chosen = todos.get(self.cursor).map(|todo| Todo::clone(todo));
        match (code, chosen) {
            (KeyCode::Char('q') | KeyCode::Esc, _) => self.ends = true,
            (KeyCode::Char('a'), _) => self.mode = Mode::Adding(String::new()),
            (KeyCode::Char('x'), _) => self.open_letters()?,
            (KeyCode::Char('o'), _) => {
                self.online.send_modify(|is_on| *is_on = !*is_on);
                self.store.retry_now()?;
            }
            (KeyCode::Char('u'), _) => self.undo()?,
            (KeyCode::Up | KeyCode::Char('k'), _) => self.cursor = self.cursor.saturating_sub(1),
            (KeyCode::Down | KeyCode::Char('j'), Some(_)) => {
                self.cursor = (self.cursor + 1).min(todos.len() - 1);
            }
            (KeyCode::Char('e') | KeyCode::Enter, Some(Todo { id, title, .. })) => {
                self.mode = Mode::Renaming { id, from: title.clone(), title };
            }
            (KeyCode::Char(' '), Some(Todo { id, title, done, .. })) => {
                let set = |done| SetDone { id: id.clone(), title: title.clone(), done };
                self.store.execute(set(!done))?;
                self.undo.push(Inverse::SetDone(set(done)));
            }
            (KeyCode::Char('d'), Some(Todo { id, title, done, .. })) => {
                self.store.execute(Delete { id: id.clone(), title: title.clone() })?;
                self.undo.push(Inverse::Commit(Happened::Added { id, title, done }));
            }
            _ => {}
        }
        Ok(())
    }

    fn adding_key(&mut self, code: KeyCode, mut title: String) -> Result<(), Failure> {
        match code {
            KeyCode::Enter if !title.trim().is_empty() => {
                let (id, title) = (new_id(), title.trim().to_owned());
                let added = Happened::Added { id: id.clone(), title: title.clone(), done: false };
                self.store.commit(added)?;
                self.undo.push(Inverse::Delete(Delete { id, title }));
                self.cursor = self.todos()?.len().saturating_sub(1);
            }
            KeyCode::Esc | KeyCode::Enter => {}
            other => {
                write(&mut title, other);
                self.mode = Mode::Adding(title);
            }
        }
        Ok(())
    }

    fn renaming_key(
        &mut self,
        code: KeyCode,
        id: String,
        from: String,
        mut title: String,
    ) -> Result<(), Failure> {
        match code {
            KeyCode::Enter if !title.trim().is_empty() && title.trim() != from => {
                let to = title.trim().to_owned();
                let rename = |from: &str, to: &str| Rename {
                    id: id.clone(),
                    from: from.into(),
                    to: to.into(),
                };
                self.store.execute(rename(&from, &to))?;
                self.undo.push(Inverse::Rename(rename(&to, &from)));
            }
            KeyCode::Esc | KeyCode::Enter => {}
            other => {
                write(&mut title, other);
                self.mode = Mode::Renaming { id, from, title };
            }
        }
        Ok(())
    }

    /// Takes back the last thing that the user has done here, by an event that undoes it.
    fn undo(&mut self) -> Result<(), Failure> {
        let Some(inverse) = self.undo.pop() else {
            self.message = "there is nothing to undo".into();
            return Ok(());
        };
        match inverse {
            Inverse::Commit(event) => drop(self.store.commit(event)?),
            Inverse::Rename(rename) => drop(self.store.execute(rename)?),
            Inverse::SetDone(set) => drop(self.store.execute(set)?),
            Inverse::Delete(delete) => drop(self.store.execute(delete)?),
        }
        Ok(())
    }

    fn open_letters(&mut self) -> Result<(), Failure> {
        if self.letters()?.is_empty() {
            self.message = "everything has made it".into();
        } else {
            self.mode = Mode::Letters;
        }
        Ok(())
    }

    fn letters_key(&mut self, code: KeyCode) -> Result<(), Failure> {
        let letters = self.letters()?;
        let Some(oldest) = letters.first() else { return Ok(()) };
        match code {
            KeyCode::Char('r') => match self.store.retry_dead_letter(oldest.group.id()) {
                Ok(_) => self.message = "done again".into(),
                Err(ExecuteError::Failed(failure)) => {
                    self.message = format!("still not possible: {failure}");
                }
                Err(error) => return Err(error.into()),
            },
            KeyCode::Char('f') => {
                self.store.acknowledge_dead_letter(oldest.group.id())?;
            }
            KeyCode::Esc | KeyCode::Char('q' | 'x') => return Ok(()),
            _ => {}
        }
        if !self.letters()?.is_empty() {
            self.mode = Mode::Letters;
        }
        Ok(())
    }
}

/// Says why something did not make it.
pub(crate) fn why(letter: &DeadLetter) -> String {
    match &letter.reason {
        DeadLetterReason::CommandFailed { failure } => failure
            .refusal::<Refused>()
            .map_or_else(|| failure.to_string(), |refused| refused.to_string()),
        other => other.to_string(),
    }
}

/// Writes a character, or takes the last one away.
fn write(text: &mut String, code: KeyCode) {
    match code {
        KeyCode::Char(character) => text.push(character),
        KeyCode::Backspace => drop(text.pop()),
        _ => {}
    }
}
