//! OpenSSL as the provider: credentials, and the server's handshake. native-tls links it on these
//! systems, but its acceptor has the profile of 2014, without TLS 1.3.

use log::warn;
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod, SslSessionCacheMode, SslStream};
use openssl::x509::X509;

use super::identity::Content;
use super::pipe::Pipe;
use super::words;
use crate::error::{Error, Result};

pub(super) use openssl::ssl::HandshakeError;
pub(super) use openssl::ssl::SslAcceptor as Acceptor;

pub(super) type Stream = SslStream<Pipe>;

/// A certificate that is valid, with its key.
#[derive(Clone)]
pub(super) struct Credentials {
    leaf: X509,
    /// Issuers, in the order of the file.
    chain: Vec<X509>,
    key: PKey<Private>,
}

impl Credentials {
    pub(super) fn from_pem(certificate: &Content, key: &Content) -> Result<Credentials> {
        let mut certificates = match X509::stack_from_pem(&certificate.bytes) {
            // OpenSSL passes over one whose begin line is cut short.
            Ok(certificates) if certificates.len() == certificate.begun_certificates() => {
                certificates
            }
            _ => return Err(certificate.no_certificate()),
        };
        if certificates.is_empty() {
            return Err(certificate.no_certificate());
        }
        key.check_key(&certificate.name)?;
        // The callback keeps OpenSSL from asking for a password at the terminal.
        let private = PKey::private_key_from_pem_callback(&key.bytes, |_| Ok(0)).map_err(|_| {
            key.wrong("the private key in it is damaged or cut short; copy it anew")
        })?;
        // The certificate of the key stands first in most files, but not in all.
        let Some(at) = certificates.iter().position(|c| belongs(&private, c)) else {
            return Err(key.wrong(&format!(
                "the private key does not belong to the certificate in {}; give the two that were \
                 made together",
                certificate.name
            )));
        };
        let leaf = certificates.remove(at);
        let credentials = Credentials {
            leaf,
            chain: certificates,
            key: private,
        };
        credentials.check_time(certificate)?;
        Ok(credentials)
    }

    pub(super) fn from_pkcs12(file: &Content, password: &str) -> Result<Credentials> {
        let archive = Pkcs12::from_der(&file.bytes)
            .map_err(|_| file.wrong("it is no PKCS#12 file, or damaged; PEM needs no password"))?;
        let parsed = archive.parse2(password).map_err(|error| {
            let text = error.to_string();
            if text.contains("mac verify") {
                file.wrong(if password.is_empty() {
                    "it has a password; name the file that has it (--tls-password-file)"
                } else {
                    "the password is wrong; check the file that has it (--tls-password-file)"
                })
            } else if text.contains("unsupported") {
                file.wrong(
                    "its encryption is too old for OpenSSL 3; write it anew: openssl pkcs12 \
                     -legacy -in OLD -nodes -out PEM, then openssl pkcs12 -export -in PEM -out NEW",
                )
            } else {
                file.wrong(&words::reason(&text))
            }
        })?;
        let credentials = Credentials {
            leaf: parsed
                .cert
                .ok_or_else(|| file.wrong("it has no certificate"))?,
            chain: parsed.ca.into_iter().flatten().collect(),
            key: parsed
                .pkey
                .ok_or_else(|| file.wrong("it has no private key"))?,
        };
        if !belongs(&credentials.key, &credentials.leaf) {
            return Err(file.wrong("the private key does not belong to the certificate"));
        }
        credentials.check_time(file)?;
        Ok(credentials)
    }

    fn check_time(&self, file: &Content) -> Result<()> {
        let now = Asn1Time::days_from_now(0).map_err(|error| file.wrong(&error.to_string()))?;
        if self.leaf.not_after() < now {
            return Err(file.wrong(&format!(
                "the certificate expired on {}; renew it, or make a new one with plainws cert",
                self.leaf.not_after()
            )));
        }
        if self.leaf.not_before() > now {
            warn!(
                "{}: the certificate is not valid before {}; is the clock of this host right?",
                file.name,
                self.leaf.not_before()
            );
        }
        Ok(())
    }

    /// Whom the certificate names first, and until when it is valid.
    pub(super) fn describe(&self) -> Option<String> {
        let names = self.leaf.subject_alt_names();
        let named = names.iter().flatten().find_map(|n| n.dnsname());
        let common = || {
            let entry = self
                .leaf
                .subject_name()
                .entries_by_nid(Nid::COMMONNAME)
                .last()?;
            Some(entry.data().to_string().ok()?.to_owned())
        };
        let subject = named.map(str::to_owned).or_else(common)?;
        let subject = crate::escaped::Escaped(&subject);
        Some(format!("{subject}, valid until {}", self.leaf.not_after()))
    }

    /// For native-tls, which takes PKCS#8 only.
    pub(super) fn native(&self) -> Result<native_tls::Identity> {
        let pem = || -> std::result::Result<_, ErrorStack> {
            let mut certificates = self.leaf.to_pem()?;
            for certificate in &self.chain {
                certificates.extend(certificate.to_pem()?);
            }
            Ok((certificates, self.key.private_key_to_pem_pkcs8()?))
        };
        let refused = |error: String| Error::tls(words::reason(&error));
        let (certificates, key) = pem().map_err(|error| refused(error.to_string()))?;
        native_tls::Identity::from_pkcs8(&certificates, &key)
            .map_err(|error| refused(error.to_string()))
    }
}

fn belongs(key: &PKey<Private>, certificate: &X509) -> bool {
    let public = certificate.public_key();
    public.is_ok_and(|public| public.public_eq(key))
}

/// Mozilla's "intermediate" recommendation, version 5: TLS 1.3 and 1.2, forward secrecy and
/// authenticated encryption only.
pub(super) fn acceptor(credentials: &Credentials) -> std::result::Result<Acceptor, ErrorStack> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_certificate(&credentials.leaf)?;
    for certificate in &credentials.chain {
        acceptor.add_extra_chain_cert(certificate.clone())?;
    }
    acceptor.set_private_key(&credentials.key)?;
    // Clients resume with tickets, which they keep; sessions kept here would cost memory for each.
    acceptor.set_session_cache_mode(SslSessionCacheMode::OFF);
    Ok(acceptor.build())
}

impl super::session::Stream for SslStream<Pipe> {
    fn pipe(&self) -> &Pipe {
        self.get_ref()
    }

    fn pipe_mut(&mut self) -> &mut Pipe {
        self.get_mut()
    }

    fn unread(&self) -> usize {
        self.ssl().pending()
    }

    fn notify(&mut self) -> std::io::Result<()> {
        self.shutdown().map(drop).map_err(std::io::Error::other)
    }
}
