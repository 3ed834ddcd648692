//! The daemon's certificate: its files as arguments name them, read at the start and on SIGHUP.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use log::{error, info};
use plainws::{Identity, Result, Tls};
use rustix::fs::OFlags;

use super::args::Serve;

const MAX_PASSWORD: u64 = 4096;

/// The files, and the server's side of TLS that shows what is in them.
pub(crate) struct Keys {
    files: Files,
    tls: Tls,
}

struct Files {
    certificate: PathBuf,
    key: Option<PathBuf>,
    password: Option<PathBuf>,
}

impl Keys {
    /// Reads the files, if any are named.
    pub(crate) fn read(args: &Serve) -> Result<Option<Keys>> {
        let Some(certificate) = args.tls_cert.clone() else {
            return Ok(None);
        };
        let files = Files {
            certificate,
            key: args.tls_key.clone(),
            password: args.tls_password_file.clone(),
        };
        let identity = files.read()?;
        let tls = Tls::new(&identity)?;
        info!("certificate {identity}");
        Ok(Some(Keys { files, tls }))
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Reads the files again. What is wrong with them is logged, and changes nothing.
    pub(crate) fn read_again(&self) {
        let replaced = self.files.read().and_then(|identity| {
            self.tls.replace(&identity)?;
            Ok(identity)
        });
        match replaced {
            Ok(identity) => info!("SIGHUP: new clients see the certificate {identity}"),
            Err(why) => error!("SIGHUP: the old certificate stays in force: {why}"),
        }
    }
}

impl Files {
    fn read(&self) -> Result<Identity> {
        match &self.key {
            Some(key) => Identity::from_pem_files(&self.certificate, key),
            None if self.password.is_some() || is_pkcs12(&self.certificate) => {
                Identity::from_pkcs12_file(&self.certificate, &self.password()?)
            }
            None => Identity::from_pem_file(&self.certificate),
        }
    }

    /// The first line, as `openssl -passin file:` reads it.
    fn password(&self) -> Result<String> {
        let Some(file) = &self.password else {
            return Ok(String::new());
        };
        let text = read_password(file).map_err(|error| {
            format!("cannot read the password file {}: {error}", file.display())
        })?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}

/// A FIFO must not make the main thread wait for its writer: it hears no signal then.
fn read_password(path: &Path) -> io::Result<String> {
    let file = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    file.take(MAX_PASSWORD).read_to_string(&mut text)?;
    Ok(text)
}

fn is_pkcs12(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    extension.eq_ignore_ascii_case("p12") || extension.eq_ignore_ascii_case("pfx")
}
