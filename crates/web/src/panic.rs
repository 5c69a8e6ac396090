//! What JavaScript sees when the engine panics.

use wasm_bindgen::prelude::*;

use crate::error::tagged;
use crate::host::report;

/// Runs when the engine is loaded.
///
/// Here a panic cannot unwind. What is thrown in its place says what has happened, where the trap that
/// would follow says nothing; the engine cannot be used any more.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| {
        let error = tagged("EnginePanicked", &format!("the engine has {panic}"));
        report(&error);
        wasm_bindgen::throw_val(error);
    }));
}
