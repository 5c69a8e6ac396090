//! The cases.

use std::pin::Pin;
use std::time::Duration;

use livestore::protocol::{GoodbyeReason, RejectReason};
use livestore_core::{BackendId, Cursor, GlobalSeqNum, Group, LogHash, LogPosition, StoreId};
use serde_json::json;
use tokio::time::timeout;

use super::{Answer, Backend, Own, Talk};
use crate::events::{after, kept, placed};
use crate::report::{Case, Unmet, cut, failed, same, skipped};

type Run = for<'a> fn(&'a Backend) -> Pin<Box<dyn Future<Output = Case> + Send + 'a>>;

macro_rules! cases {
    ($($name:literal => $run:ident;)*) => {
        /// What has to hold, and what tries it.
        pub(super) const CASES: &[(&str, Run)] =
            &[$(($name, |backend| Box::pin($run(backend)))),*];
    };
}

cases! {
    "an empty log is empty" => empty;
    "pushed groups get positions and hashes in order" => order;
    "who comes later gets the log in order" => late;
    "news come without asking" => live;
    "a push is taken whole or not at all" => whole;
    "who was too late gets what was quicker, and can push on top of it" => ahead;
    "a group is taken once, however often it is pushed" => once;
    "an id that is taken is not given to another group" => conflict;
    "an answer that is lost is made good at the next hello" => lost_answers;
    "a log is read on from where a client is" => from_anywhere;
    "many events come in pieces and in order" => many;
    "what fits one push is taken" => largest;
    "payloads come back as they were" => payloads;
    "nothing is lost or doubled when many write at the same time" => writers;
    "a client with another history is told" => other_history;
    "a client of another backend is told" => other_backend;
    "a client that has more than the log is told" => beyond;
    "how much of a log is common is found out" => common;
    "stores are apart" => apart;
    "a newer conversation of a client ends the older one" => superseded;
    "a restart loses nothing" => restart;
}

fn accepted(answer: &Answer) -> Case {
    if *answer == Answer::Accepted {
        return Ok(());
    }
    failed(format!("a push that fits was answered with {}", cut(answer)))
}

async fn empty(backend: &Backend) -> Case {
    let (store, client) = backend.names().await;
    let mut talk = backend.connect(&store, &client, Own::default()).await?;
    let welcome = talk.greet(None, &[]).await?;
    same("the head", &welcome.head.0, &0)?;
    same("accepted groups", &welcome.accepted, &Vec::new())?;
    if let Ok(message) = timeout(Duration::from_millis(200), talk.message()).await {
        return failed(format!("it sends {} although there is nothing", cut(&message)));
    }
    talk.close().await
}

async fn order(backend: &Backend) -> Case {
    let (store, client) = backend.names().await;
    let groups = backend.groups(&client, &[1, 3, 1]).await;
    let mut talk = backend.come(&store, &client).await?;
    for group in &groups {
        accepted(&talk.push(std::slice::from_ref(group)).await?)?;
    }
    same("the end of the log", &talk.position, &after(LogPosition::ROOT, &groups))?;
    let mut reader = backend.read(&store, 5).await?;
    backend.check_log(&reader, &groups)?;
    same("the backend's id", &reader.backend_id, &talk.backend_id)?;
    reader.pull_to(5).await?;
    talk.close().await?;
    reader.close().await
}

async fn late(backend: &Backend) -> Case {
    let (store, client) = backend.names().await;
    let groups = backend.groups(&client, &[2; 20]).await;
    let mut talk = backend.come(&store, &client).await?;
    push_all(backend, &mut talk, &groups).await?;
    for _ in 0..2 {
        let reader = backend.read(&store, 40).await?;
        backend.check_log(&reader, &groups)?;
        reader.close().await?;
    }
    talk.close().await
}

async fn live(backend: &Backend) -> Case {
    let (store, client) = backend.names().await;
    let groups = backend.groups(&client, &[1, 2, 1]).await;
    let mut reader = backend.read(&store, 0).await?;
    let mut talk = backend.come(&store, &client).await?;
    for (number, group) in groups.iter().enumerate() {
        accepted(&talk.push(std::slice::from_ref(group)).await?)?;
        reader.pull_to(talk.position.seq.0).await?;
        backend.check_log(&reader, &groups[..=number])?;
    }
    // His own are no news to the author.
    if let Ok(message) = timeout(Duration::from_millis(100), talk.message()).await {
        match message? {
            livestore::protocol::ServerMessage::Page(page) if page.end.seq <= talk.position.seq => {
            }
            other => return failed(format!("the author of everything gets {}", cut(&other))),
        }
    }
    talk.close().await?;
    reader.close().await
}

