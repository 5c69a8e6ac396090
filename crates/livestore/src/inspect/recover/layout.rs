//! Where the trees of LiveStore's tables begin.
//!
//! The schema tells. If it is damaged, it still holds that these tables are made in one order when
//! a file is new, so their trees begin on the same pages in every file; and in another order, the
//! same for all again, in a file that SQLite has rewritten, as a backup is.

use std::collections::HashMap;

use livestore_core::{ClientId, StoreId};
use livestore_sqlite::raw::{RawDatabase, TreeKind};
use livestore_sqlite::{Connection, SqliteError};

use crate::inspect::verify::expected_objects;
use crate::replica::format::{self, Meta};

/// A name and the first page of its tree.
type Roots = HashMap<String, u32>;

/// The first pages of the trees, as far as they are known.
#[derive(Debug)]
pub(super) struct Layout {
    roots: Roots,
    /// True if the schema does not tell them all.
    pub(super) is_damaged: bool,
    /// True if the schema has other definitions under our names.
    pub(super) is_other_format: bool,
}

impl Layout {
    pub(super) fn find(raw: &RawDatabase) -> Result<Self, SqliteError> {
        let expected = expected_objects()?;
        let (mut roots, mut is_other_format) = (Roots::new(), false);
        for object in raw.schema() {
            if let Some(sql) = expected.get(&object.name) {
                is_other_format |= object.sql.as_ref() != Some(sql);
                roots.insert(object.name, object.root);
            }
        }
        let is_damaged = roots.len() < expected.len();
        if is_damaged {
            let [new, rewritten] = usual_roots(raw.page_size())?;
            // Whatever the damage, some of the pages tell which of the two it is.
            let score = |usual: &Roots| {
                let fits = |(name, root): &(&String, &u32)| {
                    raw.kind_of(**root).is_some_and(|kind| kind == kind_of(name))
                };
                usual.iter().filter(fits).count()
            };
            let (as_new, as_rewritten) = (score(&new), score(&rewritten));
            let usual = if as_new >= as_rewritten { new } else { rewritten };
            if as_new != as_rewritten {
                for (name, root) in usual {
                    roots.entry(name).or_insert(root);
                }
            }
        }
        Ok(Self { roots, is_damaged, is_other_format })
    }

    /// Returns the first page of a table's or index's tree.
    pub(super) fn root(&self, name: &str) -> Option<u32> {
        self.roots.get(name).copied()
    }
}

fn kind_of(name: &str) -> TreeKind {
    match name {
        "__livestore_meta"
        | "__livestore_eventlog"
        | "__livestore_pending"
        | "__livestore_archive" => TreeKind::Table,
        _ => TreeKind::Index,
    }
}

/// Returns where the trees begin in a new file, and in one that SQLite has rewritten.
///
/// In the latter only the tables' places are the same for all; indexes come after the state tables.
fn usual_roots(page_size: usize) -> Result<[Roots; 2], SqliteError> {
    let template = Connection::open_memory()?;
    template.system().execute_batch(&format!("PRAGMA page_size = {page_size}"))?;
    let (store_id, client_id) = (StoreId::from_random(&[]), ClientId::from_random(&[]));
    format::create(&template, &Meta::new(store_id, client_id, &[]))?;
    let roots = |of: &str| -> Result<Roots, SqliteError> {
        let sql = format!("SELECT name, rootpage FROM sqlite_schema WHERE {of}");
        let roots = template.system().query(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(roots.into_iter().collect())
    };
    let new = roots("rootpage > 0")?;
    template.system().execute_batch("VACUUM")?;
    Ok([new, roots("type = 'table'")?])
}
