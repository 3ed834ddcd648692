//! `Failed`: why a state cannot be used or saved, as a sentence.

use std::fmt;

#[derive(Debug)]
pub(crate) enum Failed {
    /// What is there cannot be read as a state; it is left as it is.
    Damaged(String),
    /// Another process uses it.
    Locked(String),
    /// The system refused something, or a newer plainws has written it.
    Io(String),
}

impl Failed {
    pub(super) fn io(what: impl fmt::Display, error: &dyn fmt::Display) -> Failed {
        Failed::Io(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Damaged(what) | Failed::Locked(what) | Failed::Io(what) => f.write_str(what),
        }
    }
}