async fn whole(backend: &Backend) -> Case {
    let (store, client) = backend.names().await;
    let other = backend.client().await;
    let (mine, theirs) =
        (backend.groups(&client, &[2, 2]).await, backend.groups(&other, &[3]).await);
    let mut talk = backend.come(&store, &client).await?;
    let mut quicker = backend.come(&store, &other).await?;
    accepted(&quicker.push(&theirs).await?)?;
    if talk.push_at(GlobalSeqNum::ROOT, &mine).await? != Answer::Ahead {
        return failed("a push that does not continue the log is taken");
    }
    let reader = backend.read(&store, 3).await?;
    backend.check_log(&reader, &theirs)?;
    let all = [theirs, mine.clone()].concat();
    talk.pull_to(3).await?;
    accepted(&talk.push(&mine).await?)?;
    let reader = backend.read(&store, 7).await?;
    backend.check_log(&reader, &all)
}

async fn ahead(backend: &Backend) -> Case {
    let (store, client) = backend.names().await;
    let other = backend.client().await;
    let mut quicker = backend.come(&store, &other).await?;
    let mut talk = backend.come(&store, &client).await?;
    let mut all: Vec<Group> = Vec::new();
    for _ in 0..5 {
        let theirs = backend.groups(&other, &[1]).await;
        quicker.pull_to(all.iter().map(Group::event_count).sum()).await?;
        accepted(&quicker.push(&theirs).await?)?;
        all.extend(theirs);
        let mine = backend.groups(&client, &[2]).await;
        retry(&mut talk, &mine).await?;
        all.extend(mine);
    }
    let reader = backend.read(&store, 15).await?;
    backend.check_log(&reader, &all)
}

/// Pushes until it is taken.
async fn retry(talk: &mut Talk, groups: &[Group]) -> Case {
    for _ in 0..1_000 {
        let before = talk.position;
        match talk.push(groups).await? {
            Answer::Accepted => return Ok(()),
            Answer::Ahead if talk.position.seq > before.seq => {}
            // What was quicker is announced, and on its way.
            Answer::Ahead => talk.pull_to(before.seq.0 + 1).await?,
            other => return failed(format!("a push was answered with {}", cut(&other))),
        }
    }
    failed("a push came too late a thousand times")
}

async fn once(backend: &Backend) -> Case {
    backend.needs_ids()?;
    let (store, client) = backend.names().await;
    let groups = backend.groups(&client, &[1, 2, 1]).await;
    let mut talk = backend.come(&store, &client).await?;
    accepted(&talk.push(&groups[..2]).await?)?;
    for again in [&groups[..1], &groups[1..2], &groups[..]] {
        let answer = talk.push(again).await?;
        let Answer::Already(positions) = answer else {
            return failed(format!("a repeat was answered with {}", cut(&answer)));
        };
        for position in positions {
            let known = placed(GlobalSeqNum::ROOT, &groups[..2]);
            let is_right = known
                .iter()
                .any(|group| (group.group.id(), group.first) == (position.id, position.first));
            if !is_right {
                return failed(format!("a repeat is said to stand at {position:?}"));
            }
        }
    }
    accepted(&talk.push(&groups[2..]).await?)?;
    let reader = backend.read(&store, 4).await?;
    backend.check_log(&reader, &groups)
}

async fn conflict(backend: &Backend) -> Case {
    backend.needs_ids()?;
    let (store, client) = backend.names().await;
    let groups = backend.groups(&client, &[1, 1]).await;
    let mut talk = backend.come(&store, &client).await?;
    accepted(&talk.push(&groups[..1]).await?)?;
    let (session, events) = (groups[1].session_id().clone(), groups[1].events().to_vec());
    let other = Group::new(groups[0].id(), client, session, events);
    let other = other.map_err(|error| Unmet::Failed(error.to_string()))?;
    match talk.push(&[other]).await? {
        Answer::Rejected(rejected)
            if rejected.group == groups[0].id()
                && rejected.reason == RejectReason::EventIdConflict => {}
        answer => return failed(format!("it was answered with {}", cut(&answer))),
    }
    let reader = backend.read(&store, 1).await?;
    backend.check_log(&reader, &groups[..1])
}

