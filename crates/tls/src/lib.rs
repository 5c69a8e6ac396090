//! How LiveStore's clients speak TLS: with rustls, and whom the system trusts.
//!
//! `ring` does the cryptography: it builds with a C compiler alone. It is named here and not set for
//! the whole process, so an app may use another one for itself.

#![forbid(unsafe_code)]

use std::sync::{Arc, OnceLock};

pub use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::ring;

/// Why TLS cannot be spoken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The system names nobody to be trusted.
    #[error(
        "the system has no certificates of authorities to trust{reason}: install them (on Debian, the \
         package ca-certificates), or name a file of them in SSL_CERT_FILE"
    )]
    NoRoots {
        /// What hindered it, in parentheses; empty if nothing did.
        reason: String,
    },
    /// The cryptography has no version of TLS that is safe.
    #[error("TLS cannot be set up: {reason}")]
    Setup {
        /// What is wrong.
        reason: String,
    },
}

/// Returns how to speak TLS as a client.
///
/// Certificates of authorities are read once, from where the system has them, or from the file that
/// the environment variable `SSL_CERT_FILE` names.
pub fn client_config() -> Result<Arc<ClientConfig>, TlsError> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    // What is missing may be there the next time.
    let config = make()?;
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

/// Returns how to speak TLS with nobody, for clients that want to know although they do not use it.
pub fn trust_nobody() -> Result<Arc<ClientConfig>, TlsError> {
    with_roots(RootCertStore::empty())
}

fn make() -> Result<Arc<ClientConfig>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reason = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(TlsError::NoRoots { reason });
    }
    with_roots(roots)
}

fn with_roots(roots: RootCertStore) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| TlsError::Setup { reason: error.to_string() })?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
