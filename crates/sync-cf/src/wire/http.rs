//! Calls over HTTP, a request for each; news are asked for now and then.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use livestore_cf_protocol::{
    Call, ClientMessage, Cursor, Pull, Push, Request, RequestId, ServerMessage, SyncQuery,
};
use reqwest::{Client, Response, header, redirect};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Heard, Outcome, Stop, cut, outcome_of};
use crate::array::ArrayReader;
use crate::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, CfSync};

type Pushing = Pin<Box<dyn Future<Output = Result<Outcome, Stop>> + Send>>;
type Asking = Pin<Box<dyn Future<Output = Result<Response, Stop>> + Send>>;

/// A backend that is asked by requests.
pub(crate) struct HttpWire {
    caller: Caller,
    query: SyncQuery,
    poll_every: Duration,
    pulling: Pulling,
    /// Whether what comes later is wanted as well, and from where on.
    live_from: Option<Cursor>,
    is_live: bool,
    /// Somebody waits for what the next pull brings.
    is_urgent: bool,
    pushing: Option<Pushing>,
    next_id: u64,
}

/// Where a pull stands.
enum Pulling {
    /// Nothing is asked until then.
    Until(Option<Instant>),
    Asking(Asking),
    Reading(Box<Reading>),
}

/// An answer that is being read.
struct Reading {
    response: Response,
    array: ArrayReader,
    elements: std::vec::IntoIter<String>,
    outcome: Option<Outcome>,
}

/// Sends requests.
#[derive(Clone)]
struct Caller {
    sync: CfSync,
    client: Client,
    url: String,
}

impl Caller {
    async fn ask(self, id: u64, call: Call) -> Result<Response, Stop> {
        let request = ClientMessage::Request(Request::new(RequestId::from(id), call));
        let asked = self.client.post(&self.url).header(header::CONTENT_TYPE, "application/json");
        let asked = asked.body(request.encode_for_http()).send();
        let response = match timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.sync.offline(error.without_url()).into()),
            Err(_) => {
                return Err(self
                    .sync
                    .offline(format!("no answer within {ANSWER_TIMEOUT:?}"))
                    .into());
            }
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let said = beginning(response).await;
        Err(self.sync.refused(status.as_u16(), &said))
    }

    /// Waits for the next piece of an answer; nothing at its end.
    async fn piece(&self, response: &mut Response) -> Result<Option<Vec<u8>>, Stop> {
        match timeout(ANSWER_TIMEOUT, response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece.map(Into::into)),
            Ok(Err(error)) => Err(self.sync.offline(error.without_url()).into()),
            Err(_) => {
                Err(self.sync.offline(format!("it fell silent for {ANSWER_TIMEOUT:?}")).into())
            }
        }
    }

    async fn push(self, id: u64, push: Push) -> Result<Outcome, Stop> {
        let mut response = self.clone().ask(id, Call::Push(push)).await?;
        let mut array = ArrayReader::default();
        let mut outcome = None;
        while let Some(piece) = self.piece(&mut response).await? {
            let elements =
                array.feed(&piece).map_err(|error| self.sync.failed(&error.to_string()))?;
            for element in elements {
                if let ServerMessage::Exit { exit, .. } = self.read(&element)? {
                    outcome = Some(outcome_of(exit));
                }
            }
        }
        outcome.ok_or_else(|| self.sync.failed("an answer without an end").into())
    }

    fn read(&self, element: &str) -> Result<ServerMessage, Stop> {
        match ServerMessage::decode(element) {
            Ok(ServerMessage::Defect { defect }) => {
                Err(self.sync.failed(&cut(&super::text_of(&defect))).into())
            }
            Ok(message) => Ok(message),
            Err(error) => Err(self.sync.failed(&error.to_string()).into()),
        }
    }
}

