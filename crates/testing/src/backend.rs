//! A backend in memory that decides like the server.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use livestore::protocol::Page;
use livestore::{
    BackendId, ClientId, GlobalSeqNum, GroupId, IntoGroup, MemoryAdapter, OpenError, Schema,
    SessionId, Store, StoreId, StoreOptions, SyncStatus,
};
use livestore_core::{ConfirmedGroup, Event, Group, IdGenerator};
use livestore_server::session::Question;
use livestore_server::{
    AppendOutcome, AppendRequest, LogStorage, LogView, MemoryStorage, NoRules, Rules, StorageError,
};
use tokio::sync::watch;

use crate::client::{Client, GLANCE, TestClient};
use crate::conversation::{Line, TestSync};

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The store that clients share, unless they are opened otherwise.
const STORE: &str = "test";

/// The time of events that are appended by others: the beginning of 2025.
const NOW_MS: u64 = 1_735_689_600_000;

/// A sync backend in this process, for real stores.
///
/// It decides as the sync server does, by the server's own code, on a log in memory. Its clients
/// are real stores with their threads and live queries.
///
/// ```
/// # use livestore::prelude::*;
/// # fn schema() -> Schema { Schema::builder().build().unwrap() }
/// use livestore_testing::TestBackend;
///
/// let backend = TestBackend::new();
/// let a = backend.client(schema());
/// let b = backend.client(schema());
/// backend.settle();
/// # assert!(a.sync_status().unwrap().is_synced() && b.sync_status().unwrap().is_synced());
/// ```
#[derive(Debug, Clone)]
pub struct TestBackend(Arc<Shared>);

/// What the backend, its clients and their conversations share.
pub(crate) struct Shared {
    id: BackendId,
    state: Mutex<State>,
    /// Raised whenever a log grows.
    growth: watch::Sender<u64>,
}

struct State {
    storage: MemoryStorage,
    rule: Option<Rule>,
    rules: Arc<dyn Rules>,
    clients: Vec<Weak<Client>>,
    /// The newest conversation of each client with each store.
    newest: HashMap<(StoreId, ClientId), u64>,
    opened: u64,
    ids: IdGenerator,
}

impl State {
    fn is_newest(&self, Conversation { key, number }: &Conversation) -> bool {
        self.newest.get(key) == Some(number)
    }
}

/// One conversation of a client with a store.
pub(crate) struct Conversation {
    key: (StoreId, ClientId),
    number: u64,
}

impl Conversation {
    pub(crate) fn store_id(&self) -> &StoreId {
        &self.key.0
    }
}

type Rule = Arc<dyn Fn(&Group) -> Option<String> + Send + Sync>;

impl Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Default for TestBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl TestBackend {
    /// Makes a backend with empty logs.
    pub fn new() -> Self {
        let mut ids = IdGenerator::new(*b"the ids of others on the backend");
        let id = ids.backend_id(NOW_MS);
        let (storage, clients) = (MemoryStorage::new(id), Vec::new());
        let newest = HashMap::new();
        let state = State {
            storage,
            rule: None,
            rules: Arc::new(NoRules),
            clients,
            newest,
            opened: 0,
            ids,
        };
        Self(Arc::new(Shared { id, state: Mutex::new(state), growth: watch::Sender::new(0) }))
    }

    /// Opens one more client: a store in memory that syncs with this backend.
    ///
    /// Its ids are the same in every run: the first client is `client-1`.
    ///
    /// # Panics
    ///
    /// If the store cannot be opened.
    #[track_caller]
    pub fn client(&self, schema: Schema) -> TestClient {
        let opened = self.open(|number, sync| {
            let options = StoreOptions::new().reproducible(number);
            let adapter = MemoryAdapter::new().sync(sync).client_id(client_id(number));
            Store::open_with(schema, STORE, adapter, options)
        });
        match opened {
            Ok(client) => client,
            Err(error) => panic!("the client's store cannot be opened: {error}"),
        }
    }

    /// Opens one more client by a closure, which gets its number, from 1 on, and what to give to
    /// the adapter's `sync`: for a store in a file, or with other options.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let schema = livestore::Schema::builder().build()?;
    /// # let folder = tempfile::tempdir()?;
    /// use livestore::{FileAdapter, Store};
    /// use livestore_testing::TestBackend;
    ///
    /// let backend = TestBackend::new();
    /// let client = backend.open(|_number, sync| {
    ///     Store::open(schema, "test", FileAdapter::new(folder.path()).sync(sync))
    /// })?;
    /// # backend.settle();
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(
        &self,
        open: impl FnOnce(u64, TestSync) -> Result<Store, OpenError>,
    ) -> Result<TestClient, OpenError> {
        let number = {
            let mut state = self.0.lock();
            state.opened += 1;
            state.opened
        };
        let line = Arc::new(Line::new());
        let store = open(number, TestSync::new(Arc::clone(&self.0), Arc::clone(&line)))?;
        let client = Arc::new(Client { name: format!("client-{number}"), store, line });
        self.0.lock().clients.push(Arc::downgrade(&client));
        Ok(TestClient(client))
    }

