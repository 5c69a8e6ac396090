//! Comparing what a query found with what was expected of it.

use std::fmt::{self, Debug};
use std::sync::Arc;

use livestore::Rows;
use similar::{ChangeTag, TextDiff};

/// What is expected of a query whose output is `Found`.
///
/// A value expects itself; a list of values expects rows that hold them, in this order; an
/// `Option` or a value expects one shared row; of no row say which: `None::<Todo>`.
pub trait Expect<Found> {
    /// Compares; `None` if what was found is as expected.
    fn differs_from(&self, found: &Found) -> Option<Difference>;
}

/// What was expected and what was found, as text. Its display form shows both, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl Difference {
    /// Compares two values that are shown alike.
    fn between<E: PartialEq<F> + Debug + ?Sized, F: Debug + ?Sized>(
        expected: &E,
        found: &F,
    ) -> Option<Self> {
        let shown = || Self { expected: format!("{expected:#?}"), found: format!("{found:#?}") };
        (expected != found).then(shown)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "- expected")?;
        write!(f, "+ found")?;
        for change in TextDiff::from_lines(&self.expected, &self.found).iter_all_changes() {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            write!(f, "\n{sign} {}", change.value().trim_end_matches('\n'))?;
        }
        Ok(())
    }
}

impl<T: PartialEq + Debug> Expect<T> for T {
    fn differs_from(&self, found: &T) -> Option<Difference> {
        Difference::between(self, found)
    }
}

impl<T: PartialEq + Debug> Expect<Arc<T>> for T {
    fn differs_from(&self, found: &Arc<T>) -> Option<Difference> {
        Difference::between(self, &**found)
    }
}

impl<T: PartialEq + Debug> Expect<Option<Arc<T>>> for Option<T> {
    fn differs_from(&self, found: &Option<Arc<T>>) -> Option<Difference> {
        Difference::between(&self.as_ref(), &found.as_deref())
    }
}

impl<T: PartialEq + Debug> Expect<Rows<T>> for Vec<T> {
    fn differs_from(&self, found: &Rows<T>) -> Option<Difference> {
        rows(self, found)
    }
}

impl<T: PartialEq + Debug, const N: usize> Expect<Rows<T>> for [T; N] {
    fn differs_from(&self, found: &Rows<T>) -> Option<Difference> {
        rows(self, found)
    }
}

fn rows<T: PartialEq + Debug>(expected: &[T], found: &Rows<T>) -> Option<Difference> {
    let expected: Vec<&T> = expected.iter().collect();
    let found: Vec<&T> = found.iter().map(|row| &**row).collect();
    Difference::between(&expected, &found)
}
