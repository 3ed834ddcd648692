//! The system's own TLS as the provider, through native-tls alone: on Apple's systems, and with
//! `--cfg plainws_native_tls` for compiling this file elsewhere. It takes PKCS#8 keys only, and
//! finds a wrong key or an expired certificate out at the first handshake.

use super::identity::Content;
use super::pipe::Pipe;
use crate::error::Result;

pub(super) use native_tls::{HandshakeError, TlsAcceptor as Acceptor};

pub(super) type Stream = native_tls::TlsStream<Pipe>;

#[derive(Clone)]
pub(super) struct Credentials(native_tls::Identity);

impl Credentials {
    pub(super) fn from_pem(certificate: &Content, key: &Content) -> Result<Credentials> {
        const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
        key.check_key(&certificate.name)?;
        let text = String::from_utf8_lossy(&key.bytes);
        // native-tls wants it to stand first.
        let Some(at) = text.find(BEGIN) else {
            return Err(key.wrong(
                "the private key is not in PKCS#8; convert it: openssl pkcs8 -topk8 -nocrypt -in \
                 OLD -out NEW",
            ));
        };
        if certificate.begun_certificates() == 0 {
            return Err(certificate.no_certificate());
        }
        let identity = native_tls::Identity::from_pkcs8(&certificate.bytes, &text.as_bytes()[at..]);
        let identity = identity.map_err(|error| certificate.wrong(&error.to_string()))?;
        Ok(Credentials(identity))
    }

    pub(super) fn from_pkcs12(file: &Content, password: &str) -> Result<Credentials> {
        let identity = native_tls::Identity::from_pkcs12(&file.bytes, password);
        let identity = identity.map_err(|error| file.wrong(&error.to_string()))?;
        Ok(Credentials(identity))
    }

    /// What is in a certificate, native-tls does not tell.
    pub(super) fn describe(&self) -> Option<String> {
        None
    }

    pub(super) fn native(&self) -> Result<native_tls::Identity> {
        Ok(self.0.clone())
    }
}

pub(super) fn acceptor(credentials: &Credentials) -> native_tls::Result<Acceptor> {
    Acceptor::new(credentials.0.clone())
}
