//! Seats: each client of a store has one conversation at a time.
//!
//! A client that connects again asks what has become of its last push. The answer is final only if
//! that push cannot be taken afterwards, so whatever the earlier conversation has left with the
//! writer has to be decided first, and nothing more may come from it.
//!
//! A client id is no secret, so each principal has a seat of its own under it: nobody ends the
//! conversations of somebody else. But a client may come back as another principal, since another
//! user has signed in. Then what it asks about, groups that only it knows, is what its earlier
//! conversation may not push any more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use livestore_core::protocol::Hello;
use livestore_core::{ClientId, Group, GroupId, StoreId};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, watch};

use crate::auth::Principal;

/// How many hellos of each principal are remembered with what they asked about.
const REMEMBERED_QUESTIONS: usize = 8;

/// Who sits; nobody in particular if the server asks nobody who they are.
type PrincipalId = Option<String>;

/// The seats of all clients of all stores. Holds none alive.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    clients: Mutex<HashMap<(StoreId, ClientId), Weak<Client>>>,
}

/// What all conversations under one client id share.
#[derive(Debug, Default)]
struct Client {
    newest: watch::Sender<Newest>,
    /// Held by each push until it is decided, and by a newcomer for a moment before its welcome.
    questions: Arc<RwLock<VecDeque<Question>>>,
}

/// Counts the conversations that have asked for a seat; the last one of each principal is to have
/// it.
#[derive(Debug, Default)]
struct Newest {
    count: u64,
    of: HashMap<PrincipalId, u64>,
}

/// What a conversation has asked about in its hello.
#[derive(Debug)]
struct Question {
    principal: PrincipalId,
    number: u64,
    groups: HashSet<GroupId>,
}

/// A conversation that has a seat.
#[derive(Debug, Clone)]
pub(crate) struct Seated {
    principal: PrincipalId,
    number: u64,
    client: Arc<Client>,
}

/// A newer conversation has the seat.
#[derive(Debug)]
pub(crate) struct Superseded;

/// Keeps newcomers waiting until a push is decided, beyond its conversation if need be.
#[derive(Debug)]
pub(crate) struct Hold {
    // Fields are dropped in this order: whoever finds no client any more to wait for must not come
    // before the questions are free.
    _questions: OwnedRwLockReadGuard<VecDeque<Question>>,
    _client: Arc<Client>,
}

impl Seats {
    /// Asks whoever has the seat to leave, and waits until nothing of theirs can be taken any more.
    pub(crate) async fn take(
        &self,
        hello: &Hello,
        principal: Option<&Principal>,
    ) -> Result<Seated, Superseded> {
        let client = self.client(&hello.store_id, &hello.client_id);
        let principal = principal.map(|principal| principal.id().to_owned());
        let (mut number, mut is_alone) = (0, true);
        client.newest.send_modify(|newest| {
            newest.count += 1;
            number = newest.count;
            newest.of.insert(principal.clone(), number);
            is_alone = newest.of.len() == 1;
        });
        let seated = Seated { principal, number, client };
        let mut questions = tokio::select! {
            biased;
            () = seated.superseded() => return Err(Superseded),
            questions = seated.client.questions.write() => questions,
        };
        if !is_alone && !hello.attempted.is_empty() {
            let groups = hello.attempted.iter().copied().collect();
            let principal = seated.principal.clone();
            let is_own = |question: &Question| question.principal == principal;
            if questions.iter().filter(|question| is_own(question)).count() >= REMEMBERED_QUESTIONS
                && let Some(oldest) = questions.iter().position(is_own)
            {
                questions.remove(oldest);
            }
            questions.push_back(Question { principal, number, groups });
        }
        drop(questions);
        Ok(seated)
    }

    fn client(&self, store_id: &StoreId, client_id: &ClientId) -> Arc<Client> {
        let id = (store_id.clone(), client_id.clone());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&id).and_then(Weak::upgrade) {
            return client;
        }
        // As with the stores: full is the moment to forget who has left.
        if clients.len() == clients.capacity() {
            clients.retain(|_, client| client.strong_count() > 0);
        }
        let client = Arc::default();
        clients.insert(id, Arc::downgrade(&client));
        client
    }
}

impl Seated {
    /// Waits until a newer conversation asks for the seat.
    pub(crate) async fn superseded(&self) {
        let mut newest = self.client.newest.subscribe();
        // The sender is in the client, which whoever waits here keeps.
        let _ = newest.wait_for(|newest| self.is_behind(newest)).await;
    }

    /// Lets a push pass, unless a newer conversation was told what is in the log of it.
    pub(crate) async fn admit(&self, groups: &[Group]) -> Result<Hold, Superseded> {
        let questions = Arc::clone(&self.client.questions).read_owned().await;
        let is_asked = |question: &Question| {
            question.number > self.number
                && groups.iter().any(|group| question.groups.contains(&group.id()))
        };
        if self.is_behind(&self.client.newest.borrow()) || questions.iter().any(is_asked) {
            return Err(Superseded);
        }
        Ok(Hold { _questions: questions, _client: Arc::clone(&self.client) })
    }

    fn is_behind(&self, newest: &Newest) -> bool {
        newest.of.get(&self.principal).is_some_and(|newest| *newest > self.number)
    }
}

#[cfg(test)]
mod tests {
    use livestore_core::{CanonicalJson, EventId, SessionId};

    use super::*;

    fn hello(asks_about: impl IntoIterator<Item = u8>) -> Hello {
        Hello {
            versions: vec![1],
            store_id: StoreId::new("notes").unwrap(),
            client_id: ClientId::new("laptop").unwrap(),
            cursor: None,
            attempted: asks_about.into_iter().map(|id| GroupId::from_bytes([id; 16])).collect(),
        }
    }

    fn group(id: u8) -> Vec<Group> {
        let event = livestore_core::Event {
            id: EventId::from_bytes([id; 16]),
            name: livestore_core::EventName::new("v1.Noted").unwrap(),
            args: CanonicalJson::encode(&id).unwrap(),
        };
        let (client, session) = (ClientId::new("laptop").unwrap(), SessionId::new("app").unwrap());
        vec![Group::new(GroupId::from_bytes([id; 16]), client, session, vec![event]).unwrap()]
    }

    #[tokio::test]
    async fn what_others_under_the_client_id_ask_about_is_remembered_for_a_while() {
        let seats = Seats::default();
        let (ann, bob, eve) = ("ann", "bob", "eve");
        let take = async |who: &str, asks_about: Vec<u8>| {
            seats.take(&hello(asks_about), Some(&Principal::new(who))).await.unwrap()
        };
        let before = take(ann, vec![]).await;
        take(bob, vec![1]).await;
        // However often somebody else asks.
        for id in 100..200 {
            take(eve, vec![id]).await;
        }
        before.admit(&group(1)).await.unwrap_err();
        before.admit(&group(2)).await.unwrap();
        before.admit(&group(199)).await.unwrap_err();
        before.admit(&group(100)).await.unwrap();
        let questions = before.client.questions.read().await.len();
        assert_eq!(questions, 1 + REMEMBERED_QUESTIONS);
        // Whoever has asked may push it.
        take(bob, vec![1]).await.admit(&group(1)).await.unwrap();
    }

    #[tokio::test]
    async fn clients_that_have_left_are_forgotten() {
        let seats = Seats::default();
        for number in 0..1_000 {
            let client_id = ClientId::new(format!("laptop-{number}")).unwrap();
            seats.take(&Hello { client_id, ..hello([]) }, None).await.unwrap();
        }
        assert!(seats.clients.lock().unwrap().len() < 10);
    }
}
