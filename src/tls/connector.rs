//! `Trust`: the client's side, by native-tls. Whom it believes, and what it shows of itself.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use native_tls::{Certificate, HandshakeError, TlsConnector};

use super::failure::Failure;
use super::identity::Identity;
use super::pipe::Pipe;
use super::session::TlsSession;
use super::words;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::wire::session::Session;
use crate::wire::socket::Socket;

/// Which servers a client trusts; by default those that the system does.
#[derive(Clone, Default)]
pub(crate) struct Trust {
    ca: Option<Vec<u8>>,
    identity: Option<Identity>,
    insecure: bool,
    /// Made once: reading the system's certificates takes longer than a handshake.
    connector: Arc<OnceLock<TlsConnector>>,
}

impl Trust {
    /// Trusts these certificates, in PEM, instead of the system's.
    pub(crate) fn set_ca(&mut self, pem: Vec<u8>) {
        self.ca = Some(pem);
        self.connector = Arc::default();
    }

    /// Shows this certificate to servers that ask for one.
    pub(crate) fn set_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
        self.connector = Arc::default();
    }

    /// Trusts everybody.
    pub(crate) fn set_insecure(&mut self) {
        self.insecure = true;
        self.connector = Arc::default();
    }

    /// Makes the handshake over the socket, or over the session that goes over it. `host` is a name,
    /// or an address without brackets, which the server's certificate must be for.
    pub(crate) fn connect(
        &self,
        socket: &Arc<Socket>,
        below: Option<Box<dyn Session>>,
        host: &str,
        deadline: Deadline,
    ) -> std::result::Result<Box<dyn Session>, Failure> {
        let connector = self.connector().map_err(Failure::Setup)?;
        let mut step = connector.connect(host, Pipe::new(socket, below));
        loop {
            let mut waiting = match step {
                Ok(stream) => return Ok(Box::new(TlsSession::new(stream))),
                Err(HandshakeError::WouldBlock(waiting)) => waiting,
                Err(HandshakeError::Failure(error)) => {
                    let text = error.to_string();
                    return Err(match words::is_end(&text) {
                        true => Failure::Lost(closed()),
                        false => Failure::Disagreed(words::of_client(&text, host)),
                    });
                }
            };
            waiting.get_mut().wait(deadline)?;
            step = waiting.handshake();
        }
    }

    fn connector(&self) -> Result<&TlsConnector> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector);
        }
        let made = self.make()?;
        Ok(self.connector.get_or_init(|| made))
    }

    fn make(&self) -> Result<TlsConnector> {
        let mut builder = TlsConnector::builder();
        if let Some(pem) = &self.ca {
            let certificates = Certificate::stack_from_pem(pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(Error::invalid(
                    "the CA has no certificate in PEM (BEGIN CERTIFICATE)".to_owned(),
                ));
            }
            builder.disable_built_in_roots(true);
            for certificate in certificates {
                builder.add_root_certificate(certificate);
            }
        }
        if let Some(identity) = &self.identity {
            builder.identity(identity.to_native()?);
        }
        builder.danger_accept_invalid_certs(self.insecure);
        builder.danger_accept_invalid_hostnames(self.insecure);
        builder.build().map_err(|error| {
            let why = words::reason(&error.to_string());
            Error::tls(format!("cannot set up TLS: {why}"))
        })
    }
}

fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the connection was closed, as by a server that does not speak TLS",
    )
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("own_ca", &self.ca.is_some())
            .field("identity", &self.identity)
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}
