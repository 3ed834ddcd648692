//! `End`: how a session ended, and what the command says and returns for it.

use plainws::{Closed, Error};

use super::lines::close_line;

/// Could not connect.
const FAILED: u8 = 1;
/// Wrong usage; clap's own.
pub(super) const USAGE: u8 = 2;
/// Closed with another code than a goodbye, or lost.
pub(super) const ABNORMAL: u8 = 3;

/// How a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody could be reached, or not again.
    Failed(Error),
    Closed(Closed),
    /// It was stopped while it had no connection.
    Stopped,
}

impl End {
    /// The exit code, and the sentence about it, unless it is what was wanted: `is_fine` is for the
    /// end of a connection.
    pub(super) fn verdict(&self, is_fine: impl Fn(&Closed) -> bool) -> (u8, Option<String>) {
        match self {
            End::Failed(error @ Error::Invalid { .. }) => (USAGE, Some(error.to_string())),
            End::Failed(Error::Refused(refused)) if refused.status == 401 => {
                (FAILED, Some(format!("{refused} (log in with --user NAME)")))
            }
            End::Failed(error) => (FAILED, Some(error.to_string())),
            End::Stopped => (FAILED, None),
            End::Closed(closed) if is_fine(closed) => (0, None),
            End::Closed(closed) => (ABNORMAL, Some(close_line(closed))),
        }
    }
}

/// What ends the command before it has a session: an exit code, and a sentence.
pub(super) struct Failure(pub(super) u8, pub(super) String);

impl Failure {
    pub(super) fn usage(why: impl ToString) -> Failure {
        Failure(USAGE, why.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure(FAILED, error.to_string())
    }
}
