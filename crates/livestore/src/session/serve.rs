//! Serving sessions that follow a store: a conversation with each, on whatever stream it has come.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use livestore_sqlite::{Connection, SqliteError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::error::LinkError;
use super::io::LinkStream;
use super::leader_end::{Heard, LeaderEnd};
use crate::Schema;
use crate::replica::read_rows;
use crate::store::Inner;

/// How long a session may take to say what it wants, or to take the next rows.
///
/// The leader's file cannot be tidied up while rows of one moment are read from it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Chunks of rows that are read ahead.
const ROWS_AHEAD: usize = 2;

/// Rows of the state with the number of their transfer, or why they could not be read.
type Row = Result<(u16, Vec<u8>), SqliteError>;

/// Speaks with a session until either end is gone; one too many is told so.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite>(
    stream: S,
    store: Weak<Inner>,
    file: Arc<Path>,
    output: watch::Receiver<()>,
    is_full: bool,
) -> Result<(), LinkError> {
    let stream = LinkStream::new(stream);
    let end = LeaderEnd::new(is_full);
    let deadline = Some(Instant::now() + PATIENCE);
    let mut serve = Serve { stream, end, store, file, rows: None, reader: None, deadline };
    let served = serve.until_the_end(output).await;
    // The file is not this process's any more once the driver has come to its end.
    serve.rows = None;
    if let Some(reader) = serve.reader.take() {
        let _ = reader.await;
    }
    served
}

struct Serve<S> {
    stream: LinkStream<S>,
    end: LeaderEnd,
    store: Weak<Inner>,
    file: Arc<Path>,
    /// Rows that are still to be sent.
    rows: Option<mpsc::Receiver<Row>>,
    reader: Option<JoinHandle<()>>,
    deadline: Option<Instant>,
}

/// A session loses its place when the conversation ends, however that is.
impl<S> Drop for Serve<S> {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            let _ = store.write(|replica| self.end.leave(replica));
        }
    }
}

impl<S: AsyncRead + AsyncWrite> Serve<S> {
    async fn until_the_end(&mut self, mut output: watch::Receiver<()>) -> Result<(), LinkError> {
        loop {
            output.mark_unchanged();
            self.take_in()?;
            self.hand_out()?;
            let takes_rows = self.end.takes_rows();
            let deadline = self.deadline;
            tokio::select! {
                turned = self.stream.turn(self.end.wire()) => turned?,
                changed = output.changed() => changed.map_err(|_| LinkError::Closed)?,
                row = next_of(&mut self.rows), if takes_rows => self.send_row(row)?,
                () = until(deadline) => return Err(LinkError::failed("it takes too long")),
            }
        }
    }

    fn store(&self) -> Result<Arc<Inner>, LinkError> {
        self.store.upgrade().ok_or(LinkError::Closed)
    }

    /// Takes everything that has come.
    fn take_in(&mut self) -> Result<(), LinkError> {
        loop {
            let store = self.store()?;
            let now_ms = store.now_ms();
            let (file, schema, end) = (&self.file, store.schema(), &mut self.end);
            let heard = store
                .write(|replica| end.hear(replica, now_ms, |_| snapshot(file, schema)))
                .map_err(|_| LinkError::Closed)??;
            match heard {
                None => return Ok(()),
                Some(Heard::Done) => store.wake_driver(),
                Some(Heard::Follows(snapshot)) => self.read_rows(snapshot),
            }
        }
    }

    /// Begins to read the rows of the state for the session.
    fn read_rows(&mut self, snapshot: Connection) {
        let (sender, rows) = mpsc::channel(ROWS_AHEAD);
        self.reader = Some(tokio::task::spawn_blocking(move || {
            let read = read_rows(&snapshot, |transfer, rows| {
                sender.blocking_send(Ok((transfer, rows))).map_err(|_| Unread::Gone)
            });
            if let Err(Unread::Failed(error)) = read {
                // If nobody takes rows any more, nobody takes this.
                let _ = sender.blocking_send(Err(error));
            }
        }));
        self.rows = Some(rows);
        self.deadline = Some(Instant::now() + PATIENCE);
    }

    fn send_row(&mut self, row: Option<Row>) -> Result<(), LinkError> {
        let rows = row.transpose().map_err(LinkError::failed)?;
        if rows.is_some() {
            self.deadline = Some(Instant::now() + PATIENCE);
        } else {
            (self.rows, self.deadline) = (None, None);
        }
        self.end.send_rows(rows);
        Ok(())
    }

    /// Hands out what the replica has for the session.
    fn hand_out(&mut self) -> Result<(), LinkError> {
        if self.end.waits_for_hello() {
            return Ok(());
        }
        let store = self.store()?;
        store.write(|replica| self.end.hand_out(replica)).map_err(|_| LinkError::Closed)?;
        if self.end.waits_for_hello() {
            self.deadline = Some(Instant::now() + PATIENCE);
        }
        Ok(())
    }
}

/// Why rows are not read to their end.
enum Unread {
    /// Nobody takes them any more.
    Gone,
    Failed(SqliteError),
}

impl From<SqliteError> for Unread {
    fn from(error: SqliteError) -> Self {
        Self::Failed(error)
    }
}

/// Opens a store's file such that it is seen as it is now, whatever is written to it.
fn snapshot(file: &Path, schema: &Schema) -> Result<Connection, SqliteError> {
    let mut snapshot = Connection::open_read_only(file)?;
    snapshot.admit_state(schema.tables().to_vec());
    snapshot.system().execute_batch("BEGIN")?;
    // A transaction sees the file as it is when it reads for the first time.
    snapshot.system().query_one("SELECT head FROM __livestore_meta", [], |_| Ok(()))?;
    Ok(snapshot)
}

async fn next_of<T>(rows: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match rows {
        Some(rows) => rows.recv().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
