//! What has come of a connection that cannot be told to wait.

use std::cell::Cell;
use std::rc::Rc;

use livestore_core::limits::MAX_FRAME_BYTES;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Broken;

/// Bytes of texts that may wait to be taken: a few frames of the largest kind.
const MAX_WAITING_BYTES: usize = 4 * MAX_FRAME_BYTES;

/// What a text counts beside its bytes, so that empty ones are not without number.
const OVERHEAD: usize = 64;

/// What happens to a connection.
#[derive(Debug)]
pub(super) enum Happening {
    Opened,
    Text(String),
    Closed,
    Broke(Broken),
}

/// What is known of the texts that wait; nothing once there were too many.
type Waiting = Rc<Cell<Option<usize>>>;

/// Where happenings are told; clones tell the same inbox.
#[derive(Clone)]
pub(super) struct Teller {
    happenings: UnboundedSender<Happening>,
    waiting: Waiting,
}

/// What was told and not taken yet.
pub(super) struct Inbox {
    happenings: UnboundedReceiver<Happening>,
    waiting: Waiting,
}

/// Makes an inbox.
pub(super) fn inbox() -> (Teller, Inbox) {
    let (sender, happenings) = unbounded_channel();
    let waiting = Waiting::new(Cell::new(Some(0)));
    (Teller { happenings: sender, waiting: Rc::clone(&waiting) }, Inbox { happenings, waiting })
}

impl Teller {
    /// Tells whether anything is heard any more.
    pub(super) fn is_heard(&self) -> bool {
        self.waiting.get().is_some()
    }

    /// Tells what has happened. When too much waits, that is the last thing to be heard.
    pub(super) fn tell(&self, happening: Happening) {
        let Some(waiting) = self.waiting.get() else { return };
        let waiting = Some(waiting + weight(&happening));
        let waiting = waiting.filter(|waiting| *waiting <= MAX_WAITING_BYTES);
        self.waiting.set(waiting);
        if waiting.is_some() {
            self.send(happening);
        } else {
            let reason = "it sends faster than the store takes what it sends";
            self.send(Happening::Broke(Broken::offline(reason)));
        }
    }

    fn send(&self, happening: Happening) {
        // Whoever does not listen any more is about to take the handlers away.
        let _ = self.happenings.send(happening);
    }
}

impl Inbox {
    /// Waits for what happens next.
    pub(super) async fn next(&mut self) -> Option<Happening> {
        let happening = self.happenings.recv().await?;
        self.waiting.set(self.waiting.get().map(|waiting| waiting - weight(&happening)));
        Some(happening)
    }
}

fn weight(happening: &Happening) -> usize {
    if let Happening::Text(text) = happening { text.len() + OVERHEAD } else { 0 }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn text(bytes: usize) -> Happening {
        Happening::Text("x".repeat(bytes))
    }

    fn next(inbox: &mut Inbox) -> Option<Happening> {
        inbox.next().now_or_never().flatten()
    }

    #[test]
    fn what_was_taken_does_not_count() {
        let (teller, mut inbox) = inbox();
        teller.tell(Happening::Opened);
        assert!(matches!(next(&mut inbox), Some(Happening::Opened)));
        for _ in 0..10 {
            teller.tell(text(MAX_FRAME_BYTES));
            assert!(matches!(next(&mut inbox), Some(Happening::Text(_))));
        }
    }

    #[test]
    fn too_much_ends_the_connection_behind_what_has_come_before() {
        let (teller, mut inbox) = inbox();
        for _ in 0..3 {
            teller.tell(text(MAX_FRAME_BYTES));
        }
        assert!(teller.is_heard());
        teller.tell(text(MAX_FRAME_BYTES));
        assert!(!teller.is_heard());
        teller.tell(text(1));
        teller.tell(Happening::Closed);
        for _ in 0..3 {
            assert!(matches!(next(&mut inbox), Some(Happening::Text(_))));
        }
        let Some(Happening::Broke(Broken::Offline(reason))) = next(&mut inbox) else { panic!() };
        assert!(reason.contains("faster"), "{reason}");
        assert!(next(&mut inbox).is_none(), "nothing else is heard");
    }

    #[test]
    fn empty_texts_do_not_come_without_end() {
        let (teller, _inbox) = inbox();
        for _ in 0..=MAX_WAITING_BYTES / OVERHEAD {
            teller.tell(text(0));
        }
        assert!(!teller.is_heard());
    }
}
