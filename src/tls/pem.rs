//! `Content`: a PEM or PKCS#12 file, or the same from memory, before OpenSSL looks at it. It says
//! what OpenSSL would not: which file, what is wrong with it, and the way out.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use log::warn;

use crate::error::{Error, Result};
use crate::escaped::Escaped;
use crate::file;

/// No chain and key are as large as this.
const MAX_FILE: usize = 1 << 20;
/// The first byte of DER, and so of PKCS#12.
const DER: u8 = 0x30;
/// Anybody may read.
const OTHERS: u32 = 0o004;
const BEGIN: &str = "-----BEGIN CERT";

/// The content of a file, or of memory, with a name for messages.
pub(super) struct Content {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// The owner of a file that everybody may read.
    exposed_by: Option<u32>,
}

impl Content {
    pub(super) fn new(name: &str, bytes: &[u8]) -> Content {
        Content {
            name: name.to_owned(),
            bytes: bytes.to_vec(),
            exposed_by: None,
        }
    }

    pub(super) fn read(path: &Path) -> Result<Content> {
        // A name with a line end in it would make two lines of a log.
        let name = format!("{:#}", Escaped(&path.display().to_string()));
        let (bytes, metadata) = file::read(path, MAX_FILE).map_err(|error| {
            let way_out = match error.kind() {
                io::ErrorKind::NotFound => "; check its name, or make one with plainws cert",
                io::ErrorKind::PermissionDenied => {
                    "; run as its owner, or give its group to the user of the service"
                }
                _ => "",
            };
            Error::tls(format!("cannot read {name}: {error}{way_out}"))
        })?;
        if bytes.is_empty() {
            return Err(Error::tls(format!(
                "{name} is empty; plainws cert makes a new one"
            )));
        }
        let exposed = metadata.mode() & OTHERS != 0;
        Ok(Content {
            name,
            bytes,
            exposed_by: exposed.then_some(metadata.uid()),
        })
    }

    /// That not everybody may read the key in it: who may, may be this server. One of our own is a
    /// warning only.
    pub(super) fn check_mode(&self) -> Result<()> {
        let Some(owner) = self.exposed_by else {
            return Ok(());
        };
        let name = &self.name;
        let exposed = format!("{name}: everybody may read the private key; chmod o= {name}");
        if owner == 0 || owner == rustix::process::geteuid().as_raw() {
            warn!("{exposed}");
            return Ok(());
        }
        Err(Error::tls(exposed))
    }

    fn has(&self, marker: &str) -> bool {
        self.count(marker) > 0
    }

    fn count(&self, marker: &str) -> usize {
        let places = self.bytes.windows(marker.len());
        places.filter(|bytes| *bytes == marker.as_bytes()).count()
    }

    /// How many certificates begin here, whole or not.
    pub(super) fn begun_certificates(&self) -> usize {
        self.count(BEGIN)
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
        self.wrong(if self.has(BEGIN) {
            "the certificate in it is damaged or cut short; copy it anew"
        } else if self.bytes.first() == Some(&DER) {
            "it is not PEM text; if it is PKCS#12 name its password file (--tls-password-file), if a \
             certificate in DER convert it: openssl x509 -inform DER -in OLD -out NEW"
        } else {
            "there is no certificate in it (no BEGIN CERTIFICATE)"
        })
    }
}
