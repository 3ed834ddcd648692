//! Paths and pages.

use super::*;

/// What a path leads to: a GET without upgrade, and one with.
fn leads_to(port: u16, path: &str) -> (u16, u16) {
    let page = exchange(port, get(path, ""));
    assert_eq!(blemish(&page, false), None, "{path}");
    let socket = exchange(port, upgrade_request(path, ""));
    (page.status, socket.status)
}

#[test]
fn one_url_is_page_and_socket() {
    let site = site(&[]);
    let title = |answer: &Answer| {
        let (_, rest) = answer.body.split_once("<title>").expect("a title");
        let (title, _) = rest.split_once("</title>").expect("its end");
        title.to_lowercase()
    };
    for port in [site.index, site.counter] {
        for app in ["hello", "clock", "counter"] {
            let path = format!("/{app}");
            // nginx sends this where the browser asked for no upgrade.
            for more in ["", "Connection: upgrade\r\n", "Upgrade: h2c\r\n"] {
                let page = exchange(port, get(&path, more));
                assert_eq!(page.status, 200, "{path} {more:?}");
                assert_eq!(
                    page.header("Content-Type"),
                    Some("text/html; charset=utf-8")
                );
                assert!(title(&page).contains(app), "{path}: {:?}", title(&page));
            }
            let mut socket = Raw::upgrade(port, &path);
            let first = match app {
                "hello" => {
                    socket.send(&raw::text("Ada"));
                    socket.message().text()
                }
                _ => socket.message().text(),
            };
            let expected = match app {
                "hello" => "Hello Ada!",
                "clock" => ", sent by the server over WebSocket.",
                _ => r#"{"type":"users","count":"#,
            };
            assert!(first.contains(expected), "{path}: {first}");
        }
    }
}

#[test]
fn paths_of_a_listener_without_an_application() {
    let site = site(&[]);
    let rows = [
        ("/", 200, 404),
        ("/?counter", 200, 404),
        ("/counter", 200, 101),
        ("/counter?x=/hello", 200, 101),
        ("/healthz", 200, 200),
        ("/counter/", 404, 404),
        ("/Counter", 404, 404),
        ("/counter.html", 404, 404),
        ("/index.html", 404, 404),
        ("/INDEX.HTML", 404, 404),
        ("/index.html/", 404, 404),
        ("/zqx", 404, 404),
        ("/zqx/", 404, 404),
        ("/favicon.ico", 404, 404),
        ("/hello/counter", 404, 404),
        ("/%63ounter", 404, 404),
        ("//counter", 404, 404),
    ];
    for (path, page, socket) in rows {
        assert_eq!(leads_to(site.index, path), (page, socket), "{path}");
    }
    let query = format!("/?{}", "a=1&".repeat(500));
    assert_eq!(leads_to(site.index, &query), (200, 404), "a long query");
}

#[test]
fn paths_of_a_listener_with_an_application() {
    let site = site(&[]);
    let rows = [
        ("/", 200, 101),
        ("/websocket2", 426, 101),
        ("/websocket2/", 200, 101),
        ("/websocket2?x", 426, 101),
        ("/websocket2/?x", 200, 101),
        ("/a/b/c", 426, 101),
        ("/a/b/c/", 200, 101),
        ("/counter", 200, 101),
        ("/hello", 200, 101),
        ("/clock", 200, 101),
        ("/healthz", 200, 200),
        ("/index.html", 426, 101),
        ("/%2e%2e%2fetc", 426, 101),
    ];
    for (path, page, socket) in rows {
        assert_eq!(leads_to(site.counter, path), (page, socket), "{path}");
    }
    let page = exchange(site.counter, get("/websocket2/", "")).body;
    assert_eq!(page, exchange(site.index, get("/counter", "")).body);
    let mut socket = Raw::upgrade(site.counter, "/websocket2");
    assert!(socket.message().text().contains("users"));
}

