//! Reading a git repository.

use std::error::Error;
use std::path::Path;

use gix::bstr::ByteSlice;
use gix::object::tree::diff::ChangeDetached;
use livestore::{NewEvent, Store};

use crate::model::{Change, CommitRecorded, FileChanged};

/// Events in one group; a commit that touches more files becomes several.
const GROUP: usize = 1_000;

/// How far an import has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) commits: usize,
    pub(crate) of: usize,
    pub(crate) events: usize,
}

/// Commits the history behind `HEAD` to the store, oldest commit first.
pub(crate) fn import(
    store: &Store,
    repository: &Path,
    mut on_progress: impl FnMut(Progress),
) -> Result<Progress, Box<dyn Error>> {
    let repository = gix::open(repository)?;
    // A repository without a commit has no history to import.
    let Ok(head) = repository.head_id() else { return Ok(Progress::default()) };
    let walk = repository.rev_walk([head.detach()]).all()?;
    let mut ids = walk.map(|info| Ok(info?.id)).collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    ids.reverse();
    let mut progress = Progress { of: ids.len(), ..Progress::default() };
    for id in ids {
        let events = events_of(&repository, id)?;
        for group in events.chunks(GROUP) {
            store.commit(group.to_vec())?;
        }
        progress.commits += 1;
        progress.events += events.len();
        on_progress(progress);
    }
    Ok(progress)
}

fn events_of(
    repository: &gix::Repository,
    id: gix::ObjectId,
) -> Result<Vec<NewEvent>, Box<dyn Error>> {
    let commit = repository.find_commit(id)?;
    let hash = id.to_string();
    let author = commit.author()?;
    let mut events = vec![NewEvent::of(CommitRecorded {
        hash: hash.clone(),
        author: author.name.to_str_lossy().into_owned(),
        time: author.time()?.seconds,
        summary: commit.message()?.summary().to_str_lossy().into_owned(),
    })?];
    let tree = commit.tree()?;
    // A merge counts as what it brought to its first parent.
    let parent = match commit.parent_ids().next() {
        Some(parent) => Some(repository.find_commit(parent)?.tree()?),
        None => None,
    };
    let options = gix::diff::Options::default();
    let changes = repository.diff_tree_to_tree(parent.as_ref(), Some(&tree), Some(options))?;
    for change in changes {
        if change.entry_mode().is_tree() {
            continue;
        }
        let kind = match change {
            ChangeDetached::Addition { .. } => Change::Added,
            ChangeDetached::Deletion { .. } => Change::Deleted,
            ChangeDetached::Modification { .. } | ChangeDetached::Rewrite { .. } => {
                Change::Modified
            }
        };
        let path = change.location().to_str_lossy().into_owned();
        events.push(NewEvent::of(FileChanged { commit: hash.clone(), path, change: kind })?);
    }
    Ok(events)
}
