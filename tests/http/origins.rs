//! Who may connect, by Origin and Host, and what the log says of who may not.

use super::*;

/// The statuses of opening requests with these `Host` and `Origin` lines.
#[track_caller]
fn expect_origins(port: u16, host: &str, rows: &[(&str, u16)]) {
    let mut wrong = String::new();
    for (lines, status) in rows {
        let request = upgrade_request("/counter", lines);
        let request = request.replace("Host: localhost", &format!("Host: {host}"));
        let answer = exchange(port, request);
        if answer.status != *status {
            let got = answer.status;
            wrong += &format!("\n  {lines:?}: awaited {status}, got {got}");
        }
        if answer.status != 101 {
            assert_eq!(blemish(&answer, false), None, "{lines}");
        }
    }
    assert!(wrong.is_empty(), "with Host {host}:{wrong}");
}

#[test]
fn by_default_pages_of_the_same_host_may_connect() {
    let site = site(&[]);
    let port = site.counter;
    expect_origins(
        port,
        "app.example",
        &[
            ("", 101),
            ("Origin: null\r\n", 101),
            ("Origin: http://app.example\r\n", 101),
            ("Origin: https://app.example\r\n", 101),
            ("Origin: HTTPS://APP.EXAMPLE\r\n", 101),
            ("Origin: https://app.example:443\r\n", 101),
            ("Origin: http://app.example:80\r\n", 101),
            ("Origin:\r\n", 403),
            ("Origin: https://evil.zqx\r\n", 403),
            ("Origin: https://app.example.zqx\r\n", 403),
            ("Origin: https://zqxapp.example\r\n", 403),
            ("Origin: https://app.exampl\r\n", 403),
            ("Origin: https://app.example:444\r\n", 403),
            ("Origin: https://app.example@zqx\r\n", 403),
            ("Origin: https://zqx@app.example\r\n", 403),
            ("Origin: https://app.example/\r\n", 403),
            ("Origin: https://app.example/zqx\r\n", 403),
            ("Origin: https://app.example?zqx\r\n", 403),
            ("Origin: https://app.example, https://zqx\r\n", 403),
            ("Origin: https://app.example https://zqx\r\n", 403),
            ("Origin: app.example\r\n", 403),
            ("Origin: //app.example\r\n", 403),
            ("Origin: https://\r\n", 403),
            ("Origin: file://\r\n", 403),
            ("Origin: Null\r\n", 403),
            ("Origin: *\r\n", 403),
            // Cyrillic а, in UTF-8 and as browsers write it.
            ("Origin: https://\u{430}pp.example\r\n", 403),
            ("Origin: https://xn--pp-7kc.example\r\n", 403),
            (
                "Origin: https://app.example\r\nOrigin: https://app.example\r\n",
                403,
            ),
            (
                "Origin: https://app.example\r\nOrigin: https://zqx\r\n",
                403,
            ),
            ("Origin: null\r\nOrigin: https://zqx\r\n", 403),
            // What a proxy adds changes nothing.
            (
                "Origin: https://zqx\r\nX-Forwarded-Host: zqx\r\nForwarded: host=zqx\r\n",
                403,
            ),
        ],
    );
    expect_origins(
        port,
        "app.example:8080",
        &[
            ("Origin: http://app.example:8080\r\n", 101),
            ("Origin: https://app.example:8080\r\n", 101),
            ("Origin: http://app.example\r\n", 403),
            ("Origin: http://app.example:80\r\n", 403),
            ("Origin: http://app.example:8081\r\n", 403),
            ("Origin: http://app.example:80800\r\n", 403),
        ],
    );
    expect_origins(
        port,
        "[::1]:8080",
        &[
            ("Origin: http://[::1]:8080\r\n", 101),
            ("Origin: http://[::1]\r\n", 403),
            ("Origin: http://[::2]:8080\r\n", 403),
        ],
    );
}

#[test]
fn a_list_of_origins_replaces_the_default() {
    let args = [
        "--origin",
        "https://app.example",
        "--origin",
        "http://localhost:8080",
    ];
    let site = site(&args);
    expect_origins(
        site.counter,
        "localhost",
        &[
            ("Origin: https://app.example\r\n", 101),
            ("Origin: HTTPS://APP.EXAMPLE\r\n", 101),
            ("Origin: https://app.example:443\r\n", 101),
            ("Origin: http://localhost:8080\r\n", 101),
            ("", 403),
            ("Origin:\r\n", 403),
            ("Origin: null\r\n", 403),
            ("Origin: none\r\n", 403),
            ("Origin: http://localhost\r\n", 403),
            ("Origin: https://localhost:8080\r\n", 403),
            ("Origin: http://app.example\r\n", 403),
            ("Origin: http://app.example:443\r\n", 403),
            ("Origin: https://app.example:444\r\n", 403),
            ("Origin: https://app.example:4433\r\n", 403),
            ("Origin: https://app.example.zqx\r\n", 403),
            ("Origin: https://app.exampl\r\n", 403),
            ("Origin: https://app.example/\r\n", 403),
            ("Origin: https://app.example@zqx\r\n", 403),
            (
                "Origin: https://app.example\r\nOrigin: https://app.example\r\n",
                403,
            ),
        ],
    );
    let page = exchange(site.counter, get("/counter", "Origin: https://zqx\r\n"));
    assert_eq!(page.status, 200, "a page is for everybody");
}

