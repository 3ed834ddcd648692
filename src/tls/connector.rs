//! `Trust`: the client's side. Whom it believes, and what it shows of itself.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use native_tls::{Certificate, HandshakeError, TlsConnector};

use super::identity::Identity;
use super::pipe::{Lower, Pipe};
use super::session::Session;
use super::words;
use crate::client::Attempt;
use crate::error::{Error, Result};
use crate::wire::Wire;

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

    fn connector(&self) -> Result<&TlsConnector> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector);
        }
        let made = self.make()?;
        Ok(self.connector.get_or_init(|| made))
    }

    fn make(&self) -> Result<TlsConnector> {
        let failed = |error: native_tls::Error| {
            Error::tls(format!(
                "cannot set up TLS: {}",
                words::reason(&error.to_string())
            ))
        };
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
            builder.identity(identity.credentials().native()?);
        }
        if self.insecure {
            builder.danger_accept_invalid_certs(true);
            builder.danger_accept_invalid_hostnames(true);
        }
        builder.build().map_err(failed)
    }

    /// Makes the handshake over what the wire is so far. `host` is a name, or an address without
    /// brackets, which its certificate must be for; `place` is for messages.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if the two ends do not agree, which will not pass; else as of any other stage.
    pub(crate) fn secure(
        &self,
        wire: &mut Wire,
        host: &str,
        place: &str,
        attempt: &Attempt,
    ) -> Result<()> {
        let with = format!("TLS with {place}");
        let connector = self.connector()?;
        let lower = match wire.take_session() {
            Some(session) => Lower::Session(Box::new(session)),
            None => Lower::Socket(Arc::clone(wire.socket())),
        };
        let mut step = connector.connect(host, Pipe::new(lower));
        let stream = loop {
            let mut waiting = match step {
                Ok(stream) => break stream,
                Err(HandshakeError::WouldBlock(waiting)) => waiting,
                Err(HandshakeError::Failure(error)) => {
                    let text = error.to_string();
                    return Err(match words::is_end(&text) {
                        true => attempt.failed(with, closed()),
                        false => {
                            Error::tls(format!("{with} failed: {}", words::of_client(&text, host)))
                        }
                    });
                }
            };
            match waiting.get_mut().wait(attempt.deadline) {
                Ok(true) => step = waiting.handshake(),
                Ok(false) => {
                    let late = io::ErrorKind::TimedOut.into();
                    return Err(attempt.failed(format_args!("no answer to {with}"), late));
                }
                Err(error) => return Err(attempt.failed(with, error)),
            }
        };
        wire.secure(Session::new(stream));
        Ok(())
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
