//! Backends that say what they should not: whatever it is, the store goes on, and with a good one syncs.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use livestore::sync_provider::TokenRequest;
use livestore::{ConnectionState, StopReason, StoreOptions};
use livestore_server::{Server, ServerConfig, TokenList};
use livestore_sync_cf::CfSync;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::*;

type Socket = WebSocketStream<TcpStream>;
/// What a backend answers to a request.
type Answers = fn(&Value) -> Vec<Message>;

/// Listens, and does the same with every connection.
async fn listen<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    addr
}

/// A backend that answers each request over a WebSocket with what a function makes of it.
async fn answering(
    answers: impl Fn(&Value) -> Vec<Message> + Copy + Send + Sync + 'static,
) -> SocketAddr {
    listen(move |stream| async move {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let request: Value = serde_json::from_str(&text).unwrap();
            if request["_tag"] == "Request" && !say(&mut socket, answers(&request)).await {
                return;
            }
        }
    })
    .await
}

async fn say(socket: &mut Socket, messages: Vec<Message>) -> bool {
    for message in messages {
        if socket.send(message).await.is_err() {
            return false;
        }
    }
    true
}

fn text(value: Value) -> Message {
    Message::text(value.to_string())
}

/// Events of somebody else at some positions.
fn chunk(request: &Value, seqs: &[u64]) -> Value {
    let event = |seq: &u64| {
        json!({
            "eventEncoded": {
                "name": "v1.Ticked", "seqNum": seq, "parentSeqNum": seq.saturating_sub(1),
                "clientId": "other", "sessionId": "s",
            },
            "metadata": { "_tag": "None" },
        })
    };
    let batch: Vec<Value> = seqs.iter().map(event).collect();
    let response = json!({ "batch": batch, "pageInfo": { "_tag": "NoMore" }, "backendId": "b" });
    json!({ "_tag": "Chunk", "requestId": request["id"], "values": [response] })
}

fn exit(request: &Value, exit: Value) -> Message {
    text(json!({ "_tag": "Exit", "requestId": request["id"], "exit": exit }))
}

/// Opens a store, waits until it has something to say of its backend, and checks that it goes on.
async fn survives(addr: SocketAddr, what: &str) -> String {
    let store = open(ws(addr));
    store.commit(Ticked).unwrap();
    let status = until(&store, |status| status.last_error.is_some()).await;
    let error = status.last_error.unwrap();
    assert!(error.contains(what), "{what}: {error}");
    store.commit(Ticked).unwrap();
    assert_eq!(ticks(&store), 2);
    error
}

#[test]
fn what_is_no_message_of_the_protocol_is_told() {
    run(async {
        let cases: [(Answers, &str); 9] = [
            (|_| vec![Message::text("")], "not a message"),
            (|_| vec![Message::text("{\"_tag\":\"Chunk\"")], "not a message"),
            (|_| vec![Message::text("[".repeat(100_000))], "not a message"),
            (|_| vec![Message::binary(vec![0, 159])], "not a message"),
            (
                |_| vec![text(json!({ "_tag": "Defect", "defect": "out\nof order" }))],
                "out of order",
            ),
            (
                |request| {
                    let mut two = chunk(request, &[]);
                    two["values"] = json!([two["values"][0], two["values"][0]]);
                    vec![text(two)]
                },
                "a chunk without its one value",
            ),
            (
                |request| {
                    let die = json!({ "_tag": "Die", "defect": { "message": "broken" } });
                    vec![exit(request, json!({ "_tag": "Failure", "cause": die }))]
                },
                "broken",
            ),
            (|request| vec![exit(request, json!({ "_tag": "Success" }))], "ended a live pull"),
            (|_| vec![Message::Close(None)], "closed"),
        ];
        for (answers, what) in cases {
            survives(answering(answers).await, &what.replace("out of", "outof")).await;
        }
    });
}

#[test]
fn frames_that_are_too_large_are_not_read() {
    run(async {
        let huge = |_: &Value| vec![Message::text("x".repeat(5 << 20))];
        survives(answering(huge).await, "Space limit exceeded").await;
    });
}

