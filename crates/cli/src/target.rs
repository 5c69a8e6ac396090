//! Which store a command is about.

use std::path::{Path, PathBuf};

use livestore::inspect::{Inspector, stores_in};
use livestore::{OpenError, StoreId};

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
    /// Opens all stores that are meant.
    pub(crate) fn all(&self) -> Result<Vec<Inspector>, Box<dyn std::error::Error>> {
        if let Some(store) = &self.store {
            return Ok(vec![Inspector::open(&self.path, store)?]);
        }
        if self.path.is_file() {
            return Ok(vec![Inspector::open_file(&self.path)?]);
        }
        let files = stores_in(&self.path)?;
        if files.is_empty() {
            return Err(format!("{} holds no .livestore file", self.path.display()).into());
        }
        let open = |file: &PathBuf| Inspector::open_file(file);
        Ok(files.iter().map(open).collect::<Result<Vec<_>, OpenError>>()?)
    }

    /// Opens the one store that is meant.
    pub(crate) fn one(&self) -> Result<Inspector, Box<dyn std::error::Error>> {
        let mut all = self.all()?;
        match all.len() {
            1 => Ok(all.remove(0)),
            count => {
                let path = Path::display(&self.path);
                Err(format!("{path} holds {count} stores; choose one with --store").into())
            }
        }
    }
}
