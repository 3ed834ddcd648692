//! `Tls`: the server's side. It holds what new handshakes show, which may be replaced at any time.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::identity::Identity;
use super::pipe::{Lower, Pipe};
use super::provider::{self, Acceptor, HandshakeError, Stream};
use super::session::Session;
use super::words;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::wire::Wire;

/// The server's side of TLS: the certificate that new handshakes show. TLS 1.3 and 1.2.
///
/// A clone is a handle to the same; any thread may use it.
///
/// ```no_run
/// use plainws::{Identity, Server, Tls};
///
/// let tls = Tls::new(&Identity::from_pem_file("localhost.pem")?)?;
/// let server = Server::builder(|ws| ws.send("hi"))
///     .listen_tls("localhost:8443", &tls)
///     .start()?;
/// // Later, when the certificate has been renewed:
/// tls.replace(&Identity::from_pem_file("localhost.pem")?)?;
/// # Ok::<(), plainws::Error>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    acceptor: Arc<RwLock<Acceptor>>,
}

impl Tls {
    /// Starts with this certificate.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if the TLS library refuses it, its key being too short for example.
    pub fn new(identity: &Identity) -> Result<Tls> {
        let acceptor = Arc::new(RwLock::new(make(identity)?));
        Ok(Tls { acceptor })
    }

    /// Shows this certificate from now on. Connections and handshakes under way go on with the
    /// old one. Never waits.
    ///
    /// # Errors
    ///
    /// As [`new`](Tls::new); then the old one stays in force.
    pub fn replace(&self, identity: &Identity) -> Result<()> {
        let acceptor = make(identity)?;
        *self
            .acceptor
            .write()
            .unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    /// Makes the handshake with a client; says in words why not.
    pub(crate) fn accept(
        &self,
        wire: &Wire,
        deadline: Deadline,
    ) -> std::result::Result<(), String> {
        let acceptor = self
            .acceptor
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let pipe = Pipe::new(Lower::Socket(Arc::clone(wire.socket())));
        let mut step: std::result::Result<Stream, HandshakeError<Pipe>> = acceptor.accept(pipe);
        loop {
            let mut waiting = match step {
                Ok(stream) => {
                    wire.secure(Session::new(stream));
                    return Ok(());
                }
                Err(HandshakeError::WouldBlock(waiting)) => waiting,
                Err(failed) => return Err(words::of_server(&failed.to_string())),
            };
            match waiting.get_mut().wait(deadline) {
                Ok(true) => step = waiting.handshake(),
                Ok(false) => return Err("it took too long".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn make(identity: &Identity) -> Result<Acceptor> {
    provider::acceptor(identity.credentials()).map_err(|error| {
        Error::tls(format!(
            "{identity} cannot be used: {}",
            words::reason(&error.to_string())
        ))
    })
}
