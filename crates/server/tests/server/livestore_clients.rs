//! Clients that speak the protocol of LiveStore's Cloudflare provider.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use livestore_server::{Proposal, Refusal, RunningServer, Server, ServerConfig, TokenList};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::{Client, PATIENCE, config, group_of, start};

/// A LiveStore client on a WebSocket, message by message.
struct Theirs {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    requests: u64,
}

async fn dial(server: &RunningServer, query: &str) -> Result<Theirs, (u16, String)> {
    let url = format!("ws://{}/some/path?{query}", server.local_addr());
    match connect_async(url).await {
        Ok((socket, _)) => Ok(Theirs { socket, requests: 0 }),
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            Err((response.status().as_u16(), String::from_utf8(body).unwrap()))
        }
        Err(error) => panic!("{error}"),
    }
}

impl Theirs {
    async fn connect(server: &RunningServer) -> Self {
        dial(server, "storeId=notes&transport=ws").await.unwrap()
    }

    async fn say(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("the server is silent") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn request(&mut self, tag: &str, payload: Value) -> String {
        self.requests += 1;
        let id = self.requests.to_string();
        let request = json!({
            "_tag": "Request", "id": id, "tag": tag, "payload": payload, "headers": [],
            "traceId": "t", "spanId": "s", "sampled": false,
        });
        self.say(&request).await;
        id
    }

    async fn pull(&mut self, live: bool, cursor: Value) -> String {
        let payload = json!({ "storeId": "notes", "live": live, "cursor": cursor });
        self.request("SyncWsRpc.Pull", payload).await
    }

    /// Pulls and follows the log from its beginning; returns the id of the pull.
    async fn follow(&mut self) -> String {
        self.pull(true, none()).await
    }

    async fn push(&mut self, batch: &[Value]) -> String {
        let payload = json!({ "storeId": "notes", "batch": batch, "backendId": none() });
        self.request("SyncWsRpc.Push", payload).await
    }

    /// The next message, which has to be a chunk: its events and what it says of more.
    async fn chunk(&mut self) -> (Vec<Value>, Value) {
        let chunk = self.hear().await;
        assert_eq!(chunk["_tag"], "Chunk", "{chunk}");
        let response = &chunk["values"][0];
        let events = response["batch"].as_array().unwrap().iter();
        let events = events.map(|stamped| {
            assert_eq!(stamped["metadata"]["_tag"], "Some");
            let at = stamped["metadata"]["value"]["createdAt"].as_str().unwrap();
            assert!(at.ends_with('Z') && at.len() == 24, "{at}");
            stamped["eventEncoded"].clone()
        });
        (events.collect(), response["pageInfo"].clone())
    }

    /// The error of a request that fails.
    async fn failure(&mut self) -> Value {
        let exit = self.hear().await;
        assert_eq!(exit["exit"]["_tag"], "Failure", "{exit}");
        assert_eq!(exit["exit"]["cause"]["_tag"], "Fail", "{exit}");
        exit["exit"]["cause"]["error"].clone()
    }
}

fn none() -> Value {
    json!({ "_tag": "None" })
}

fn some(value: Value) -> Value {
    json!({ "_tag": "Some", "value": value })
}

fn event(seq: u64, args: Value) -> Value {
    json!({
        "name": "v1.NoteAdded", "args": args, "seqNum": seq, "parentSeqNum": seq - 1,
        "clientId": "my-machine.local", "sessionId": "static",
    })
}

#[tokio::test]
async fn a_client_gets_what_it_pushes_before_it_is_told_that_it_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let (mut one, mut other) = (Theirs::connect(&server).await, Theirs::connect(&server).await);
    one.say(&json!({ "_tag": "Ping" })).await;
    assert_eq!(one.hear().await, json!({ "_tag": "Pong" }));
    let pull = one.follow().await;
    let first = one.hear().await;
    let backend_id = server.backend_id().to_string();
    let no_more = json!({ "_tag": "NoMore" });
    let empty = json!({ "batch": [], "pageInfo": no_more, "backendId": backend_id });
    assert_eq!(first, json!({ "_tag": "Chunk", "requestId": pull, "values": [empty] }));
    other.follow().await;
    other.hear().await;