/// Reads the beginning of what an answer says.
async fn beginning(mut response: Response) -> String {
    let mut text = Vec::new();
    while text.len() < 4 << 10 {
        match timeout(Duration::from_secs(5), response.chunk()).await {
            Ok(Ok(Some(piece))) => text.extend_from_slice(&piece),
            _ => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

impl HttpWire {
    pub(crate) fn new(sync: &CfSync, query: SyncQuery) -> Result<Self, Stop> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            // What an app shows would go to wherever a redirection leads.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("livestore-rs/", env!("CARGO_PKG_VERSION")));
        let config = if sync.is_secure() {
            livestore_tls::client_config()
        } else {
            livestore_tls::trust_nobody()
        };
        let config = config.map_err(|error| sync.offline(error))?.as_ref().clone();
        let client = client
            .tls_backend_preconfigured(config)
            .build()
            .map_err(|error| sync.offline(error))?;
        let caller = Caller { sync: sync.clone(), client, url: sync.url_for(&query) };
        Ok(Self {
            caller,
            query,
            poll_every: sync.poll_every(),
            pulling: Pulling::Until(None),
            live_from: None,
            is_live: false,
            is_urgent: false,
            pushing: None,
            next_id: 1,
        })
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    pub(super) fn pull(&mut self, cursor: Option<Cursor>, live: bool) {
        (self.live_from, self.is_live) = (cursor, live);
        self.ask();
    }

    pub(super) fn stop_pull(&mut self) {
        self.pulling = Pulling::Until(None);
    }

    fn ask(&mut self) {
        let SyncQuery { store_id, payload, .. } = self.query.clone();
        let pull = Pull { store_id, payload, live: false, cursor: self.live_from.clone() };
        let asking = self.caller.clone().ask(self.id(), Call::Pull(pull));
        self.pulling = Pulling::Asking(Box::pin(asking));
    }

    pub(super) fn push(&mut self, push: Push) {
        let pushing = self.caller.clone().push(self.id(), push);
        self.pushing = Some(Box::pin(pushing));
    }

    pub(super) fn has_until(&mut self, seq: u64) {
        if let Some(cursor) = &mut self.live_from {
            cursor.event_sequence_number = cursor.event_sequence_number.max(seq);
        }
    }

    pub(super) fn hurry(&mut self) {
        match &mut self.pulling {
            Pulling::Until(until) => *until = until.map(|_| Instant::now()),
            // What is under way may have been read before.
            Pulling::Asking(_) | Pulling::Reading(_) => self.is_urgent = true,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Heard, Stop> {
        loop {
            tokio::select! {
                outcome = outcome_of_push(&mut self.pushing) => {
                    self.pushing = None;
                    return Ok(Heard::Pushed(outcome?));
                }
                turned = turn(&self.caller, &mut self.pulling) => match turned? {
                    Turn::Due => self.ask(),
                    Turn::Answered(response) => {
                        let (elements, array) = (Vec::new().into_iter(), ArrayReader::default());
                        let reading = Reading { response, array, elements, outcome: None };
                        self.pulling = Pulling::Reading(Box::new(reading));
                    }
                    Turn::Heard(ServerMessage::Chunk { values, .. }) => {
                        let mut values = values.into_iter();
                        let (Some(response), None) = (values.next(), values.next()) else {
                            let failed = self.caller.sync.failed("a chunk without its one value");
                            return Err(failed.into());
                        };
                        let last = response.batch.last().map(|last| last.event_encoded.seq_num);
                        let backend_id = response.backend_id.clone();
                        let cursor = self.live_from.get_or_insert(
                            Cursor { backend_id, event_sequence_number: 0 },
                        );
                        let until = cursor.event_sequence_number.max(last.unwrap_or(0));
                        cursor.event_sequence_number = until;
                        return Ok(Heard::Pulled(response));
                    }
                    Turn::Heard(_) => {}
                    Turn::Ended(outcome) => {
                        let is_over = !self.is_live || outcome != Outcome::Done;
                        let is_urgent = std::mem::take(&mut self.is_urgent);
                        let pause = if is_urgent { Duration::ZERO } else { self.poll_every };
                        let next = (!is_over).then(|| Instant::now() + pause);
                        self.pulling = Pulling::Until(next);
                        if is_over {
                            return Ok(Heard::PullEnded(outcome));
                        }
                    }
                },
            }
        }
    }
}

/// What comes next of a pull.
enum Turn {
    Due,
    Answered(Response),
    Heard(ServerMessage),
    Ended(Outcome),
}

/// Waits for what comes next of a pull; nothing is lost if it is given up.
async fn turn(caller: &Caller, pulling: &mut Pulling) -> Result<Turn, Stop> {
    let reading = match pulling {
        Pulling::Until(None) => return pending().await,
        Pulling::Until(Some(until)) => {
            sleep_until(*until).await;
            return Ok(Turn::Due);
        }
        Pulling::Asking(asking) => return Ok(Turn::Answered(asking.await?)),
        Pulling::Reading(reading) => reading,
    };
    loop {
        if let Some(element) = reading.elements.next() {
            let message = caller.read(&element)?;
            if let ServerMessage::Exit { exit, .. } = message {
                reading.outcome = Some(outcome_of(exit));
                continue;
            }
            return Ok(Turn::Heard(message));
        }
        let failed = |error: crate::array::ArrayError| caller.sync.failed(&error.to_string());
        let Some(piece) = caller.piece(&mut reading.response).await? else {
            reading.array.end().map_err(failed)?;
            let outcome = reading.outcome.take();
            let ended = || caller.sync.failed("an answer without an end");
            return Ok(Turn::Ended(outcome.ok_or_else(ended)?));
        };
        reading.elements = reading.array.feed(&piece).map_err(failed)?.into_iter();
    }
}

async fn outcome_of_push(pushing: &mut Option<Pushing>) -> Result<Outcome, Stop> {
    match pushing {
        Some(pushing) => pushing.await,
        None => pending().await,
    }
}
