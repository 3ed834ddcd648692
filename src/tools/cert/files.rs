//! The two files, written as a pair: private before they are filled, whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::name::Name;

const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// Where the certificate with its key goes, and the certificate alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    pem: PathBuf,
    crt: PathBuf,
}

impl Files {
    /// `localhost.pem` and `localhost.crt`. Nothing is opened yet.
    pub(crate) fn new(pem: PathBuf) -> Result<Files, String> {
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
    pub(crate) fn named(name: &Name) -> Files {
        let name = name.to_string().replace('*', "_wildcard");
        let name = name.replace(':', "_");
        Files {
            pem: format!("{name}.pem").into(),
            crt: format!("{name}.crt").into(),
        }
    }

    pub(crate) fn pem(&self) -> &Path {
        &self.pem
    }

    pub(crate) fn crt(&self) -> &Path {
        &self.crt
    }

    /// Refuses what is in the way of either file, so that both stay as they are.
    pub(crate) fn check(&self, force: bool) -> Result<(), String> {
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

    /// Writes both, or neither; two commands at once that replace them may leave one of each.
    pub(crate) fn write(&self, certificate: &[u8], key: &[u8], force: bool) -> Result<(), String> {
        let both = [certificate, key].concat();
        // Both are on disk before the first gets its name.
        let pem = Draft::write(&self.pem, SECRET, &both)?;
        let crt = Draft::write(&self.crt, PUBLIC, certificate)?;
        pem.publish(force)?;
        crt.publish(force).inspect_err(|_| {
            if !force {
                let _ = fs::remove_file(&self.pem);
            }
        })
    }
}

/// A file under a name of its own, which is removed when dropped.
struct Draft<'a> {
    path: PathBuf,
    target: &'a Path,
}

impl<'a> Draft<'a> {
    fn write(target: &'a Path, mode: u32, content: &[u8]) -> Result<Draft<'a>, String> {
        // In the same folder, as a link or a rename stays within one file system. Its name does not
        // contain the target's, which may be as long as names can be.
        let name = format!(".plainws-cert-{:016x}", rand::random::<u64>());
        let path = target.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut file = options.open(&path).map_err(|e| cannot_write(target, &e))?;
        let draft = Draft { path, target };
        draft
            .fill(&mut file, mode, content)
            .map_err(|error| cannot_write(target, &error))?;
        Ok(draft)
    }

    fn fill(&self, file: &mut File, mode: u32, content: &[u8]) -> io::Result<()> {
        // The umask may have taken more away than it should.
        file.set_permissions(Permissions::from_mode(mode))?;
        if file.metadata()?.mode() & 0o077 & !mode != 0 {
            let why = "its file system keeps no modes, so that others could read the key";
            return Err(io::Error::other(why));
        }
        file.write_all(content)?;
        file.sync_all()
    }

    /// Gives it its name. Without `force` whoever got there first keeps it, also since the check.
    fn publish(self, force: bool) -> Result<(), String> {
        let published = match force {
            true => fs::rename(&self.path, self.target),
            false => match fs::hard_link(&self.path, self.target) {
                // FAT has no links. An empty file of ours holds the name until it is replaced.
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    File::create_new(self.target).and_then(|_| {
                        fs::rename(&self.path, self.target).inspect_err(|_| {
                            let _ = fs::remove_file(self.target);
                        })
                    })
                }
                linked => linked,
            },
        };
        published.map_err(|error| cannot_write(self.target, &error))
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // Fails after a rename only, when it is gone already.
        let _ = fs::remove_file(&self.path);
    }
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
            let name = crate::tools::cert::name::parse(name).expect("a name");
            let files = Files::named(&name);
            assert_eq!(files.pem, Path::new(file));
            assert_eq!(Files::new(file.into()), Ok(files));
        }
    }
}