    /// Returns what connects a store of your own with the backend; each store needs its own.
    ///
    /// [`settle`](Self::settle) does not wait for such stores.
    pub fn sync(&self) -> TestSync {
        TestSync::new(Arc::clone(&self.0), Arc::new(Line::new()))
    }

    /// Refuses the groups for which a rule gives a reason, instead of the rule before; what is in
    /// the log stays there.
    ///
    /// The client that pushed such a group gets it as a dead letter.
    ///
    /// ```
    /// # let backend = livestore_testing::TestBackend::new();
    /// backend.refuse(|group| {
    ///     let is_large = group.events().len() > 10;
    ///     is_large.then(|| "too many events at once".into())
    /// });
    /// ```
    pub fn refuse(&self, rule: impl Fn(&Group) -> Option<String> + Send + Sync + 'static) {
        self.0.lock().rule = Some(Arc::new(rule));
    }

    /// Takes the rules of the app's server; unlike that of [`Self::refuse`], they must not call the
    /// backend.
    pub fn set_rules(&self, rules: impl Rules) {
        self.0.lock().rules = Arc::new(rules);
    }

    /// Refuses nothing any more, but for the rules of the server.
    pub fn refuse_nothing(&self) {
        self.0.lock().rule = None;
    }

    /// Appends events of somebody who is no client here, as one group.
    ///
    /// # Panics
    ///
    /// If the events or the name of the client are not valid.
    #[track_caller]
    pub fn append<Kind>(&self, client: &str, events: impl IntoGroup<Kind>) {
        if let Err(error) = self.try_append(client, events) {
            panic!("the events of {client} cannot be appended: {error}");
        }
    }

    fn try_append<Kind>(
        &self,
        client: &str,
        events: impl IntoGroup<Kind>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let (client_id, session_id) = (ClientId::new(client)?, SessionId::new(client)?);
        let store_id = StoreId::new(STORE)?;
        let (events, mut state) = (events.into_events()?, self.0.lock());
        let group_id = state.ids.group_id(NOW_MS);
        let mut event = |event: &livestore::NewEvent| Event {
            id: state.ids.event_id(NOW_MS),
            name: event.name().clone(),
            args: event.args().clone(),
        };
        let events = events.iter().map(&mut event).collect();
        let groups = vec![Group::new(group_id, client_id, session_id, events)?];
        let base = head(&state, &store_id)?;
        state
            .storage
            .append(&[AppendRequest { store_id, base, groups, principal: None }], &NoRules)?;
        drop(state);
        self.0.has_grown();
        Ok(())
    }

    /// Returns the groups of the log that [`Self::client`]s share, in its order.
    pub fn log(&self) -> Vec<ConfirmedGroup> {
        let (mut groups, mut after) = (Vec::new(), GlobalSeqNum::ROOT);
        let Ok(store_id) = StoreId::new(STORE) else { return groups };
        while let Ok(Some(page)) = self.0.page(&store_id, after) {
            after = page.end.seq;
            groups.extend(page.groups);
        }
        groups
    }

    /// Waits until all clients that are online are in step: nothing is pending, and everything
    /// that the log has is in their states.
    ///
    /// # Panics
    ///
    /// If that takes more than ten seconds; the message tells where each client stands.
    #[track_caller]
    pub fn settle(&self) {
        if let Err(unsettled) = self.settle_within(PATIENCE) {
            panic!("{unsettled}");
        }
    }

