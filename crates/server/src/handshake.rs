//! The introduction: who connects, and whether its history is ours.

use axum::extract::ws::Utf8Bytes;
use livestore_core::StoreId;
use livestore_core::protocol::{ClientMessage, Hello, ServerMessage};
use serde::Deserialize;
use tokio::time::timeout;

use crate::server::Shared;
use crate::session::{self, Introduction, Opening, Question, Session};
use crate::storage::{LogReader, LogView};
use crate::stores::LiveStore;
use crate::wire::{self, End, Heard, Wire};

/// Answers locates until the hello is there.
pub(crate) async fn receive_hello(wire: &mut Wire, shared: &Shared) -> Result<Hello, End> {
    let mut introduction = Introduction::default();
    loop {
        match introduction.hear(receive_opening(wire, shared).await?)? {
            Opening::Hello(hello) => return Ok(hello),
            Opening::Locate(locate) => {
                let question = Introduction::question(&locate);
                let view = look_up(shared, &locate.store_id, question).await?;
                let located = Introduction::locate(&locate, shared.backend_id, &view)?;
                wire.send(ServerMessage::Located(located).encode()).await?;
            }
        }
    }
}

/// Waits for the next message, not for ever.
async fn receive_opening(wire: &mut Wire, shared: &Shared) -> Result<ClientMessage, End> {
    let Ok(frame) = timeout(shared.timing.hello, receive_frame(wire)).await else {
        let wait = shared.timing.hello;
        return Err(session::protocol_error(format!("no hello message within {wait:?}")).into());
    };
    let frame = frame?;
    let decoded = wire::decode(frame.clone()).await;
    if decoded.is_err()
        && let Ok(any) = serde_json::from_str::<AnyOpening>(&frame)
    {
        session::check_versions(&any.opening.versions)?;
    }
    decoded
}

async fn receive_frame(wire: &mut Wire) -> Result<Utf8Bytes, End> {
    loop {
        if let Heard::Frame(frame) = wire.receive().await? {
            return Ok(frame);
        }
    }
}

/// The opening of another version may have other members, but it says its versions.
#[derive(Deserialize)]
struct AnyOpening {
    #[serde(rename = "hello", alias = "locate")]
    opening: AnyVersions,
}

#[derive(Deserialize)]
struct AnyVersions {
    versions: Vec<u32>,
}

/// Checks the cursor and welcomes the client.
pub(crate) async fn welcome(
    wire: &mut Wire,
    shared: &Shared,
    store: &LiveStore,
    hello: &Hello,
) -> Result<Session, End> {
    let view = look_up(shared, &store.id, Session::question(hello)).await?;
    let (session, welcome) = Session::open(hello, shared.backend_id, &view)?;
    wire.send(ServerMessage::Welcome(welcome).encode()).await?;
    Ok(session)
}

async fn look_up(shared: &Shared, store_id: &StoreId, question: Question) -> Result<LogView, End> {
    let log = store_id.clone();
    let view = move |reader: &mut dyn LogReader| reader.view(&log, &question.at, &question.groups);
    shared.readers.read(view).await.map_err(|error| {
        tracing::error!(%error, store = %store_id, "a read failed");
        session::storage_failed().into()
    })
}
