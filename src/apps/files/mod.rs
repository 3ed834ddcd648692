//! Own pages: the files below a folder, as they are at the moment of each request.
//!
//! In comes a request, out goes an answer, or nothing if there is no such file. In an opener's thread,
//! which may wait for the disk.

mod open;

mod range;

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use log::warn;
use plainws::{Request, Response};

use crate::complaint::Complaint;
use crate::escaped::Escaped;
use crate::lock::Lock;
use crate::percent;
use open::Opened;
use range::Asked;

/// People write their pages themselves: what these may load and run is for them to say.
const POLICY: &str = "frame-ancestors 'self'";

/// What is missing is told once a minute.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The folder; any thread may ask.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    policy: String,
    missing: Lock<Complaint>,
    unreadable: Lock<Complaint>,
}

impl Files {
    /// `policy` replaces the content security policy of these pages.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub(crate) fn new(folder: PathBuf, policy: Option<String>) -> io::Result<Files> {
        std::fs::read_dir(&folder)?;
        Ok(Files {
            folder,
            policy: policy.unwrap_or_else(|| POLICY.to_owned()),
            missing: Lock::new(Complaint::every(TELL_EVERY)),
            unreadable: Lock::new(Complaint::every(TELL_EVERY)),
        })
    }

    /// The file that a request names, if there is one.
    pub(crate) fn answer(&self, request: &Request) -> Option<Response> {
        let path = decoded(request.path())?;
        let is_folder = request.path().ends_with('/');
        if !is_folder {
            match self.find(&path, request)? {
                Opened::File(file, metadata) => {
                    return Some(self.file(&path, file, &metadata, request));
                }
                // What stands in it is named relative to it.
                Opened::Folder => self.find(&path.join("index.html"), request).map(drop)?,
            }
            let name = request.path().rsplit('/').next().unwrap_or_default();
            let response = Response::text(301, "this is a folder");
            return Some(response.header("Location", format!("{name}/")));
        }
        let path = path.join("index.html");
        match self.find(&path, request)? {
            Opened::File(file, metadata) => Some(self.file(&path, file, &metadata, request)),
            Opened::Folder => None,
        }
    }

    /// The file of this name, which stands in the folder itself.
    pub(crate) fn named(&self, name: &str, request: &Request) -> Option<Response> {
        match self.find(Path::new(name), request)? {
            Opened::File(file, metadata) => {
                Some(self.file(Path::new(name), file, &metadata, request))
            }
            Opened::Folder => None,
        }
    }

    /// Tells that nothing was found for a request; who wrote the page wants to know.
    pub(crate) fn miss(&self, request: &Request) {
        let (path, folder) = (Escaped(request.path()), self.folder.display());
        self.missing.lock().tell(|| {
            warn!("{path} is asked for, and there is no such file in {folder}; more of it is told in a minute");
        });
    }

    fn find(&self, path: &Path, request: &Request) -> Option<Opened> {
        match open::beneath(&self.folder, path) {
            Ok(opened) => Some(opened),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                None
            }
            Err(error) => {
                let (path, folder) = (Escaped(request.path()), self.folder.display());
                self.unreadable.lock().tell(|| {
                    warn!("{path} in {folder} cannot be served: {error}; more of it is told in a minute");
                });
                None
            }
        }
    }

    fn file(&self, path: &Path, file: File, metadata: &Metadata, request: &Request) -> Response {
        let media = media(path);
        let (range, if_range) = (request.header("Range"), request.header("If-Range"));
        let packed = range
            .is_none()
            .then(|| self.packed(path, metadata, request))
            .flatten();
        let (encoding, file, metadata) = match packed {
            Some((encoding, file, metadata)) => (Some(encoding), file, metadata),
            None => (None, file, metadata.clone()),
        };
        let (tag, size) = (tag(&metadata, encoding), metadata.len());
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let date = httpdate::fmt_http_date(modified);
        let is_same = |known: &str| known == tag || known == date;
        let response = if is_known(request, &tag, modified) {
            Response::empty(304)
        } else {
            match range::asked(range.filter(|_| if_range.is_none_or(is_same)), size) {
                Asked::Whole => Response::file(media, file, 0..size),
                Asked::Part(part) => {
                    let (first, last) = (part.start, part.end - 1);
                    Response::file(media, file, part)
                        .with_status(206)
                        .header("Content-Range", format!("bytes {first}-{last}/{size}"))
                }
                Asked::None => Response::text(416, "the file has no such part")
                    .header("Content-Range", format!("bytes */{size}")),
            }
        };
        let response = match encoding {
            Some(encoding) => response.header("Content-Encoding", encoding),
            None => response.header("Accept-Ranges", "bytes"),
        };
        response
            .header("ETag", tag)
            .header("Last-Modified", date)
            .header("Vary", "Accept-Encoding")
            .header("Content-Security-Policy", self.policy.clone())
            // A form on a page would otherwise seem to be another site's.
            .header("Referrer-Policy", "same-origin")
    }

    /// A compressed copy beside the file, if the client takes it and it is not older.
    fn packed(
        &self,
        path: &Path,
        plain: &Metadata,
        request: &Request,
    ) -> Option<(&'static str, File, Metadata)> {
        let takes = |encoding: &str| {
            let accepted = request
                .header("Accept-Encoding")
                .unwrap_or_default()
                .split(',');
            accepted.into_iter().any(|element| {
                let mut parts = element.split(';').map(str::trim);
                let is_it = parts
                    .next()
                    .is_some_and(|name| name.eq_ignore_ascii_case(encoding));
                let refused = parts.any(|part| {
                    part.strip_prefix("q=")
                        .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
                });
                is_it && !refused
            })
        };
        let known = [("br", "br"), ("gzip", "gz")];
        known
            .into_iter()
            .filter(|(encoding, _)| takes(encoding))
            .find_map(|(encoding, suffix)| {
                let mut name = path.as_os_str().to_owned();
                name.push(".");
                name.push(suffix);
                match open::beneath(&self.folder, Path::new(&name)) {
                    Ok(Opened::File(file, metadata)) if metadata.mtime() >= plain.mtime() => {
                        Some((encoding, file, metadata))
                    }
                    _ => None,
                }
            })
    }
}

