//! The window: what is shown, and what the buttons do.

use eframe::egui::{self, Color32, Key, RichText, Ui};
use livestore::prelude::*;
use livestore::{ConnectionState, QueryError, SyncStatus};
use todos::model::{Happened, Todo};

use crate::bind::Bound;

/// Which todos are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    All,
    Open,
    Done,
}

/// The list in a window.
pub struct App {
    store: Store,
    shown: SignalDef<Shown>,
    todos: Bound<LiveQuery<Rows<Todo>>>,
    open: Bound<LiveQuery<u64>>,
    status: Bound<LiveQuery<SyncStatus>>,
    new_title: String,
    /// What went wrong last.
    error: Option<String>,
}

impl App {
    /// Shows a store in a window.
    pub fn new(store: Store, window: &egui::Context) -> Self {
        let shown = signal(Shown::Open);
        let read = shown.clone();
        let todos = query_with(move |cx| {
            let all = Todo::select().order_by(Todo::id);
            Ok(match cx.get(&read)? {
                Shown::All => all,
                Shown::Open => all.filter(Todo::done.eq(false)),
                Shown::Done => all.filter(Todo::done.eq(true)),
            })
        });
        let todos = todos.label("shown");
        let open = Todo::select().filter(Todo::done.eq(false)).count();
        Self {
            todos: Bound::new(store.live(todos), window),
            open: Bound::new(store.live(query_db(open).label("open")), window),
            status: Bound::new(store.live_sync_status(), window),
            shown,
            store,
            new_title: String::new(),
            error: None,
        }
    }

    /// Draws everything.
    pub fn ui(&mut self, ui: &mut Ui) {
        self.header(ui);
        self.new_todo(ui);
        if let Some(error) = &self.error {
            ui.label(RichText::new(error).color(Color32::RED));
        }
        ui.separator();
        self.list(ui);
    }

    fn header(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            let shown = self.store.signal(&self.shown);
            for (which, name) in [(Shown::Open, "Open"), (Shown::Done, "Done"), (Shown::All, "All")]
            {
                if ui.selectable_label(shown.get() == which, name).clicked() {
                    shown.set(which);
                }
            }
            if let Some(open) = self.read(|app| app.open.get()) {
                ui.label(format!("{open} to do"));
            }
            if let Some(status) = self.read(|app| app.status.get()) {
                ui.weak(described(&status));
            }
        });
    }

    fn list(&mut self, ui: &mut Ui) {
        let Some(todos) = self.read(|app| app.todos.get()) else { return };
        let height = ui.text_style_height(&egui::TextStyle::Body).max(ui.spacing().interact_size.y);
        let area = egui::ScrollArea::vertical().auto_shrink(false);
        // Only the rows that can be seen are looked at, however many there are.
        area.show_rows(ui, height, todos.len(), |ui, range| {
            for todo in todos.iter().skip(range.start).take(range.len()) {
                ui.horizontal(|ui| {
                    let mut done = todo.done;
                    if ui.checkbox(&mut done, &todo.title).changed() {
                        self.commit(Happened::Done { id: todo.id.clone(), done });
                    }
                    if ui.small_button("Delete").clicked() {
                        self.commit(Happened::Deleted { id: todo.id.clone() });
                    }
                });
            }
        });
    }

    fn new_todo(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            let label = ui.label("New:");
            let field = ui.text_edit_singleline(&mut self.new_title).labelled_by(label.id);
            let is_entered = field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
            let title = self.new_title.trim();
            if (ui.button("Add").clicked() || is_entered) && !title.is_empty() {
                let title = title.to_owned();
                self.commit(Happened::Added { id: new_id(), title, done: false });
                self.new_title.clear();
                field.request_focus();
            }
        });
    }

    fn commit(&mut self, event: Happened) {
        self.error = self.store.commit(event).err().map(|error| error.to_string());
    }

    fn read<T>(&mut self, read: impl FnOnce(&Self) -> Result<T, QueryError>) -> Option<T> {
        read(self).map_err(|error| self.error = Some(error.to_string())).ok()
    }
}

fn described(status: &SyncStatus) -> String {
    let connection = match &status.connection {
        ConnectionState::Connected => "online",
        ConnectionState::Stopped(_) => "syncing has stopped",
        ConnectionState::NoBackend => "on this machine only",
        _ => "offline",
    };
    match status.pending_events {
        0 => connection.to_owned(),
        pending => format!("{connection}, {pending} to be sent"),
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        egui::CentralPanel::default().show(ui, |ui| self.ui(ui));
    }
}