async fn lost_answers(backend: &Backend) -> Case {
    let (store, client) = backend.names().await;
    let mut all = Vec::new();
    let mut talk = backend.come(&store, &client).await?;
    for delay_ms in [0, 1, 3, 10, 50, 200] {
        // The same every time but for ids: only where it stands tells one from another.
        let payload = json!({ "again": true });
        let group = backend.maker.lock().await.group_of(&client, &[payload.clone(), payload]);
        let (cursor, known) = (talk.cursor(), talk.position);
        talk.send_push(known.seq, std::slice::from_ref(&group)).await?;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        talk.close().await?;
        let confirmed = placed(GlobalSeqNum::ROOT, &all);
        let attempted = vec![group.clone()];
        let own = Own { confirmed, attempted: attempted.clone() };
        talk = backend.connect(&store, &client, own).await?;
        let welcome = talk.greet(Some(cursor), &attempted).await?;
        let is_in = welcome.accepted.iter().any(|accepted| accepted.id == group.id());
        if is_in {
            talk.pull_to(known.seq.0 + 2).await?;
        } else {
            accepted(&talk.push(&attempted).await?)?;
        }
        all.push(group);
        same("the log's end", &talk.position, &after(LogPosition::ROOT, &all))?;
    }
    let reader = backend.read(&store, 12).await?;
    backend.check_log(&reader, &all)
}

/// Pushes groups, as many at a time as the backend takes.
async fn push_all(backend: &Backend, talk: &mut Talk, groups: &[Group]) -> Case {
    let mut rest = groups;
    while !rest.is_empty() {
        let most = &rest[..rest.len().min(100)];
        let (some, others) = rest.split_at(backend.capabilities.push.fitting(most.iter()));
        accepted(&talk.push(some).await?)?;
        rest = others;
    }
    Ok(())
}

async fn from_anywhere(backend: &Backend) -> Case {
    let (store, client) = backend.names().await;
    let groups = backend.groups(&client, &[2, 1, 3]).await;
    let mut author = backend.come(&store, &client).await?;
    accepted(&author.push(&groups).await?)?;
    for from in 0..=groups.len() {
        let own =
            Own { confirmed: placed(GlobalSeqNum::ROOT, &groups[..from]), attempted: Vec::new() };
        let cursor = Cursor {
            backend_id: author.backend_id,
            position: after(LogPosition::ROOT, &groups[..from]),
        };
        // The same client: by another one, groups of a backend without ids are others.
        let mut talk = backend.connect(&store, &client, own).await?;
        let welcome = talk.greet(Some(cursor), &[]).await?;
        same("the head", &welcome.head.0, &6)?;
        talk.pull_to(6).await?;
        same(
            "the rest of the log",
            &kept(talk.log.iter().map(|confirmed| &confirmed.group)),
            &kept(&groups[from..]),
        )?;
        talk.close().await?;
    }
    Ok(())
}

async fn many(backend: &Backend) -> Case {
    let (store, client) = backend.names().await;
    let groups = backend.groups(&client, &[1; 1_000]).await;
    let mut talk = backend.come(&store, &client).await?;
    push_all(backend, &mut talk, &groups).await?;
    let reader = backend.read(&store, 1_000).await?;
    backend.check_log(&reader, &groups)?;
    // And large ones, of which few fit one message.
    let limit = backend.capabilities.push.bytes.min(100_000);
    let payload = json!("x".repeat(limit / 2));
    let mut maker = backend.maker.lock().await;
    let large: Vec<Group> =
        (0..50).map(|_| maker.group_of(&client, std::slice::from_ref(&payload))).collect();
    drop(maker);
    push_all(backend, &mut talk, &large).await?;
    let reader = backend.read(&store, 1_050).await?;
    backend.check_log(&reader, &[groups, large].concat())
}

async fn largest(backend: &Backend) -> Case {
    use livestore_core::limits::{MAX_ARGS_BYTES, MAX_GROUP_EVENTS};
    let limits = backend.capabilities.push;
    let (store, client) = backend.names().await;
    let events = limits.events.min(MAX_GROUP_EVENTS);
    let mut groups = backend.groups(&client, &[events]).await;
    let name = "v1.Checked".len();
    let bytes = limits.bytes.min(MAX_ARGS_BYTES + name).saturating_sub(limits.event_overhead);
    let text = json!("x".repeat(bytes - name - 2));
    groups.push(backend.maker.lock().await.group_of(&client, &[text]));
    let mut talk = backend.come(&store, &client).await?;
    for group in &groups {
        if !limits.fits(group) {
            return failed("the largest group that fits does not fit");
        }
        accepted(&talk.push(std::slice::from_ref(group)).await?)?;
    }
    let reader = backend.read(&store, events as u64 + 1).await?;
    backend.check_log(&reader, &groups)
}

