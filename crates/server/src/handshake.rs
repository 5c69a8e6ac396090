//! The introduction: who connects, and whether its history is ours.

use std::sync::Arc;
use std::time::Duration;

use livestore_core::protocol::{ClientMessage, Hello, ServerMessage, Token};
use livestore_core::{ClientId, StoreId};
use tokio::time::timeout;

use crate::auth::{Attempt, AuthError, Authenticator, Principal};
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
    let attempt = Attempt { token, store_id, client_id: Some(client_id) };
    let decided = decide(authenticator.as_ref(), shared.timing.hello, attempt).await;
    decided.map(Some).map_err(|error| session::not_let_in(error).into())
}

/// Asks who a client is, not for ever.
pub(crate) async fn decide(
    authenticator: &dyn Authenticator,
    patience: Duration,
    attempt: Attempt<'_>,
) -> Result<Arc<Principal>, AuthError> {
    let decided = timeout(patience, authenticator.authenticate(attempt)).await;
    let decided = decided.unwrap_or_else(|_| {
        let message = format!("no decision within {patience:?}");
        Err(AuthError::Unavailable { message })
    });
    let (store, client) = (attempt.store_id, attempt.client_id.map_or("?", ClientId::as_str));
    if let Err(AuthError::Unavailable { message }) = &decided {
        tracing::error!(message, %store, client, "nobody can be let in");
    } else if let Err(error) = &decided {
        tracing::debug!(%error, %store, client, "a client is not let in");
    }
    decided.map(Arc::new)
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
