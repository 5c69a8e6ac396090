//! Frames of the sync protocol, of either side: what decodes can be encoded and is the same again.

use livestore_core::Group;
use livestore_core::protocol::{ClientMessage, ServerMessage};

use crate::{Outcome, class};

pub(crate) fn run(input: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(input) else { return Outcome::Refused("Utf8".into()) };
    let (client, server) = (ClientMessage::decode(text), ServerMessage::decode(text));
    match (client, server) {
        (Ok(_), Ok(_)) => panic!("both sides could say this"),
        (Ok(message), Err(_)) => {
            let again = ClientMessage::decode(&message.encode());
            assert_eq!(again.as_ref(), Ok(&message));
            if let ClientMessage::Push(push) = &message {
                assert!(!push.groups.is_empty());
                push.groups.iter().for_each(check_group);
            }
            Outcome::Accepted(match message {
                ClientMessage::Authenticate(_) => "authenticate",
                ClientMessage::Locate(_) => "locate",
                ClientMessage::Hello(_) => "hello",
                ClientMessage::Push(_) => "push",
            })
        }
        (Err(_), Ok(message)) => {
            let again = ServerMessage::decode(&message.encode());
            assert_eq!(again.as_ref(), Ok(&message));
            if let ServerMessage::Page(page) = &message {
                page.check().expect("what decodes is checked");
                page.groups.iter().for_each(|confirmed| check_group(&confirmed.group));
            }
            Outcome::Accepted(match message {
                ServerMessage::Located(_) => "located",
                ServerMessage::Welcome(_) => "welcome",
                ServerMessage::Page(_) => "page",
                ServerMessage::PushAccepted(_) => "pushAccepted",
                ServerMessage::AlreadyAccepted(_) => "alreadyAccepted",
                ServerMessage::ServerAhead(_) => "serverAhead",
                ServerMessage::GroupRejected(_) => "groupRejected",
                ServerMessage::Goodbye(_) => "goodbye",
            })
        }
        (Err(client), Err(server)) => {
            Outcome::Refused(format!("{} {}", class(&client), class(&server)))
        }
    }
}

/// Makes use of everything that a group promises.
fn check_group(group: &Group) {
    assert!(group.event_count() > 0);
    let remade = Group::new(
        group.id(),
        group.client_id().clone(),
        group.session_id().clone(),
        group.events().to_vec(),
    );
    assert_eq!(remade.as_ref(), Ok(group), "what arrives is within the limits");
    assert_eq!(remade.map(|group| group.content_hash()), Ok(group.content_hash()));
}