    let events = [event(1, json!({ "b": 1.5, "a": "é\u{1F600}" })), event(2, json!([null, true]))];
    let push = one.push(&events).await;
    assert_eq!(one.chunk().await, (events.to_vec(), no_more.clone()));
    let done = json!({ "_tag": "Success", "value": {} });
    assert_eq!(one.hear().await, json!({ "_tag": "Exit", "requestId": push, "exit": done }));
    assert_eq!(other.chunk().await, (events.to_vec(), no_more));

    // Words about requests that are over, and those of a client that has nothing more to say.
    one.say(&json!({ "_tag": "Ack", "requestId": pull })).await;
    one.say(&json!({ "_tag": "Interrupt", "requestId": push })).await;
    one.say(&json!({ "_tag": "Eof" })).await;
    one.say(&json!({ "_tag": "Interrupt", "requestId": pull })).await;
    let exit = one.hear().await;
    assert_eq!((&exit["requestId"], &exit["exit"]["_tag"]), (&json!(pull), &json!("Failure")));
    assert_eq!(exit["exit"]["cause"]["_tag"], "Interrupt");
}

#[tokio::test]
async fn a_payload_that_is_missing_and_one_that_is_null_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut client = Theirs::connect(&server).await;
    client.follow().await;
    client.hear().await;
    let mut without = event(1, Value::Null);
    without.as_object_mut().unwrap().remove("args");
    let events = [without, event(2, Value::Null), event(3, json!({}))];
    client.push(&events).await;
    assert_eq!(client.chunk().await.0, events);
}

#[tokio::test]
async fn a_push_that_does_not_fit_is_refused_as_livestore_s_backend_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut client = Theirs::connect(&server).await;
    client.push(&[event(1, json!(1)), event(2, json!(2))]).await;
    client.hear().await;
    client.push(&[event(1, json!(9))]).await;
    let ahead = json!({ "minimumExpectedNum": 2, "providedNum": 0, "_tag": "ServerAheadError" });
    assert_eq!(client.failure().await, ahead);

    let other = json!("0198c1de-0000-7000-8000-000000000000");
    let payload = json!({
        "storeId": "notes", "batch": [event(3, json!(3))], "backendId": some(other.clone()),
    });
    client.request("SyncWsRpc.Push", payload).await;
    let mismatch = json!({
        "expected": server.backend_id(), "received": other, "_tag": "BackendIdMismatchError",
    });
    assert_eq!(client.failure().await, mismatch);
    client.pull(true, some(json!({ "backendId": other, "eventSequenceNumber": 1 }))).await;
    assert_eq!(client.failure().await, mismatch);

    for wrong in [
        vec![event(3, json!(3)), event(3, json!(5))],
        vec![event(3, json!(3)), event(105, json!(5))],
        vec![
            json!({ "name": "", "args": 1, "seqNum": 3, "parentSeqNum": 2, "clientId": "c", "sessionId": "s" }),
        ],
        vec![
            json!({ "name": "x", "args": 1, "seqNum": 3, "parentSeqNum": 2, "clientId": "", "sessionId": "s" }),
        ],
    ] {
        client.push(&wrong).await;
        assert_eq!(client.failure().await["_tag"], "UnknownError");
    }
    let elsewhere = json!({ "storeId": "else", "batch": [], "backendId": none() });
    client.request("SyncWsRpc.Push", elsewhere).await;
    assert_eq!(client.failure().await["_tag"], "UnknownError");
    client.push(&[event(3, json!(3))]).await;
    assert_eq!(client.hear().await["exit"]["_tag"], "Success", "nothing of all that has hurt");
}

#[tokio::test]
async fn a_push_with_a_hole_is_taken_as_livestore_s_backend_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut client = Theirs::connect(&server).await;
    let with_hole = [event(1, json!(1)), event(2, json!(2)), event(5, json!(5))];
    client.push(&with_hole).await;
    assert_eq!(client.hear().await["exit"]["_tag"], "Success");
    client.push(&[event(6, json!(6))]).await;
    assert_eq!(client.hear().await["exit"]["_tag"], "Success");
    let mut late = Theirs::connect(&server).await;
    late.pull(true, none()).await;
    let (events, more) = late.chunk().await;
    let seqs: Vec<_> = events.iter().map(|event| event["seqNum"].clone()).collect();
    assert_eq!((json!(seqs), more), (json!([1, 2, 5, 6]), json!({ "_tag": "NoMore" })));
    // A log of ours has no holes.
    let mut ours = Client::connect(&server, "notes").await;
    let page = ours.receive_page().await;
    let names: Vec<_> =
        page.groups.iter().map(|group| group.group.events()[0].is_missing()).collect();
    assert_eq!(names, [false, false, true, true, false, false]);
}

