//! The leader's end of a conversation with a session.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use livestore_sqlite::{Connection, SqliteError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::io::{LinkEnd, LinkError};
use super::link::Frame;
use super::message::{LeaderMessage, Refused};
use crate::Schema;
use crate::replica::{Attachment, Replica, SessionError, SessionKey, read_rows};
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
    let end = LinkEnd::new(stream);
    let deadline = Some(Instant::now() + PATIENCE);
    let follower = Follower { store, key: None };
    let mut serve = Serve {
        end,
        follower,
        file,
        is_full,
        rows: None,
        reader: None,
        deadline,
        is_to_begin_anew: false,
        status: Vec::new(),
    };
    let served = serve.until_the_end(output).await;
    // The file is not this process's any more once the driver has come to its end.
    serve.rows = None;
    if let Some(reader) = serve.reader.take() {
        let _ = reader.await;
    }
    served
}

/// The place of a session at its leader, which it loses when the conversation ends, however that is.
struct Follower {
    store: Weak<Inner>,
    key: Option<SessionKey>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let (Some(key), Some(store)) = (self.key, self.store.upgrade()) {
            let _ = store.write(|replica| replica.detach_session(key));
        }
    }
}

struct Serve<S> {
    end: LinkEnd<S>,
    follower: Follower,
    file: Arc<Path>,
    is_full: bool,
    /// Rows that are still to be sent.
    rows: Option<mpsc::Receiver<Row>>,
    reader: Option<JoinHandle<()>>,
    deadline: Option<Instant>,
    /// The session was told to say hello once more, and has not yet.
    is_to_begin_anew: bool,
    /// What the session was told last of where the leader stands.
    status: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite> Serve<S> {
    async fn until_the_end(&mut self, mut output: watch::Receiver<()>) -> Result<(), LinkError> {
        loop {
            output.mark_unchanged();
            self.take_in()?;
            self.hand_out()?;
            let takes_rows = self.end.is_open();
            let deadline = self.deadline;
            tokio::select! {
                turned = self.end.turn() => turned?,
                changed = output.changed() => changed.map_err(|_| LinkError::Closed)?,
                row = next_of(&mut self.rows), if takes_rows => self.send_row(row)?,
                () = until(deadline) => return Err(LinkError::Failed("it takes too long".into())),
            }
        }
    }

    fn store(&self) -> Result<Arc<Inner>, LinkError> {
        self.follower.store.upgrade().ok_or(LinkError::Closed)
    }

    /// Takes everything that has come.
    fn take_in(&mut self) -> Result<(), LinkError> {
        while let Some(frame) = self.end.next()? {
            let Frame::Message(message) = frame else {
                return Err(LinkError::Failed("a session sends no rows".into()));
            };
            match self.follower.key {
                None => self.attach(&message)?,
                Some(key) => {
                    let store = self.store()?;
                    let now_ms = store.now_ms();
                    let taken = store
                        .write(|replica| replica.receive_from_session(key, &message, now_ms))
                        .map_err(|_| LinkError::Closed)?;
                    taken.map_err(|error| LinkError::Failed(error.to_string()))?;
                    store.wake_driver();
                }
            }
            self.end.dealt_with(message.len());
        }
        Ok(())
    }

    fn attach(&mut self, hello: &[u8]) -> Result<(), LinkError> {
        if self.visit(hello)? {
            return Ok(());
        }
        if self.is_to_begin_anew && !Replica::is_hello(hello) {
            // It was on the way when the session was told so.
            return Ok(());
        }
        if self.is_full {
            self.refuse(&SessionError::Full);
            return Ok(());
        }
        let store = self.store()?;
        // What is said to the session and the rows are of one moment, which the lock makes sure of.
        let attached = store.write(|replica| {
            let attachment = replica.attach_session(hello)?;
            match snapshot(&self.file, store.schema()) {
                Ok(snapshot) => Ok((attachment, snapshot)),
                Err(error) => {
                    replica.detach_session(attachment.key);
                    Err(error.into())
                }
            }
        });
        let (Attachment { key, answer }, snapshot) =
            match attached.map_err(|_| LinkError::Closed)? {
                Ok(attached) => attached,
                Err(error) => {
                    self.refuse(&error);
                    return Ok(());
                }
            };
        self.follower.key = Some(key);
        self.is_to_begin_anew = false;
        self.status.clear();
        self.end.send_message(&answer);
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
        Ok(())
    }

    /// Answers somebody who does not want to follow; tells whether it was such a one.
    fn visit(&mut self, message: &[u8]) -> Result<bool, LinkError> {
        let store = self.store()?;
        let now_ms = store.now_ms();
        let visited = store.write(|replica| replica.receive_visit(message, now_ms));
        match visited.map_err(|_| LinkError::Closed)? {
            Ok(Some(answer)) => self.end.send_message(&answer),
            // What is no message at all is refused as one of a session.
            Ok(None) | Err(SessionError::Message(_)) => return Ok(false),
            Err(error) => self.refuse(&error),
        }
        store.wake_driver();
        Ok(true)
    }

    /// Says why a session may not follow; it has to go then.
    fn refuse(&mut self, error: &SessionError) {
        let refused = Refused { reason: error.reason(), message: error.to_string() };
        self.end.send_message(&LeaderMessage::Refused(refused).encode());
        tracing::debug!(%error, "a session may not follow");
    }

    fn send_row(&mut self, row: Option<Row>) -> Result<(), LinkError> {
        match row {
            Some(Ok((transfer, rows))) => {
                self.end.send_rows(transfer, rows);
                self.deadline = Some(Instant::now() + PATIENCE);
            }
            Some(Err(error)) => return Err(LinkError::Failed(error.to_string())),
            None => {
                self.rows = None;
                self.deadline = None;
                self.end.send_message(&Replica::end_of_rows());
            }
        }
        Ok(())
    }

    /// Hands out what the replica has for the session, as much as the window takes.
    fn hand_out(&mut self) -> Result<(), LinkError> {
        let (Some(key), None) = (self.follower.key, &self.rows) else { return Ok(()) };
        let store = self.store()?;
        while self.end.is_open() {
            let message = store.write(|replica| {
                let message = replica.poll_session(key);
                (message, replica.follows(key))
            });
            let (message, follows) = message.map_err(|_| LinkError::Closed)?;
            let Some(message) = message else {
                let status = store.read(Replica::status_message).map_err(|_| LinkError::Closed)?;
                if self.status != status {
                    self.end.send_message(&status);
                    self.status = status;
                }
                break;
            };
            self.end.send_message(&message);
            if !follows {
                // It has missed too much, and says hello once more.
                self.follower.key = None;
                self.is_to_begin_anew = true;
                self.deadline = Some(Instant::now() + PATIENCE);
                break;
            }
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
