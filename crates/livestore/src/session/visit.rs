//! Visiting a leader: asking how it stands, and having it do something, without following it.

use std::io;
use std::path::Path;
use std::time::Duration;

use livestore_core::StoreId;
use tokio::time::timeout;

use super::error::LinkError;
use super::io::LinkStream;
use super::link::Frame;
use super::local;
use super::message::{
    LINK_VERSION, LeaderMessage, LeaderStatus, Order, Refused, SessionMessage, Visit,
};
use super::wire::Wire;
use crate::OpenError;
use crate::inspect::Leader;

/// Visits the leader of a store's file, and asks for the last refreshes of its live queries as well, if
/// that is wanted; none if nobody leads.
pub(crate) fn visit(
    file: &Path,
    store_id: &StoreId,
    order: Option<Order>,
    queries: bool,
    patience: Duration,
) -> Result<Option<Leader>, OpenError> {
    let path = || file.display().to_string();
    let in_file = |source| OpenError::Io { path: path(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let visit = SessionMessage::Visit(Visit {
        versions: vec![LINK_VERSION],
        store_id: store_id.clone(),
        order,
        queries,
    });
    let visited = async { timeout(patience, ask(file, &visit.encode())).await };
    match runtime.map_err(in_file)?.block_on(visited) {
        Ok(Ok(Ok(LeaderStatus { sync: status, sessions, refreshes }))) => {
            Ok(Some(Leader { status, sessions, refreshes }))
        }
        Ok(Ok(Err(refused))) => Err(refused.into()),
        // Nobody is there, or has just left.
        Ok(Err(LinkError::Io(error)))
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Ok(Err(error)) => Err(OpenError::NotLetIn { message: error.to_string() }),
        Err(_) => Err(OpenError::LeaderSilent { path: path(), patience }),
    }
}

async fn ask(file: &Path, visit: &[u8]) -> Result<Result<LeaderStatus, Refused>, LinkError> {
    let (mut stream, mut wire) = (LinkStream::new(local::connect(file).await?), Wire::default());
    wire.send_message(visit);
    loop {
        stream.turn(&mut wire).await?;
        let Some(frame) = wire.next_frame()? else { continue };
        let Frame::Message(message) = frame else {
            return Err(LinkError::Failed("rows that nobody has asked for".into()));
        };
        return match LeaderMessage::decode(&message) {
            Ok(LeaderMessage::Visited(status)) => Ok(Ok(*status)),
            Ok(LeaderMessage::Refused(refused)) => Ok(Err(refused)),
            _ => Err(LinkError::Failed("another answer than to a visit".into())),
        };
    }
}
