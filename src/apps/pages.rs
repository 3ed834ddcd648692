//! The bundled pages and their script, and the files of a folder that come before them.

use data_encoding::BASE64;
use plainws::{Request, Response};
use sha2::{Digest, Sha256};

use super::{App, Files};

/// The pages of the index, of each application, and of topics and streams.
pub(crate) struct Pages {
    own: Option<Files>,
}

impl Pages {
    /// With a folder, its files come first.
    pub(crate) fn new(own: Option<Files>) -> Pages {
        Pages { own }
    }

    /// A file of the folder that has this path.
    pub(crate) fn own(&self, request: &Request) -> Option<Response> {
        self.own.as_ref()?.answer(request)
    }

    /// Tells that there is nothing for a request, if somebody has a folder of pages.
    pub(crate) fn miss(&self, request: &Request) {
        self.own.iter().for_each(|files| files.miss(request));
    }

    pub(crate) fn index(&self, request: &Request) -> Response {
        self.page("index.html", include_str!("../../html/index.html"), request)
    }

    pub(crate) fn of(&self, app: App, request: &Request) -> Response {
        let (name, bundled) = match app {
            App::Hello => ("hello.html", include_str!("../../html/hello.html")),
            App::Clock => ("clock.html", include_str!("../../html/clock.html")),
            App::Counter => ("counter.html", include_str!("../../html/counter.html")),
        };
        self.page(name, bundled, request)
    }

    pub(crate) fn topic(&self, request: &Request) -> Response {
        self.page("topic.html", include_str!("../../html/topic.html"), request)
    }

    pub(crate) fn stream(&self, request: &Request) -> Response {
        self.page(
            "stream.html",
            include_str!("../../html/stream.html"),
            request,
        )
    }

    pub(crate) fn topics(&self, request: &Request) -> Response {
        self.page(
            "topics.html",
            include_str!("../../html/topics.html"),
            request,
        )
    }

    /// A form that posts `user` and `password`, or `token`, and `next`, to `/login`. In its query
    /// `next` is where to go then; `error=wrong` and `error=often` are told in words.
    pub(crate) fn login(&self, request: &Request) -> Response {
        let page = self.page("login.html", include_str!("../../html/login.html"), request);
        // Otherwise the browser hides where the form comes from, as if it were another site's.
        page.header("Referrer-Policy", "same-origin")
    }

    /// What pages, bundled ones and people's own, connect with, and draw numbers with. Pages look for
    /// it beside themselves, wherever a proxy has put that.
    pub(crate) fn script(&self, path: &str) -> Option<Response> {
        let script = match path.rsplit('/').next()? {
            "plainws.js" => include_str!("../../html/plainws.js"),
            "plainws-chart.js" => include_str!("../../html/plainws-chart.js"),
            _ => return None,
        };
        let media = "text/javascript; charset=utf-8";
        Some(Response::new(200, media, script.as_bytes()))
    }

    /// The folder's own page of this name, or the bundled one.
    fn page(&self, name: &str, bundled: &'static str, request: &Request) -> Response {
        if let Some(own) = self.own.as_ref().and_then(|own| own.named(name, request)) {
            return own;
        }
        // The page of a topic is deep below the scripts: relative, as a proxy may put a path in front.
        let depth = match name {
            "topic.html" | "stream.html" => request.path().matches('/').count().saturating_sub(1),
            _ => 0,
        };
        let up = SCRIPT.replace("plainws", &("../".repeat(depth) + "plainws"));
        let page = bundled.replace(SCRIPT, &up);
        let policy = policy(&page);
        Response::html(page).header("Content-Security-Policy", policy)
    }
}

/// How a page begins the name of a script.
const SCRIPT: &str = "src=\"plainws";

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
    // Other forms are the scripts' affair.
    let posts = page.contains("method=\"post\"");
    let scripts = hashes("script");
    format!(
        "default-src 'none'; script-src{}; style-src{}; connect-src {}ws: wss:; img-src data:; \
         base-uri 'none'; form-action {}; frame-ancestors 'none'",
        if has_script {
            format!(" 'self'{scripts}")
        } else {
            scripts
        },
        hashes("style"),
        if has_script { "'self' " } else { "" },
        if posts { "'self'" } else { "'none'" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUNDLED: [&str; 8] = [
        include_str!("../../html/index.html"),
        include_str!("../../html/hello.html"),
        include_str!("../../html/clock.html"),
        include_str!("../../html/counter.html"),
        include_str!("../../html/topic.html"),
        include_str!("../../html/stream.html"),
        include_str!("../../html/topics.html"),
        include_str!("../../html/login.html"),
    ];

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
        for page in BUNDLED {
            for forbidden in [" style=", " onclick=", "<style ", "src=\"http", "innerHTML"] {
                assert!(!page.contains(forbidden), "{forbidden} in {page:.100}");
            }
            let others = ["plainws.js", "plainws-chart.js"]
                .map(|name| format!("<script src=\"{name}\"></script>"))
                .iter()
                .fold(page.to_owned(), |page, tag| page.replace(tag, ""));
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
}
