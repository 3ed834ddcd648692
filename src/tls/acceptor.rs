//! `Tls`: the server's side, by OpenSSL, as native-tls's acceptor knows no TLS 1.3. It holds what
//! new handshakes show, which may be replaced at any time.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use openssl::error::ErrorStack;
use openssl::ssl::{HandshakeError, SslAcceptor, SslMethod, SslSessionCacheMode};

use super::failure::Failure;
use super::identity::Identity;
use super::pipe::Pipe;
use super::session::TlsSession;
use super::words;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::wire::session::Session;
use crate::wire::socket::Socket;

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
    acceptor: Arc<RwLock<SslAcceptor>>,
}

impl Tls {
    /// Starts with this certificate.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if the TLS library refuses it, its key being too short for example.
    pub fn new(identity: &Identity) -> Result<Tls> {
        let acceptor = Arc::new(RwLock::new(acceptor(identity)?));
        Ok(Tls { acceptor })
    }

    /// Shows this certificate from now on. Connections and handshakes under way go on with the
    /// old one. Never waits.
    ///
    /// # Errors
    ///
    /// As [`new`](Tls::new); then the old one stays in force.
    pub fn replace(&self, identity: &Identity) -> Result<()> {
        let new = acceptor(identity)?;
        *self
            .acceptor
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// Makes the handshake with a client.
    pub(crate) fn accept(
        &self,
        socket: &Arc<Socket>,
        deadline: Deadline,
    ) -> std::result::Result<Box<dyn Session>, Failure> {
        let acceptor = self
            .acceptor
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut step = acceptor.accept(Pipe::new(socket, None));
        loop {
            let mut waiting = match step {
                Ok(stream) => return Ok(Box::new(TlsSession::new(stream))),
                Err(HandshakeError::WouldBlock(waiting)) => waiting,
                Err(failed) => {
                    return Err(Failure::Disagreed(words::of_server(&failed.to_string())));
                }
            };
            waiting.get_mut().wait(deadline)?;
            step = waiting.handshake();
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn acceptor(identity: &Identity) -> Result<SslAcceptor> {
    make(identity).map_err(|error| {
        Error::tls(format!(
            "{identity} cannot be used: {}",
            words::reason(&error.to_string())
        ))
    })
}

/// Mozilla's "intermediate" recommendation, version 5: TLS 1.3 and 1.2, forward secrecy and
/// authenticated encryption only.
fn make(identity: &Identity) -> std::result::Result<SslAcceptor, ErrorStack> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    identity.install(&mut acceptor)?;
    // Clients resume with tickets, which they keep; sessions kept here would cost memory for each.
    acceptor.set_session_cache_mode(SslSessionCacheMode::OFF);
    Ok(acceptor.build())
}