#[test]
fn absolute_form_is_a_path_of_that_host() {
    let site = site(&[]);
    let absolute = |url: &str| get("/", "").replace("GET /", &format!("GET {url}"));
    expect(
        site.index,
        &[
            row("a page", absolute("http://localhost/counter"), 200),
            row("in capitals", absolute("HTTP://LOCALHOST/counter"), 200),
            row("no path", absolute("http://localhost"), 200),
            row("a query only", absolute("http://localhost?x"), 200),
            row("an unknown path", absolute("http://localhost/zqx"), 404),
        ],
    );
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
    fs::create_dir(&folder).unwrap();
    fs::create_dir(folder.join("sub")).unwrap();
    let secret = "the secret";
    for path in ["secret.txt", "pages/secret.txt", "pages/sub/index.html"] {
        fs::write(outer.path().join(path), secret).unwrap();
    }
    fs::write(folder.join("index.html"), "<p>my index").unwrap();
    fs::write(folder.join("counter.html"), "<p>my counter").unwrap();
    fs::write(folder.join("clock.html"), b"<p>\xff").unwrap();
    let site = site(&["--html-dir", folder.to_str().unwrap()]);

    let page = |port: u16, path: &str| exchange(port, get(path, ""));
    assert_eq!(page(site.index, "/").body, "<p>my index");
    assert_eq!(page(site.index, "/counter").body, "<p>my counter");
    assert_eq!(page(site.counter, "/any/").body, "<p>my counter");
    for app in ["hello", "clock"] {
        let bundled = page(site.index, &format!("/{app}"));
        assert_eq!(bundled.status, 200, "{app}");
        assert!(bundled.body.len() > 1000, "{app} is the bundled page");
    }
    site.daemon.wait_line("clock.html");

    let plain = ["/secret.txt", "/sub/", "/sub/index.html", "/pages/"];
    for path in plain.iter().chain(&TRAVERSALS) {
        let answer = page(site.index, path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        assert_eq!(blemish(&answer, false), None, "{path}");
        let answer = page(site.counter, path);
        assert!(
            matches!(answer.status, 200 | 400 | 426),
            "{path}: {answer:?}"
        );
        if answer.status == 200 {
            assert_eq!(answer.body, "<p>my counter", "{path}");
        }
    }

    fs::write(folder.join("counter.html"), "<p>edited").unwrap();
    assert_eq!(page(site.index, "/counter").body, "<p>edited");
    fs::remove_file(folder.join("counter.html")).unwrap();
    assert!(page(site.index, "/counter").body.len() > 1000, "bundled");
}

#[test]
fn traversals_lead_nowhere() {
    let site = site(&[]);
    let rows: Vec<_> = TRAVERSALS.map(|path| row(path, get(path, ""), 404)).into();
    expect(site.index, &rows);
}

#[test]
fn pages_forbid_what_they_do_not_need() {
    let site = site(&[]);
    for path in ["/", "/hello", "/clock", "/counter"] {
        let page = exchange(site.index, get(path, ""));
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(blemish(&page, false), None, "{path}");
        assert_eq!(page.header("Cache-Control"), Some("no-cache"), "{path}");
        let policy = page.header("Content-Security-Policy").expect("a policy");
        for part in [
            "style-src 'sha256-",
            "connect-src ws: wss:",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        if path != "/" {
            assert!(policy.contains("script-src 'sha256-"), "{path}: {policy}");
        }
    }
}

#[test]
fn head_is_get_without_the_body() {
    let site = site(&[]);
    for path in ["/", "/counter", "/healthz", "/none", "/websocket2"] {
        for port in [site.index, site.counter] {
            let get = get(path, "");
            let with = exchange(port, &get);
            let without = exchange(port, get.replace("GET", "HEAD"));
            assert_eq!(without.body, "", "{path}");
            assert_eq!(blemish(&without, true), None, "{path}");
            // They may have been made in two different seconds.
            let head = |answer: &Answer| {
                let lines = answer
                    .head
                    .lines()
                    .filter(|line| !line.starts_with("Date:"));
                lines.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(head(&with), head(&without), "{path}");
        }
    }
}

#[test]
fn http_1_0_gets_pages() {
    let site = site(&[]);
    let old = |lines: &str| format!("GET /counter HTTP/1.0\r\n{lines}\r\n");
    expect(
        site.index,
        &[
            row("without Host", old(""), 200),
            row("with Host", old("Host: localhost\r\n"), 200),
            row("kept alive", old("Connection: keep-alive\r\n"), 200),
        ],
    );
}

#[test]
fn a_health_check_is_answered_at_every_listener() {
    let site = site(&[]);
    for port in [site.index, site.counter] {
        for path in ["/healthz", "/healthz?x"] {
            let answer = exchange(port, get(path, ""));
            assert_eq!((answer.status, &*answer.body), (200, "ok"), "{path}");
            assert_eq!(blemish(&answer, false), None, "{path}");
        }
    }
}
