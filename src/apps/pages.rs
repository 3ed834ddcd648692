//! The bundled pages and their script, or a folder's edited copies of the pages.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use data_encoding::BASE64;
use log::warn;
use plainws::Response;
use sha2::{Digest, Sha256};

use super::App;
use crate::file;

/// A page is a few KiB; a file above this is a mistake.
const MAX_PAGE: usize = 1024 * 1024;

/// The pages of the index and of each application.
pub(crate) struct Pages {
    folder: Option<PathBuf>,
}

impl Pages {
    /// With a folder, its files of the same names are served instead; one that is not there is
    /// served as bundled. They are read at each request, so that an edit shows at once.
    pub(crate) fn new(folder: Option<PathBuf>) -> io::Result<Pages> {
        if let Some(folder) = &folder {
            std::fs::read_dir(folder)?;
        }
        Ok(Pages { folder })
    }

    pub(crate) fn index(&self) -> Response {
        self.page("index.html", include_str!("../../html/index.html"))
    }

    pub(crate) fn of(&self, app: App) -> Response {
        match app {
            App::Hello => self.page("hello.html", include_str!("../../html/hello.html")),
            App::Clock => self.page("clock.html", include_str!("../../html/clock.html")),
            App::Counter => self.page("counter.html", include_str!("../../html/counter.html")),
        }
    }

    /// What pages, bundled ones and people's own, connect with.
    pub(crate) fn script(&self) -> Response {
        let script = include_str!("../../html/plainws.js");
        Response::new(200, "text/javascript; charset=utf-8", script.as_bytes())
    }

    fn page(&self, name: &str, bundled: &'static str) -> Response {
        let mut page = Cow::Borrowed(bundled);
        if let Some(folder) = &self.folder {
            let read = file::read(&folder.join(name), MAX_PAGE);
            match read.and_then(|(text, _)| String::from_utf8(text).map_err(io::Error::other)) {
                Ok(text) => page = Cow::Owned(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    warn!("page {name} served as bundled, its copy cannot be read: {error}")
                }
            }
        }
        let policy = policy(&page);
        Response::html(page).header("Content-Security-Policy", policy)
    }
}

/// Only the page's own script and style run, and what this server has; it can reach nothing but this
/// server, and WebSockets.
fn policy(page: &str) -> String {
    let hashes = |tag: &str| {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let mut rest = page;
        let mut sources = String::new();
        while let Some((_, after)) = rest.split_once(&open) {
            let (inline, more) = after.split_once(&close).unwrap_or((after, ""));
            let hash = BASE64.encode(&Sha256::digest(inline.as_bytes()));
            sources.push_str(&format!(" 'sha256-{hash}'"));
            rest = more;
        }
        if sources.is_empty() {
            " 'none'".to_owned()
        } else {
            sources
        }
    };
    // Who loads the script may ask this server for more.
    let has_script = page.contains("plainws.js\"");
    let scripts = hashes("script");
    format!(
        "default-src 'none'; script-src{}; style-src{}; connect-src {}ws: wss:; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        if has_script {
            format!(" 'self'{scripts}")
        } else {
            scripts
        },
        hashes("style"),
        if has_script { "'self' " } else { "" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_what_stands_in_the_page() {
        // printf 'let a = 1;' | openssl dgst -sha256 -binary | base64
        let expected = "'sha256-xY6QKfH9PRsQnLz56nj6MBwiK5oHg+im1Jkpdp1x/Ck='";
        let policy = policy("<style></style><script>let a = 1;</script>");
        assert!(
            policy.contains(&format!("script-src {expected};")),
            "{policy}"
        );
        assert!(policy.contains("style-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"));
    }

    #[test]
    fn the_bundled_pages_have_nothing_that_the_policy_forbids() {
        let pages = Pages::new(None).expect("bundled");
        for page in App::ALL
            .map(|app| pages.of(app))
            .into_iter()
            .chain([pages.index()])
        {
            let page = String::from_utf8_lossy(page.body()).into_owned();
            for forbidden in [" style=", " onclick=", "<style ", "src=\"http", "innerHTML"] {
                assert!(!page.contains(forbidden), "{forbidden} in {page:.100}");
            }
            let others = page.replace(r#"<script src="plainws.js"></script>"#, "");
            assert!(!others.contains("<script "), "{page:.100}");
        }
    }

    #[test]
    fn a_page_with_the_script_may_load_it_and_ask_its_server() {
        let page = r#"<script src="plainws.js"></script><script>let a = 1;</script>"#;
        let policy = policy(page);
        assert!(
            policy.contains("script-src 'self' 'sha256-xY6Q"),
            "{policy}"
        );
        assert!(policy.contains("connect-src 'self' ws: wss:;"), "{policy}");
    }

    #[test]
    fn a_folder_replaces_single_pages() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("clock.html"), "<p>mine").expect("write");
        std::fs::create_dir(folder.path().join("hello.html")).expect("a folder in the way");
        let pages = Pages::new(Some(folder.path().to_owned())).expect("a folder");
        assert_eq!(pages.of(App::Clock).body(), b"<p>mine");
        assert!(pages.of(App::Counter).body().len() > 1000, "bundled");
        assert!(pages.of(App::Hello).body().len() > 1000, "bundled");
        assert!(Pages::new(Some(folder.path().join("none"))).is_err());
    }
}
