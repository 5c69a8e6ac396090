//! A table of rows that come one after the other.
//!
//! The first rows are held back to find out how wide the columns are; those after them are written
//! at once, and stick out if they are wider.

use std::io::{self, Write};

use livestore::Value;
use unicode_width::UnicodeWidthChar;

use crate::state::{Format, hex, real};

/// Rows and bytes that are held back at most.
const HELD_ROWS: usize = 100;
const HELD_BYTES: usize = 1 << 20;

/// Columns of a terminal that a cut cell takes at most.
const CUT_WIDTH: usize = 60;

/// Bytes of a blob that are enough to fill a cut cell.
const CUT_BLOB: usize = CUT_WIDTH;

/// Rows as text in columns.
pub(crate) struct Table {
    cuts: bool,
    widths: Vec<usize>,
    held: Option<Vec<Vec<Cell>>>,
    held_bytes: usize,
}

struct Cell {
    text: String,
    width: usize,
    is_number: bool,
}

impl Table {
    /// Starts a table with the columns' names; long cells may be cut.
    pub(crate) fn new(names: Vec<String>, cuts: bool) -> Self {
        let header: Vec<_> = names.iter().map(|name| Cell::new(name, false, cuts)).collect();
        Self { cuts, widths: Vec::new(), held: Some(vec![header]), held_bytes: 0 }
    }

    fn release(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some(held) = self.held.take() else { return Ok(()) };
        let columns = held.first().map_or(0, Vec::len);
        if columns == 0 {
            return Ok(());
        }
        let widest = |column: usize| held.iter().map(|row: &Vec<Cell>| row[column].width).max();
        self.widths = (0..columns).map(|column| widest(column).unwrap_or(0)).collect();
        held.iter().try_for_each(|row| self.line(out, row))
    }

    fn line(&self, out: &mut dyn Write, row: &[Cell]) -> io::Result<()> {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&self.widths) {
            let fill = " ".repeat(width.saturating_sub(cell.width));
            let (before, after) = if cell.is_number { (&*fill, "") } else { ("", &*fill) };
            line.extend([before, &cell.text, after, "  "]);
        }
        writeln!(out, "{}", line.trim_end_matches(' '))
    }
}

impl Format for Table {
    fn row(&mut self, out: &mut dyn Write, row: &[Value]) -> io::Result<()> {
        let row: Vec<_> = row.iter().map(|value| Cell::of(value, self.cuts)).collect();
        let Some(held) = &mut self.held else { return self.line(out, &row) };
        self.held_bytes += row.iter().map(|cell| cell.text.len()).sum::<usize>();
        held.push(row);
        if held.len() > HELD_ROWS || self.held_bytes > HELD_BYTES {
            self.release(out)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.release(out)
    }
}

impl Cell {
    fn of(value: &Value, cuts: bool) -> Self {
        match value {
            Value::Null => Self::new("NULL", false, cuts),
            Value::Integer(value) => Self::new(&value.to_string(), true, cuts),
            Value::Real(value) => Self::new(&real(*value), true, cuts),
            Value::Text(text) => Self::new(text, false, cuts),
            Value::Blob(bytes) => {
                let shown = if cuts { &bytes[..bytes.len().min(CUT_BLOB)] } else { bytes };
                Self::new(&format!("x'{}'", hex(shown)), false, cuts)
            }
        }
    }

    fn new(text: &str, is_number: bool, cuts: bool) -> Self {
        let (mut shown, mut width) = (String::new(), 0);
        // Where a cell would be cut, and how wide it is there.
        let mut cut = (0, 0);
        for letter in text.chars() {
            if letter.is_control() {
                // A value must not command the terminal.
                let escaped = letter.escape_default();
                width += escaped.len();
                shown.extend(escaped);
            } else {
                width += letter.width().unwrap_or(0);
                shown.push(letter);
            }
            if width < CUT_WIDTH {
                cut = (shown.len(), width);
            }
            if cuts && width > CUT_WIDTH {
                shown.truncate(cut.0);
                shown.push('…');
                return Self { text: shown, width: cut.1 + 1, is_number };
            }
        }
        Self { text: shown, width, is_number }
    }
}

#[cfg(test)]
mod tests {
    use livestore::Value;

    use super::{CUT_WIDTH, Cell, HELD_ROWS, Table};
    use crate::state::Format;

    fn cut(text: &str) -> (String, usize) {
        let cell = Cell::new(text, false, true);
        (cell.text, cell.width)
    }

    #[test]
    fn long_cells_are_cut_by_what_they_take_on_a_terminal() {
        let whole = "a".repeat(CUT_WIDTH);
        assert_eq!(cut(&whole), (whole.clone(), CUT_WIDTH));
        assert_eq!(cut(&format!("{whole}b")), (format!("{}…", &whole[1..]), CUT_WIDTH));
        // Two columns each: the cut one ends a column before the limit or at it.
        let (text, width) = cut(&"牛".repeat(CUT_WIDTH));
        assert_eq!((text.chars().count(), width), (CUT_WIDTH / 2, CUT_WIDTH - 1));
        let (text, _) = cut(&"\u{1b}[2J".repeat(CUT_WIDTH));
        assert!(!text.contains('\u{1b}') && text.ends_with('…'), "{text}");
        let blob = Cell::of(&Value::Blob(vec![0xab; 1_000].into()), true);
        assert!(blob.text.starts_with("x'abab") && blob.width == CUT_WIDTH, "{}", blob.text);
    }

    #[test]
    fn rows_are_written_as_they_come_once_the_widths_are_known() {
        let mut table = Table::new(vec!["n".into()], false);
        let mut out = Vec::new();
        for number in 0..HELD_ROWS as i64 {
            assert!(out.is_empty(), "after {number} rows");
            table.row(&mut out, &[Value::Integer(number)]).unwrap();
        }
        assert_eq!(out.split(|byte| *byte == b'\n').count(), HELD_ROWS + 2);
        let before = out.len();
        table.row(&mut out, &[Value::Integer(12_345)]).unwrap();
        assert_eq!(&out[before..], b"12345\n");
    }
}
