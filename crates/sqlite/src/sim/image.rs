//! A copy of a whole disk.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A copy of all files of a disk, as processes saw them at one moment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Image {
    files: BTreeMap<Box<str>, Arc<[u8]>>,
}

impl Image {
    pub(super) fn new<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        Self { files: files.map(|(name, content)| (name.into(), content.into())).collect() }
    }

    /// Walks over the files in the order of their names, each with its content.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, content)| (&**name, &**content))
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = self.files().map(|(name, content)| (name, content.len()));
        f.debug_map().entries(sizes).finish()
    }
}