#[test]
fn logs_that_cannot_be_are_told() {
    run(async {
        let cases: [(Answers, &str); 3] = [
            (
                |request| {
                    let ended = exit(request, json!({ "_tag": "Success" }));
                    vec![text(chunk(request, &[u64::MAX])), ended]
                },
                "where 1 was expected",
            ),
            (
                // The hole is not there when somebody looks, and always there otherwise.
                |request| {
                    let is_live = request["payload"]["live"] == true;
                    vec![
                        text(chunk(request, if is_live { &[20_000] } else { &[30_000] })),
                        exit(request, json!({ "_tag": "Success" })),
                    ]
                },
                "where 1 was expected",
            ),
            (
                |request| {
                    let mut other = chunk(request, &[1]);
                    other["values"][0]["backendId"] = "c".into();
                    vec![text(chunk(request, &[])), text(other)]
                },
                "another backend answers than before",
            ),
        ];
        for (answers, what) in cases {
            survives(answering(answers).await, what).await;
        }
    });
}

#[test]
fn news_that_come_too_early_are_read_again_in_order() {
    run(async {
        // A live pull gets the last event first; any other gets what is there.
        let addr = answering(|request| {
            if request["tag"] != "SyncWsRpc.Pull" {
                return Vec::new();
            }
            let after = request["payload"]["cursor"]["value"]["eventSequenceNumber"].as_u64();
            let after = after.unwrap_or(0);
            if request["payload"]["live"] == true && after == 0 {
                return vec![text(chunk(request, &[5])), text(chunk(request, &[1, 2]))];
            }
            let seqs: Vec<u64> = (after + 1..=5).collect();
            let mut answer = vec![text(chunk(request, &seqs))];
            if request["payload"]["live"] == false {
                answer.push(exit(request, json!({ "_tag": "Success" })));
            }
            answer
        })
        .await;
        let store = open(ws(addr));
        until(&store, |status| status.is_synced() && status.confirmed_head.0 == 5).await;
        assert_eq!((ticks(&store), store.sync_status().unwrap().last_error), (5, None));
    });
}

/// A backend of a certain name with nine events, which begins every answer to a pull with the last one.
fn with_early_news(
    name: &'static str,
) -> impl Fn(&Value) -> Vec<Message> + Copy + Send + Sync + 'static {
    move |request| {
        let of = |mut answer: Value| {
            answer["values"][0]["backendId"] = name.into();
            text(answer)
        };
        let cursor = &request["payload"]["cursor"]["value"];
        if cursor["backendId"].as_str().is_some_and(|known| known != name) {
            let error = json!({
                "expected": name, "received": cursor["backendId"], "_tag": "BackendIdMismatchError",
            });
            let cause = json!({ "_tag": "Fail", "error": error });
            return vec![exit(request, json!({ "_tag": "Failure", "cause": cause }))];
        }
        let after = cursor["eventSequenceNumber"].as_u64().unwrap_or(0);
        let mut early = chunk(request, &[9]);
        early["values"][0]["pageInfo"] = json!({ "_tag": "NoMore" });
        let mut answer = vec![of(early)];
        let seqs: Vec<u64> = (after + 1..=9).collect();
        let (first, rest) = seqs.split_at(seqs.len() / 2);
        let mut more = chunk(request, first);
        more["values"][0]["pageInfo"] = json!({ "_tag": "MoreKnown", "remaining": rest.len() });
        answer.extend([of(more), of(chunk(request, rest))]);
        if request["payload"]["live"] == false {
            answer.push(exit(request, json!({ "_tag": "Success" })));
        }
        answer
    }
}

