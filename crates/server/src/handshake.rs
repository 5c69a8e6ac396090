//! The introduction: who connects, and whether its history is ours.

use std::sync::Arc;

use livestore_core::protocol::{ClientMessage, Hello, ServerMessage, Token};
use livestore_core::{ClientId, StoreId};
use tokio::time::timeout;

use crate::auth::{Attempt, AuthError, Principal};
use crate::server::Shared;
use crate::session::{self, Introduction, Opening, Question, Session};
use crate::storage::{LogReader, LogView};
use crate::stores::LiveStore;
use crate::wire::{self, End, Wire};

/// Answers locates until the hello is there; returns also who says it, if clients have to show that.
pub(crate) async fn receive_hello(
    wire: &mut Wire,
    shared: &Shared,
) -> Result<(Hello, Option<Arc<Principal>>), End> {
    let mut introduction = Introduction::default();
    let mut token = None;
    loop {
        match introduction.hear(receive_opening(wire, shared).await?)? {
            Opening::Authenticate(shown) => token = Some(shown),
            Opening::Hello(hello) => {
                session::check_versions(&hello.versions)?;
                let who = (&hello.store_id, &hello.client_id);
                let principal = authenticate(shared, token.as_ref(), who).await?;
                wire.let_in();
                return Ok((hello, principal));
            }
            Opening::Locate(locate) => {
                session::check_versions(&locate.versions)?;
                let who = (&locate.store_id, &locate.client_id);
                authenticate(shared, token.as_ref(), who).await?;
                let question = Introduction::question(&locate);
                let view = look_up(shared, &locate.store_id, question).await?;
                let located = Introduction::locate(&locate, shared.backend_id, &view)?;
                wire.send(ServerMessage::Located(located).encode()).await?;
            }
        }
    }
}

/// Finds out who the client is, if it has to show that.
async fn authenticate(
    shared: &Shared,
    token: Option<&Token>,
    (store_id, client_id): (&StoreId, &ClientId),
) -> Result<Option<Arc<Principal>>, End> {
    let Some(authenticator) = &shared.authenticator else { return Ok(None) };
    let attempt = Attempt { token, store_id, client_id };
    let decided = timeout(shared.timing.hello, authenticator.authenticate(attempt)).await;
    let decided = decided.unwrap_or_else(|_| {
        let message = format!("no decision within {:?}", shared.timing.hello);
        Err(AuthError::Unavailable { message })
    });
    match decided {
        Ok(principal) => Ok(Some(Arc::new(principal))),
        Err(error) => {
            let client = client_id;
            if let AuthError::Unavailable { message } = &error {
                tracing::error!(message, store = %store_id, %client, "nobody can be let in");
            } else {
                tracing::debug!(%error, store = %store_id, %client, "a client is not let in");
            }
            Err(session::not_let_in(error).into())
        }
    }
}

/// Waits for the next message, not for ever.
async fn receive_opening(wire: &mut Wire, shared: &Shared) -> Result<ClientMessage, End> {
    let Ok(frame) = timeout(shared.timing.hello, wire.receive_opening()).await else {
        let wait = shared.timing.hello;
        return Err(session::protocol_error(format!("no hello message within {wait:?}")).into());
    };
    wire::decode(frame?, session::decode_opening).await
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