/// The path below the folder. `None` for one that names nothing there: a part that is empty or begins
/// with a dot, or a NUL.
fn decoded(path: &str) -> Option<PathBuf> {
    let mut found = PathBuf::new();
    let path = path.strip_prefix('/')?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(found);
    }
    for part in path.split('/') {
        let (part, is_valid) = percent::decoded(part.as_bytes());
        if !is_valid
            || part.is_empty()
            || part[0] == b'.'
            || part.contains(&0)
            || part.contains(&b'/')
        {
            return None;
        }
        found.push(OsString::from_vec(part));
    }
    Some(found)
}

/// The media type that the name tells; text is UTF-8 these days.
fn media(path: &Path) -> String {
    let media = mime_guess::from_path(path)
        .first_raw()
        .unwrap_or("application/octet-stream");
    let is_text = media.starts_with("text/")
        || [
            "application/javascript",
            "application/json",
            "image/svg+xml",
        ]
        .contains(&media);
    match is_text {
        true => format!("{media}; charset=utf-8"),
        false => media.to_owned(),
    }
}

fn tag(metadata: &Metadata, encoding: Option<&str>) -> String {
    let (size, inode) = (metadata.len(), metadata.ino());
    let (s, ns) = (metadata.mtime(), metadata.mtime_nsec());
    format!(
        "\"{inode:x}-{size:x}-{s:x}.{ns:x}{}\"",
        encoding.unwrap_or_default()
    )
}

/// Whether the client has just this (RFC 9110, section 13.2.2).
fn is_known(request: &Request, tag: &str, modified: SystemTime) -> bool {
    if let Some(known) = request.header("If-None-Match") {
        let mut known = known.split(',').map(|known| known.trim());
        return known.any(|known| known == "*" || known.trim_start_matches("W/") == tag);
    }
    let since = request.header("If-Modified-Since");
    since
        .and_then(|since| httpdate::parse_http_date(since).ok())
        .is_some_and(|since| {
            // The header has whole seconds.
            modified < since + Duration::from_secs(1)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_what_is_below_or_nothing() {
        let cases = [
            ("/", Some("")),
            ("/a.html", Some("a.html")),
            ("/a/b/", Some("a/b")),
            ("/a%20b", Some("a b")),
            ("/%C3%A9", Some("é")),
            ("//a", None),
            ("/a//b", None),
            ("/../a", None),
            ("/a/../b", None),
            ("/%2e%2e/a", None),
            ("/.git/config", None),
            ("/a%2fb", None),
            ("/a%00", None),
            ("/a%", None),
            ("/a%g0", None),
            ("a", None),
        ];
        for (path, expected) in cases {
            assert_eq!(decoded(path).as_deref(), expected.map(Path::new), "{path}");
        }
    }

    #[test]
    fn the_media_type_follows_the_name() {
        let cases = [
            ("a.html", "text/html; charset=utf-8"),
            ("a.JS", "text/javascript; charset=utf-8"),
            ("a.svg", "image/svg+xml; charset=utf-8"),
            ("a.png", "image/png"),
            ("a.woff2", "font/woff2"),
            ("a", "application/octet-stream"),
        ];
        for (name, expected) in cases {
            assert_eq!(media(Path::new(name)), expected, "{name}");
        }
    }
}
