//! The processes of a case: a backend, and stores of either kind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// How long a peer may take for one thing, besides what it is told to wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a peer is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) store_id: String,
    pub(crate) client_id: String,
    pub(crate) folder: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transport: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// How a peer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours, with our own protocol.
    Rust,
    /// Ours, with LiveStore's protocol over a WebSocket.
    RustWs,
    /// Ours, with LiveStore's protocol and a request for each call.
    RustHttp,
    /// LiveStore's, over a WebSocket.
    Ws,
    /// LiveStore's, with a request for each call.
    Http,
}

impl Kind {
    pub(crate) fn is_ours(self) -> bool {
        !matches!(self, Self::Ws | Self::Http)
    }

    fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::RustHttp)
    }

    fn transport(self) -> Option<String> {
        match self {
            Self::Rust => None,
            other => Some(if other.is_http() { "http" } else { "ws" }.into()),
        }
    }
}

/// Where everything is.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The binary of the command line.
    pub(crate) livestore: PathBuf,
    /// The folder of `peer.mjs`.
    pub(crate) scripts: PathBuf,
    /// A JavaScript runtime that is new enough.
    pub(crate) node: PathBuf,
}

/// A process that is ended with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whose backend it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// `livestore serve`.
    Ours,
    /// LiveStore's Worker, in workerd.
    Theirs,
}

