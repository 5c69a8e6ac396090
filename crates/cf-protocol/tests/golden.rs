//! Frames that LiveStore 0.4.0 and its Cloudflare backend have said to each other.
//!
//! `fixtures/frames.jsonl` holds them as they were on the wire, without those whose payloads are long.

use livestore_cf_protocol::{Cause, ClientMessage, Exit, RpcError, ServerMessage};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Frame {
    capture: String,
    from: String,
    via: String,
    data: String,
}

fn frames() -> Vec<Frame> {
    let text = include_str!("fixtures/frames.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The messages of a frame: a backend answers an HTTP request with an array of them.
fn messages(frame: &Frame) -> Vec<Value> {
    match serde_json::from_str(&frame.data).unwrap() {
        Value::Array(messages) => messages,
        message => vec![message],
    }
}

/// Which members a message has, in which order, with the payloads of events left out: those of ours are
/// in canonical order.
fn shape(text: &str) -> String {
    let mut rest = text;
    let mut shape = String::new();
    while let Some((before, after)) = rest.split_once("\"args\":") {
        shape.push_str(before);
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
        values.next().unwrap().unwrap();
        rest = &after[values.byte_offset()..];
    }
    shape + rest
}

#[test]
fn what_a_backend_has_said_is_read_and_written_as_it_was() {
    let mut interrupted = 0;
    let mut count = 0;
    for frame in frames().iter().filter(|frame| frame.from == "server") {
        for original in messages(frame) {
            let text = if frame.via == "ws" { frame.data.clone() } else { original.to_string() };
            let message = ServerMessage::decode(&text).unwrap();
            let written = message.encode();
            count += 1;
            if let ServerMessage::Exit { exit: Exit::Failure { cause: Cause::Interrupt }, .. } =
                message
            {
                // They say it in many words, and we in one.
                interrupted += 1;
                assert_eq!(ServerMessage::decode(&written).unwrap(), message);
                continue;
            }
            assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), original);
            if frame.via == "ws" {
                assert_eq!(shape(&written), shape(&frame.data), "capture {}", frame.capture);
            }
        }
    }
    assert!(count > 60 && interrupted > 3, "{count} {interrupted}");
}

#[test]
fn what_a_client_has_said_is_read_and_written_as_it_was() {
    let mut count = 0;
    for frame in frames().iter().filter(|frame| frame.from == "client") {
        let message = ClientMessage::decode(&frame.data).unwrap();
        let written = message.encode();
        let (mut written, mut original): (Value, Value) =
            (serde_json::from_str(&written).unwrap(), serde_json::from_str(&frame.data).unwrap());
        if frame.via == "http" {
            // The same calls have other names there.
            for value in [&mut written, &mut original] {
                value.as_object_mut().unwrap().remove("tag");
                if let Some(payload) = value["payload"].as_object_mut() {
                    payload.remove("live");
                }
            }
        }
        assert_eq!(written, original, "capture {}", frame.capture);
        count += 1;
    }
    assert!(count > 60, "{count}");
}

#[test]
fn errors_are_read_in_both_encodings() {
    let ahead = r#"{"minimumExpectedNum":2,"providedNum":0,"_tag":"ServerAheadError"}"#;
    let fail = format!(r#"{{"_tag":"Fail","error":{ahead}}}"#);
    let interrupt = r#"{"_tag":"Interrupt","fiberId":1}"#;
    let causes = [
        fail.clone(),
        format!("[{fail}]"),
        format!("[{interrupt},{fail}]"),
        format!(r#"{{"_tag":"Sequential","left":{interrupt},"right":{fail}}}"#),
    ];
    for cause in causes {
        let exit = format!(
            r#"{{"_tag":"Exit","requestId":7,"exit":{{"_tag":"Failure","cause":{cause}}}}}"#
        );
        let ServerMessage::Exit { exit: Exit::Failure { cause: Cause::Fail(error) }, .. } =
            ServerMessage::decode(&exit).unwrap()
        else {
            panic!("{cause}");
        };
        let RpcError::ServerAhead(ahead) = error else { panic!("{error:?}") };
        assert_eq!((ahead.minimum_expected_num, ahead.provided_num), (2, 0));
    }
}

#[test]
fn ids_of_requests_are_repeated_as_they_were() {
    for id in [r#""17""#, "17"] {
        let request = format!(r#"{{"_tag":"Ack","requestId":{id}}}"#);
        assert_eq!(ClientMessage::decode(&request).unwrap().encode(), request);
    }
}