    /// Waits as [`Self::settle`] does, but not longer than this.
    pub fn settle_within(&self, at_most: Duration) -> Result<(), Unsettled> {
        let start = Instant::now();
        loop {
            let growth = *self.0.growth.borrow();
            let behind = self.behind();
            // Somebody who was looked at first could have fallen behind meanwhile.
            if behind.is_empty() && growth == *self.0.growth.borrow() {
                return Ok(());
            }
            if start.elapsed() >= at_most {
                return Err(Unsettled { at_most, behind });
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Returns the clients that are online and not in step.
    fn behind(&self) -> Vec<(String, SyncStatus)> {
        let clients: Vec<Arc<Client>> = {
            let mut state = self.0.lock();
            state.clients.retain(|client| client.strong_count() > 0);
            state.clients.iter().filter_map(Weak::upgrade).collect()
        };
        let online = clients.iter().filter(|client| *client.line.is_online.borrow());
        online
            .filter_map(|client| {
                // A store that was shut down takes no part any more.
                let status = client.store.sync_status().ok()?;
                let head = self.0.head(client.store.store_id()).ok();
                let is_in_step = status.is_synced() && Some(status.confirmed_head) == head;
                (!is_in_step).then(|| (client.name.clone(), status))
            })
            .collect()
    }
}

/// Clients that did not come in step in time.
#[derive(Debug, Clone)]
pub struct Unsettled {
    at_most: Duration,
    behind: Vec<(String, SyncStatus)>,
}

impl std::error::Error for Unsettled {}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not in step after {:?}:", self.at_most)?;
        for (name, status) in &self.behind {
            let SyncStatus { connection, confirmed_head, pending_events, last_error, .. } = status;
            write!(
                f,
                "\n  {name}: {connection:?}, confirmed head {confirmed_head}, \
                 {pending_events} pending events"
            )?;
            if let Some(error) = last_error {
                write!(f, ", {error}")?;
            }
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> BackendId {
        self.id
    }

    pub(crate) fn growth(&self) -> watch::Receiver<u64> {
        self.growth.subscribe()
    }

    fn has_grown(&self) {
        self.growth.send_modify(|growth| *growth += 1);
    }

    pub(crate) fn view(
        &self,
        store_id: &StoreId,
        question: &Question,
    ) -> Result<LogView, StorageError> {
        self.lock().storage.reader()?.view(store_id, &question.at, &question.groups)
    }

    pub(crate) fn head(&self, store_id: &StoreId) -> Result<GlobalSeqNum, StorageError> {
        head(&self.lock(), store_id)
    }

    pub(crate) fn page(
        &self,
        store_id: &StoreId,
        after: GlobalSeqNum,
    ) -> Result<Option<Page>, StorageError> {
        self.lock().storage.reader()?.page(store_id, after)
    }

    /// Finds the first group that the rule refuses, unless the log has it already.
    pub(crate) fn refusal(
        &self,
        request: &AppendRequest,
    ) -> Result<Option<(GroupId, String)>, StorageError> {
        // A rule is the app's code: it may call the backend.
        let rule = self.lock().rule.clone();
        let Some(rule) = rule else { return Ok(None) };
        let groups = request.groups.iter().map(Group::id).collect();
        let view = self.view(&request.store_id, &Question { at: Vec::new(), groups })?;
        let mut new = request
            .groups
            .iter()
            .filter(|group| !view.positions.iter().any(|position| position.id == group.id()));
        Ok(new.find_map(|group| Some((group.id(), rule(group)?))))
    }

    /// Begins a conversation; those that the client has with the store already are over.
    pub(crate) fn supersede(&self, store_id: &StoreId, client_id: &ClientId) -> Conversation {
        let key = (store_id.clone(), client_id.clone());
        let mut state = self.lock();
        let newest = state.newest.entry(key.clone()).or_default();
        *newest += 1;
        let conversation = Conversation { key, number: *newest };
        drop(state);
        // They look up from what they wait for.
        self.has_grown();
        conversation
    }

    /// Tells whether a conversation is still the client's newest.
    pub(crate) fn is_newest(&self, conversation: &Conversation) -> bool {
        self.lock().is_newest(conversation)
    }

    /// Appends for a conversation, unless that is over.
    pub(crate) fn append(
        &self,
        conversation: &Conversation,
        request: AppendRequest,
    ) -> Result<Option<AppendOutcome>, StorageError> {
        let mut state = self.lock();
        if !state.is_newest(conversation) {
            return Ok(None);
        }
        let rules = Arc::clone(&state.rules);
        let mut outcomes = state.storage.append(&[request], &*rules)?;
        drop(state);
        self.has_grown();
        let missing = || StorageError::Database { source: "no outcome for a request".into() };
        outcomes.pop().ok_or_else(missing).map(Some)
    }
}

fn head(state: &State, store_id: &StoreId) -> Result<GlobalSeqNum, StorageError> {
    Ok(state.storage.reader()?.view(store_id, &[], &[])?.head)
}

fn client_id(number: u64) -> ClientId {
    let name = ClientId::new(format!("client-{number}"));
    name.unwrap_or_else(|_| ClientId::from_random(&number.to_le_bytes()))
}
