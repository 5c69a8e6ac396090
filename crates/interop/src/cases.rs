//! What is tried with LiveStore's own client.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Failure, Kind, Peer, Places, Server, commit};

/// How long everything may take to get everywhere, while everybody moves.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often LiveStore's clients are started again if not everything has got everywhere by then.
const RESTARTS: u32 = 2;

/// Something that is tried.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut World) -> Result<(), Failure>,
}

/// What a case works with: a server, and stores that sync with it.
pub(crate) struct World {
    places: Places,
    folder: TempDir,
    server: Server,
    token: Option<String>,
    peers: Vec<(Kind, String, Peer)>,
    /// LiveStore clients that came to a standstill, and were started again.
    pub(crate) stalls: u64,
}

impl World {
    pub(crate) fn new(places: &Places) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let server = Server::start(places, &folder.path().join("server"), None)?;
        let (places, token, peers) = (places.clone(), None, Vec::new());
        Ok(Self { places, folder, server, token, peers, stalls: 0 })
    }

    fn start(&self, kind: Kind, name: &str) -> Result<Peer, Failure> {
        let token = self.token.as_deref();
        Peer::start(&self.places, &self.server, kind, name, self.folder.path(), token)
    }

    /// One more store.
    fn join(&mut self, kind: Kind, name: &str) -> Result<usize, Failure> {
        let peer = self.start(kind, name)?;
        self.peers.push((kind, name.into(), peer));
        Ok(self.peers.len() - 1)
    }

    fn act(&mut self, at: usize, act: &Value) -> Result<(), Failure> {
        self.peers[at].2.act(act).map(drop)
    }

    /// Everybody commits some todos, at the same time.
    fn all_commit(&mut self, from: u64, count: u64, batch: u64) -> Result<(), Failure> {
        for (_, name, peer) in &mut self.peers {
            peer.tell(&commit(name, from, count, batch))?;
        }
        self.peers.iter_mut().try_for_each(|(.., peer)| peer.done().map(drop))
    }

    /// Everybody comes to show so many rows, and the same ones.
    ///
    /// A client of LiveStore 0.4.0 that pushes while others do may leave out events of its own, or
    /// stop to pull; until it is started again it waits for ever then.
    fn agree(&mut self, rows: u64) -> Result<(), Failure> {
        for restarts in 0.. {
            let mut shown = Vec::new();
            for (.., peer) in &mut self.peers {
                shown.push(peer.wait(rows, PATIENCE)?);
            }
            if shown.iter().all(|shown| *shown == rows) {
                break;
            }
            if restarts == RESTARTS || shown.iter().any(|shown| *shown > rows) {
                return Err(format!("{shown:?} rows are there of {rows}").into());
            }
            self.stalls += 1;
            self.restart_theirs()?;
        }
        let states: Result<Vec<String>, Failure> =
            self.peers.iter_mut().map(|(.., peer)| peer.state()).collect();
        let states = states?;
        if states.windows(2).any(|pair| pair[0] != pair[1]) {
            let cut = |state: &String| state.chars().take(600).collect::<String>();
            return Err(
                format!("they differ: {:#?}", states.iter().map(cut).collect::<Vec<_>>()).into()
            );
        }
        Ok(())
    }

    fn restart_theirs(&mut self) -> Result<(), Failure> {
        for at in 0..self.peers.len() {
            let (kind, name, _) = &self.peers[at];
            let (kind, name) = (*kind, name.clone());
            if kind == Kind::Rust {
                continue;
            }
            let (.., peer) = self.peers.remove(at);
            peer.quit()?;
            let peer = self.start(kind, &name)?;
            self.peers.insert(at, (kind, name, peer));
        }
        Ok(())
    }

    /// Everybody goes.
    fn end(&mut self) -> Result<(), Failure> {
        self.peers.drain(..).try_for_each(|(.., peer)| peer.quit())
    }
}

/// Two stores commit in turns, and see each other's events; a third one comes later.
fn together(world: &mut World, kinds: [Kind; 2]) -> Result<(), Failure> {
    let [one, other] = kinds;
    world.join(one, "one")?;
    world.join(other, "other.host")?;
    for round in 0..3 {
        for (at, name) in [(0, "one"), (1, "other")] {
            world.act(at, &commit(name, round * 20, 20, 20))?;
            world.agree((round * 2 + at as u64 + 1) * 20)?;
        }
    }
    world.join(Kind::Rust, "late")?;
    world.agree(120)?;
    world.end()
}

/// Two stores commit at the same time, again and again, 20 events at once.
fn at_once(world: &mut World, kinds: [Kind; 2]) -> Result<(), Failure> {
    for (kind, name) in kinds.into_iter().zip(["one", "other"]) {
        world.join(kind, name)?;
    }
    for round in 0..3 {
        world.all_commit(round * 20, 20, 20)?;
        world.agree((round + 1) * 40)?;
    }
    world.end()
}

