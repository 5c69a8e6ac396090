//! Rules of the operator: what a log takes, and what becomes of the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use livestore_core::protocol::{
    GoodbyeReason, GroupRejected, Refusal, RejectReason, ServerMessage,
};
use livestore_core::{GlobalSeqNum, Group};
use livestore_server::{Proposal, RuleError, Rules, RunningServer, Server};
use serde_json::json;

use crate::support::{Client, config, group, group_id};

async fn start(rules: impl Rules) -> (tempfile::TempDir, RunningServer) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.rules = Arc::new(rules);
    let server = Server::start(config).await.unwrap();
    (dir, server)
}

fn title(proposal: &Proposal<'_>) -> String {
    let args: serde_json::Value = proposal.group().events()[0].args.decode().unwrap();
    args["title"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_group_that_a_rule_refuses_is_rejected_with_its_code_and_details() {
    let no_swearing = |proposal: &Proposal<'_>| match title(proposal).as_str() {
        "damn" => Err(Refusal::new("mind your language")
            .with_code("swearing")
            .with_details(json!({ "word": "damn" }))),
        _ => Ok(()),
    };
    let (_dir, server) = start(no_swearing).await;
    let mut client = Client::connect(&server, "notes").await;
    client.push_ok(&[group(1, "fine")]).await;
    // All or nothing: the good group of the same push is not taken either.
    let answer = client.push(&[group(2, "fine"), group(3, "damn")]).await;
    let refusal = Refusal::new("mind your language")
        .with_code("swearing")
        .with_details(json!({ "word": "damn" }));
    let ServerMessage::GroupRejected(GroupRejected { group: refused, reason, .. }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!((refused, reason), (group_id(3), RejectReason::Refused(refusal)));
    client.push_ok(&[group(2, "fine")]).await;
    assert_eq!(client.ids(), [group_id(1), group_id(2)]);
}

/// Lets a log have so many events, which it counts by reading it.
struct Quota {
    events: u64,
    rollbacks: Arc<AtomicU64>,
}

impl Rules for Quota {
    fn check(&self, proposal: &Proposal<'_>) -> Result<(), RuleError> {
        let (mut at, mut count) = (GlobalSeqNum::ROOT, 0);
        while let Some(page) = proposal.page(at)? {
            count += page.groups.iter().map(|group| group.group.event_count()).sum::<u64>();
            at = page.end.seq;
        }
        assert_eq!(at, proposal.head().seq);
        count += proposal.earlier().iter().map(Group::event_count).sum::<u64>();
        if count + proposal.group().event_count() > self.events {
            return Err(Refusal::new(format!("{} is full", proposal.store_id())).into());
        }
        Ok(())
    }

    fn rolled_back(&self) {
        self.rollbacks.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_rule_reads_the_log_that_the_group_would_continue() {
    let rollbacks = Arc::new(AtomicU64::new(0));
    let (_dir, server) = start(Quota { events: 3, rollbacks: Arc::clone(&rollbacks) }).await;
    let mut client = Client::connect(&server, "notes").await;
    client.push_ok(&[group(1, "one")]).await;
    let answer = client.push(&[group(2, "two"), group(3, "three"), group(4, "four")]).await;
    let ServerMessage::GroupRejected(rejected) = answer else { panic!("{answer:?}") };
    assert_eq!(rejected.group, group_id(4));
    assert_eq!(rejected.reason, RejectReason::Refused(Refusal::new("notes is full")));
    client.push_ok(&[group(2, "two"), group(3, "three")]).await;
    // Another log has its own room, and a repeat of what the log has is no further group.
    Client::connect(&server, "other").await.push_ok(&[group(5, "five")]).await;
    let answer = client.push_at(GlobalSeqNum(0), &[group(1, "one")]).await;
    assert!(matches!(answer, ServerMessage::AlreadyAccepted(_)), "{answer:?}");
    assert_eq!(rollbacks.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_rule_that_fails_decides_nothing_and_harms_nobody_else() {
    let fragile = |proposal: &Proposal<'_>| {
        assert_ne!(title(proposal), "boom", "the rule is not prepared for this");
        match title(proposal).as_str() {
            "hm" => Err(RuleError::Undecided { message: "the price list is away".into() }),
            _ => Ok(()),
        }
    };
    let (_dir, server) = start(fragile).await;
    for title in ["boom", "hm"] {
        let mut client = Client::connect(&server, "notes").await;
        client.send_push(GlobalSeqNum(0), &[group(1, title)]).await;
        let goodbye = client.wire.goodbye().await;
        assert_eq!(goodbye.reason, GoodbyeReason::Internal);
        assert!(goodbye.message.contains("a rule of the server failed"), "{}", goodbye.message);
        // What the rule has met is the operator's business.
        assert!(!goodbye.message.contains("price list"), "{}", goodbye.message);
    }
    let mut client = Client::connect(&server, "notes").await;
    client.push_ok(&[group(1, "fine")]).await;
}
