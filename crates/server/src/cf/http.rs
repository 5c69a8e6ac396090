//! A LiveStore client that sends a request for each call.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use livestore_cf_protocol::{
    Call, ClientMessage, Exit, MAX_MESSAGE_BYTES, PageInfo, Request as RpcRequest, RequestId,
    ServerMessage,
};
use livestore_core::GlobalSeqNum;
use serde_json::json;
use tokio::time::timeout;

use super::log::{self, Author, Chunk};
use super::{Caller, refuse, unknown};
use crate::server::Shared;
use crate::stores::LiveStore;

/// Lets pages of any origin call: what a client may do is decided by its payload, not by a cookie.
fn allow_pages(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// Answers what a browser asks before it lets a page of another origin call.
pub(super) fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    allow_pages(headers);
    let fixed = HeaderValue::from_static;
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, fixed("POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fixed("*"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, fixed("86400"));
    response
}

/// Answers one call.
pub(super) async fn answer(shared: Arc<Shared>, caller: Caller, request: Request) -> Response {
    let body = to_bytes(request.into_body(), MAX_MESSAGE_BYTES);
    let body = match timeout(shared.timing.send, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long"),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the request does not come"),
    };
    let message = std::str::from_utf8(&body).map_err(|error| error.to_string());
    let message =
        message.and_then(|text| ClientMessage::decode(text).map_err(|error| error.to_string()));
    let RpcRequest { id, call, .. } = match message {
        Ok(ClientMessage::Request(request)) => request,
        Ok(_) => return refuse(StatusCode::BAD_REQUEST, "a request is expected"),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error),
    };
    let store = shared.stores.open(&caller.store_id);
    match call {
        Call::Ping(_) => {
            let value = Some(json!({ "_tag": "SyncMessage.Pong" }));
            all(&[exit(id, Exit::Success { value })])
        }
        Call::Push(push) => {
            let Ok(mut author) = Author::new() else {
                return refuse(StatusCode::SERVICE_UNAVAILABLE, "there are no random numbers");
            };
            let pushed = match author.request(&shared, &caller, push) {
                Ok(Some(request)) => log::append(shared, store, request).await.0,
                Ok(None) => Exit::Success { value: Some(json!({})) },
                Err(exit) => exit,
            };
            all(&[exit(id, pushed)])
        }
        Call::Pull(pull) => match log::start(&shared, &caller, &pull) {
            Ok(after) => {
                let chunks = VecDeque::new();
                stream_pull(Pulling {
                    shared,
                    store,
                    _caller: caller,
                    id,
                    after,
                    chunks,
                    at: At::Begin,
                })
            }
            Err(failure) => all(&[exit(id, failure)]),
        },
    }
}

fn exit(request_id: RequestId, exit: Exit) -> ServerMessage {
    ServerMessage::Exit { request_id, exit }
}

fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    allow_pages(response.headers_mut());
    response
}

fn all(messages: &[ServerMessage]) -> Response {
    let messages: Vec<String> = messages.iter().map(ServerMessage::encode).collect();
    respond(format!("[{}]", messages.join(",")).into())
}

/// A pull whose answer is being written.
struct Pulling {
    shared: Arc<Shared>,
    store: Arc<LiveStore>,
    /// Keeps its place.
    _caller: Caller,
    id: RequestId,
    after: GlobalSeqNum,
    chunks: VecDeque<Chunk>,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    Middle,
    End,
}

/// Writes the answer as it is read, however long the log is.
fn stream_pull(pulling: Pulling) -> Response {
    respond(Body::from_stream(stream::unfold(pulling, async move |mut pulling| {
        let piece = pulling.next().await?;
        Some((Ok::<_, Infallible>(piece), pulling))
    })))
}

impl Pulling {
    async fn next(&mut self) -> Option<String> {
        if self.at == At::End {
            return None;
        }
        if self.chunks.is_empty() {
            match log::chunks(&self.shared, &self.store, self.after).await {
                Ok(chunks) => self.chunks.extend(chunks),
                Err(failure) => return Some(self.end(failure)),
            }
        }
        let Some(Chunk { last, response }) = self.chunks.pop_front() else {
            return Some(self.end(unknown("NoEvents", "the log has come to no end")));
        };
        self.after = last;
        let is_last = response.page_info == PageInfo::NoMore;
        let chunk = ServerMessage::Chunk { request_id: self.id.clone(), values: vec![response] };
        let piece = format!("{}{}", self.before(), chunk.encode());
        Some(if is_last { piece + &self.end(Exit::Success { value: None }) } else { piece })
    }

    fn before(&mut self) -> &'static str {
        if std::mem::replace(&mut self.at, At::Middle) == At::Begin { "[" } else { "," }
    }

    fn end(&mut self, how: Exit) -> String {
        let piece = format!("{}{}]", self.before(), exit(self.id.clone(), how).encode());
        self.at = At::End;
        piece
    }
}
