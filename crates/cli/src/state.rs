//! `livestore state`

use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use livestore::{RowCursor, Sql, SqliteError, Value};
use serde::{Serialize, Serializer};

use crate::output::{Outcome, json_line, stdout};
use crate::progress::{ended_by_ctrl_c, interrupted};
use crate::table::Table;
use crate::target::Target;

/// Read the state of a store with SQL, also while an app uses it.
///
/// All tables of the app can be read but memory tables, which are in no file. Nothing can be
/// written, and LiveStore's own tables cannot be read: `livestore log` and `livestore status` show
/// what is in them. The rows are of one moment, and are printed as they are found.
///
/// A table cuts long values if it goes to a terminal, and shows control characters as escapes. In
/// JSON, one object a line, blobs are hexadecimal text, and of columns with the same name the
/// second is `name_2`. In CSV, NULL is nothing at all and an empty text is "".
///
/// Exit code: 0 if all rows were printed, 1 if not, 130 if it was interrupted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// One SQL query
    #[arg(value_name = "SQL")]
    sql: String,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values, with the columns' names in the first line
    #[arg(long)]
    csv: bool,
    /// End the query after this time; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let store = args.target.one()?;
    if store.status()?.is_rebuilding {
        eprintln!("note: the state is not all derived; open the app to go on with that");
    }
    let (progress, start) = (ended_by_ctrl_c(), Instant::now());
    let at_most = (args.timeout > 0).then(|| Duration::from_secs(args.timeout));
    let is_late = move || at_most.is_some_and(|at_most| start.elapsed() >= at_most);
    let ends = {
        let progress = progress.clone();
        move || progress.is_cancelled() || is_late()
    };
    store.interrupt_when(ends.clone());

    let mut out = stdout();
    let mut written = Ok(true);
    let read = store.rows(&Sql::new(&args.sql), |rows| {
        written = if args.json {
            write(&mut out, rows, Json::new, &ends)
        } else if args.csv {
            write(&mut out, rows, Csv::new, &ends)
        } else {
            let cuts = io::stdout().is_terminal();
            write(&mut out, rows, |names| Table::new(names, cuts), &ends)
        }?;
        Ok(())
    });
    // What was found before anything went wrong is shown.
    out.flush()?;
    let is_whole = read.is_ok() && written?;
    if is_whole {
        return Ok(ExitCode::SUCCESS);
    }
    if progress.is_cancelled() {
        return Ok(interrupted("what was printed is not all"));
    }
    if is_late() {
        let seconds = args.timeout;
        let message = format!(
            "the query was ended after {seconds} s; what was printed is not all. \
             Make it simpler, or give it more time with --timeout"
        );
        return Err(message.into());
    }
    read?;
    Ok(ExitCode::SUCCESS)
}

/// How rows are written.
pub(crate) trait Format {
    /// Takes one row.
    fn row(&mut self, out: &mut dyn Write, row: &[Value]) -> io::Result<()>;

    /// Writes what is still held back.
    fn end(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// Writes all rows; tells whether it came to their end. The outer error is the database's.
fn write<F: Format>(
    out: &mut dyn Write,
    mut rows: RowCursor<'_>,
    format: impl FnOnce(Vec<String>) -> F,
    ends: &impl Fn() -> bool,
) -> Result<io::Result<bool>, SqliteError> {
    let names: Vec<String> = rows.column_names().iter().map(ToString::to_string).collect();
    let columns = names.len();
    let mut format = format(names);
    let (mut is_whole, mut failed, mut values) = (true, None, Vec::with_capacity(columns));
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        values.clear();
        values.extend((0..columns).map(|index| row.value(index)));
        if let Err(error) = format.row(out, &values) {
            return Ok(Err(error));
        }
        if ends() {
            is_whole = false;
            break;
        }
    }
    let ended = format.end(out);
    failed.map_or(Ok(ended.map(|()| is_whole)), Err)
}

/// One object a line.
struct Json(Vec<String>);

impl Json {
    fn new(names: Vec<String>) -> Self {
        let mut taken = HashSet::new();
        let unique = |name: String| {
            let mut unique = name.clone();
            let mut number = 1;
            while !taken.insert(unique.clone()) {
                number += 1;
                unique = format!("{name}_{number}");
            }
            unique
        };
        Self(names.into_iter().map(unique).collect())
    }
}

impl Format for Json {
    fn row(&mut self, mut out: &mut dyn Write, row: &[Value]) -> io::Result<()> {
        json_line(&mut out, &Object { names: &self.0, row })
    }

    fn end(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

struct Object<'a> {
    names: &'a [String],
    row: &'a [Value],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.names.iter().zip(self.row.iter().map(Cell)))
    }
}

struct Cell<'a>(&'a Value);

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Integer(value) => serializer.serialize_i64(*value),
            // JSON has no infinity.
            Value::Real(value) if value.is_finite() => serializer.serialize_f64(*value),
            Value::Real(value) => serializer.serialize_str(infinity(*value)),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Blob(bytes) => serializer.serialize_str(&hex(bytes)),
        }
    }
}

/// Comma-separated values as in RFC 4180, but for lines that end as lines do.
struct Csv {
    /// Written before the first row, or at the end if there is none.
    names: Vec<String>,
}

impl Csv {
    fn new(names: Vec<String>) -> Self {
        Self { names }
    }

    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.names.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = std::mem::take(&mut self.names).iter().map(|n| quoted(n)).collect();
        writeln!(out, "{}", names.join(","))
    }
}

impl Format for Csv {
    fn row(&mut self, out: &mut dyn Write, row: &[Value]) -> io::Result<()> {
        self.header(out)?;
        for (index, value) in row.iter().enumerate() {
            if index > 0 {
                out.write_all(b",")?;
            }
            match value {
                Value::Null => {}
                Value::Integer(value) => write!(out, "{value}")?,
                Value::Real(value) => write!(out, "{}", real(*value))?,
                Value::Text(text) => write!(out, "{}", quoted(text))?,
                Value::Blob(bytes) => write!(out, "{}", hex(bytes))?,
            }
        }
        out.write_all(b"\n")
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.header(out)
    }
}

fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains([',', '"', '\n', '\r']);
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// Writes a real so that it cannot be taken for an integer.
pub(crate) fn real(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { infinity(value).to_owned() }
}

fn infinity(value: f64) -> &'static str {
    // SQLite stores no NaN.
    if value < 0.0 { "-Infinity" } else { "Infinity" }
}

/// Writes bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