/// Returns a port that nobody listens at.
///
/// It stays free while its backend is down: no other case gets it, and on Linux connections have ports
/// below 61,000.
fn port() -> Result<u16, Failure> {
    static NEXT: AtomicU16 = AtomicU16::new(61_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if port < 61_000 {
            return Err("no port from 61000 on is free".into());
        }
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
}

/// A backend in a process of its own, with its data in a folder.
pub(crate) struct Backend {
    places: Places,
    whose: Whose,
    folder: PathBuf,
    port: u16,
    token: Option<String>,
    process: Option<Running>,
}

impl Backend {
    pub(crate) fn start(
        places: &Places,
        whose: Whose,
        folder: &Path,
        token: Option<&str>,
    ) -> Result<Self, Failure> {
        let port = port()?;
        let (places, folder) = (places.clone(), folder.to_owned());
        let token = token.map(Into::into);
        let mut backend = Self { places, whose, folder, port, token, process: None };
        backend.run()?;
        Ok(backend)
    }

    /// Starts its process, at the same address and with the same data as before.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.folder)?;
        let mut command = match self.whose {
            Whose::Ours => self.server()?,
            Whose::Theirs => self.worker(),
        };
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Running(command.spawn()?));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if Instant::now() > deadline {
                return Err("the backend does not start".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn server(&self) -> Result<Command, Failure> {
        let mut command = Command::new(&self.places.livestore);
        command.arg("serve").arg("--data").arg(&self.folder);
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        if let Some(token) = &self.token {
            let list = self.folder.with_extension("tokens");
            std::fs::write(&list, format!("{token} somebody shared\n"))?;
            command.arg("--tokens").arg(list);
        }
        Ok(command)
    }

    fn worker(&self) -> Command {
        let mut options = json!({ "port": self.port, "folder": self.folder });
        if let Some(token) = &self.token {
            options["token"] = token.as_str().into();
        }
        let mut command = Command::new(&self.places.node);
        command.arg(self.places.scripts.join("worker.mjs")).arg(options.to_string());
        // It ends with its input.
        command.stdin(Stdio::piped());
        command
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.process = None;
        // What it has left behind follows at once.
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Puts another backend in its place, with the data of another folder.
    pub(crate) fn swap(&mut self, folder: &Path) -> Result<(), Failure> {
        self.kill();
        folder.clone_into(&mut self.folder);
        self.run()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs the command line about this backend, over LiveStore's protocol; returns what it prints.
    pub(crate) fn livestore(&self, scheme: &str, args: &[&str]) -> Result<String, Failure> {
        let url = format!("cf+{scheme}://127.0.0.1:{}", self.port);
        let args = args.iter().map(|arg| if *arg == "URL" { url.as_str() } else { arg });
        let output = Command::new(&self.places.livestore).args(args).output()?;
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            return Err(format!("{} {}", said.trim(), errors.trim()).into());
        }
        Ok(said.into_owned())
    }

    /// Reads a log, of the backend or of a store in a folder, as far as LiveStore knows it.
    pub(crate) fn log(&self, folder: Option<&Path>) -> Result<Vec<Value>, Failure> {
        let token = self.folder.with_extension("token");
        let folder = folder.map(|folder| folder.display().to_string());
        let mut args = vec!["export", folder.as_deref().unwrap_or("URL"), "--store", "shared"];
        let path = token.display().to_string();
        if let Some(token) = &self.token {
            std::fs::write(&path, token)?;
            args.extend(["--token", &path]);
        }
        let mut file: Value = serde_json::from_str(&self.livestore("http", &args)?)?;
        let mut events: Vec<Value> = serde_json::from_value(file["events"].take())?;
        for event in &mut events {
            for ours in ["id", "group"] {
                event.as_object_mut().and_then(|event| event.remove(ours));
            }
            // Who has no payload, and who has null, is told apart by LiveStore's live pulls alone.
            if event["args"].is_null() {
                event.as_object_mut().and_then(|event| event.remove("args"));
            }
        }
        Ok(events)
    }

    /// Pushes events as a client over HTTP does that leaves some out.
    pub(crate) fn push_raw(&self, batch: &Value) -> Result<(), Failure> {
        let payload =
            json!({ "storeId": "shared", "batch": batch, "backendId": { "_tag": "None" } });
        let request = json!({
            "_tag": "Request", "id": "1", "tag": "SyncHttpRpc.Push", "payload": payload, "headers": [],
            "traceId": "t", "spanId": "s", "sampled": false,
        });
        let body = request.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(
            stream,
            "POST /?storeId=shared&transport=http HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.contains("\"Success\"") { Ok(()) } else { Err(answer.into()) }
    }
}

/// The way to a backend, which can be cut.
pub(crate) struct Network {
    port: u16,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Network {
    pub(crate) fn to(backend: u16) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let connections: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let open = Arc::clone(&connections);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", backend)) else { continue };
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (Ok(mut from), Ok(mut to), Ok(kept)) =
                        (from.try_clone(), to.try_clone(), from.try_clone())
                    else {
                        continue;
                    };
                    open.push(kept);
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Ok(Self { port, connections })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        let mut open = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in open.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// A store in a process of its own.
pub(crate) struct Peer {
    name: String,
    input: ChildStdin,
    output: Receiver<Value>,
    errors: Receiver<String>,
    process: Running,
}

impl Peer {
    pub(crate) fn start(
        places: &Places,
        port: u16,
        kind: Kind,
        name: &str,
        folder: &Path,
        token: Option<&str>,
    ) -> Result<Self, Failure> {
        let scheme = if kind.is_http() { "http" } else { "ws" };
        let options = Options {
            url: format!("{scheme}://127.0.0.1:{port}"),
            store_id: "shared".into(),
            client_id: name.into(),
            folder: folder.join(name),
            transport: kind.transport(),
            token: token.map(Into::into),
        };
        std::fs::create_dir_all(&options.folder)?;
        let options = serde_json::to_string(&options)?;
        let mut command = if kind.is_ours() {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("peer");
            command
        } else {
            let mut command = Command::new(&places.node);
            command.arg(places.scripts.join("peer.mjs"));
            command
        };
        command.arg(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (input, output, errors) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(mut errors)) = (input, output, errors) else {
            return Err("a process without pipes".into());
        };
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // LiveStore writes into the same stream now and then.
                if let Ok(message @ Value::Object(_)) = serde_json::from_str(&line)
                    && sender.send(message).is_err()
                {
                    break;
                }
            }
        });
        let (sender, said) = channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            let _ = sender.send(text);
        });
        let name = name.to_owned();
        let mut peer =
            Self { name, input, output: receiver, errors: said, process: Running(child) };
        peer.hear(PATIENCE)?;
        Ok(peer)
    }

    fn hear(&mut self, patience: Duration) -> Result<Value, Failure> {
        let Ok(answer) = self.output.recv_timeout(patience) else {
            let _ = self.process.0.kill();
            let said = self.errors.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
            let said: String = said.chars().take(2_000).collect();
            return Err(format!("{} says nothing; {said}", self.name).into());
        };
        match answer.get("error") {
            Some(error) => Err(format!("{}: {error}", self.name).into()),
            None => Ok(answer),
        }
    }

    /// Tells it to do something, and does not wait until that is done.
    pub(crate) fn tell(&mut self, act: &Value) -> Result<(), Failure> {
        // The other end takes some characters beyond ASCII for the end of a line.
        let mut line = String::new();
        for unit in act.to_string().encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => line.push(byte.into()),
                _ => {
                    let digit = |at: u16| char::from_digit(u32::from(unit >> at & 15), 16);
                    line.push_str("\\u");
                    line.extend([12, 8, 4, 0].into_iter().filter_map(digit));
                }
            }
        }
        writeln!(self.input, "{line}")?;
        Ok(self.input.flush()?)
    }

    /// Waits until the last thing is done.
    pub(crate) fn done(&mut self) -> Result<Value, Failure> {
        self.hear(PATIENCE * 3)
    }

    pub(crate) fn act(&mut self, act: &Value) -> Result<Value, Failure> {
        self.tell(act)?;
        self.done()
    }

    /// Waits until it shows so many rows; returns how many it shows.
    pub(crate) fn wait(&mut self, rows: u64, patience: Duration) -> Result<u64, Failure> {
        let ms = patience.as_millis() as u64;
        self.tell(&json!({ "act": "wait", "rows": rows, "ms": ms }))?;
        let answer = self.hear(patience + PATIENCE)?;
        Ok(answer["rows"].as_u64().unwrap_or_default())
    }

    pub(crate) fn state(&mut self) -> Result<String, Failure> {
        let answer = self.act(&json!({ "act": "state" }))?;
        Ok(answer["state"].as_str().unwrap_or_default().to_owned())
    }

    /// Gives it the time to do something about its log, and ends it, unless it has ended itself.
    pub(crate) fn quit_if_it_likes(mut self) {
        std::thread::sleep(Duration::from_secs(3));
        let _ = self.tell(&json!({ "act": "quit" }));
        std::thread::sleep(Duration::from_secs(1));
    }

    /// Ends it as an app is ended.
    pub(crate) fn quit(mut self) -> Result<(), Failure> {
        self.tell(&json!({ "act": "quit" }))?;
        let deadline = Instant::now() + PATIENCE;
        while self.process.0.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(format!("{} does not end", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// The act of committing some todos.
pub(crate) fn commit(prefix: &str, from: u64, count: u64, batch: u64) -> Value {
    json!({ "act": "commit", "prefix": prefix, "from": from, "count": count, "batch": batch })
}
