//! Real processes at both ends, a server and clients that push to it, killed again and again.
//!
//! The clients speak the bare protocol, so that nothing hides what the server does. The test binary
//! starts itself again as a client; an environment variable tells it so. `LIVESTORE_KILLS` sets how
//! many rounds there are; the suite and the soak set it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use livestore_core::protocol::{ClientMessage, Hello, Page, Push, ServerMessage, Welcome};
use livestore_core::{
    CanonicalJson, ClientId, Cursor, Event, EventId, EventName, Group, GroupId, LogPosition,
    SessionId, StoreId,
};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::Server;

const FOLDER: &str = "LIVESTORE_KILLS_FOLDER";
const CLIENT: &str = "LIVESTORE_KILLS_CLIENT";
const KILLS: &str = "LIVESTORE_KILLS";
const CLIENTS: [u8; 2] = [1, 2];
/// Kills that one log lives through; then a new one begins, since each is checked whole.
const KILLS_OF_ONE_LOG: u32 = 10;
/// Longer than any answer takes; whoever waits for so long would wait for ever.
const PATIENCE: Duration = Duration::from_secs(20);

fn group_id(client: u8, number: u64) -> GroupId {
    GroupId::from_bytes((u128::from(client) << 64 | u128::from(number)).to_be_bytes())
}

/// The group with which a client tries for the n-th time to change something.
fn group(client: u8, number: u64) -> Group {
    let event = |at: u64| Event {
        id: EventId::from_bytes(
            (u128::from(client) << 64 | u128::from(number << 1 | at)).to_be_bytes(),
        ),
        name: EventName::new("v1.TodoCreated").unwrap(),
        args: CanonicalJson::encode(&(client, number, at)).unwrap(),
    };
    let session = SessionId::new("tab-1").unwrap();
    Group::new(group_id(client, number), client_id(client), session, vec![event(0), event(1)])
        .unwrap()
}

fn client_id(client: u8) -> ClientId {
    ClientId::new(format!("client-{client}")).unwrap()
}

/// What a client knows of its pushes, in a file that outlives it.
struct Journal {
    file: File,
    /// Groups whose acceptance the client has learned of; they are the first of all.
    accepted: u64,
    /// Groups that the client has begun to push: one more at most.
    tried: u64,
}

impl Journal {
    fn open(folder: &Path, client: u8) -> Self {
        let path = folder.join(format!("journal-{client}"));
        let lines = fs::read_to_string(&path).unwrap_or_default();
        let count = |word: &str| lines.lines().filter(|line| *line == word).count() as u64;
        let file = File::options().create(true).append(true).open(path).unwrap();
        Self { file, accepted: count("accepted"), tried: count("tried") }
    }

    /// Returns the number of the group to push, and notes that it is being tried.
    fn next(&mut self) -> u64 {
        if self.tried == self.accepted {
            self.note("tried\n");
            self.tried += 1;
        }
        self.accepted
    }

    fn accept(&mut self) {
        self.note("accepted\n");
        self.accepted += 1;
    }

    /// One write for a whole line: a kill leaves all of it or nothing.
    fn note(&mut self, line: &str) {
        self.file.write_all(line.as_bytes()).unwrap();
    }
}

/// One connection, which follows the log and checks that it never has a gap.
struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    welcome: Welcome,
    end: LogPosition,
    groups: Vec<Group>,
}

impl Connection {
    /// Connects to the server that is running now; none if there is none.
    async fn open(
        folder: &Path,
        client: u8,
        cursor: Option<Cursor>,
        attempted: Vec<GroupId>,
    ) -> Option<Self> {
        let url = fs::read_to_string(folder.join("url")).unwrap();
        let (mut socket, _) = connect_async(url).await.ok()?;
        let (store_id, client_id) = (StoreId::new("kills").unwrap(), client_id(client));
        let hello = Hello { versions: vec![1], store_id, client_id, cursor, attempted };
        send(&mut socket, ClientMessage::Hello(hello)).await?;
        let ServerMessage::Welcome(welcome) = receive(&mut socket).await? else {
            panic!("the cursor {cursor:?} was refused: the server has lost what it had shown");
        };
        let end = cursor.map_or(LogPosition::ROOT, |cursor| cursor.position);
        Some(Self { socket, welcome, end, groups: Vec::new() })
    }

    fn cursor(&self) -> Cursor {
        Cursor { backend_id: self.welcome.backend_id, position: self.end }
    }

    /// Pushes one group until it is in the log; none if the connection breaks before that.
    async fn push(&mut self, group: &Group) -> Option<()> {
        loop {
            let push = Push { request: 1, base: self.end.seq, groups: vec![group.clone()] };
            send(&mut self.socket, ClientMessage::Push(push)).await?;
            loop {
                match receive(&mut self.socket).await? {
                    ServerMessage::Page(page) => self.take_page(&page),
                    ServerMessage::PushAccepted(accepted) => {
                        if accepted.first == self.end.seq.next() {
                            self.take(group);
                            assert_eq!(self.end, accepted.end);
                        }
                        return Some(());
                    }
                    ServerMessage::AlreadyAccepted(_) => return Some(()),
                    ServerMessage::ServerAhead(ahead) => {
                        ahead.missing.iter().for_each(|page| self.take_page(page));
                        break;
                    }
                    other => panic!("unexpected {other:?}"),
                }
            }
        }
    }

    /// Reads the log up to where it was at the welcome.
    async fn pull(&mut self) -> Option<()> {
        while self.end.seq < self.welcome.head {
            match receive(&mut self.socket).await? {
                ServerMessage::Page(page) => self.take_page(&page),
                other => panic!("unexpected {other:?}"),
            }
        }
        Some(())
    }

