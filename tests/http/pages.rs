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
fn a_folder_of_pages_comes_first_and_nothing_beside_it_is_reached() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("pages");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::create_dir(folder.join("hello.html")).unwrap();
    for path in ["secret.txt", "pages/.hidden", "pages/sub/.git"] {
        fs::write(outer.path().join(path), "the secret").unwrap();
    }
    let write = |name: &str, text: &[u8]| fs::write(folder.join(name), text).unwrap();
    write("index.html", b"<p>my index");
    write("counter.html", b"<p>mine</p><script>let a;</script>");
    write("sub/index.html", b"<p>sub");
    write("a b.bin", b"\x00\xff");
    write("app.js", b"let plain;");
    write("app.js.gz", b"packed");
    std::os::unix::fs::symlink("../secret.txt", folder.join("link.txt")).unwrap();
    let site = site(&["--html-dir", folder.to_str().unwrap()]);

    let page = |port: u16, path: &str| exchange(port, get(path, ""));
    assert_eq!(page(site.index, "/").body, "<p>my index");
    let counter = page(site.index, "/counter");
    assert!(counter.body.starts_with("<p>mine"), "{counter:?}");
    assert_eq!(page(site.counter, "/any/").body, counter.body);
    // What people write is not blocked.
    let policy = counter.header("Content-Security-Policy");
    assert_eq!(policy, Some("frame-ancestors 'self'"));
    assert_eq!(counter.header("X-Content-Type-Options"), Some("nosniff"));
    let bundled = page(site.index, "/hello");
    assert!(
        bundled.status == 200 && bundled.body.len() > 1000,
        "{bundled:?}"
    );
    assert_eq!(page(site.index, "/sub/").body, "<p>sub");
    let folder_itself = page(site.index, "/sub");
    assert_eq!(
        (folder_itself.status, folder_itself.header("Location")),
        (301, Some("sub/"))
    );
    for path in ["/.hidden", "/sub/.git", "/link.txt", "/none"]
        .iter()
        .chain(&TRAVERSALS[..17])
    {
        let answer = page(site.index, path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        assert!(!answer.body.contains("the secret"), "{path}: {answer:?}");
        let answer = page(site.counter, path);
        assert!(!answer.body.contains("the secret"), "{path}: {answer:?}");
    }
    // What is asked for and not there, or not to be read, is told.
    site.daemon.wait_line("there is no such file");
    site.daemon.wait_line("cannot be served");
    // An edit shows at once, and so does taking it back.
    write("counter.html", b"<p>edited");
    assert_eq!(page(site.index, "/counter").body, "<p>edited");
    fs::remove_file(folder.join("counter.html")).unwrap();
    assert!(page(site.index, "/counter").body.len() > 1000, "bundled");
    // And the socket is at the same address, whatever the page.
    let mut socket = Raw::upgrade(site.index, "/counter");
    assert!(socket.message().text().contains("users"));

    // What a client knows already, wants a part of, or takes packed.
    let ask = |lines: &str| {
        exchange(
            site.index,
            get("/app.js", &(lines.replace('|', "\r\n") + "\r\n")),
        )
    };
    let plain = ask("X: y");
    let (tag, date) = (
        plain.header("ETag").unwrap(),
        plain.header("Last-Modified").unwrap(),
    );
    assert_eq!(
        plain.header("Content-Type"),
        Some("text/javascript; charset=utf-8")
    );
    let rows = [
        (format!("If-None-Match: {tag}"), 304, ""),
        (format!("If-None-Match: \"x\", W/{tag}"), 304, ""),
        ("If-None-Match: \"x\"".to_owned(), 200, "let plain;"),
        (format!("If-Modified-Since: {date}"), 304, ""),
        (
            "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT".to_owned(),
            200,
            "let plain;",
        ),
        ("Range: bytes=4-8".to_owned(), 206, "plain"),
        ("Range: bytes=-6".to_owned(), 206, "plain;"),
        ("Range: bytes=10-".to_owned(), 416, ""),
        (format!("Range: bytes=0-2|If-Range: {tag}"), 206, "let"),
        (
            "Range: bytes=0-2|If-Range: \"x\"".to_owned(),
            200,
            "let plain;",
        ),
        ("Accept-Encoding: br, gzip".to_owned(), 200, "packed"),
        ("Accept-Encoding: gzip;q=0".to_owned(), 200, "let plain;"),
        (
            "Accept-Encoding: gzip|Range: bytes=0-2".to_owned(),
            206,
            "let",
        ),
    ];
    for (lines, status, body) in rows {
        let answer = ask(&lines);
        assert_eq!(answer.status, status, "{lines}: {answer:?}");
        assert!(answer.body.starts_with(body), "{lines}: {answer:?}");
        let encoding = (body == "packed").then_some("gzip");
        assert_eq!(answer.header("Content-Encoding"), encoding, "{lines}");
    }
    let part = ask("Range: bytes=4-8");
    assert_eq!(part.header("Content-Range"), Some("bytes 4-8/10"));
    assert_eq!(
        page(site.index, "/a%20b.bin").header("Content-Type"),
        Some("application/octet-stream")
    );
}

#[test]
fn the_scripts_are_beside_each_page() {
    let site = site(&[]);
    for (name, script) in [
        ("plainws.js", include_str!("../../html/plainws.js")),
        (
            "plainws-chart.js",
            include_str!("../../html/plainws-chart.js"),
        ),
    ] {
        for (port, folder) in [
            (site.index, "/"),
            (site.counter, "/"),
            (site.counter, "/websocket2/"),
        ] {
            let answer = exchange(port, get(&format!("{folder}{name}"), ""));
            assert_eq!(answer.status, 200, "{folder}{name}");
            let media = answer.header("Content-Type");
            assert_eq!(media, Some("text/javascript; charset=utf-8"), "{name}");
            assert_eq!(answer.body, script, "{folder}{name}");
        }
    }
    // At the listener of an application each path is its socket.
    lead_to(site.counter, 200, 101, &["/websocket2/plainws.js"]);
}

#[test]
fn the_pages_of_topics_find_the_scripts_from_below() {
    let site = site(&[]);
    for (path, up) in [("/topic/a/b/c", "../../../"), ("/stream/a", "../")] {
        let page = exchange(site.index, get(path, "Accept: text/html\r\n"));
        let tag = format!("<script src=\"{up}plainws.js\"></script>");
        assert!(page.body.contains(&tag), "{path}: {}", page.head);
        assert!(!page.body.contains("src=\"plainws"), "{path}");
    }
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