#[tokio::test]
async fn a_log_comes_in_chunks_and_from_anywhere_even_within_a_group() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut ours = Client::connect(&server, "notes").await;
    ours.push_ok(&[group_of(1, 120, "one"), group_of(2, 130, "two")]).await;
    let large = "x".repeat(300_000);
    ours.push_ok(&[group_of(3, 5, &large)]).await;
    let mut client = Theirs::connect(&server).await;
    let pull = client.pull(false, none()).await;
    let (mut sizes, mut seen) = (Vec::new(), 0);
    loop {
        let (events, more) = client.chunk().await;
        for event in &events {
            seen += 1;
            assert_eq!(
                (&event["seqNum"], &event["parentSeqNum"]),
                (&json!(seen), &json!(seen - 1))
            );
        }
        sizes.push(events.len());
        if more == json!({ "_tag": "NoMore" }) {
            break;
        }
        assert_eq!(more, json!({ "_tag": "MoreKnown", "remaining": 255 - seen }));
    }
    assert_eq!(sizes, [100, 100, 52, 2, 1]);
    let done = json!({ "_tag": "Success" });
    assert_eq!(client.hear().await, json!({ "_tag": "Exit", "requestId": pull, "exit": done }));

    let cursor = json!({ "backendId": server.backend_id(), "eventSequenceNumber": 60 });
    client.pull(true, some(cursor)).await;
    assert_eq!(client.chunk().await.0[0]["seqNum"], 61);
}

#[tokio::test]
async fn ours_and_theirs_see_each_other_s_events() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut theirs = Theirs::connect(&server).await;
    theirs.follow().await;
    theirs.hear().await;
    let mut ours = Client::connect(&server, "notes").await;
    ours.push_ok(&[group_of(1, 3, "ours")]).await;
    let (events, _) = theirs.chunk().await;
    assert_eq!(events.len(), 3);
    assert_eq!(events[2]["args"], json!({ "at": 2, "title": "ours" }));
    assert_eq!(
        (&events[2]["clientId"], &events[2]["sessionId"]),
        (&json!("laptop"), &json!("tab-1"))
    );

    theirs.push(&[event(4, json!("theirs")), event(5, json!("as well"))]).await;
    theirs.chunk().await;
    ours.pull_to(5).await;
    let groups = &ours.log[ours.log.len() - 2..];
    assert!(groups.iter().all(|confirmed| confirmed.group.event_count() == 1));
    assert_eq!(groups[1].group.events()[0].args.as_str(), "\"as well\"");
    assert_eq!(groups[1].group.client_id().as_str(), "my-machine.local");
}

async fn post(server: &RunningServer, query: &str, body: &str) -> (String, String) {
    let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut response)).await.unwrap().unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return (head.into(), body.into());
    }
    let (mut rest, mut whole) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    (head.into(), whole)
}

