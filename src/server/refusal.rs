//! `Refusal`: why a client gets neither a page nor a connection; what it is answered, what counts it,
//! and what the log says.

use std::io;

use crate::http::response::Response;
use crate::server::metrics::Reason;
use crate::server::roster::Full;

#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// What the client is answered, if it can be told.
    pub(crate) response: Option<Response>,
    /// For the log.
    pub(crate) why: String,
}

impl Refusal {
    pub(crate) fn answered(reason: Reason, response: Response) -> Refusal {
        let why = String::from_utf8_lossy(response.body()).trim().to_owned();
        Refusal {
            reason,
            response: Some(response),
            why,
        }
    }

    pub(crate) fn silent(reason: Reason, why: impl Into<String>) -> Refusal {
        Refusal {
            reason,
            response: None,
            why: why.into(),
        }
    }
}

/// What is wrong with a request is in its answer.
impl From<Response> for Refusal {
    fn from(response: Response) -> Refusal {
        Refusal::answered(Reason::of_status(response.status()), response)
    }
}

/// The connection broke, or does not answer.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        let reason = match error.kind() {
            io::ErrorKind::TimedOut => Reason::Timeout,
            _ => Reason::Gone,
        };
        Refusal::silent(reason, error.to_string())
    }
}

/// Too many clients, or too few threads.
impl From<Full> for Refusal {
    fn from(full: Full) -> Refusal {
        let (reason, sentence) = match full {
            Full::Stopping => (Reason::Stopping, "the server is shutting down".to_owned()),
            Full::Places(_) => (Reason::Full, "too many clients, try again later".to_owned()),
            Full::Address(limit) => (
                Reason::Address,
                format!(
                    "too many connections from your address, which may have {limit} at once; \
                     close one, or try again later"
                ),
            ),
            Full::Thread(_) => (
                Reason::Threads,
                "too few resources, try again later".to_owned(),
            ),
        };
        let response = Response::text(503, sentence).header("Retry-After", "5");
        Refusal::answered(reason, response)
    }
}
