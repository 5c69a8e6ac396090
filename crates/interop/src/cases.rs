//! What is tried with LiveStore's own client.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Backend, Failure, Kind, Network, Peer, Places, Whose, commit};

/// How long everything may take to get everywhere, while everybody moves.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often LiveStore's clients are started again if not everything has got everywhere by then.
const RESTARTS: u32 = 2;

/// Something that is tried.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) whose: Whose,
    pub(crate) run: fn(&mut World) -> Result<(), Failure>,
}

/// What a case works with: a backend, and stores that sync with it.
pub(crate) struct World {
    places: Places,
    folder: TempDir,
    whose: Whose,
    backend: Backend,
    /// What stores show the backend.
    token: Option<String>,
    /// What stands between stores and the backend, if anything does.
    network: Option<Network>,
    peers: Vec<(Kind, String, Peer)>,
    /// LiveStore clients that came to a standstill, and were started again.
    pub(crate) stalls: u64,
}

impl World {
    pub(crate) fn new(places: &Places, whose: Whose) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let backend = Backend::start(places, whose, &folder.path().join("backend"), None)?;
        let (places, token, network, peers) = (places.clone(), None, None, Vec::new());
        Ok(Self { places, folder, whose, backend, token, network, peers, stalls: 0 })
    }

    fn start(&self, kind: Kind, name: &str) -> Result<Peer, Failure> {
        let token = self.token.as_deref();
        let port = self.network.as_ref().map_or(self.backend.port(), Network::port);
        Peer::start(&self.places, port, kind, name, self.folder.path(), token)
    }

    /// Returns a store of ours that can sync with the backend.
    fn ours(&self) -> Kind {
        match self.whose {
            Whose::Ours => Kind::Rust,
            Whose::Theirs => Kind::RustWs,
        }
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

    /// Waits until a store of ours has pushed everything.
    fn pushed(&mut self, at: usize) -> Result<(), Failure> {
        self.act(at, &json!({ "act": "synced", "ms": PATIENCE.as_millis() as u64 }))
    }

    fn restart_theirs(&mut self) -> Result<(), Failure> {
        for at in 0..self.peers.len() {
            let (kind, name, _) = &self.peers[at];
            let (kind, name) = (*kind, name.clone());
            if !kind.is_ours() {
                self.restart(at, &name, kind)?;
            }
        }
        Ok(())
    }

    fn restart(&mut self, at: usize, name: &str, kind: Kind) -> Result<(), Failure> {
        let (.., peer) = self.peers.remove(at);
        peer.quit()?;
        let peer = self.start(kind, name)?;
        self.peers.insert(at, (kind, name.into(), peer));
        Ok(())
    }

    /// Everybody goes; and the logs of ours are what the backend has.
    fn end(&mut self) -> Result<(), Failure> {
        for at in 0..self.peers.len() {
            if self.peers[at].0.is_ours() {
                self.pushed(at)?;
            }
        }
        let ours = self.peers.iter().filter(|(kind, ..)| kind.is_ours());
        let ours: Vec<String> = ours.map(|(_, name, _)| name.clone()).collect();
        self.peers.drain(..).try_for_each(|(.., peer)| peer.quit())?;
        if ours.is_empty() {
            return Ok(());
        }
        let log = self.backend.log(None)?;
        for name in ours {
            if self.backend.log(Some(&self.folder.path().join(&name)))? != log {
                return Err(format!("the log of {name} is not that of the backend").into());
            }
        }
        Ok(())
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
    world.join(world.ours(), "late")?;
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

/// Two stores commit at the same time, one event a commit.
fn busy(world: &mut World, kinds: [Kind; 2]) -> Result<(), Failure> {
    for (kind, name) in kinds.into_iter().zip(["one", "other"]) {
        world.join(kind, name)?;
    }
    for round in 0..3 {
        world.all_commit(round * 100, 100, 1)?;
        world.agree((round + 1) * 200)?;
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
    let authors = [(world.ours(), "ours"), (Kind::Ws, "theirs")];
    for (at, (kind, name)) in authors.into_iter().enumerate() {
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
    world.join(Kind::RustHttp, "fourth")?;
    world.agree(2 * (values().len() as u64 + 1))?;
    world.end()
}

/// One store commits 10,000 events at once, and everybody gets them.
fn burst(world: &mut World, author: Kind, batch: u64) -> Result<(), Failure> {
    world.join(author, "author")?;
    world.act(0, &commit("author", 0, 10_000, batch))?;
    if world.whose == Whose::Theirs {
        // LiveStore's own client stops for good where its own backend sends it news too early.
        world.pushed(0)?;
    }
    world.join(Kind::Ws, "reader")?;
    world.join(world.ours(), "ours")?;
    world.agree(10_000)?;
    world.end()
}

/// The backend is killed while stores commit.
fn backend_restarts(world: &mut World) -> Result<(), Failure> {
    world.join(world.ours(), "ours")?;
    world.join(Kind::Ws, "theirs")?;
    world.all_commit(0, 20, 20)?;
    world.agree(40)?;
    world.backend.kill();
    world.all_commit(20, 20, 20)?;
    world.backend.run()?;
    world.agree(80)?;
    world.end()
}

/// Every connection is cut while stores commit, again and again.
fn connections_break(world: &mut World) -> Result<(), Failure> {
    world.network = Some(Network::to(world.backend.port())?);
    let kinds = [world.ours(), Kind::RustHttp, Kind::Ws];
    for (kind, name) in kinds.into_iter().zip(["ours", "polling", "theirs"]) {
        world.join(kind, name)?;
    }
    for round in 0..5 {
        // LiveStore's client loses some of what it commits one by one while others commit.
        for (kind, name, peer) in &mut world.peers {
            peer.tell(&commit(name, round * 20, 20, if kind.is_ours() { 1 } else { 20 }))?;
        }
        if let Some(network) = &world.network {
            std::thread::sleep(Duration::from_millis(30));
            network.cut();
        }
        world.peers.iter_mut().try_for_each(|(.., peer)| peer.done().map(drop))?;
        world.agree((round + 1) * 60)?;
    }
    world.end()
}

/// Stores commit what never leaves them between what does, while others commit.
fn drafts(world: &mut World, kinds: [Kind; 2]) -> Result<(), Failure> {
    for (kind, name) in kinds.into_iter().zip(["one", "other"]) {
        world.join(kind, name)?;
    }
    world.agree(0)?;
    for round in 0..3 {
        for at in 0..2 {
            let name = world.peers[at].1.clone();
            for half in 0..2 {
                let id = format!("{name}-draft-{round}-{half}");
                world.peers[at].2.tell(&json!({ "act": "draft", "id": id }))?;
                world.peers[at].2.tell(&commit(&name, round * 20 + half * 10, 10, 10))?;
            }
        }
        for (.., peer) in &mut world.peers {
            (0..4).try_for_each(|_| peer.done().map(drop))?;
        }
        world.agree((round + 1) * 40)?;
    }
    world.end()
}

/// A store comes with a wrong token, and then with the right one.
fn tokens(world: &mut World, newcomer: Kind) -> Result<(), Failure> {
    let token = "a-token-of-forty-characters-or-so-0001";
    let folder = world.folder.path().join("guarded");
    world.backend = Backend::start(&world.places, world.whose, &folder, Some(token))?;
    world.token = Some("another-token-of-forty-characters-or-so".into());
    let late = world.join(newcomer, "late")?;
    world.act(late, &commit("late", 0, 3, 1))?;
    world.token = Some(token.into());
    let ours = world.join(world.ours(), "ours")?;
    let shown = world.peers[ours].2.wait(3, Duration::from_secs(3))?;
    if shown != 0 {
        return Err(format!("{shown} events came in with a wrong token").into());
    }
    world.restart(late, "late", newcomer)?;
    world.act(ours, &commit("ours", 0, 2, 1))?;
    world.agree(5)?;
    world.end()
}

/// What is too large for LiveStore is refused where it is committed, and nothing else suffers.
fn too_large(world: &mut World) -> Result<(), Failure> {
    let ours = world.join(Kind::RustWs, "ours")?;
    world.join(Kind::Ws, "theirs")?;
    let save =
        |id: &str, length: usize| json!({ "act": "save", "id": id, "value": "x".repeat(length) });
    match world.act(ours, &save("too-large", 900_000)) {
        Err(error) if error.to_string().contains("more than the backend takes") => {}
        Err(error) => return Err(error),
        Ok(()) => return Err("more than the backend takes was committed".into()),
    }
    world.act(ours, &save("large", 890_000))?;
    world.act(ours, &commit("ours", 0, 5, 1))?;
    world.agree(6)?;
    world.end()
}

/// An event that only our protocol has room for gets to everybody all the same.
fn larger_than_theirs(world: &mut World) -> Result<(), Failure> {
    let ours = world.join(Kind::Rust, "ours")?;
    for (kind, name) in [(Kind::Ws, "theirs"), (Kind::RustWs, "ws"), (Kind::RustHttp, "http")] {
        world.join(kind, name)?;
    }
    let value = "x".repeat(1_000_000);
    world.act(ours, &json!({ "act": "save", "id": "large", "value": value }))?;
    world.act(ours, &commit("ours", 0, 5, 1))?;
    world.agree(6)?;
    world.end()
}

/// Another backend stands in the place of the one that stores have synced with.
fn another_backend(world: &mut World) -> Result<(), Failure> {
    let first = world.folder.path().join("backend");
    world.join(world.ours(), "ours")?;
    world.join(Kind::Ws, "swapped")?;
    world.act(0, &commit("ours", 0, 3, 1))?;
    world.agree(3)?;
    world.end()?;
    let other = world.folder.path().join("other");
    world.backend.swap(&other)?;
    world.join(Kind::RustWs, "native")?;
    world.act(0, &commit("native", 0, 4, 1))?;
    world.pushed(0)?;
    // It has three of its own, and is told to take them along.
    world.join(world.ours(), "ours")?;
    world.agree(7)?;
    // LiveStore's forgets what it has, and comes again.
    world.start(Kind::Ws, "swapped")?.quit_if_it_likes();
    world.join(Kind::Ws, "swapped")?;
    world.agree(7)?;
    world.end()?;
    // The first one knows nothing of that.
    world.backend.swap(&first)?;
    world.join(Kind::Ws, "theirs")?;
    world.agree(3)?;
    world.end()
}

/// A log with holes, as LiveStore's client pushes them, is followed all the same.
fn holes(world: &mut World) -> Result<(), Failure> {
    let event = |seq: u64, parent: u64| {
        json!({
            "name": "v1.TodoCreated", "args": { "id": format!("raw-{seq}"), "text": "text" }, "seqNum": seq,
            "parentSeqNum": parent, "clientId": "raw", "sessionId": "s",
        })
    };
    world.join(world.ours(), "ours")?;
    world.join(Kind::RustHttp, "polling")?;
    world.join(Kind::Ws, "theirs")?;
    world.backend.push_raw(&json!([event(1, 0), event(2, 1), event(4, 3), event(5, 4)]))?;
    world.agree(4)?;
    world.backend.push_raw(&json!([event(9, 5)]))?;
    world.agree(5)?;
    world.act(0, &commit("ours", 0, 3, 1))?;
    world.agree(8)?;
    world.act(1, &commit("polling", 0, 3, 3))?;
    world.agree(11)?;
    world.join(world.ours(), "late")?;
    world.agree(11)?;
    world.end()
}

/// What stores rely on, tried with the conformance kit.
fn conforms(world: &mut World) -> Result<(), Failure> {
    for scheme in ["ws", "http"] {
        world.backend.livestore(scheme, &["conformance", "URL"])?;
    }
    Ok(())
}

/// A log moves from one backend to another, and to a third, in files.
fn moves(world: &mut World) -> Result<(), Failure> {
    world.join(world.ours(), "ours")?;
    world.join(Kind::Ws, "theirs")?;
    world.act(0, &json!({ "act": "save", "id": "value", "value": values() }))?;
    world.act(0, &commit("ours", 0, 20, 5))?;
    world.agree(21)?;
    world.act(1, &commit("theirs", 0, 20, 20))?;
    world.agree(41)?;
    let state = world.peers[0].2.state()?;
    world.end()?;
    let to = if world.whose == Whose::Ours { Whose::Theirs } else { Whose::Ours };
    for (number, whose) in [to, world.whose].into_iter().enumerate() {
        let name = format!("log-{number}.json");
        let file = world.folder.path().join(&name);
        let file = file.to_str().ok_or("a folder that is no text")?;
        let store = ["--store", "shared"];
        world.backend.livestore("ws", &[&["export", "URL"], &store[..], &[file]].concat())?;
        let folder = world.folder.path().join(format!("moved-{number}"));
        world.backend = Backend::start(&world.places, whose, &folder, None)?;
        world.backend.livestore("http", &["import", file, "URL"])?;
        for kind in [Kind::Ws, Kind::RustWs] {
            world.join(kind, &format!("reader-{number}-{kind:?}"))?;
        }
        world.agree(41)?;
        if world.peers[0].2.state()? != state {
            return Err("the state is another one after the move".into());
        }
        world.end()?;
    }
    Ok(())
}

macro_rules! cases {
    ($($whose:ident: $name:literal => $run:expr;)*) => {
        /// Everything, in order.
        pub(crate) const CASES: &[Case] =
            &[$(Case { name: $name, whose: Whose::$whose, run: $run }),*];
    };
}

cases! {
    Ours: "our server: two of theirs over WebSockets"
        => |world| together(world, [Kind::Ws, Kind::Ws]);
    Ours: "our server: one of theirs over a WebSocket, one over HTTP"
        => |world| together(world, [Kind::Ws, Kind::Http]);
    Ours: "our server: one of theirs and one of ours"
        => |world| together(world, [Kind::Ws, Kind::Rust]);
    Ours: "our server: one of ours with either protocol"
        => |world| together(world, [Kind::Rust, Kind::RustWs]);
    Ours: "our server: one of theirs and one of ours at the same time"
        => |world| at_once(world, [Kind::Ws, Kind::Rust]);
    Ours: "our server: two of theirs at the same time"
        => |world| at_once(world, [Kind::Ws, Kind::Ws]);
    Ours: "our server: odd values come back as they were" => odd_values;
    Ours: "our server: client-only events while ours and theirs are rebased"
        => |world| drafts(world, [Kind::Rust, Kind::Ws]);
    Ours: "our server: 10,000 events of ours at once" => |world| burst(world, Kind::Rust, 1);
    Ours: "our server: 10,000 events of theirs, 100 at a time"
        => |world| burst(world, Kind::Ws, 100);
    Ours: "our server: it is killed in between" => backend_restarts;
    Ours: "our server: connections break" => connections_break;
    Ours: "our server: a wrong token, then the right one" => |world| tokens(world, Kind::Ws);
    Ours: "our server: an event larger than theirs can be" => larger_than_theirs;
    Ours: "our server: another one stands in its place" => another_backend;
    Ours: "our server: a log with holes" => holes;
    Ours: "our server: what stores rely on" => conforms;
    Ours: "our server: its log moves to their Worker and back" => moves;
    Theirs: "their Worker: two of ours over a WebSocket and HTTP"
        => |world| together(world, [Kind::RustWs, Kind::RustHttp]);
    Theirs: "their Worker: one of theirs and one of ours"
        => |world| together(world, [Kind::Ws, Kind::RustWs]);
    Theirs: "their Worker: two of ours, one event a commit, while others commit"
        => |world| busy(world, [Kind::RustWs, Kind::RustHttp]);
    Theirs: "their Worker: one of theirs and one of ours at the same time"
        => |world| at_once(world, [Kind::Ws, Kind::RustWs]);
    Theirs: "their Worker: two of theirs at the same time"
        => |world| at_once(world, [Kind::Ws, Kind::Ws]);
    Theirs: "their Worker: odd values come back as they were" => odd_values;
    Theirs: "their Worker: client-only events while ours are rebased"
        => |world| drafts(world, [Kind::RustWs, Kind::RustHttp]);
    Theirs: "their Worker: 10,000 events of ours at once" => |world| burst(world, Kind::RustWs, 1);
    Theirs: "their Worker: it is killed in between" => backend_restarts;
    Theirs: "their Worker: connections break" => connections_break;
    Theirs: "their Worker: a wrong token, then the right one"
        => |world| tokens(world, Kind::RustWs);
    Theirs: "their Worker: an event over 900 kB" => too_large;
    Theirs: "their Worker: another one stands in its place" => another_backend;
    Theirs: "their Worker: a log with holes" => holes;
    Theirs: "their Worker: what stores rely on" => conforms;
    Theirs: "their Worker: its log moves to our server and back" => moves;
}
