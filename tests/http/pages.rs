//! Paths and pages.

use super::*;

/// Checks what paths lead to: a GET without upgrade, and one with.
#[track_caller]
fn lead_to(port: u16, page: u16, socket: u16, paths: &[&str]) {
    expect(port, page, paths.iter().map(|path| get(path, "")));
    expect(
        port,
        socket,
        paths.iter().map(|path| upgrade_request(path, "")),
    );
}

#[test]
fn one_url_is_page_and_socket() {
    let site = site(&[]);
    for port in [site.index, site.counter] {
        for (path, title, first) in [
            ("/hello", "hello", "Hello Ada!"),
            ("/clock", "clock", ", sent by the server over WebSocket."),
            ("/counter", "counter", r#"{"type":"users","count":"#),
        ] {
            // nginx sends this where the browser asked for no upgrade.
            for more in ["", "Connection: upgrade\r\n", "Upgrade: h2c\r\n"] {
                let page = exchange(port, get(path, more));
                assert_eq!(page.status, 200, "{path} {more:?}");
                assert_eq!(
                    page.header("Content-Type"),
                    Some("text/html; charset=utf-8")
                );
                let (_, rest) = page.body.split_once("<title>").expect("a title");
                assert!(rest.to_lowercase().starts_with(title), "{path}: {rest:.50}");
            }
            let mut socket = Raw::upgrade(port, path);
            if path == "/hello" {
                socket.send(&raw::text("Ada"));
            }
            let said = socket.message().text();
            assert!(said.contains(first), "{path}: {said}");
        }
    }
}

#[test]
fn each_path_leads_to_a_page_a_socket_both_or_nothing() {
    let site = site(&[]);
    let query = format!("/?{}", "a=1&".repeat(500));
    lead_to(site.index, 200, 404, &["/", "/?counter", &query]);
    lead_to(site.index, 200, 101, &["/counter", "/counter?x=/hello"]);
    let nothing = [
        "/counter/",
        "/Counter",
        "/counter.html",
        "/index.html",
        "/INDEX.HTML",
        "/index.html/",
        "/zqx",
        "/zqx/",
        "/favicon.ico",
        "/hello/counter",
        "/%63ounter",
        "//counter",
    ];
    lead_to(site.index, 404, 404, &nothing);
    lead_to(site.index, 404, 404, &TRAVERSALS);
    // At the listener of an application each path is its socket.
    let slashes = ["/", "/websocket2/", "/websocket2/?x", "/a/b/c/"];
    lead_to(site.counter, 200, 101, &slashes);
    lead_to(site.counter, 200, 101, &["/counter", "/hello", "/clock"]);
    let sockets = [
        "/websocket2",
        "/websocket2?x",
        "/a/b/c",
        "/index.html",
        "/%2e%2e%2fetc",
    ];
    lead_to(site.counter, 426, 101, &sockets);
    for port in [site.index, site.counter] {
        lead_to(port, 200, 200, &["/healthz", "/healthz?x"]);
        assert_eq!(exchange(port, get("/healthz", "")).body, "ok");
    }
    let page = exchange(site.counter, get("/websocket2/", "")).body;
    assert_eq!(page, exchange(site.index, get("/counter", "")).body);
    let mut socket = Raw::upgrade(site.counter, "/websocket2");
    assert!(socket.message().text().contains("users"));
}

#[test]
fn old_and_absolute_requests_get_pages() {
    let site = site(&[]);
    let absolute = [
        "http://localhost/counter",
        "HTTP://LOCALHOST/counter",
        "http://localhost",
        "http://localhost?x",
    ];
    expect(site.index, 200, absolute.map(|url| get(url, "")));
    expect(site.index, 404, [get("http://localhost/zqx", "")]);
    let old = "GET /counter HTTP/1.0";
    let kept = format!("{old}|Connection: keep-alive");
    expect(site.index, 200, [head(old), hosted(old), head(&kept)]);
    for path in ["/", "/counter", "/healthz", "/none", "/websocket2"] {
        for port in [site.index, site.counter] {
            let with = exchange(port, get(path, ""));
            let without = exchange(port, get(path, "").replace("GET", "HEAD"));
            assert_eq!(blemish(&without, true), None, "{path}");
            // They may have been made in two different seconds.
            let head = |answer: &Answer| {
                let lines = answer.head.lines().map(str::to_owned);
                lines
                    .filter(|line| !line.starts_with("Date:"))
                    .collect::<Vec<_>>()
            };
            assert_eq!(head(&with), head(&without), "{path}");
        }
    }
}

/// Ways out of a folder of pages, were there a file system behind the paths.
const TRAVERSALS: [&str; 18] = [
    "/../secret.txt",
    "/../../../../../../etc/passwd",
    "/hello/../../secret.txt",
    "//etc/passwd",
    "/./secret.txt",
    "/.",
    "/..",
    "/%2e%2e/secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/%252e%252e/secret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "/hello%00.html",
    "/%zz",
    "/%",
    "/hello;x=y",
    "/hello.html",
];

#[test]
fn a_folder_of_pages_is_four_files_and_no_other_path() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("pages");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::create_dir(folder.join("hello.html")).unwrap();
    for path in ["secret.txt", "pages/secret.txt", "pages/sub/index.html"] {
        fs::write(outer.path().join(path), "the secret").unwrap();
    }
    let write = |name: &str, text: &[u8]| fs::write(folder.join(name), text).unwrap();
    write("index.html", b"<p>my index");
    write("counter.html", b"<p>mine</p><script>let a;</script>");
    write("clock.html", b"<p>\xff");
    let site = site(&["--html-dir", folder.to_str().unwrap()]);

    let page = |port: u16, path: &str| exchange(port, get(path, ""));
    assert_eq!(page(site.index, "/").body, "<p>my index");
    let counter = page(site.index, "/counter");
    assert!(counter.body.starts_with("<p>mine"), "{counter:?}");
    assert_eq!(page(site.counter, "/any/").body, counter.body);
    // The edited script may run: the policy is that of the page as it is.
    let policy = counter.header("Content-Security-Policy").unwrap();
    assert!(policy.contains("script-src 'sha256-"), "{policy}");
    // What cannot be read is served as bundled, and logged.
    for app in ["hello", "clock"] {
        let bundled = page(site.index, &format!("/{app}"));
        assert!(bundled.status == 200 && bundled.body.len() > 1000, "{app}");
        let line = site.daemon.wait_line(&format!("{app}.html"));
        assert!(line.contains("[WARN]"), "{line}");
    }
    let plain = ["/secret.txt", "/sub/", "/sub/index.html", "/pages/"];
    for path in plain.iter().chain(&TRAVERSALS) {
        let answer = page(site.index, path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        assert_eq!(blemish(&answer, false), None, "{path}");
        let answer = page(site.counter, path);
        let fine = answer.body == counter.body || [400, 426].contains(&answer.status);
        assert!(fine, "{path}: {answer:?}");
    }
    // An edit shows at once, and so does taking it back.
    write("counter.html", b"<p>edited");
    assert_eq!(page(site.index, "/counter").body, "<p>edited");
    fs::remove_file(folder.join("counter.html")).unwrap();
    assert!(page(site.index, "/counter").body.len() > 1000, "bundled");
    // And the socket is at the same address, whatever the page.
    let mut socket = Raw::upgrade(site.index, "/counter");
    assert!(socket.message().text().contains("users"));
}

#[test]
fn the_script_is_beside_each_page() {
    let site = site(&[]);
    for (port, paths) in [
        (site.index, &["/plainws.js"][..]),
        (site.counter, &["/plainws.js", "/websocket2/plainws.js"]),
    ] {
        for path in paths {
            let script = exchange(port, get(path, ""));
            assert_eq!(script.status, 200, "{path}");
            let media = script.header("Content-Type");
            assert_eq!(media, Some("text/javascript; charset=utf-8"), "{path}");
            assert_eq!(script.body, include_str!("../../html/plainws.js"), "{path}");
        }
    }
    // At the listener of an application each path is its socket.
    lead_to(site.counter, 200, 101, &["/websocket2/plainws.js"]);
}

#[test]
fn pages_forbid_what_they_do_not_need() {
    let site = site(&[]);
    for path in ["/", "/hello", "/clock", "/counter"] {
        let page = exchange(site.index, get(path, ""));
        assert_eq!(blemish(&page, false), None, "{path}");
        assert_eq!(page.header("Cache-Control"), Some("no-cache"), "{path}");
        let policy = page.header("Content-Security-Policy").expect("a policy");
        for part in [
            "style-src 'sha256-",
            "base-uri 'none'",
            "form-action 'none'",
            if path == "/" {
                "script-src 'none'; "
            } else {
                "script-src 'self' 'sha256-"
            },
            if path == "/" {
                "connect-src ws: wss:;"
            } else {
                "connect-src 'self' ws: wss:;"
            },
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
}
