//! `Grant`: who a client is, and what it may do.

use std::fmt;
use std::sync::Arc;

use plainws::{CloseCode, Connection};

/// What a client wants to do at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Read,
    Write,
}

type May = dyn Fn(Action, &str) -> bool + Send + Sync;

/// Answers for one client; a clone is the same.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) user: Option<Arc<str>>,
    /// `None`: everything.
    may: Option<Arc<May>>,
}

impl Grant {
    /// `may` decides, at any time.
    pub(crate) fn new(
        user: Option<Arc<str>>,
        may: impl Fn(Action, &str) -> bool + Send + Sync + 'static,
    ) -> Grant {
        let may: Option<Arc<May>> = Some(Arc::new(may));
        Grant { user, may }
    }

    /// Where no rules are set.
    pub(crate) const ALL: Grant = Grant {
        user: None,
        may: None,
    };

    pub(crate) fn is_all(&self) -> bool {
        self.may.is_none()
    }

    /// Whether a connection may stay, asked once it is open: the rules may have changed while it opened.
    /// One that may not is closed.
    ///
    /// # Errors
    ///
    /// When the connection is closed or lost already.
    pub(crate) fn admits(&self, ws: &Connection) -> plainws::Result<bool> {
        let admits = self.may_read(ws.path());
        if !admits {
            ws.close(CloseCode::POLICY, "access was revoked")?;
        }
        Ok(admits)
    }

    pub(crate) fn may_read(&self, path: &str) -> bool {
        self.may(Action::Read, path)
    }

    pub(crate) fn may_write(&self, path: &str) -> bool {
        self.may(Action::Write, path)
    }

    fn may(&self, action: Action, path: &str) -> bool {
        self.may.as_ref().is_none_or(|may| may(action, path))
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grant({:?})", self.user)
    }
}