#[test]
fn a_list_of_origins_may_name_no_origin_and_null() {
    let site = site(&["--origin", "none", "--origin", "null"]);
    expect_origins(
        site.counter,
        "localhost",
        &[
            ("", 101),
            ("Origin: null\r\n", 101),
            ("Origin: http://localhost\r\n", 403),
            ("Origin:\r\n", 403),
        ],
    );
}

#[test]
fn a_port_of_an_origin_is_digits() {
    let site = site(&["--origin", "https://app.example:444"]);
    expect_origins(
        site.counter,
        "localhost",
        &[
            ("Origin: https://app.example:444\r\n", 101),
            ("Origin: https://app.example:+444\r\n", 403),
            ("Origin: https://app.example:0444\r\n", 403),
        ],
    );
}

#[test]
fn a_list_of_hosts_is_for_pages_and_sockets() {
    let site = site(&["--host", "app.example", "--host", "[::1]"]);
    let rows = [
        ("app.example", true),
        ("APP.example", true),
        ("app.example:8080", true),
        ("[::1]", true),
        ("[::1]:8080", true),
        ("localhost", false),
        ("127.0.0.1", false),
        ("zqx.example", false),
        ("app.example.zqx", false),
        ("zqxapp.example", false),
        ("app.exampl", false),
        ("[::2]", false),
    ];
    for (host, served) in rows {
        let to = |request: String| request.replace("Host: localhost", &format!("Host: {host}"));
        for port in [site.index, site.counter] {
            let page = exchange(port, to(get("/counter", "")));
            assert_eq!(page.status, if served { 200 } else { 403 }, "{host}");
            assert_eq!(blemish(&page, false), None, "{host}");
            // As a page of a name that was made to resolve to us.
            let same = format!("Origin: http://{host}\r\n");
            let socket = exchange(port, to(upgrade_request("/counter", &same)));
            assert_eq!(socket.status, if served { 101 } else { 403 }, "{host}");
        }
    }
    let old = exchange(site.counter, "GET /counter HTTP/1.0\r\n\r\n");
    assert_eq!(old.status, 403, "no Host is none of them");
    let absolute = "GET http://zqx/counter HTTP/1.1\r\nHost: zqx\r\n\r\n";
    assert_eq!(exchange(site.counter, absolute).status, 403);
}

#[test]
fn requests_are_logged_on_one_short_line_without_control_characters() {
    let site = site(&["-vv"]);
    let nasty = [
        "/a%0d%0a[ERROR]%20zqx",
        "/%1b[31m",
        "/<script>alert(1)</script>",
        "/\"quoted\"'and'|piped|",
        "/\\r\\n\\x1b",
    ];
    let long = format!("/{}", "z".repeat(2000));
    let values = [
        "Origin: https://\u{202e}zqx\u{85}\r\n",
        "User-Agent: zqx\u{9b}31m\r\n",
        "X-Forwarded-For: zqx\u{2028}zqx\r\n",
        "Sec-WebSocket-Protocol: \u{2066}zqx\r\n",
    ];
    for path in nasty.iter().copied().chain([&*long]) {
        exchange(site.index, get(path, ""));
        drop(Raw::upgrade(site.counter, path));
        for value in values {
            exchange(site.counter, upgrade_request(path, value));
        }
    }
    exchange(site.counter, "GET /\u{1b}[31m\r\n\r\n");
    exchange(site.counter, "GET /\u{9b}31m HTTP/1.1\r\n\r\n");
    exchange(site.counter, "\u{7}\r\n\r\n");
    // The end of the last connection is told after its answer.
    let seen = || {
        let lines = site.daemon.lines();
        let ends = lines
            .iter()
            .filter(|line| line.contains("handshake refused"));
        (ends.count() >= nasty.len() + 1 + 3).then_some(lines)
    };
    let lines = wait_until("the lines of all refusals", PATIENCE, seen);
    for line in &lines {
        assert!(!is_raw(line), "{line:?}");
        assert!(line.len() < 500, "a line of {} bytes: {line}", line.len());
        let level = ["[INFO]", "[DEBUG]"]
            .iter()
            .any(|level| line.contains(level));
        assert!(level && !line.contains("[ERROR]\u{20}zqx"), "{line:?}");
    }
}
