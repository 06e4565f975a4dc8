//! An identity that follows its files: a handshake gets the certificate that is there now, and connections that stand
//! go on as they are. Files that make no identity change nothing but a counter and one line in the log.
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{IntCounterVec, IntGaugeVec};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::signal::unix::{SignalKind, signal};

use super::{Identity, TlsError, not_after, read};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// An identity and the files it comes from.
pub struct Live {
    /// Chain and key. None: it stays what it is.
    files: Option<(PathBuf, PathBuf)>,
    now: Mutex<Now>,
}

struct Now {
    identity: Identity,
    certified: Arc<CertifiedKey>,
    /// Of the files' octets when they were last read, good or bad.
    seen: u64,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Live({:?})", self.lock().identity)
    }
}

impl Live {
    /// Loads the files for the first time; they must be good.
    pub fn load(certificate_file: &Path, key_file: &Path) -> Result<Arc<Self>, TlsError> {
        let seen = digest(certificate_file, key_file)?;
        let identity = Identity::load(certificate_file, key_file)?;
        let now = Mutex::new(Now { certified: identity.certified()?, identity, seen });
        let files = Some((certificate_file.to_owned(), key_file.to_owned()));
        Ok(Arc::new(Self { files, now }))
    }

    /// The same, for `certificate_file` and `key_file` of this table of a configuration: errors name those keys.
    pub fn load_for(
        table: &str,
        certificate_file: &Path,
        key_file: &Path,
    ) -> Result<Arc<Self>, TlsError> {
        Identity::load_for(table, certificate_file, key_file)?;
        Self::load(certificate_file, key_file)
    }

    /// An identity without files, which stays.
    pub fn fixed(identity: Identity) -> Result<Arc<Self>, TlsError> {
        let now = Mutex::new(Now { certified: identity.certified()?, identity, seen: 0 });
        Ok(Arc::new(Self { files: None, now }))
    }

    /// Who we are now.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.lock().identity.clone()
    }

    /// Looks at the files. True: they were another identity, which is the one of every handshake from now on. What is
    /// wrong with them is said once, until they change again.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let Some((certificate_file, key_file)) = &self.files else { return Ok(false) };
        let seen = digest(certificate_file, key_file)?;
        if seen == self.lock().seen {
            return Ok(false);
        }
        self.lock().seen = seen;
        let identity = Identity::load(certificate_file, key_file)?;
        let certified = identity.certified()?;
        *self.lock() = Now { identity, certified, seen };
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Live {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.lock().certified))
    }
}

impl ResolvesClientCert for Live {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.lock().certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn digest(certificate_file: &Path, key_file: &Path) -> Result<u64, TlsError> {
    let mut hasher = DefaultHasher::new();
    (read(certificate_file)?, read(key_file)?).hash(&mut hasher);
    Ok(hasher.finish())
}

/// Follows the files of identities: looks at them at SIGHUP and once in a while, until `shutdown`.
#[derive(Debug)]
pub struct Watch {
    identities: Vec<(&'static str, Arc<Live>)>,
    reloads: IntCounterVec,
    expiry: IntGaugeVec,
}

impl Watch {
    /// Of these identities, by the name of their listener.
    #[must_use]
    pub fn new(identities: Vec<(&'static str, Arc<Live>)>, metrics: &Metrics) -> Self {
        let reloads = metrics.counters(
            "conclave_tls_reloads_total",
            "Changed certificate files, taken or refused.",
            &["result"],
        );
        for result in ["ok", "failed"] {
            reloads.with_label_values(&[result]);
        }
        let expiry = metrics.gauges(
            "conclave_tls_certificate_not_after_timestamp_seconds",
            "When the certificate of a listener ends, in seconds since 1970.",
            &["listener"],
        );
        let watch = Self { identities, reloads, expiry };
        watch.measure();
        watch
    }

    /// Runs until `shutdown`. `changed` is told when a listener has another certificate.
    pub async fn run(self, every: Duration, shutdown: Shutdown, changed: impl Fn(&'static str)) {
        let Ok(mut hangups) = signal(SignalKind::hangup()) else {
            tracing::error!("no SIGHUP, so certificates are not reloaded");
            return;
        };
        let mut ticks = tokio::time::interval(every.max(Duration::from_millis(100)));
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = hangups.recv() => {}
                () = shutdown.triggered() => return,
            }
            self.look(&changed);
        }
    }

    fn look(&self, changed: &impl Fn(&'static str)) {
        for (listener, live) in &self.identities {
            match live.refresh() {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!(listener, certificate = ?live.identity(), "a new certificate");
                    self.reloads.with_label_values(&["ok"]).inc();
                    changed(listener);
                }
                Err(error) => {
                    tracing::warn!(listener, %error, "the certificate stays as it was");
                    self.reloads.with_label_values(&["failed"]).inc();
                }
            }
        }
        self.measure();
    }

    fn measure(&self) {
        for (listener, live) in &self.identities {
            if let Some(end) = not_after::of(live.identity().certificate()) {
                self.expiry.with_label_values(&[listener]).set(end);
            }
        }
    }
}
