//! What a session and its leader say to each other, and the bytes that it goes over.
//!
//! The first byte chooses who hears it: `>` a leader, `<` a session, both in a conversation that has
//! begun; each of the rest's lines is a message then. Otherwise all of it is the bytes of frames.

use std::time::Duration;

use livestore::replica::{ReplicaConfig, read_rows};
use livestore::session::link::{Frame, Frames, MAX_LINK_FRAME_BYTES};
use livestore::session::{Answer, Heard, LeaderEnd, LinkError, SessionEnd, Wire};
use livestore::{
    ClientId, Durability, HistoryAnswer, PoisonAnswer, Replica, SessionId, SqliteError, StoreId,
};
use livestore_core::CanonicalJson;
use livestore_sqlite::Connection;

use crate::replica::{Backend, NOW_MS, commit, open};
use crate::{Outcome, class, family};

const NOW: Duration = Duration::from_secs(1);

/// The name of the session, under which it commits.
const SESSION: &str = "s";

pub(crate) fn run(input: &[u8]) -> Outcome {
    match input.split_first() {
        Some((b'>', lines)) => leader_hears(lines),
        Some((b'<', lines)) => session_hears(lines),
        _ => frames(input),
    }
}

/// Whatever the bytes are, what is read of them is what they say, and no more than that.
fn frames(input: &[u8]) -> Outcome {
    let (mut frames, mut wire) = (Frames::default(), Wire::default());
    frames.push(input);
    wire.receive(input);
    let (mut again, mut last) = (Vec::new(), Ok(None));
    while let Ok(Some(frame)) = frames.pop() {
        frame.write(&mut again);
        last = Ok(Some(class(&frame)));
        assert!(frame.weight() <= MAX_LINK_FRAME_BYTES);
    }
    assert!(input.starts_with(&again), "it reads as it was written");
    while last.is_ok() {
        match wire.next_frame() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => last = Err(class(&error)),
        }
    }
    match (last, frames.end()) {
        (Err(error), _) => Outcome::Refused(error),
        (Ok(_), Err(error)) => Outcome::Refused(class(&error)),
        (Ok(_), Ok(())) => Outcome::Accepted("frames"),
    }
}

fn config() -> ReplicaConfig {
    ReplicaConfig {
        schema: family::schema(),
        store_id: StoreId::new("test").expect("it is valid"),
        client_id: ClientId::new("test").expect("it is valid"),
        session_id: SessionId::new(SESSION).expect("it is valid"),
        durability: Durability::Memory,
        upstream: None,
        on_poison: PoisonAnswer::Quarantine,
        on_history_diverged: HistoryAnswer::Stop,
        seed: [9; 32],
    }
}

fn note(id: &str) -> CanonicalJson {
    let note = serde_json::json!({ "id": id, "text": "x" });
    CanonicalJson::encode(&note).expect("it is JSON")
}

/// A leader and a session that follows it, with a note of each.
struct Pair {
    leader: Replica,
    session: Replica,
    up: LeaderEnd,
    down: SessionEnd,
}

impl Pair {
    fn new() -> Self {
        let connection = Connection::open_memory().expect("memory can be opened");
        let mut leader = open(connection).expect("it is a new store");
        Backend::default().talk(&mut leader).expect("nothing is odd yet");
        commit(&mut leader, "v1.NoteWritten", note("leader")).expect("it applies");
        let config = config();
        let mut down = SessionEnd::new(&Replica::first_session_hello(&config), NOW);
        let mut up = LeaderEnd::new(false);
        carry(down.wire(), up.wire());
        let heard = up.hear(&mut leader, NOW_MS, rows_of).expect("it is a hello");
        let Some(Heard::Follows(rows)) = heard else { panic!("it is let in: {heard:?}") };
        for rows in rows {
            up.send_rows(Some(rows));
        }
        up.send_rows(None);
        carry(up.wire(), down.wire());
        let answer = down.attach(NOW).expect("these are rows");
        let Some(Answer::Begin(beginning)) = answer else { panic!("it may follow: {answer:?}") };
        let session = Replica::open_session(config, &beginning.answer, beginning.rows);
        let mut session = session.expect("these are rows");
        commit(&mut session, "v1.NoteWritten", note("session")).expect("it applies");
        Self { leader, session, up, down }
    }
}

fn rows_of(replica: &Replica) -> Result<Vec<(u16, Vec<u8>)>, SqliteError> {
    let mut rows = Vec::new();
    read_rows(replica.connection(), |transfer, chunk| {
        rows.push((transfer, chunk));
        Ok::<_, SqliteError>(())
    })?;
    Ok(rows)
}

fn carry(from: &mut Wire, to: &mut Wire) {
    to.receive(from.outgoing());
    from.went(from.outgoing().len());
}

/// Makes each line a message on a wire.
fn say(lines: &[u8], wire: &mut Wire) {
    let mut bytes = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        Frame::Message(line.into()).write(&mut bytes);
    }
    wire.receive(&bytes);
}

/// A leader stays what its log leads to, and goes on.
fn leader_hears(lines: &[u8]) -> Outcome {
    let Pair { mut leader, mut up, .. } = Pair::new();
    say(lines, up.wire());
    let mut heard = Outcome::Refused("Nothing".into());
    loop {
        match up.hear(&mut leader, NOW_MS, rows_of) {
            Ok(Some(_)) => heard = Outcome::Accepted("heard"),
            Ok(None) => break,
            Err(error) => {
                heard = refused(&error);
                break;
            }
        }
        up.hand_out(&mut leader);
    }
    up.leave(&mut leader);
    let mut backend = Backend::default();
    leader.upstream_disconnected(NOW_MS, "the connection broke");
    leader.retry_now();
    backend.talk(&mut leader).expect("what was taken can be pushed");
    let hash = leader.state_hash().expect("memory can be read");
    assert_eq!(leader.replay_hash().expect("it is a log"), hash, "the state is a replay");
    commit(&mut leader, "v1.NoteWritten", note("later")).expect("it goes on");
    heard
}

/// A session either follows, or begins anew; what it has committed stays.
fn session_hears(lines: &[u8]) -> Outcome {
    let Pair { leader, mut session, mut down, .. } = Pair::new();
    down.hand_out(&mut session, NOW).expect("it has something to say");
    say(lines, down.wire());
    let heard = match down.follow(&mut session, NOW_MS, NOW) {
        Ok(false) => Outcome::Refused("Nothing".into()),
        Ok(true) if down.is_attaching() => Outcome::Accepted("begins anew"),
        Ok(true) => Outcome::Accepted("heard"),
        Err(error) => refused(&error),
    };
    commit(&mut session, "v1.NoteWritten", note("later")).expect("it goes on");
    drop(leader);
    heard
}

fn refused(error: &LinkError) -> Outcome {
    match error {
        LinkError::Frame(error) => Outcome::Refused(class(error)),
        // The class of what does not fit is the beginning of the text.
        other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split(' ').take(4).collect();
            let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_alphabetic());
            let words: Vec<&str> = words.into_iter().take_while(is_word).collect();
            Outcome::Refused(words.join(" "))
        }
    }
}
