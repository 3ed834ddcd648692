//! `Error`: what can go wrong, in the user's words, and `Refused`: an HTTP answer that is one.

use std::any::Any;
use std::{fmt, io};

use crate::close::Closed;
use crate::escaped::Escaped;

/// The result of most calls of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, and in its text the sentence for people: who, what, and the limit if there is one.
///
/// ```text
/// Error
/// ├─ before anything is tried
/// │  └─ Invalid        an address, a URL or an option that cannot be meant: correct the call
/// ├─ from the system and the network
/// │  ├─ Io             nobody listens there, no permission, no thread left: try again later
/// │  ├─ TimedOut       not done within your limit or its default: try again later
/// │  └─ Tls            the two ends do not agree, or a certificate or key is wrong
/// ├─ while a client connects
/// │  ├─ Refused        an HTTP answer in place of an upgrade: its status and body say why
/// │  └─ Handshake      an answer that is not WebSocket: the wrong server, port or proxy
/// ├─ while a connection is open
/// │  ├─ Full           `try_send` only: the peer reads too slowly; the connection stays open
/// │  └─ Closed         it is over: leave the loop; `Closed` says who ended it, and how
/// └─ Other             an error of yours: see `Error::other`
/// ```
///
/// [`Retry`](crate::Retry) tries again after `Io`, `TimedOut` and some kinds of `Refused`. A handler
/// returns what it does not treat itself: the server logs it and closes the connection with 1011. A
/// `Closed` is how a conversation ends, and is no failure.
///
/// An [`io::Error`] does not become an `Error` by `?` alone, as that would lose what it is about:
///
/// ```
/// use plainws::{Connection, Error, Result};
///
/// fn motd(ws: &Connection) -> Result<()> {
///     let text = std::fs::read_to_string("/etc/motd").map_err(Error::other)?;
///     ws.send(text)
/// }
/// ```
#[non_exhaustive]
pub enum Error {
    /// The connection is closed, or was closed by this very call.
    Closed(Box<Closed>),
    /// The server answered the opening handshake with something else than an upgrade, or a proxy
    /// did not connect.
    Refused(Box<Refused>),
    /// The answer to the opening handshake is not one of RFC 6455, leads where a redirect may not
    /// lead, or a proxy does not do what one should.
    Handshake {
        /// Whose answer it is, and what is wrong with it.
        what: String,
    },
    /// TLS came to nothing, or a certificate or key is not as it must be.
    Tls {
        /// With whom and why, or what to do.
        what: String,
    },
    /// Something did not happen in time.
    TimedOut {
        /// What, and the limit.
        what: String,
    },
    /// Nothing more can be queued for this slow peer now; the message was not sent.
    Full,
    /// An argument that cannot be meant.
    Invalid {
        /// Which, and what can be meant.
        what: String,
    },
    /// The system refused something.
    Io {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// An error of yours, passed through a handler.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps an error of your own, so that a handler can return it: `.map_err(Error::other)?`.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Other(error.into())
    }

    /// Whether this says that the connection is closed, whatever the way.
    pub fn is_closed(&self) -> bool {
        matches!(self, Error::Closed(_))
    }

    /// How the connection ended, if this says that it did.
    pub fn closed(&self) -> Option<&Closed> {
        match self {
            Error::Closed(closed) => Some(closed),
            _ => None,
        }
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Error {
        let what = what.into();
        Error::Invalid { what }
    }

    pub(crate) fn handshake(what: impl Into<String>) -> Error {
        let what = what.into();
        Error::Handshake { what }
    }

    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    pub(crate) fn tls(what: impl Into<String>) -> Error {
        let what = what.into();
        Error::Tls { what }
    }

    pub(crate) fn timed_out(what: impl Into<String>) -> Error {
        let what = what.into();
        Error::TimedOut { what }
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Error {
        let what = what.into();
        Error::Io { what, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Closed(closed) => closed.fmt(f),
            Error::Refused(refused) => refused.fmt(f),
            Error::Handshake { what }
            | Error::Tls { what }
            | Error::TimedOut { what }
            | Error::Invalid { what } => f.write_str(what),
            Error::Full => {
                f.write_str("the backlog of this peer is full, the message was not sent")
            }
            Error::Io { what, source } => write!(f, "{what}: {source}"),
            Error::Other(error) => error.fmt(f),
        }
    }
}

/// As `Display`: it is what people read when `main` returns the error.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::Other(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Box<dyn std::error::Error + Send + Sync>> for Error {
    fn from(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Other(error)
    }
}

/// What a handler says in its own words: `Err("no such room".into())`.
impl From<&str> for Error {
    fn from(text: &str) -> Error {
        Error::other(text)
    }
}

impl From<String> for Error {
    fn from(text: String) -> Error {
        Error::other(text)
    }
}

/// An HTTP answer where an upgrade was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The proxy that answered, without name and password; `None` if it was the server.
    pub proxy: Option<String>,
    /// The status code, 403 for example.
    pub status: u16,
    /// The headers of the answer, in its order.
    pub headers: Vec<(String, String)>,
    /// The body as text, cut at 4 KiB; often a sentence that says why.
    pub body: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proxy {
            Some(proxy) => {
                write!(f, "the proxy {proxy} answered HTTP {}", self.status)?;
                if self.status == 407 {
                    f.write_str(" (it wants a login; put NAME:PASSWORD@ into its URL)")?;
                }
            }
            None => write!(f, "server answered HTTP {}", self.status)?,
        }
        let body = self.body.trim();
        if !body.is_empty() {
            write!(f, ": {}", Escaped(body))?;
        }
        Ok(())
    }
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_small() {
        assert!(size_of::<Error>() <= 4 * size_of::<usize>());
    }
}