async fn payloads(backend: &Backend) -> Case {
    let mut deep = json!(1);
    for _ in 0..50 {
        deep = json!({ "d": [deep] });
    }
    let payloads = [
        json!(null),
        json!({}),
        json!([]),
        json!(0.1),
        json!(-1.5e-7),
        json!(1e300),
        json!(9_007_199_254_740_991_u64),
        json!("é \u{1F600} \u{2028} \"\\ \u{7f} \u{1}"),
        json!({ "z": 1, "a": [true, null, "x"], "ä": {}, "": 0 }),
        deep,
    ];
    let (store, client) = backend.names().await;
    let groups = vec![backend.maker.lock().await.group_of(&client, &payloads)];
    let mut talk = backend.come(&store, &client).await?;
    accepted(&talk.push(&groups).await?)?;
    let reader = backend.read(&store, payloads.len() as u64).await?;
    backend.check_log(&reader, &groups)
}

/// Begins a new conversation where an old one broke off in a push, and sees to it that it is taken.
async fn come_back(backend: &Backend, store: &StoreId, talk: &mut Talk, pushed: &[Group]) -> Case {
    let (cursor, client) = (talk.cursor(), pushed[0].client_id());
    let log = talk.log.clone();
    let own = Own { confirmed: log.clone(), attempted: pushed.to_vec() };
    *talk = backend.connect(store, client, own).await?;
    talk.log = log;
    let welcome = talk.greet(Some(cursor), pushed).await?;
    match welcome.accepted.iter().find(|accepted| accepted.id == pushed[0].id()) {
        Some(accepted) => talk.pull_to(accepted.first.0 + pushed[0].event_count() - 1).await,
        None => retry(talk, pushed).await,
    }
}

async fn writers(backend: &Backend) -> Case {
    const WRITERS: usize = 4;
    const GROUPS: usize = 15;
    const RETURNS: usize = 20;
    let (store, _) = backend.names().await;
    let write = async |number: usize| {
        let client = backend.client().await;
        let groups = backend.groups(&client, &[1 + number % 2; GROUPS]).await;
        let mut talk = backend.come(&store, &client).await?;
        for group in &groups {
            let group = std::slice::from_ref(group);
            let mut pushed = retry(&mut talk, group).await;
            // Who cannot decide among many may end a conversation; stores come back, and so does this.
            for _ in 0..RETURNS {
                let Err(Unmet::Failed(_)) = pushed else { break };
                tokio::time::sleep(Duration::from_millis(50)).await;
                pushed = come_back(backend, &store, &mut talk, group).await;
            }
            pushed?;
        }
        talk.close().await?;
        Ok::<_, Unmet>(groups)
    };
    let written = tokio::try_join!(write(0), write(1), write(2), write(3))?;
    let written = [written.0, written.1, written.2, written.3];
    let events: u64 = written.iter().flatten().map(Group::event_count).sum();
    let reader = backend.read(&store, events).await?;
    same("the number of writers", &written.len(), &WRITERS)?;
    for groups in &written {
        let client = groups[0].client_id();
        let in_log = reader.log.iter().map(|confirmed| &confirmed.group);
        let of_client = in_log.filter(|group| group.client_id() == client);
        same("what a writer has written", &kept(of_client), &kept(groups))?;
    }
    same("the end of the log", &reader.position.seq.0, &events)
}

/// Comes with a cursor, and is to be told that it is no good.
async fn diverged(
    backend: &Backend,
    cursor: impl Fn(BackendId, &[Group]) -> (Cursor, Own),
) -> Case {
    let (store, client) = backend.names().await;
    let groups = backend.groups(&client, &[1, 2]).await;
    let mut author = backend.come(&store, &client).await?;
    accepted(&author.push(&groups).await?)?;
    let (cursor, own) = cursor(author.backend_id, &groups);
    author.close().await?;
    let mut talk = backend.connect(&store, &client, own).await?;
    talk.hello(Some(cursor), &[]).await?;
    let goodbye = talk.goodbye().await?;
    same("the reason", &goodbye.reason, &GoodbyeReason::HistoryDiverged)?;
    let reader = backend.read(&store, 3).await?;
    backend.check_log(&reader, &groups)
}

async fn other_history(backend: &Backend) -> Case {
    let client = backend.client().await;
    let others = backend.groups(&client, &[3]).await;
    diverged(backend, |backend_id, _| {
        let position = after(LogPosition::ROOT, &others);
        let confirmed = placed(GlobalSeqNum::ROOT, &others);
        (Cursor { backend_id, position }, Own { confirmed, attempted: Vec::new() })
    })
    .await
}

