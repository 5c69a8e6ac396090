//! The app's events, tables and materializers.

use livestore::prelude::*;
use livestore::{MaterializerContext, SchemaError};
use serde::{Deserialize, Serialize};

/// A commit of the repository.
#[derive(Event, Debug, Serialize, Deserialize)]
#[event(name = "v1.CommitRecorded")]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitRecorded {
    pub(crate) hash: String,
    pub(crate) author: String,
    /// Seconds since 1970.
    pub(crate) time: i64,
    pub(crate) summary: String,
}

/// A file that a commit touched.
#[derive(Event, Debug, Serialize, Deserialize)]
#[event(name = "v1.FileChanged")]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileChanged {
    pub(crate) commit: String,
    pub(crate) path: String,
    pub(crate) change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// Somebody says who looks after a file; the last one in the log's order is right.
#[derive(Event, Debug, Serialize, Deserialize)]
#[event(name = "v1.OwnerSet")]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnerSet {
    pub(crate) path: String,
    pub(crate) owner: String,
}

/// Somebody writes something about a file.
#[derive(Event, Debug, Serialize, Deserialize)]
#[event(name = "v1.NoteWritten")]
#[serde(rename_all = "camelCase")]
pub(crate) struct NoteWritten {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) text: String,
}

#[derive(Table, Debug, Clone, PartialEq)]
#[table(name = "commits")]
pub(crate) struct Commit {
    #[column(primary_key)]
    pub(crate) hash: String,
    pub(crate) author: String,
    pub(crate) time: i64,
    pub(crate) summary: String,
}

#[derive(Table, Debug, Clone, PartialEq)]
#[table(name = "files")]
pub(crate) struct File {
    #[column(primary_key)]
    pub(crate) path: String,
    pub(crate) changes: i64,
    #[column(default = false)]
    pub(crate) deleted: bool,
    pub(crate) last_commit: Option<String>,
    pub(crate) owner: Option<String>,
}

#[derive(Table, Debug, Clone, PartialEq)]
#[table(name = "notes")]
pub(crate) struct Note {
    #[column(primary_key)]
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) text: String,
    /// How many notes the file had before; depends on the order, as a test of rebasing.
    pub(crate) number: i64,
}

pub(crate) fn schema() -> Result<Schema, SchemaError> {
    Schema::builder()
        .table::<Commit>()
        .table::<File>()
        .table::<Note>()
        .event(|e: CommitRecorded, _| {
            // Importing the same repository twice is harmless.
            let CommitRecorded { hash, author, time, summary } = e;
            Commit::insert(Commit { hash, author, time, summary }).or_ignore()
        })
        .event(|e: FileChanged, cx| {
            let known = file(cx, &e.path)?;
            let changes = known.as_ref().map_or(0, |file| file.changes) + 1;
            let owner = known.and_then(|file| file.owner);
            let deleted = e.change == Change::Deleted;
            let last_commit = Some(e.commit);
            let row = File { path: e.path, changes, deleted, last_commit, owner };
            Ok::<_, MaterializeError>(File::insert(row).or_replace())
        })
        .event(|e: OwnerSet, _| {
            File::update().set(File::owner, e.owner).filter(File::path.eq(e.path))
        })
        .event(|e: NoteWritten, cx| {
            let before = cx.query(&Note::select().filter(Note::path.eq(&e.path)).count())?;
            let NoteWritten { id, path, text } = e;
            let note = Note { id, path, text, number: before.cast_signed() };
            Ok::<_, MaterializeError>(Note::insert(note))
        })
        .build()
}

fn file(cx: &MaterializerContext<'_>, path: &str) -> Result<Option<File>, MaterializeError> {
    let found = cx.query(&File::select().filter(File::path.eq(path)).first())?;
    Ok(found.map(|file| File::clone(&file)))
}

#[cfg(test)]
mod tests {
    use livestore::prelude::*;
    use livestore_testing::{TestBackend, given, sequence};

    use super::{Change, File, FileChanged, Note, NoteWritten, OwnerSet, schema};

    fn changed(change: Change) -> FileChanged {
        FileChanged { commit: "c1".into(), path: "a.rs".into(), change }
    }

    #[test]
    fn a_file_keeps_its_owner_when_it_is_deleted() {
        given(schema().unwrap())
            .events(changed(Change::Added))
            .events(OwnerSet { path: "a.rs".into(), owner: "Ada".into() })
            .when(|store| store.commit(changed(Change::Deleted)))
            .then(
                File::select(),
                [File {
                    path: "a.rs".into(),
                    changes: 2,
                    deleted: true,
                    last_commit: Some("c1".into()),
                    owner: Some("Ada".into()),
                }],
            );
    }

    #[test]
    fn notes_of_two_clients_are_numbered_in_one_order() {
        let backend = TestBackend::new();
        let a = backend.client(schema().unwrap());
        let b = backend.client(schema().unwrap());
        let mut notes =
            sequence(|n| NoteWritten { id: n.id(), path: "a.rs".into(), text: String::new() });
        a.go_offline();
        a.commit(notes.many(2)).unwrap();
        b.commit(notes.many(2)).unwrap();
        backend.settle();
        a.go_online();
        backend.settle();
        let numbers = |store: &Store| {
            let notes = store.query(Note::select().order_by(Note::id)).unwrap();
            notes.iter().map(|note| note.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&a), [2, 3, 0, 1]);
        assert_eq!(numbers(&b), [2, 3, 0, 1]);
    }
}
