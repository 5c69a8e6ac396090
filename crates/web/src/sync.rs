//! The backend, and the tokens that TypeScript has for it.

use js_sys::{Promise, Reflect};
use livestore::sync_provider::{TokenError, TokenRequest};
use livestore_sync_ws::WsSync;
use send_wrapper::SendWrapper;
use serde::Deserialize;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use crate::host::{SharedHost, thrown};

/// What a store syncs with, as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SyncJson {
    url: String,
    #[serde(default)]
    has_tokens: bool,
}

impl SyncJson {
    pub(crate) fn provider(self, host: &SharedHost) -> WsSync {
        let provider = WsSync::new(self.url);
        if !self.has_tokens {
            return provider;
        }
        let host = host.clone();
        provider.with_tokens(move |request| SendWrapper::new(token(host.clone(), request)))
    }
}

async fn token(host: SharedHost, request: TokenRequest) -> Result<String, TokenError> {
    let request = match request {
        TokenRequest::Renew => "renew",
        _ => "connect",
    };
    let promised = host.token(request).map_err(|error| no_token(&error))?;
    let token = JsFuture::from(Promise::resolve(&promised)).await;
    let token = token.map_err(|error| no_token(&error))?;
    let no_string = || TokenError::Unavailable { reason: "what was given is no string".into() };
    token.as_string().ok_or_else(no_string)
}

/// Says why there is no token, by what was thrown.
fn no_token(error: &JsValue) -> TokenError {
    let text = |name: &str| Reflect::get(error, &name.into()).ok()?.as_string();
    match text("_tag").as_deref() {
        Some("SignedOut") => {
            TokenError::SignedOut { reason: text("message").unwrap_or_else(|| thrown(error)) }
        }
        _ => TokenError::Unavailable { reason: thrown(error) },
    }
}