async fn other_backend(backend: &Backend) -> Case {
    diverged(backend, |_, groups| {
        let backend_id = BackendId::from_bytes([7; 16]);
        let position = after(LogPosition::ROOT, groups);
        let confirmed = placed(GlobalSeqNum::ROOT, groups);
        (Cursor { backend_id, position }, Own { confirmed, attempted: Vec::new() })
    })
    .await
}

async fn beyond(backend: &Backend) -> Case {
    let client = backend.client().await;
    let more = backend.groups(&client, &[2]).await;
    diverged(backend, |backend_id, groups| {
        let all = [groups, &more].concat();
        let position = after(LogPosition::ROOT, &all);
        let confirmed = placed(GlobalSeqNum::ROOT, &all);
        (Cursor { backend_id, position }, Own { confirmed, attempted: Vec::new() })
    })
    .await
}

async fn common(backend: &Backend) -> Case {
    let (store, client) = backend.names().await;
    let groups = backend.groups(&client, &[1, 2, 1]).await;
    let others = backend.groups(&client, &[1]).await;
    let mut author = backend.come(&store, &client).await?;
    accepted(&author.push(&groups).await?)?;
    // Two groups are the same, and then there is another one.
    let own = [&groups[..2], &others[..]].concat();
    let confirmed = placed(GlobalSeqNum::ROOT, &own);
    let ends: Vec<LogPosition> =
        (1..=own.len()).map(|count| after(LogPosition::ROOT, &own[..count])).collect();
    for (asked, expected) in [(&ends[..], 3), (&ends[..1], 1), (&ends[2..], 0)] {
        let own = Own { confirmed: confirmed.clone(), attempted: Vec::new() };
        let mut talk = backend.connect(&store, &client, own).await?;
        let located = talk.locate(asked.to_vec()).await?;
        same("what is common", &located.common.0, &expected)?;
        same("the head", &located.head.0, &4)?;
        same("the backend's id", &located.backend_id, &author.backend_id)?;
        talk.close().await?;
    }
    let mut talk = backend.connect(&store, &client, Own::default()).await?;
    let located = talk.locate(vec![LogPosition::ROOT]).await?;
    same("what an empty log has in common", &located.common.0, &0)?;
    same("the hash of an empty log", &LogHash::EMPTY, &LogPosition::ROOT.hash)
}

async fn apart(backend: &Backend) -> Case {
    let (one, client) = backend.names().await;
    let (other, _) = backend.names().await;
    let groups = backend.groups(&client, &[1, 1]).await;
    let mut first = backend.come(&one, &client).await?;
    let mut second = backend.come(&other, &client).await?;
    accepted(&first.push(&groups[..1]).await?)?;
    accepted(&second.push(&groups[1..]).await?)?;
    let reader = backend.read(&one, 1).await?;
    backend.check_log(&reader, &groups[..1])?;
    let reader = backend.read(&other, 1).await?;
    backend.check_log(&reader, &groups[1..])
}

async fn superseded(backend: &Backend) -> Case {
    backend.needs_ids()?;
    let (store, client) = backend.names().await;
    let mut older = backend.come(&store, &client).await?;
    let mut newer = backend.come(&store, &client).await?;
    let goodbye = older.goodbye().await?;
    same("the reason", &goodbye.reason, &GoodbyeReason::Superseded)?;
    let groups = backend.groups(&client, &[1]).await;
    accepted(&newer.push(&groups).await?)
}

async fn restart(backend: &Backend) -> Case {
    let Some(restart) = &backend.restart else { return skipped("nobody says how to restart it") };
    let (store, client) = backend.names().await;
    let groups = backend.groups(&client, &[2, 1, 1]).await;
    let mut talk = backend.come(&store, &client).await?;
    accepted(&talk.push(&groups[..2]).await?)?;
    let (cursor, backend_id) = (talk.cursor(), talk.backend_id);
    restart().await;
    // The old conversation is over, or its provider finds that out.
    let confirmed = placed(GlobalSeqNum::ROOT, &groups[..2]);
    let own = Own { confirmed, attempted: Vec::new() };
    let mut talk = backend.connect(&store, &client, own).await?;
    talk.greet(Some(cursor), &[]).await?;
    same("the backend's id", &talk.backend_id, &backend_id)?;
    accepted(&talk.push(&groups[2..]).await?)?;
    let reader = backend.read(&store, 4).await?;
    backend.check_log(&reader, &groups)
}
