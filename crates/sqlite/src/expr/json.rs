//! Parts of JSON columns.

use super::{Column, Expr, Operand};
use crate::query::{Contains, Source};
use crate::{Json, ast};

fn path<S, W>(json: ast::Expr, path: String) -> Expr<S, Option<W>> {
    Expr::new(ast::Expr::Path { json: json.into(), path })
}

impl<T: Source, V> Column<T, V> {
    /// The part of the JSON at a path such as `$.address.street` or `$.tags[0]`; null if there is
    /// none.
    ///
    /// Texts, numbers and booleans are read as such; an array or object as its JSON text. The type
    /// follows from what it is compared with, or is named: `path::<String>("$.city")`. In a query
    /// over several tables, [`lift`](Expr::lift) it.
    pub fn path<W>(self, path: impl Into<String>) -> Expr<T, Option<W>> {
        self::path(self.into_ast(), path.into())
    }
}

impl<S, V> Expr<S, V> {
    /// The part of the JSON at a path, see [`Column::path`].
    pub fn path<W>(self, path: impl Into<String>) -> Expr<S, Option<W>> {
        self::path(self.into_ast(), path.into())
    }
}

macro_rules! arrays {
    ($($array:ty),*) => {$(
        impl<T: Source, E> Column<T, $array> {
            /// Holds where the JSON array has such an element.
            ///
            /// To SQLite, true is the number 1 and false 0.
            pub fn contains<S: Contains<T, I>, I, J>(
                self,
                element: impl Operand<S, E, J>,
            ) -> Expr<S> {
                let element = element.into_operand(self.name()).into();
                Expr::new(ast::Expr::Contains { json: self.into_ast().into(), element })
            }
        }
    )*};
}
arrays!(Json<Vec<E>>, Option<Json<Vec<E>>>);
