//! `Identity`: a certificate with its private key, from files as people have them.
//!
//! What a TLS library would find out at the first handshake only, or never say, is checked here
//! and in the provider: that the key is the certificate's, not encrypted, not for everybody to
//! read, and that the certificate has not expired.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use log::warn;

use super::provider::Credentials;
use crate::error::{Error, Result};

/// No chain and key are as large as this.
const MAX_FILE: u64 = 1 << 20;
/// The first byte of DER, and so of PKCS#12.
const DER: u8 = 0x30;
/// Anybody may read.
const OTHERS: u32 = 0o004;

/// A certificate, those of its issuers, and its private key: what a server shows to its clients
/// in TLS, or a client to servers that ask for it.
///
/// A clone shares them; any thread may use it.
#[derive(Clone)]
pub struct Identity {
    credentials: Credentials,
    /// For messages: the file, or "the certificate".
    name: String,
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
        let path = path.as_ref();
        let (file, metadata) = Content::read(path)?;
        if file.has_key() {
            check_mode(path, &metadata)?;
        }
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
        let (certificate, _) = Content::read(certificate.as_ref())?;
        let (key_file, metadata) = Content::read(key.as_ref())?;
        if key_file.has_key() {
            check_mode(key.as_ref(), &metadata)?;
        }
        Identity::from_contents(&certificate, &key_file)
    }

    /// Takes certificates and key, in PEM, from memory; both may be the same bytes.
    ///
    /// # Errors
    ///
    /// As [`from_pem_file`](Identity::from_pem_file).
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Identity> {
        let named = |name: &str, bytes: &[u8]| Content {
            name: name.to_owned(),
            bytes: bytes.to_vec(),
        };
        let certificate = named("the certificate", certificate);
        Identity::from_contents(&certificate, &named("the key", key))
    }

    fn from_contents(certificate: &Content, key: &Content) -> Result<Identity> {
        Ok(Identity {
            credentials: Credentials::from_pem(certificate, key)?,
            name: certificate.name.clone(),
        })
    }

    /// Reads a PKCS#12 file (`.p12`, `.pfx`), which has everything in one and a password, possibly
    /// an empty one.
    ///
    /// # Errors
    ///
    /// As [`from_pem_file`](Identity::from_pem_file), and for the wrong password.
    pub fn from_pkcs12_file(path: impl AsRef<Path>, password: &str) -> Result<Identity> {
        let (file, metadata) = Content::read(path.as_ref())?;
        check_mode(path.as_ref(), &metadata)?;
        Ok(Identity {
            credentials: Credentials::from_pkcs12(&file, password)?,
            name: file.name,
        })
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}

/// Where it came from, and until when it is valid as far as the provider can tell:
/// `localhost.pem (localhost, valid until Nov 22 10:00:00 2027 GMT)`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let told = self.credentials.describe();
        told.map_or(Ok(()), |told| write!(f, " ({told})"))
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

/// The content of a file, or of memory, with a name for messages.
pub(super) struct Content {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Content {
    fn read(path: &Path) -> Result<(Content, Metadata)> {
        // A name with a line end in it would make two lines of a log.
        let name = format!("{:#}", crate::escaped::Escaped(&path.display().to_string()));
        let failed = |error: io::Error| {
            let way_out = match error.kind() {
                io::ErrorKind::NotFound => "; check its name, or make one with plainws cert",
                io::ErrorKind::PermissionDenied => {
                    "; run as its owner, or give its group to the user of the service"
                }
                _ => "",
            };
            Error::tls(format!("cannot read {name}: {error}{way_out}"))
        };
        // A FIFO must not make us wait for its writer.
        let file = File::options()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(path)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Error::tls(format!("{name} is no file")));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(Error::tls(format!(
                "{name} is larger than {MAX_FILE} bytes, it cannot be a certificate or key"
            )));
        }
        if bytes.is_empty() {
            return Err(Error::tls(format!(
                "{name} is empty; plainws cert makes a new one"
            )));
        }
        Ok((Content { name, bytes }, metadata))
    }

    pub(super) fn has(&self, marker: &str) -> bool {
        let marker = marker.as_bytes();
        self.bytes
            .windows(marker.len())
            .any(|bytes| bytes == marker)
    }

    /// How many certificates begin here, whole or not.
    pub(super) fn begun_certificates(&self) -> usize {
        const BEGIN: &[u8] = b"-----BEGIN CERT";
        let places = self.bytes.windows(BEGIN.len());
        places.filter(|bytes| *bytes == BEGIN).count()
    }

    /// A begin line of any kind of private key.
    pub(super) fn has_key(&self) -> bool {
        self.has("PRIVATE KEY-----")
    }

    pub(super) fn wrong(&self, what: &str) -> Error {
        Error::tls(format!("{}: {what}", self.name))
    }

    /// That there is a key, and that it can be read without a password. `certificate` is the name
    /// of the file with the certificate, which may be the same.
    pub(super) fn check_key(&self, certificate: &str) -> Result<()> {
        if !self.has_key() {
            let way_out = if self.name == certificate {
                "name the file that has it (--tls-key; of connect --key)"
            } else {
                "it should have a BEGIN PRIVATE KEY"
            };
            return Err(self.wrong(&format!("there is no private key in it; {way_out}")));
        }
        if self.has("-----BEGIN ENCRYPTED PRIVATE KEY-----") || self.has("Proc-Type: 4,ENCRYPTED") {
            return Err(self.wrong(
                "the private key is encrypted; decrypt it: openssl pkey -in OLD -out NEW, and \
                 chmod 600 NEW",
            ));
        }
        Ok(())
    }

    /// Why there is no certificate to be found.
    pub(super) fn no_certificate(&self) -> Error {
        self.wrong(if self.has("-----BEGIN CERT") {
            "the certificate in it is damaged or cut short; copy it anew"
        } else if self.bytes.first() == Some(&DER) {
            "it is not PEM text; if it is PKCS#12 name its password file (--tls-password-file), if a \
             certificate in DER convert it: openssl x509 -inform DER -in OLD -out NEW"
        } else {
            "there is no certificate in it (no BEGIN CERTIFICATE)"
        })
    }
}

/// Everybody who may read a key may be this server.
fn check_mode(path: &Path, metadata: &Metadata) -> Result<()> {
    if metadata.mode() & OTHERS == 0 {
        return Ok(());
    }
    let name = path.display();
    let exposed = format!("{name}: everybody may read the private key; chmod o= {name}");
    let owner = metadata.uid();
    if owner == 0 || owner == rustix::process::geteuid().as_raw() {
        warn!("{exposed}");
        return Ok(());
    }
    Err(Error::tls(exposed))
}
