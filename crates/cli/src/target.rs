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

    /// Tells whether a file holds the store that was named, if one was: a file can be named for one
    /// store and hold another.
    pub(crate) fn check_store(&self, file: &Path, found: &StoreId) -> Result<(), OpenError> {
        match &self.store {
            Some(expected) if found != expected => Err(OpenError::OtherStore {
                path: file.display().to_string(),
                found: found.clone(),
                expected: expected.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Opens one of [`Self::files`].
    pub(crate) fn open(&self, file: &Path) -> Result<Inspector, OpenError> {
        let inspector = Inspector::open_file(file)?;
        self.check_store(file, inspector.store_id())?;
        Ok(inspector)
    }

    /// Opens the one store that is meant.
    pub(crate) fn one(&self) -> Outcome<Inspector> {
        Ok(self.open(&self.file()?)?)
    }
}

/// Opens the one store that a path means.
pub(crate) fn one_store(path: &Path, store: Option<&StoreId>) -> Outcome<Inspector> {
    Target { path: path.to_owned(), store: store.cloned() }.one()
}

fn one<T>(mut all: Vec<T>, path: &Path) -> Outcome<T> {
    match all.len() {
        1 => Ok(all.remove(0)),
        count => {
            Err(format!("{} holds {count} stores; choose one with --store", path.display()).into())
        }
    }
}
