//! All that lies between live values and egui.

use eframe::egui::Context;
use livestore::{Live, QueryError, Subscription};

/// A live value on the screen.
///
/// egui draws everything anew when somebody asks for it; so all that it takes is to ask whenever the
/// value has changed, from whichever thread that comes.
pub struct Bound<L> {
    live: L,
    _subscription: Subscription,
}

impl<L: Live> Bound<L> {
    /// Shows a value in a window, until this is dropped.
    pub fn new(live: L, window: &Context) -> Self {
        let window = window.clone();
        let subscription = live.subscribe(move |_| window.request_repaint());
        Self { live, _subscription: subscription }
    }

    /// Returns what there is to be drawn; between two changes that is the same snapshot.
    pub fn get(&self) -> Result<L::Value, QueryError> {
        self.live.get()
    }
}