#[test]
fn news_that_come_too_early_do_not_look_like_another_history() {
    run(async {
        let files = tempfile::tempdir().unwrap();
        let first = answering(|request| {
            let after = request["payload"]["cursor"]["value"]["eventSequenceNumber"].as_u64();
            vec![text(chunk(request, &(after.unwrap_or(0) + 1..=5).collect::<Vec<_>>()))]
        })
        .await;
        let store = open_in(files.path(), ws(first), StoreOptions::new());
        until(&store, |status| status.is_synced() && status.confirmed_head.0 == 5).await;
        store.shutdown().unwrap();
        // The same backend; and then one that is another, and has all that is here.
        for name in ["b", "another"] {
            let addr = answering(with_early_news(name)).await;
            let store = open_in(files.path(), ws(addr), StoreOptions::new());
            let status = until(&store, |status| {
                let is_stopped = matches!(status.connection, ConnectionState::Stopped(_));
                is_stopped || status.is_synced() && status.confirmed_head.0 == 9
            })
            .await;
            assert_eq!(
                (status.connection, ticks(&store)),
                (ConnectionState::Connected, 9),
                "{name}"
            );
            store.shutdown().unwrap();
        }
    });
}

#[test]
fn a_token_that_expires_again_and_again_is_renewed_each_time() {
    run(async {
        #[derive(Debug, Clone, Default)]
        struct Current(Arc<std::sync::atomic::AtomicU64>);
        impl Current {
            fn token(&self) -> String {
                format!("token-{}", self.0.load(std::sync::atomic::Ordering::SeqCst))
            }
        }
        impl livestore_server::Authenticator for Current {
            fn authenticate<'a>(
                &'a self,
                attempt: livestore_server::Attempt<'a>,
            ) -> livestore_server::Authenticating<'a> {
                let is_good = attempt.token.is_some_and(|token| token.secret() == self.token());
                Box::pin(async move {
                    if is_good {
                        Ok(livestore_server::Principal::new("somebody"))
                    } else {
                        Err(livestore_server::AuthError::Unauthenticated { message: "old".into() })
                    }
                })
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(folder.path());
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let current = Current::default();
        config.authenticator = Some(Arc::new(current.clone()));
        let server = Server::start(config).await.unwrap();
        let (asked, tokens) = (Arc::new(std::sync::Mutex::new(Vec::new())), current.clone());
        let seen = Arc::clone(&asked);
        let provider = http(server.local_addr()).with_tokens(move |request| {
            seen.lock().unwrap().push(request);
            let token = tokens.token();
            async move { Ok(token) }
        });
        let store = open(provider);
        for round in 1..=3 {
            store.commit(Ticked).unwrap();
            until(&store, |status| status.is_synced() && status.confirmed_head.0 == round).await;
            // From now on the server wants another one.
            current.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let before = asked.lock().unwrap().len();
            let renewed = || asked.lock().unwrap().len() > before;
            until(&store, |status| {
                assert!(!matches!(status.connection, ConnectionState::Stopped(_)), "{status:?}");
                renewed()
            })
            .await;
        }
        assert!(asked.lock().unwrap().iter().skip(1).all(|asked| *asked == TokenRequest::Renew));
    });
}

#[test]
fn a_hole_in_the_log_is_passed_over() {
    run(async {
        let addr = answering(|request| {
            let after = request["payload"]["cursor"]["value"]["eventSequenceNumber"].as_u64();
            let after = after.unwrap_or(0);
            let seqs: Vec<u64> = [1, 2, 6, 7].into_iter().filter(|seq| *seq > after).collect();
            let mut answer = vec![text(chunk(request, &seqs))];
            if request["payload"]["live"] == false {
                answer.push(exit(request, json!({ "_tag": "Success" })));
            }
            answer
        })
        .await;
        let store = open(ws(addr));
        let status =
            until(&store, |status| status.is_synced() && status.confirmed_head.0 == 7).await;
        assert_eq!((ticks(&store), status.quarantined, status.last_error), (4, 0, None));
        assert_eq!(store.replay_hash().unwrap(), store.state_hash().unwrap());
    });
}

