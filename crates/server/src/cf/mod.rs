//! LiveStore's own clients: the protocol of its Cloudflare provider, on the same port.
//!
//! They know events, not groups: each event that one of them pushes becomes a group of its own, and a
//! group of ours goes to them event by event, so that they may see a part of it for a moment. Their
//! events have no ids: one that was taken, and whose author was not told, is known again when it comes
//! back to the author at its place.

mod http;
mod log;
mod ws;

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use livestore_cf_protocol::{
    Exit, MAX_MESSAGE_BYTES, RpcError, SyncQuery, Transport, UnknownError,
};
use livestore_core::StoreId;
use livestore_core::protocol::Token;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::auth::{Attempt, AuthError, Principal};
use crate::handshake;
use crate::server::Shared;

/// A LiveStore client that was let in.
struct Caller {
    store_id: StoreId,
    principal: Option<Arc<Principal>>,
    /// Its place among the connections of the server.
    _place: OwnedSemaphorePermit,
}

/// Answers a request if it is one of a LiveStore client, else gives it back.
pub(crate) async fn answer(shared: &Arc<Shared>, request: Request) -> Result<Response, Request> {
    let query = request.uri().query().map(SyncQuery::parse);
    let query = match query {
        Some(Ok(Some(query))) if shared.serve_livestore => query,
        Some(Err(error)) if shared.serve_livestore => {
            return Ok(refuse(StatusCode::BAD_REQUEST, &error.to_string()));
        }
        _ => return Err(request),
    };
    let is_http = query.transport == Transport::Http;
    if is_http && request.method() == Method::OPTIONS {
        return Ok(http::preflight());
    }
    let caller = match admit(shared, query).await {
        Ok(caller) => caller,
        Err(refusal) => return Ok(refusal),
    };
    let response = if is_http {
        http::answer(Arc::clone(shared), caller, request).await
    } else {
        upgrade(Arc::clone(shared), caller, request).await
    };
    Ok(response)
}

async fn upgrade(shared: Arc<Shared>, caller: Caller, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        let message = "transport=ws needs a WebSocket upgrade";
        return refuse(StatusCode::UPGRADE_REQUIRED, message);
    };
    upgrade
        .max_frame_size(MAX_MESSAGE_BYTES)
        .max_message_size(MAX_MESSAGE_BYTES)
        .on_upgrade(async move |socket| ws::serve(socket, shared, caller).await)
}

/// Finds out who wants what, and whether they may.
async fn admit(shared: &Arc<Shared>, query: SyncQuery) -> Result<Caller, Response> {
    let store_id = StoreId::new(&query.store_id)
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let place = Arc::clone(&shared.connections).try_acquire_owned();
    let place = place.map_err(|_| {
        tracing::warn!(limit = shared.max_connections, "refused a connection: too many");
        refuse(StatusCode::SERVICE_UNAVAILABLE, "too many connections; try again later")
    })?;
    let mut principal = None;
    if let Some(authenticator) = &shared.authenticator {
        let token = token_of(query.payload.as_ref());
        let attempt = Attempt { token: token.as_ref(), store_id: &store_id, client_id: None };
        let decided = handshake::decide(authenticator.as_ref(), shared.timing.hello, attempt).await;
        principal = Some(decided.map_err(|error| match error {
            AuthError::Unavailable { .. } => {
                refuse(StatusCode::SERVICE_UNAVAILABLE, "nobody can be let in now")
            }
            // As their own backend answers.
            error => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        })?);
    }
    if shared.rules.may_refuse(&store_id) && !(shared.may_meet_rules)(&store_id) {
        let message = "this store has rules, which LiveStore clients know nothing of; its operator can \
                       let them in all the same";
        return Err(refuse(StatusCode::BAD_REQUEST, message));
    }
    Ok(Caller { store_id, principal, _place: place })
}

/// Returns what an app shows: `authToken` of its sync payload, or the payload itself if it is a text.
fn token_of(payload: Option<&Value>) -> Option<Token> {
    let shown = match payload? {
        Value::String(text) => text,
        Value::Object(members) => members.get("authToken")?.as_str()?,
        _ => return None,
    };
    Token::new(shown).ok()
}

fn refuse(code: StatusCode, message: &str) -> Response {
    (code, format!("{message}\n")).into_response()
}

fn failed(error: RpcError) -> Exit {
    Exit::Failure { cause: livestore_cf_protocol::Cause::Fail(error) }
}

fn unknown(name: &str, message: &str) -> Exit {
    failed(RpcError::Unknown(UnknownError::new(name, message)))
}
