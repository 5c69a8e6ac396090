//! Seats: each client of a store has one conversation at a time.
//!
//! A client that connects again asks what has become of its last push. The answer is final only if
//! that push cannot be taken afterwards, so the earlier conversation has to be over first, and
//! with it whatever it has left with the writer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use livestore_core::{ClientId, StoreId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The seats of all clients of all stores. Holds none alive.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    wanted: Mutex<HashMap<(StoreId, ClientId), Weak<Seat>>>,
}

#[derive(Debug)]
struct Seat {
    /// Counts the conversations that have asked for the seat; the last one is to have it.
    newest: watch::Sender<u64>,
    free: Arc<Semaphore>,
}

/// A conversation that has the seat of its client.
#[derive(Debug)]
pub(crate) struct Seated {
    number: u64,
    newest: watch::Receiver<u64>,
    hold: Hold,
}

/// Keeps a seat occupied, beyond the conversation if need be.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    _occupied: Arc<Occupied>,
}

#[derive(Debug)]
struct Occupied {
    // Fields are dropped in this order: whoever finds no seat any more to wait for must not come
    // before this one is free.
    _permit: OwnedSemaphorePermit,
    _seat: Arc<Seat>,
}

impl Seats {
    /// Asks whoever has the seat of a client to leave, and waits until it is free.
    ///
    /// None if a newer conversation has asked for it meanwhile.
    pub(crate) async fn take(&self, store_id: &StoreId, client_id: &ClientId) -> Option<Seated> {
        let seat = self.seat(store_id, client_id);
        let mut newest = seat.newest.subscribe();
        let mut number = 0;
        seat.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        let permit = tokio::select! {
            biased;
            () = later_than(&mut newest, number) => return None,
            permit = Arc::clone(&seat.free).acquire_owned() => permit.ok()?,
        };
        let hold = Hold { _occupied: Arc::new(Occupied { _permit: permit, _seat: seat }) };
        Some(Seated { number, newest, hold })
    }

    fn seat(&self, store_id: &StoreId, client_id: &ClientId) -> Arc<Seat> {
        let client = (store_id.clone(), client_id.clone());
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = wanted.get(&client).and_then(Weak::upgrade) {
            return seat;
        }
        // As with the stores: full is the moment to forget who has left.
        if wanted.len() == wanted.capacity() {
            wanted.retain(|_, seat| seat.strong_count() > 0);
        }
        let newest = watch::Sender::new(0);
        let seat = Arc::new(Seat { newest, free: Arc::new(Semaphore::new(1)) });
        wanted.insert(client, Arc::downgrade(&seat));
        seat
    }
}

impl Seated {
    /// Waits until a newer conversation of the client asks for the seat.
    pub(crate) async fn superseded(&mut self) {
        later_than(&mut self.newest, self.number).await;
    }

    /// Returns what keeps the seat occupied until it is dropped too.
    pub(crate) fn hold(&self) -> Hold {
        self.hold.clone()
    }
}

async fn later_than(newest: &mut watch::Receiver<u64>, number: u64) {
    // The sender is in the seat, which whoever waits here keeps.
    let _ = newest.wait_for(|newest| *newest > number).await;
}
