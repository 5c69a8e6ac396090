//! The HTTP side: sockets, routes and the WebSocket upgrade.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{self, State, WebSocketUpgrade};
use axum::http::{Request, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use livestore_core::limits::MAX_FRAME_BYTES;
use livestore_core::protocol::PROTOCOL_VERSION;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::allowance::{Allowance, Counted};
use crate::cf;
use crate::config::Timing;
use crate::connection;
use crate::server::Shared;
use crate::wire::Unknown;
use crate::writer::WriterHealth;

/// Sockets that are not (yet) WebSockets. Further ones wait in the listen queue; a request has
/// [`Timing::hello`](crate::Timing::hello) to arrive, so the wait ends.
const MAX_HTTP_SOCKETS: usize = 256;

/// WebSocket buffers are small: most connections are idle most of the time.
const SOCKET_BUFFER_BYTES: usize = 8 << 10;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Accepts sockets until the server shuts down.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new()
        .route("/", get(about))
        .route("/health", get(health))
        .route("/sync", get(sync))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), livestore_clients))
        .with_state(Arc::clone(&shared));
    let free = Arc::new(Semaphore::new(MAX_HTTP_SOCKETS));
    let mut shutdown = shared.shutdown.clone();
    loop {
        let accepted = async {
            let slot = Arc::clone(&free).acquire_owned().await;
            listener.accept().await.map(|(socket, _)| (socket, slot))
        };
        let accepted = tokio::select! {
            biased;
            _ = shutdown.wait_for(|is_down| *is_down) => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((socket, slot)) => {
                let served = serve_http(socket, router.clone(), shared.timing);
                let shutdown = shutdown.clone();
                tokio::spawn(async move {
                    stop_on_shutdown(served, shutdown).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file handles, or the client was gone at once: neither is for ever.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn stop_on_shutdown(served: impl Future<Output = ()>, mut shutdown: watch::Receiver<bool>) {
    tokio::select! {
        () = served => {}
        _ = shutdown.wait_for(|is_down| *is_down) => {}
    }
}

async fn serve_http(socket: TcpStream, router: Router, timing: Timing) {
    // Messages are small and wait for nothing: Nagle's algorithm would only delay them.
    let _ = socket.set_nodelay(true);
    let allowance = Allowance::unlimited();
    // Who takes nothing of a long answer does not keep its place.
    let mut socket = TimeoutStream::new(socket);
    socket.set_write_timeout(Some(timing.send));
    let socket = Counted::new(Box::pin(socket), allowance.clone());
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(allowance.clone());
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timing.hello)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

/// Answers LiveStore's own clients, whose requests are known by their query, on whatever path.
async fn livestore_clients(
    State(shared): State<Arc<Shared>>,
    request: extract::Request,
    next: Next,
) -> Response {
    match cf::answer(&shared, request).await {
        Ok(response) => response,
        Err(request) => next.run(request).await,
    }
}

async fn about() -> String {
    format!(
        "livestore-server {VERSION}: a LiveStore sync server, protocol version \
         {PROTOCOL_VERSION}. Connect a WebSocket to /sync.\n"
    )
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let (code, status) = match shared.writer.health() {
        WriterHealth::Ok => (StatusCode::OK, "ok"),
        // Still serves readers, and the next write may succeed.
        WriterHealth::Failing => (StatusCode::OK, "writesFailing"),
        WriterHealth::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
    };
    let body = serde_json::json!({
        "status": status,
        "version": VERSION,
        "protocolVersion": PROTOCOL_VERSION,
        "backendId": shared.backend_id,
        "connections": shared.max_connections as usize - shared.connections.available_permits(),
    });
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn sync(
    State(shared): State<Arc<Shared>>,
    Extension(allowance): Extension<Allowance>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let full = || {
        let message = "too many connections; try again later\n";
        (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
    };
    let Ok(slot) = Arc::clone(&shared.connections).try_acquire_owned() else {
        tracing::warn!(limit = shared.max_connections, "refused a connection: too many");
        return full();
    };
    let Ok(introduction) = Arc::clone(&shared.introductions).try_acquire_owned() else {
        tracing::warn!("refused a connection: too many that have not said who they are");
        return full();
    };
    upgrade
        .max_frame_size(MAX_FRAME_BYTES)
        .max_message_size(MAX_FRAME_BYTES)
        .read_buffer_size(SOCKET_BUFFER_BYTES)
        .write_buffer_size(SOCKET_BUFFER_BYTES)
        .on_upgrade(async move |socket| {
            let span = tracing::info_span!("connection", store = Empty, client = Empty);
            let unknown = Unknown { allowance, _place: introduction };
            connection::serve(socket, shared, unknown).instrument(span).await;
            drop(slot);
        })
}
