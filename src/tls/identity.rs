//! `Identity`: a certificate with its private key, from files as people have them, by OpenSSL.
//!
//! What OpenSSL would find out at the first handshake only, or never say, is checked here and in
//! `pem.rs`: that the key is the certificate's, not encrypted, not for everybody to read, and that
//! the certificate has not expired.

use std::fmt;
use std::path::Path;

use log::warn;
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslContextBuilder;
use openssl::x509::X509;

use super::pem::Content;
use super::words;
use crate::error::{Error, Result};
use crate::escaped::Escaped;

type Stacked<T> = std::result::Result<T, ErrorStack>;

/// A certificate, those of its issuers, and its private key: what a server shows to its clients
/// in TLS, or a client to servers that ask for it.
///
/// A clone shares them; any thread may use it.
#[derive(Clone)]
pub struct Identity {
    /// For messages: the file, or "the certificate".
    name: String,
    leaf: X509,
    /// Issuers, in the order of the file.
    chain: Vec<X509>,
    key: PKey<Private>,
}

impl Identity {
    /// Reads a file that has both, certificate and key, in PEM and in any order, such as
    /// `localhost.pem` of `plainws cert`. Certificates of issuers follow in their order.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] naming the file and the way out: if it cannot be read, lacks one of the two,
    /// is damaged, has expired, if the key is encrypted or of another certificate, or if everybody
    /// may read it (which is a warning in the log if it belongs to root or the current user).
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Identity> {
        let file = Content::read(path.as_ref())?;
        Identity::from_contents(&file, &file)
    }

    /// Reads certificate (and those of its issuers) and key from two PEM files, such as
    /// `fullchain.pem` and `privkey.pem`. Keys may be PKCS#8, PKCS#1 (`RSA PRIVATE KEY`) or SEC1
    /// (`EC PRIVATE KEY`).
    ///
    /// # Errors
    ///
    /// As [`from_pem_file`](Identity::from_pem_file).
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Identity> {
        let certificate = Content::read(certificate.as_ref())?;
        Identity::from_contents(&certificate, &Content::read(key.as_ref())?)
    }

    /// Takes certificates and key, in PEM, from memory; both may be the same bytes.
    ///
    /// # Errors
    ///
    /// As [`from_pem_file`](Identity::from_pem_file).
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Identity> {
        let certificate = Content::new("the certificate", certificate);
        Identity::from_contents(&certificate, &Content::new("the key", key))
    }

    fn from_contents(certificate: &Content, key: &Content) -> Result<Identity> {
        if key.has_key() {
            key.check_mode()?;
        }
        let mut chain = X509::stack_from_pem(&certificate.bytes).unwrap_or_default();
        // OpenSSL passes over one whose begin line is cut short.
        if chain.is_empty() || chain.len() != certificate.begun_certificates() {
            return Err(certificate.no_certificate());
        }
        key.check_key(&certificate.name)?;
        // The callback keeps OpenSSL from asking for a password at the terminal.
        let private = PKey::private_key_from_pem_callback(&key.bytes, |_| Ok(0)).map_err(|_| {
            key.wrong("the private key in it is damaged or cut short; copy it anew")
        })?;
        // The certificate of the key stands first in most files, but not in all.
        let Some(at) = chain.iter().position(|c| belongs(&private, c)) else {
            return Err(key.wrong(&format!(
                "the private key does not belong to the certificate in {}; give the two that were \
                 made together",
                certificate.name
            )));
        };
        let leaf = chain.remove(at);
        Identity {
            name: certificate.name.clone(),
            leaf,
            chain,
            key: private,
        }
        .check_time()
    }

    /// Reads a PKCS#12 file (`.p12`, `.pfx`), which has everything in one and a password, possibly
    /// an empty one.
    ///
    /// # Errors
    ///
    /// As [`from_pem_file`](Identity::from_pem_file), and for the wrong password.
    pub fn from_pkcs12_file(path: impl AsRef<Path>, password: &str) -> Result<Identity> {
        let file = Content::read(path.as_ref())?;
        file.check_mode()?;
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
        let missing = |what: &str| file.wrong(&format!("it has no {what}"));
        let leaf = parsed.cert.ok_or_else(|| missing("certificate"))?;
        let key = parsed.pkey.ok_or_else(|| missing("private key"))?;
        if !belongs(&key, &leaf) {
            return Err(file.wrong("the private key does not belong to the certificate"));
        }
        Identity {
            leaf,
            chain: parsed.ca.into_iter().flatten().collect(),
            key,
            name: file.name,
        }
        .check_time()
    }

    fn check_time(self) -> Result<Identity> {
        let (name, leaf) = (&self.name, &self.leaf);
        let now = Asn1Time::days_from_now(0);
        let now = now.map_err(|error| Error::tls(format!("{name}: {error}")))?;
        if leaf.not_after() < now {
            return Err(Error::tls(format!(
                "{name}: the certificate expired on {}; renew it, or make a new one with plainws cert",
                leaf.not_after()
            )));
        }
        if leaf.not_before() > now {
            warn!(
                "{name}: the certificate is not valid before {}; is the clock of this host right?",
                leaf.not_before()
            );
        }
        Ok(self)
    }

    /// Whom the certificate names first.
    fn subject(&self) -> Option<String> {
        let names = self.leaf.subject_alt_names();
        if let Some(name) = names.iter().flatten().find_map(|name| name.dnsname()) {
            return Some(name.to_owned());
        }
        let subject = self.leaf.subject_name();
        let entry = subject.entries_by_nid(Nid::COMMONNAME).last()?;
        Some(entry.data().to_string().ok()?.to_owned())
    }

    /// Lets a server show it.
    pub(super) fn install(&self, acceptor: &mut SslContextBuilder) -> Stacked<()> {
        acceptor.set_certificate(&self.leaf)?;
        for certificate in &self.chain {
            acceptor.add_extra_chain_cert(certificate.clone())?;
        }
        acceptor.set_private_key(&self.key)
    }

    /// For native-tls, which takes PKCS#8 only.
    pub(super) fn to_native(&self) -> Result<native_tls::Identity> {
        let pem = || -> Stacked<_> {
            let mut certificates = self.leaf.to_pem()?;
            for certificate in &self.chain {
                certificates.extend(certificate.to_pem()?);
            }
            Ok((certificates, self.key.private_key_to_pem_pkcs8()?))
        };
        let refused = |error: &dyn fmt::Display| Error::tls(words::reason(&error.to_string()));
        let (certificates, key) = pem().map_err(|error| refused(&error))?;
        native_tls::Identity::from_pkcs8(&certificates, &key).map_err(|error| refused(&error))
    }
}

fn belongs(key: &PKey<Private>, certificate: &X509) -> bool {
    let public = certificate.public_key();
    public.is_ok_and(|public| public.public_eq(key))
}

/// Where it came from, and until when it is valid:
/// `localhost.pem (localhost, valid until Nov 22 10:00:00 2027 GMT)`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.subject() {
            Some(subject) => {
                let (subject, end) = (Escaped(&subject), self.leaf.not_after());
                write!(f, " ({subject}, valid until {end})")
            }
            None => Ok(()),
        }
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}
