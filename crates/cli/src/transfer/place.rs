//! Where a log is, or is to be: a store of an app, or a backend.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use livestore::{StoreId, SyncProvider};
use livestore_sync_cf::CfSync;
use livestore_sync_ws::WsSync;

use crate::output::Outcome;

/// How often a backend is asked for news over HTTP: somebody waits for them.
const POLL: Duration = Duration::from_millis(250);

/// The place on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// Folder of an app's stores, a .livestore file, or the address of a backend
    ///
    /// ws:// and wss:// are a LiveStore server; cf+ws://, cf+wss://, cf+http:// and cf+https:// are
    /// LiveStore's Cloudflare backend.
    #[arg(value_name = "PLACE")]
    place: String,
    /// The store; it has to be named for a backend, and for a folder of several stores
    #[arg(long, value_name = "ID")]
    store: Option<StoreId>,
    /// File with the token to show the backend, if it asks for one
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// Longest time to wait for an answer of the backend, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    timeout: u64,
}

/// A place that was understood.
pub(crate) enum Place {
    Local(PathBuf),
    Backend(Arc<dyn SyncProvider>),
}

impl PlaceArgs {
    pub(crate) fn store(&self) -> Option<&StoreId> {
        self.store.as_ref()
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Finds out what is meant.
    pub(crate) fn place(&self) -> Outcome<Place> {
        if self.place.contains("://") {
            let token = read_token(self.token.as_deref())?;
            Ok(Place::Backend(provider(&self.place, token.as_deref())?))
        } else {
            Ok(Place::Local(self.place.clone().into()))
        }
    }
}

/// Reads the token in a file, if one is named.
pub(crate) fn read_token(file: Option<&Path>) -> Outcome<Option<String>> {
    let Some(path) = file else { return Ok(None) };
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Some(text.trim().to_owned()))
}

/// Returns what talks to the backend of an address, showing a token if there is one.
pub(crate) fn provider(url: &str, token: Option<&str>) -> Outcome<Arc<dyn SyncProvider>> {
    let token = token.map(ToOwned::to_owned);
    let tokens = |token: String| move |_| std::future::ready(Ok(token.clone()));
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    Ok(match scheme {
        "ws" | "wss" => {
            let sync = WsSync::new(url);
            Arc::new(match token {
                Some(token) => sync.with_tokens(tokens(token)),
                None => sync,
            })
        }
        "cf+ws" | "cf+wss" | "cf+http" | "cf+https" => {
            let sync = CfSync::new(&url[3..]).with_poll_interval(POLL);
            Arc::new(match token {
                Some(token) => sync.with_tokens(tokens(token)),
                None => sync,
            })
        }
        _ => {
            return Err(format!(
                "{url} is no address of a backend; use ws:// or wss:// for a LiveStore server, or one of \
                 cf+ws://, cf+wss://, cf+http:// and cf+https:// for LiveStore's Cloudflare backend"
            )
            .into());
        }
    })
}
