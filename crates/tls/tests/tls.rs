//! Stores that sync through TLS, as they do with a server behind a proxy.

#![allow(missing_docs)]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livestore::prelude::*;
use livestore::{ConnectionState, SyncProvider};
use livestore_server::{Server, ServerConfig};
use livestore_sync_cf::CfSync;
use livestore_sync_ws::WsSync;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig as TlsServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.NoteWritten")]
struct NoteWritten {
    id: String,
}

#[derive(Table, Clone)]
#[table(name = "notes")]
struct Note {
    #[column(primary_key)]
    id: String,
}

fn open(provider: impl SyncProvider) -> Store {
    let schema = Schema::builder()
        .table::<Note>()
        .event(|e: NoteWritten, _| Note::insert(Note { id: e.id }))
        .build()
        .unwrap();
    Store::open(schema, "notes", MemoryAdapter::new().sync(provider)).unwrap()
}

/// Speaks TLS on behalf of a server that does not.
async fn proxy(server: SocketAddr, key: &CertifiedKey<rcgen::KeyPair>) -> u16 {
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let config = TlsServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

fn sync_through(port: u16) {
    let stores = [
        open(WsSync::new(format!("wss://localhost:{port}"))),
        open(CfSync::new(format!("wss://localhost:{port}"))),
        open(
            CfSync::new(format!("https://localhost:{port}"))
                .with_poll_interval(Duration::from_millis(50)),
        ),
    ];
    for (number, store) in stores.iter().enumerate() {
        store.commit(NoteWritten { id: number.to_string() }).unwrap();
    }
    let begin = Instant::now();
    for store in &stores {
        while store.query(Note::select().count()).unwrap() < 3 {
            assert!(begin.elapsed() < PATIENCE, "{:?}", store.sync_status());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The other half of the test below, in a process that trusts its certificate.
#[test]
#[ignore = "the test below runs it"]
fn through_a_proxy() {
    if let Ok(port) = std::env::var("LIVESTORE_TEST_TLS_PORT") {
        sync_through(port.parse().unwrap());
    }
}

#[test]
fn stores_sync_through_tls_with_whom_the_system_trusts_and_nobody_else() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (port, _server) = runtime.block_on(async {
        let mut config = ServerConfig::new(folder.path());
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(config).await.unwrap();
        (proxy(server.local_addr(), &key).await, server)
    });
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, key.cert.pem()).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "through_a_proxy", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", &trusted)
        .env("LIVESTORE_TEST_TLS_PORT", port.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}\n{}", String::from_utf8_lossy(&child.stdout));

    // This process does not know the certificate.
    for store in [
        open(WsSync::new(format!("wss://localhost:{port}"))),
        open(CfSync::new(format!("wss://localhost:{port}"))),
        open(CfSync::new(format!("https://localhost:{port}"))),
    ] {
        store.commit(NoteWritten { id: "works".into() }).unwrap();
        let begin = Instant::now();
        let status = loop {
            let status = store.sync_status().unwrap();
            if status.last_error.is_some() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "{status:?}");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_ne!(status.connection, ConnectionState::Connected);
        assert_eq!(status.pending_events, 1);
    }
}
