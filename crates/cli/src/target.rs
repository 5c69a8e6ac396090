//! Which store a command is about.

use std::path::{Path, PathBuf};

use livestore::inspect::{Inspector, store_file, stores_in};
use livestore::{OpenError, StoreId};

use crate::output::Outcome;

/// The store's place on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// Folder of an app's stores, or a .livestore file
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// The store, if the folder holds several
    #[arg(long, value_name = "ID")]
    store: Option<StoreId>,
}

impl Target {
    /// Returns the store that was named.
    pub(crate) fn store(&self) -> Option<&StoreId> {
        self.store.as_ref()
    }

    /// Lists the files of all stores that are meant; they may be missing or damaged.
    pub(crate) fn files(&self) -> Outcome<Vec<PathBuf>> {
        if self.path.is_file() {
            return Ok(vec![self.path.clone()]);
        }
        if let Some(store) = &self.store {
            return Ok(vec![store_file(&self.path, store)]);
        }
        let files = stores_in(&self.path)?;
        if files.is_empty() {
            return Err(format!("{} holds no .livestore file", self.path.display()).into());
        }
        Ok(files)
    }

    /// Returns the file of the one store that is meant.
    pub(crate) fn file(&self) -> Outcome<PathBuf> {
        one(self.files()?, &self.path)
    }

    /// Opens all stores that are meant.
    pub(crate) fn all(&self) -> Outcome<Vec<Inspector>> {
        let open = |file: &PathBuf| {
            let inspector = Inspector::open_file(file)?;
            // A file can be named for one store and hold another.
            match &self.store {
                Some(expected) if inspector.store_id() != expected => Err(OpenError::OtherStore {
                    path: file.display().to_string(),
                    found: inspector.store_id().clone(),
                    expected: expected.clone(),
                }),
                _ => Ok(inspector),
            }
        };
        Ok(self.files()?.iter().map(open).collect::<Result<Vec<_>, OpenError>>()?)
    }

    /// Opens the one store that is meant.
    pub(crate) fn one(&self) -> Outcome<Inspector> {
        one(self.all()?, &self.path)
    }
}

fn one<T>(mut all: Vec<T>, path: &Path) -> Outcome<T> {
    match all.len() {
        1 => Ok(all.remove(0)),
        count => {
            Err(format!("{} holds {count} stores; choose one with --store", path.display()).into())
        }
    }
}
