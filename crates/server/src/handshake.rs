//! The introduction: who connects, and whether its history is ours.

use livestore_core::protocol::{
    ClientMessage, GoodbyeReason, Hello, PROTOCOL_VERSION, ServerMessage, Welcome,
};
use livestore_core::{BackendId, Cursor, GlobalSeqNum};
use serde::Deserialize;
use tokio::time::timeout;

use crate::server::Shared;
use crate::storage::LogView;
use crate::stores::LiveStore;
use crate::wire::{self, End, Heard, Wire};

/// Waits for the first message.
pub(crate) async fn receive_hello(wire: &mut Wire, shared: &Shared) -> Result<Hello, End> {
    let first_frame = async {
        loop {
            if let Heard::Frame(frame) = wire.receive().await? {
                return Ok(frame);
            }
        }
    };
    let Ok(frame) = timeout(shared.timing.hello, first_frame).await else {
        let wait = shared.timing.hello;
        return Err(End::protocol_error(format!("no hello message within {wait:?}")));
    };
    let frame = frame?;
    match wire::decode(frame.clone()).await {
        Ok(ClientMessage::Hello(hello)) => {
            check_versions(&hello.versions)?;
            Ok(hello)
        }
        Ok(ClientMessage::Push(_)) => {
            Err(End::protocol_error("a push message before the hello message"))
        }
        // The hello of another version may have other members, but it says its versions.
        Err(error) => match serde_json::from_str::<AnyHello>(&frame) {
            Ok(any) => check_versions(&any.hello.versions).and(Err(error)),
            Err(_) => Err(error),
        },
    }
}

#[derive(Deserialize)]
struct AnyHello {
    hello: AnyVersions,
}

#[derive(Deserialize)]
struct AnyVersions {
    versions: Vec<u32>,
}

fn check_versions(versions: &[u32]) -> Result<(), End> {
    if versions.contains(&PROTOCOL_VERSION) {
        return Ok(());
    }
    let message = format!(
        "this server speaks protocol version {PROTOCOL_VERSION}, the client {versions:?}: \
         update the older of the two"
    );
    Err(End::goodbye(GoodbyeReason::UnsupportedVersion, message))
}

/// Checks the cursor and welcomes the client. Returns what it has and what the log has.
pub(crate) async fn welcome(
    wire: &mut Wire,
    shared: &Shared,
    store: &LiveStore,
    hello: Hello,
) -> Result<(GlobalSeqNum, GlobalSeqNum), End> {
    let Hello { cursor, attempted, .. } = hello;
    let from = cursor.map_or(GlobalSeqNum::ROOT, |cursor| cursor.position.seq);
    let store_id = store.id.clone();
    let view = shared.readers.read(move |reader| reader.view(&store_id, from, &attempted)).await;
    let view = view.map_err(|error| {
        tracing::error!(%error, store = %store.id, "a read failed");
        End::internal()
    })?;
    if let Some(cursor) = cursor {
        check_cursor(&cursor, shared.backend_id, &view)?;
    }
    let welcome = ServerMessage::Welcome(Welcome {
        version: PROTOCOL_VERSION,
        backend_id: shared.backend_id,
        head: view.head,
        accepted: view.positions,
    });
    wire.send(welcome.encode()).await?;
    Ok((from, view.head))
}

fn check_cursor(cursor: &Cursor, backend_id: BackendId, view: &LogView) -> Result<(), End> {
    let position = cursor.position;
    let differs = if cursor.backend_id != backend_id {
        format!("the client has followed backend {}, this is {backend_id}", cursor.backend_id)
    } else if position.seq > view.head {
        format!("the client is at {}, the log ends at {}", position.seq, view.head)
    } else {
        match view.hash {
            Some(hash) if hash == position.hash => return Ok(()),
            Some(hash) => {
                format!("at {} the log has hash {hash}, the client {}", position.seq, position.hash)
            }
            None => format!("no group of the log ends at {}, where the client is", position.seq),
        }
    };
    let message = format!(
        "{differs}; the log was replaced or restored from a backup: \
         the app has to choose how to go on"
    );
    Err(End::goodbye(GoodbyeReason::HistoryDiverged, message))
}
