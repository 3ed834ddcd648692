//! `Files`: the two files of a certificate, written as a pair: private before they are filled, and
//! both of them or none.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::name::Name;

const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Where the certificate with its key goes, and the certificate alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pem: PathBuf,
    crt: PathBuf,
}

impl Files {
    /// `localhost.pem` and `localhost.crt`. Nothing is opened yet.
    pub(super) fn new(pem: PathBuf) -> Result<Files, String> {
        let text = pem.to_string_lossy();
        // `-` would be stdout elsewhere, and a key in a terminal is one too many.
        if text == "-" || text.ends_with('/') || pem.file_name().is_none() {
            return Err("FILE is the name of a file, such as localhost.pem".to_owned());
        }
        let extension = pem.extension().unwrap_or_default().to_ascii_lowercase();
        if extension == "crt" {
            return Err(format!(
                "this is for the certificate alone, which is written beside {}",
                pem.with_extension("pem").display()
            ));
        }
        let mut crt = pem.clone();
        if extension == "pem" || extension == "key" {
            crt.set_extension("crt");
        } else {
            // `app.example` is a name, not an `app` of the kind `example`.
            crt.as_mut_os_string().push(".crt");
        }
        Ok(Files { pem, crt })
    }

    /// In the current folder. `*` and `:` are trouble in file names, so they become what mkcert
    /// makes of them.
    pub(super) fn named(name: &Name) -> Files {
        let name = name.to_string().replace('*', "_wildcard");
        let name = name.replace(':', "_");
        Files {
            pem: format!("{name}.pem").into(),
            crt: format!("{name}.crt").into(),
        }
    }

    pub(super) fn pem(&self) -> &Path {
        &self.pem
    }

    pub(super) fn crt(&self) -> &Path {
        &self.crt
    }

    /// Refuses what is in the way of either file, so that both stay as they are.
    pub(super) fn check(&self, force: bool) -> Result<(), String> {
        for path in [&self.pem, &self.crt] {
            // A link is not followed: what it points to may be nobody's to write.
            let kind = match path.symlink_metadata() {
                Ok(metadata) => metadata.file_type(),
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(cannot_write(path, &error)),
            };
            let path = path.display();
            if kind.is_dir() {
                return Err(format!(
                    "{path} is a folder: name a file in it, as in --out {path}/localhost.pem"
                ));
            }
            if !kind.is_file() {
                return Err(format!(
                    "{path} is not a regular file, and is not written through: remove it, or take \
                     another name with --out"
                ));
            }
            if !force {
                return Err(format!(
                    "{path} exists: replace it with --force, or take another name with --out"
                ));
            }
        }
        Ok(())
    }

    /// Writes both, or neither. What is there is replaced with `force`, and not written into: whoever
    /// has it open keeps it.
    pub(super) fn write(&self, certificate: &[u8], key: &[u8], force: bool) -> Result<(), String> {
        if force {
            for path in [&self.pem, &self.crt] {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(cannot_write(path, &error));
                    }
                    _ => {}
                }
            }
        }
        write(&self.pem, SECRET, &[certificate, key].concat())?;
        write(&self.crt, PUBLIC, certificate).inspect_err(|_| {
            let _ = fs::remove_file(&self.pem);
        })
    }
}

/// Writes a file that must not be there yet: whoever got there first keeps it.
fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), String> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = options.open(path).map_err(|e| cannot_write(path, &e))?;
    let mut fill = || {
        // The umask may have taken more away than it should.
        file.set_permissions(Permissions::from_mode(mode))?;
        if file.metadata()?.mode() & 0o077 & !mode != 0 {
            let why = "its file system keeps no modes, so that others could read the key";
            return Err(io::Error::other(why));
        }
        file.write_all(content)?;
        file.sync_all()
    };
    fill().map_err(|error| {
        let _ = fs::remove_file(path);
        cannot_write(path, &error)
    })
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    let way_out = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => "; its folder has to exist",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; choose another place with --out"
        }
        _ => "",
    };
    format!("cannot write {}: {error}{way_out}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_alone_stands_beside_the_pair() {
        let crt = |out: &str| Files::new(out.into()).map(|files| files.crt);
        for (out, beside) in [
            ("localhost.pem", "localhost.crt"),
            ("certs/app.PEM", "certs/app.crt"),
            ("server.key", "server.crt"),
            ("app.example", "app.example.crt"),
            ("/etc/plainws/tls", "/etc/plainws/tls.crt"),
            (".pem", ".pem.crt"),
        ] {
            assert_eq!(crt(out), Ok(PathBuf::from(beside)));
        }
        for wrong in ["", "-", "/", "..", "certs/", "certs/..", "a.crt", "a.CRT"] {
            assert!(crt(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_first_name_names_the_files() {
        for (name, file) in [
            ("app.example", "app.example.pem"),
            ("*.app.example", "_wildcard.app.example.pem"),
            ("[2001:DB8::1]", "2001_db8__1.pem"),
            ("10.0.0.7", "10.0.0.7.pem"),
        ] {
            let name = Name::parse(name).expect("a name");
            let files = Files::named(&name);
            assert_eq!(files.pem, Path::new(file));
            assert_eq!(Files::new(file.into()), Ok(files));
        }
    }
}
