//! Indexes of tables, beyond those that keys and unique columns have anyway.

/// The definition of one index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDef {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    pub(crate) unique: bool,
    pub(crate) filter: Option<String>,
}

impl IndexDef {
    /// Starts an index over columns, the most significant first.
    ///
    /// Its name is the only one of its kind in the schema, over tables and indexes alike.
    pub fn new<C: Into<String>>(
        name: impl Into<String>,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { name: name.into(), columns, unique: false, filter: None }
    }

    /// Refuses two rows with the same values in these columns; null differs from null.
    #[must_use]
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Keeps to the rows for which an SQL expression over the table's columns is true.
    ///
    /// It is held to the same rules as a [`ColumnDef::check`](crate::ColumnDef::check).
    #[must_use]
    pub fn filter(mut self, expression: impl Into<String>) -> Self {
        self.filter = Some(expression.into());
        self
    }

    /// Returns the index's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the names of its columns, the most significant first.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Tells whether it refuses two rows with the same values.
    pub fn is_unique(&self) -> bool {
        self.unique
    }

    /// Returns the SQL expression of the rows that it keeps to.
    pub fn filter_expression(&self) -> Option<&str> {
        self.filter.as_deref()
    }
}