/// Values that come back as they were, whoever has committed them.
fn values() -> Vec<Value> {
    let mut deep = json!(1);
    for _ in 0..50 {
        deep = json!({ "d": [deep] });
    }
    vec![
        json!(null),
        json!(0.1),
        json!(-1.5e-7),
        json!(1e300),
        json!(9_007_199_254_740_991_u64),
        json!("é \u{1F600} \u{2028} \"\\ \u{7f}"),
        json!({ "b": 1, "a": [true, null, "x"], "ä": {} }),
        json!([]),
        deep,
    ]
}

fn odd_values(world: &mut World) -> Result<(), Failure> {
    for (at, (kind, name)) in [(Kind::Rust, "ours"), (Kind::Ws, "theirs")].into_iter().enumerate() {
        world.join(kind, name)?;
        let rows = values().len() as u64 + 1;
        // LiveStore's client has trouble with what it commits before it has pulled what is there.
        world.agree(at as u64 * rows)?;
        for (number, value) in values().into_iter().enumerate() {
            let id = format!("{name}-{number}");
            world.act(at, &json!({ "act": "save", "id": id, "value": value }))?;
        }
        let ms = 1_700_000_000_123_u64;
        world.act(at, &json!({ "act": "saveDate", "id": format!("{name}-date"), "ms": ms }))?;
        world.act(at, &json!({ "act": "ping" }))?;
        world.agree((at as u64 + 1) * rows)?;
    }
    world.join(Kind::Http, "third")?;
    world.agree(2 * (values().len() as u64 + 1))?;
    world.end()
}

/// One store commits 10,000 events at once, and everybody gets them.
fn burst(world: &mut World, author: Kind, batch: u64) -> Result<(), Failure> {
    world.join(author, "author")?;
    world.act(0, &commit("author", 0, 10_000, batch))?;
    world.join(Kind::Ws, "reader")?;
    world.join(Kind::Rust, "ours")?;
    world.agree(10_000)?;
    world.end()
}

fn server_restarts(world: &mut World) -> Result<(), Failure> {
    world.join(Kind::Rust, "ours")?;
    world.join(Kind::Ws, "theirs")?;
    world.all_commit(0, 20, 20)?;
    world.agree(40)?;
    world.server.kill();
    world.all_commit(20, 20, 20)?;
    world.server.run()?;
    world.agree(80)?;
    world.end()
}

fn tokens(world: &mut World) -> Result<(), Failure> {
    let list = world.folder.path().join("tokens");
    let token = "a-token-of-forty-characters-or-so-0001";
    std::fs::write(&list, format!("{token} somebody shared\n"))?;
    let folder = world.folder.path().join("guarded");
    world.server = Server::start(&world.places, &folder, Some(&list))?;
    world.token = Some("another-token-of-forty-characters-or-so".into());
    let theirs = world.join(Kind::Ws, "theirs")?;
    world.act(theirs, &commit("theirs", 0, 3, 1))?;
    world.token = Some(token.into());
    let ours = world.join(Kind::Rust, "ours")?;
    let shown = world.peers[ours].2.wait(3, Duration::from_secs(3))?;
    if shown != 0 {
        return Err(format!("{shown} events came in with a wrong token").into());
    }
    world.restart_theirs()?;
    world.act(ours, &commit("ours", 0, 2, 1))?;
    world.agree(5)?;
    world.end()
}

/// Everything, in order.
pub(crate) const CASES: [Case; 10] = [
    Case {
        name: "two of theirs over WebSockets",
        run: |world| together(world, [Kind::Ws, Kind::Ws]),
    },
    Case {
        name: "one of theirs over a WebSocket, one over HTTP",
        run: |world| together(world, [Kind::Ws, Kind::Http]),
    },
    Case {
        name: "one of theirs and one of ours",
        run: |world| together(world, [Kind::Ws, Kind::Rust]),
    },
    Case {
        name: "one of theirs and one of ours at the same time",
        run: |world| at_once(world, [Kind::Ws, Kind::Rust]),
    },
    Case {
        name: "two of theirs at the same time",
        run: |world| at_once(world, [Kind::Ws, Kind::Ws]),
    },
    Case { name: "odd values come back as they were", run: odd_values },
    Case { name: "10,000 events of ours at once", run: |world| burst(world, Kind::Rust, 1) },
    Case {
        name: "10,000 events of theirs, 100 at a time",
        run: |world| burst(world, Kind::Ws, 100),
    },
    Case { name: "the server is killed in between", run: server_restarts },
    Case { name: "a wrong token, then the right one", run: tokens },
];
