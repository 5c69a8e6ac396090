//! Writing to standard output.

use std::error::Error;
use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};

use serde::Serialize;

/// What every command returns.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// Standard output, buffered; call `flush` before it goes.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Writes a value as one line of JSON.
pub(crate) fn json_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Tells whether the reader of our output has gone, as `head` does; that is no failure.
pub(crate) fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
