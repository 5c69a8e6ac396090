//! What JavaScript sees when the engine panics.

use wasm_bindgen::prelude::*;

use crate::error::tagged;
use crate::host::report;

/// Ends all that the engine does by itself.
///
/// TypeScript calls it when the engine was left in the middle of something: by a stack or a memory that
/// has come to its end.
#[wasm_bindgen(js_name = stop)]
pub fn stop() {
    livestore::stop_tasks();
}

/// Tells whether the engine has stopped, in a panic or because it was told to.
#[wasm_bindgen(js_name = isStopped)]
pub fn is_stopped() -> bool {
    livestore::tasks_are_stopped()
}

/// Runs when the engine is loaded.
///
/// Here a panic cannot unwind. What is thrown in its place says what has happened, where the trap that
/// would follow says nothing; the engine cannot be used any more, and nothing of it goes on.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| {
        stop();
        let error = tagged("EnginePanicked", &format!("the engine has {panic}"));
        report(&error);
        wasm_bindgen::throw_val(error);
    }));
}