#[test]
fn an_endless_log_does_not_fill_the_memory() {
    run(async {
        // As much as it likes, without waiting for anybody.
        let addr = listen(|stream| async move {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
            let mut request = Value::Null;
            while request["_tag"] != "Request" {
                let Some(Ok(message)) = socket.next().await else { return };
                request = serde_json::from_str(message.to_text().unwrap()).unwrap_or_default();
            }
            for seq in 1.. {
                if socket.send(text(chunk(&request, &[seq]))).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let store = open(ws(addr));
        until(&store, |status| status.confirmed_head.0 > 2_000).await;
        store.commit(Ticked).unwrap();
        store.shutdown().unwrap();
    });
}

/// A backend that answers every request over HTTP with the same bytes.
async fn http_saying(answer: &'static [u8]) -> SocketAddr {
    listen(move |mut stream| async move {
        let mut buffer = [0; 4096];
        if stream.read(&mut buffer).await.is_ok() {
            let _ = stream.write_all(answer).await;
        }
    })
    .await
}

#[test]
fn answers_over_http_that_are_none_are_told() {
    run(async {
        for (answer, what) in [
            (&b"nonsense\r\n\r\n"[..], "cannot be reached"),
            (b"", "cannot be reached"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "something else than a list"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "without an end"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n[", "a list that has no end"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[", "cannot be reached"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n[{}]", "not a message"),
            (
                b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n[]",
                "cannot be",
            ),
            (
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnope",
                "no backend at this address",
            ),
            (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n", "it answers with 302"),
            (b"HTTP/1.1 503 Busy\r\ncontent-length: 5\r\n\r\nlater", "it answers with 503: later"),
        ] {
            let store = open(http(http_saying(answer).await));
            store.commit(Ticked).unwrap();
            let status = until(&store, |status| status.last_error.is_some()).await;
            let error = status.last_error.unwrap();
            assert!(error.contains(what), "{what}: {error}");
            assert_eq!(ticks(&store), 1);
        }
    });
}

#[test]
fn who_is_not_let_in_stops_and_says_why() {
    run(async {
        let refused = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 14\r\n\r\ntoken is \x1bold!";
        for scheme in ["ws", "http"] {
            let addr = http_saying(refused).await;
            let store = open(CfSync::new(format!("{scheme}://{addr}")));
            let stopped = |connection: &ConnectionState| match connection {
                ConnectionState::Stopped(StopReason::NotAuthorized { message }) => {
                    Some(message.clone())
                }
                _ => None,
            };
            let status = until(&store, |status| stopped(&status.connection).is_some()).await;
            assert_eq!(stopped(&status.connection).unwrap(), "token is old!");
        }
    });
}

#[test]
fn a_token_is_renewed_once_before_syncing_stops() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(folder.path());
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let good = "a-token-of-forty-characters-or-so-0001";
        let list = TokenList::parse(&format!("{good} somebody notes")).unwrap();
        config.authenticator = Some(Arc::new(list));
        let server = Server::start(config).await.unwrap();
        for scheme in ["ws", "http"] {
            let provider = CfSync::new(format!("{scheme}://{}", server.local_addr()))
                .with_payload(json!({ "tenant": 1 }))
                .with_tokens(move |request| async move {
                    Ok(match request {
                        TokenRequest::Renew => good.to_owned(),
                        _ => "an-old-token-of-forty-characters-or-so".to_owned(),
                    })
                });
            let store = open(provider);
            store.commit(Ticked).unwrap();
            until(&store, livestore::SyncStatus::is_synced).await;
        }
        let store = open(ws(server.local_addr()));
        until(&store, |status| matches!(status.connection, ConnectionState::Stopped(_))).await;
    });
}

#[test]
fn addresses_that_cannot_be_used_are_told_without_secrets() {
    run(async {
        for (url, what) in [
            ("ftp://example.com", "has to start with"),
            ("example.com", "has to start with"),
            ("", "has to start with"),
            ("ws://user:secret@host?token=secret", "must not have a query"),
            ("ws://host name", "not a usable address"),
            ("http://", ""),
        ] {
            let provider = CfSync::new(url);
            assert!(!format!("{provider:?}").contains("secret"));
            let store = open(provider);
            store.commit(Ticked).unwrap();
            let status = until(&store, |status| status.last_error.is_some()).await;
            let error = status.last_error.unwrap();
            assert!(error.contains(what) && !error.contains("secret"), "{url:?}: {error}");
        }
    });
}