#[tokio::test]
async fn each_call_can_be_a_request_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let call = async |tag: &str, payload: Value| {
        let request =
            json!({ "_tag": "Request", "id": "7", "tag": tag, "payload": payload, "headers": [] });
        let (head, body) =
            post(&server, "storeId=notes&transport=http", &request.to_string()).await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/json"), "{head}");
        serde_json::from_str::<Vec<Value>>(&body).unwrap()
    };
    let pong = json!({ "_tag": "Success", "value": { "_tag": "SyncMessage.Pong" } });
    let answer = call("SyncHttpRpc.Ping", json!({ "storeId": "notes" })).await;
    assert_eq!(answer, [json!({ "_tag": "Exit", "requestId": "7", "exit": pong })]);
    let batch: Vec<Value> = (1..=100).map(|seq| event(seq, json!(seq))).collect();
    let push = json!({ "storeId": "notes", "batch": batch, "backendId": none() });
    let pushed = call("SyncHttpRpc.Push", push.clone()).await;
    assert_eq!(pushed[0]["exit"], json!({ "_tag": "Success", "value": {} }));
    let again = call("SyncHttpRpc.Push", push).await;
    assert_eq!(again[0]["exit"]["cause"]["error"]["_tag"], "ServerAheadError");
    let more: Vec<Value> = (101..=150).map(|seq| event(seq, json!(seq))).collect();
    call("SyncHttpRpc.Push", json!({ "storeId": "notes", "batch": more, "backendId": none() }))
        .await;
    let pulled = call("SyncHttpRpc.Pull", json!({ "storeId": "notes", "cursor": none() })).await;
    let sizes = pulled.iter().map(|message| message["values"][0]["batch"].as_array().map(Vec::len));
    assert_eq!(sizes.collect::<Vec<_>>(), [Some(100), Some(50), None]);
    assert_eq!(pulled[2]["exit"], json!({ "_tag": "Success" }));
    let (head, _) = post(&server, "storeId=notes&transport=http", "{}").await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_dropped_however_much_the_log_grows() {
    let (_dir, server) =
        start_with(|config| config.timing.silence = std::time::Duration::from_millis(300)).await;
    let mut silent = Theirs::connect(&server).await;
    silent.follow().await;
    let mut author = Theirs::connect(&server).await;
    let growing = async {
        for seq in 1.. {
            author.push(&[event(seq, json!(seq))]).await;
            author.hear().await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let dropped = async {
        while let Some(Ok(message)) = silent.socket.next().await {
            if message.is_close() {
                break;
            }
        }
    };
    tokio::select! {
        () = growing => {}
        dropped = timeout(PATIENCE, dropped) => dropped.expect("it is still served"),
    }
}

async fn start_with(set: impl FnOnce(&mut ServerConfig)) -> (tempfile::TempDir, RunningServer) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    set(&mut config);
    (dir, Server::start(config).await.unwrap())
}

#[tokio::test]
async fn what_an_app_shows_is_its_sync_payload() {
    let list = TokenList::parse("the-token-of-ann ann notes").unwrap();
    let (_dir, server) = start_with(|config| config.authenticator = Some(Arc::new(list))).await;
    let with =
        async |payload: &str| dial(&server, &format!("storeId=notes{payload}&transport=ws")).await;
    // Encoded twice, as LiveStore does it.
    let right = "&payload=%257B%2522authToken%2522%253A%2522the-token-of-ann%2522%257D";
    with(right).await.ok().unwrap();
    for wrong in [
        "",
        "&payload=%257B%2522authToken%2522%253A%2522another%2522%257D",
        "&payload=%257B%257D",
        "&payload=not-json",
    ] {
        let (code, _) = with(wrong).await.err().unwrap();
        assert_eq!(code, 400, "{wrong}");
    }
    let (code, _) =
        dial(&server, &format!("storeId=other{right}&transport=ws")).await.err().unwrap();
    assert_eq!(code, 400);
}

#[tokio::test]
async fn whoever_knows_of_no_refusals_meets_rules_only_where_that_is_allowed() {
    let refuse = |proposal: &Proposal<'_>| match proposal.group().events()[0].args.as_str() {
        "\"bad\"" => Err(Refusal::new("not this one")),
        _ => Ok(()),
    };
    let (_dir, server) = start_with(|config| config.rules = Arc::new(refuse)).await;
    let (code, why) = dial(&server, "storeId=notes&transport=ws").await.err().unwrap();
    assert!(code == 400 && why.contains("rules"), "{why}");

    let (_dir, server) = start_with(|config| {
        config.rules = Arc::new(refuse);
        config.let_livestore_meet_rules = Arc::new(|store| store.as_str() == "notes");
    })
    .await;
    let mut client = Theirs::connect(&server).await;
    client.push(&[event(1, json!("bad"))]).await;
    let error = client.failure().await;
    assert_eq!(error["cause"], json!({ "name": "Refused", "message": "not this one" }));
    client.push(&[event(1, json!("good"))]).await;
    assert_eq!(client.hear().await["exit"]["_tag"], "Success");
    dial(&server, "storeId=else&transport=ws").await.err().unwrap();
}