    fn take_page(&mut self, page: &Page) {
        assert_eq!(page.groups[0].first, self.end.seq.next(), "a gap or a repetition");
        page.groups.iter().for_each(|confirmed| self.take(&confirmed.group));
        assert_eq!(self.end, page.end, "the hash chain is broken");
    }

    fn take(&mut self, group: &Group) {
        let seq = self.end.seq.plus(group.event_count());
        self.end = LogPosition { seq, hash: self.end.hash.extend(group.content_hash()) };
        self.groups.push(group.clone());
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn send(socket: &mut Socket, message: ClientMessage) -> Option<()> {
    socket.send(Message::text(message.encode())).await.ok()
}

/// The next message; none if the connection is broken.
async fn receive(socket: &mut Socket) -> Option<ServerMessage> {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("the server is silent")?.ok()? {
            Message::Text(frame) => return Some(ServerMessage::decode(&frame).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Not a test by itself: a client that pushes until it is killed, when the environment says so.
#[tokio::test]
async fn pushing_process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let client = std::env::var(CLIENT).unwrap().parse().unwrap();
    // Whoever started this process holds the other end; without them it has no purpose.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let mut journal = Journal::open(&folder, client);
    let mut cursor = None;
    loop {
        let in_doubt = (journal.accepted..journal.tried).map(|number| group_id(client, number));
        let connected = Connection::open(&folder, client, cursor, in_doubt.collect()).await;
        let Some(mut connection) = connected else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        if !connection.welcome.accepted.is_empty() {
            journal.accept();
        }
        while connection.push(&group(client, journal.next())).await.is_some() {
            journal.accept();
        }
        cursor = Some(connection.cursor());
    }
}

/// A client in a process of its own.
struct Pusher(Child);

impl Pusher {
    fn start(folder: &Path, client: u8) -> Self {
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::pushing_process", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .env(CLIENT, client.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Self(process.unwrap())
    }

    fn kill(mut self) {
        let ended = self.0.try_wait().unwrap();
        assert_eq!(ended, None, "a client has found something wrong and given up");
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        // On Unix this is SIGKILL: the process gets no say.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server and its clients, on one folder.
struct Processes {
    folder: tempfile::TempDir,
    server: Option<Server>,
    clients: HashMap<u8, Pusher>,
}

impl Processes {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut processes = Self { folder, server: None, clients: HashMap::new() };
        processes.restart_server();
        for client in CLIENTS {
            processes.restart_client(client);
        }
        processes
    }

    fn restart_server(&mut self) {
        // Dropping a server kills it.
        drop(self.server.take());
        let path = self.folder.path();
        let server = Server::start(&path.join("server"), "127.0.0.1:0");
        // Clients that look for the server see the old address or the new one.
        fs::write(path.join("url.new"), &server.url).unwrap();
        fs::rename(path.join("url.new"), path.join("url")).unwrap();
        self.server = Some(server);
    }

    fn restart_client(&mut self, client: u8) {
        if let Some(running) = self.clients.remove(&client) {
            running.kill();
        }
        self.clients.insert(client, Pusher::start(self.folder.path(), client));
    }

    /// Stops pushing, and compares the log with what the clients know; returns its groups.
    async fn check(mut self) -> usize {
        self.clients.drain().for_each(|(_, client)| client.kill());
        let connected = Connection::open(self.folder.path(), 0, None, Vec::new()).await;
        let mut connection = connected.expect("the server is running");
        connection.pull().await.expect("the server goes on running");
        let log = &connection.groups;
        for client in CLIENTS {
            let journal = Journal::open(self.folder.path(), client);
            let mine = log.iter().filter(|group| *group.client_id() == client_id(client));
            let mine: Vec<_> = mine.cloned().collect();
            let in_log = mine.len() as u64;
            let expected: Vec<_> = (0..in_log).map(|number| group(client, number)).collect();
            // In the order of the client, each once, and unchanged.
            assert_eq!(mine, expected);
            assert!(journal.accepted <= in_log, "client {client} was told of groups that are lost");
            assert!(in_log <= journal.tried, "client {client} never pushed what is in the log");
        }
        log.len()
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_or_doubled_when_both_ends_are_killed() {
    let kills: u32 = std::env::var(KILLS).ok().and_then(|kills| kills.parse().ok()).unwrap_or(10);
    // A fixed generator, so that a failure can be looked at again; the moments still differ by
    // what the machine makes of them.
    let mut random = 0x9e37_79b9_u32;
    let mut next_random = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random >> 16
    };
    let (mut left, mut in_logs) = (kills, 0);
    while left > 0 {
        let round = left.min(KILLS_OF_ONE_LOG);
        left -= round;
        let mut processes = Processes::start();
        for _kill in 0..round {
            sleep(Duration::from_millis(50 + u64::from(next_random()) % 200)).await;
            match next_random() % 4 {
                0 | 1 => processes.restart_server(),
                2 => processes.restart_client(CLIENTS[next_random() as usize % CLIENTS.len()]),
                _ => {
                    // Nobody is left to remember anything but the disks.
                    drop(processes.server.take());
                    for client in CLIENTS {
                        processes.restart_client(client);
                    }
                    processes.restart_server();
                }
            }
        }
        in_logs += processes.check().await;
    }
    assert!(in_logs > 0, "no client lived long enough to push");
    println!("{kills} kills, {in_logs} groups in the logs, none lost, none doubled");
}
