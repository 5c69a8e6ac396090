//! What a browser or a monitor sees.

use std::net::SocketAddr;
use std::time::Duration;

use livestore_server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Client, PATIENCE, config, start};

/// Sends a GET request and returns the whole response.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn the_server_says_what_it_is_and_how_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let _client = Client::connect(&server, "notes").await;
    let about = get(server.local_addr(), "/").await;
    assert!(about.starts_with("HTTP/1.1 200"), "{about}");
    assert!(about.contains(env!("CARGO_PKG_VERSION")) && about.contains("/sync"), "{about}");
    let health = get(server.local_addr(), "/health").await;
    let (_, body) = health.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "status": "ok",
            "version": env!("CARGO_PKG_VERSION"),
            "protocolVersion": 1,
            "backendId": server.backend_id(),
            "connections": 1,
        })
    );
    assert!(get(server.local_addr(), "/sync").await.starts_with("HTTP/1.1 4"));
    assert!(get(server.local_addr(), "/nothing").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_socket_without_a_request_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.timing.hello = Duration::from_millis(200);
    let server = Server::start(config).await.unwrap();
    let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
    socket.write_all(b"GET / HT").await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.unwrap().unwrap();
}
