//! The daemon's certificate: its files as arguments name them, read at the start and on SIGHUP.

use std::io;
use std::path::{Path, PathBuf};

use log::{error, info};
use plainws::{Identity, Result, Tls};

use crate::file;

const MAX_PASSWORD: usize = 4096;

/// What a certificate is read from.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct KeyFiles {
    /// Serve https and wss with this certificate: PEM, the issuers' behind it; or PKCS#12 (.p12,
    /// .pfx). Read again on SIGHUP
    #[arg(long, value_name = "FILE", env = "PLAINWS_TLS_CERT")]
    tls_cert: Option<PathBuf>,

    /// Its private key, in PEM. Default: the file of --tls-cert
    #[arg(
        long,
        value_name = "FILE",
        env = "PLAINWS_TLS_KEY",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,

    /// A file with the password of a PKCS#12 file. Default: an empty password
    #[arg(
        long,
        value_name = "FILE",
        env = "PLAINWS_TLS_PASSWORD_FILE",
        requires = "tls_cert",
        conflicts_with = "tls_key"
    )]
    tls_password_file: Option<PathBuf>,
}

/// The files, and the server's side of TLS that shows what is in them.
pub(super) struct Keys {
    files: KeyFiles,
    certificate: PathBuf,
    tls: Tls,
}

impl Keys {
    /// Reads the files, if any are named.
    pub(super) fn read(files: KeyFiles) -> Result<Option<Keys>> {
        let Some(certificate) = files.tls_cert.clone() else {
            return Ok(None);
        };
        let identity = files.identity(&certificate)?;
        let tls = Tls::new(&identity)?;
        info!("certificate {identity}");
        Ok(Some(Keys {
            files,
            certificate,
            tls,
        }))
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Reads the files again. What is wrong with them is logged, and changes nothing.
    pub(super) fn read_again(&self) {
        let replaced = self.files.identity(&self.certificate).and_then(|identity| {
            self.tls.replace(&identity)?;
            Ok(identity)
        });
        match replaced {
            Ok(identity) => info!("SIGHUP: new clients see the certificate {identity}"),
            Err(why) => error!("SIGHUP: the old certificate stays in force: {why}"),
        }
    }
}

impl KeyFiles {
    fn identity(&self, certificate: &Path) -> Result<Identity> {
        match &self.tls_key {
            Some(key) => Identity::from_pem_files(certificate, key),
            None if self.tls_password_file.is_some() || is_pkcs12(certificate) => {
                Identity::from_pkcs12_file(certificate, &self.password()?)
            }
            None => Identity::from_pem_file(certificate),
        }
    }

    /// The first line, as `openssl -passin file:` reads it.
    fn password(&self) -> Result<String> {
        let Some(path) = &self.tls_password_file else {
            return Ok(String::new());
        };
        let text = file::read(path, MAX_PASSWORD)
            .and_then(|(bytes, _)| String::from_utf8(bytes).map_err(io::Error::other))
            .map_err(|error| {
                let path = path.display();
                format!("cannot read the password file {path}: {error}")
            })?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}

fn is_pkcs12(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    extension.eq_ignore_ascii_case("p12") || extension.eq_ignore_ascii_case("pfx")
}
