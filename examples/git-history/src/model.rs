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
