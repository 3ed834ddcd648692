//! `/healthz`: whether the daemon is ready, degraded or stopping.
//!
//! Degraded is a 200: every client is served, and the value is in this process only. A load
//! balancer that took the daemon out would take the counter from everybody, and one that had it
//! restarted would lose what could not be saved. A monitor that sees the status only asks
//! `/healthz?strict`, which is a 503 then. Stopping is a 503 for both: go elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plainws::{Request, Response};

/// What the daemon knows of itself. A clone is the same; any thread may use it.
#[derive(Clone)]
pub(crate) struct Health {
    is_degraded: Arc<dyn Fn() -> bool + Send + Sync>,
    stopping: Arc<AtomicBool>,
}

impl Health {
    /// Degraded while this says so: while the state cannot be saved.
    pub(crate) fn new(is_degraded: impl Fn() -> bool + Send + Sync + 'static) -> Health {
        Health {
            is_degraded: Arc::new(is_degraded),
            stopping: Arc::default(),
        }
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn answer(&self, request: &Request) -> Response {
        let is_strict = request.query() == Some("strict");
        let (status, text) = if self.stopping.load(Ordering::Relaxed) {
            (503, "stopping")
        } else if (self.is_degraded)() {
            // Why, and where, is for the log: anybody may ask.
            let status = if is_strict { 503 } else { 200 };
            (status, "degraded: the state cannot be saved")
        } else {
            (200, "ok")
        };
        Response::new(status, "text/plain; charset=utf-8", text.as_bytes())
    }
}