#[tokio::test]
async fn a_server_can_leave_them_out_and_what_no_message_is_ends_the_conversation() {
    let (_dir, server) = start_with(|config| config.serve_livestore = false).await;
    assert_eq!(dial(&server, "storeId=notes&transport=ws").await.err().unwrap().0, 404);
    let (_dir, server) = start_with(|_| ()).await;
    for wrong in ["storeId=a/b&transport=ws", "storeId=notes&transport=tcp"] {
        assert_eq!(dial(&server, wrong).await.err().unwrap().0, 400);
    }
    let plain = crate::http::get(server.local_addr(), "/?storeId=notes&transport=ws").await;
    assert!(plain.starts_with("HTTP/1.1 426"), "{plain}");
    let many: Vec<Value> = (1..=101).map(|seq| event(seq, json!(seq))).collect();
    let many = json!({ "storeId": "notes", "batch": many, "backendId": none() });
    for wrong in [
        json!("{"),
        json!({ "_tag": "Request", "id": "1", "tag": "Other", "payload": {} }),
        json!({ "_tag": "Ack", "requestId": "1".repeat(65) }),
        json!({ "_tag": "Request", "id": "1", "tag": "SyncWsRpc.Push", "payload": many, "headers": [] }),
    ] {
        let mut client = Theirs::connect(&server).await;
        client.say(&wrong).await;
        assert_eq!(client.hear().await["_tag"], "Defect", "{wrong}");
        let last = timeout(PATIENCE, client.socket.next()).await.unwrap();
        assert!(matches!(last, None | Some(Ok(Message::Close(_)) | Err(_))), "{last:?}");
    }
}

#[tokio::test]
async fn everything_of_a_burst_arrives_once_and_in_order_at_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut reader = Theirs::connect(&server).await;
    reader.follow().await;
    reader.hear().await;
    let mut author = Theirs::connect(&server).await;
    for batch in 0..30 {
        let events: Vec<Value> =
            (1..=100).map(|nth| event(batch * 100 + nth, json!({ "nth": nth }))).collect();
        author.push(&events).await;
        assert_eq!(author.hear().await["exit"]["_tag"], "Success");
    }
    let mut seen = 0;
    while seen < 3_000 {
        for event in reader.chunk().await.0 {
            seen += 1;
            assert_eq!(event["seqNum"], seen);
        }
    }
    server.shutdown().await;
    let server = start(dir.path()).await;
    let mut reader = Theirs::connect(&server).await;
    let cursor = json!({ "backendId": server.backend_id(), "eventSequenceNumber": 2_950 });
    reader.pull(true, some(cursor)).await;
    assert_eq!(reader.chunk().await.0.len(), 50);
    // A server that has written nothing since it was started knows no end of the log.
    let mut late = Theirs::connect(&server).await;
    late.follow().await;
    let mut seen = 0;
    while seen < 3_000 {
        seen += late.chunk().await.0.len();
    }
}

#[tokio::test]
async fn who_does_not_read_the_answer_to_a_pull_loses_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.timing.send = std::time::Duration::from_millis(300);
    let server = Server::start(config).await.unwrap();
    let mut ours = Client::connect(&server, "notes").await;
    let large = "x".repeat(900_000);
    for number in 1..=40 {
        ours.push_ok(&[group_of(number, 1, &large)]).await;
    }
    let request = json!({
        "_tag": "Request", "id": "1", "tag": "SyncHttpRpc.Pull", "headers": [],
        "payload": { "storeId": "notes", "cursor": none() },
        "traceId": "t", "spanId": "s", "sampled": false,
    });
    let body = request.to_string();
    let mut socket = TcpStream::connect(server.local_addr()).await.unwrap();
    let head = format!(
        "POST /?storeId=notes&transport=http HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let mut answer = Vec::new();
    // What is in the buffers on the way comes, and then the connection is gone.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("it is still there");
    assert!(answer.len() < 36_000_000, "{}", answer.len());
    assert!(!answer.ends_with(b"0\r\n\r\n"), "the answer is not whole");
}
