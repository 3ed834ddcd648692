//! Who may connect, by Origin and Host.

use super::*;

/// Opening requests to this host with these origins, each `https://` unless it has a scheme or is
/// special, get the status; ` & ` separates two of them, `|` two lines of one.
#[track_caller]
fn expect_origins(port: u16, host: &str, status: u16, origins: &[&str]) {
    let request = |origin: &str| {
        let lines: String = match origin {
            "no line" => String::new(),
            origin => origin
                .split('|')
                .map(|o| format!("Origin: {o}\r\n"))
                .collect(),
        };
        upgrade_request("/counter", &lines).replace("Host: localhost", &format!("Host: {host}"))
    };
    let origins = origins.iter().flat_map(|row| row.split(" & "));
    expect(port, status, origins.map(request));
}

#[test]
fn by_default_pages_of_the_same_host_may_connect() {
    let site = site(&[]);
    let port = site.counter;
    let same = [
        "no line & null & http://app.example & https://app.example & HTTPS://APP.EXAMPLE",
        "https://app.example:443 & http://app.example:80",
    ];
    expect_origins(port, "app.example", 101, &same);
    let others = [
        " & https://evil.zqx & https://app.example.zqx & https://zqxapp.example",
        "https://app.exampl & https://app.example:444 & https://app.example@zqx",
        "https://zqx@app.example & https://app.example/ & https://app.example/zqx",
        "https://app.example?zqx & https://app.example, https://zqx",
        "https://app.example https://zqx & app.example & //app.example & https:// & file://",
        "Null & *",
        // Cyrillic а, in UTF-8 and as browsers write it.
        "https://\u{430}pp.example & https://xn--pp-7kc.example",
        "https://app.example|https://app.example & https://app.example|https://zqx",
        "null|https://zqx",
        // What a proxy adds changes nothing.
        "https://zqx\r\nX-Forwarded-Host: zqx\r\nForwarded: host=zqx",
    ];
    expect_origins(port, "app.example", 403, &others);
    let host = "app.example:8080";
    expect_origins(
        port,
        host,
        101,
        &["http://app.example:8080 & https://app.example:8080"],
    );
    for wrong in ["", ":80", ":8081", ":80800"] {
        expect_origins(port, host, 403, &[&format!("http://app.example{wrong}")]);
    }
    expect_origins(port, "[::1]:8080", 101, &["http://[::1]:8080"]);
    let others = ["http://[::1] & http://[::2]:8080"];
    expect_origins(port, "[::1]:8080", 403, &others);
}

#[test]
fn a_list_of_origins_replaces_the_default() {
    let list = |origins: &[&str]| {
        let args: Vec<String> = origins.iter().map(|o| format!("--origin={o}")).collect();
        site(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let listed = list(&[
        "https://app.example",
        "http://localhost:8080",
        "https://other:444",
    ]);
    let fine = [
        "https://app.example & HTTPS://APP.EXAMPLE & https://app.example:443",
        "http://localhost:8080 & https://other:444",
    ];
    expect_origins(listed.counter, "localhost", 101, &fine);
    let wrong = [
        "no line &  & null & none & http://localhost & https://localhost:8080",
        "http://app.example & http://app.example:443 & https://app.example:444",
        "https://app.example:4433 & https://app.example.zqx & https://app.exampl",
        "https://app.example/ & https://app.example@zqx",
        "https://app.example|https://app.example",
        // A port is digits.
        "https://other:+444 & https://other:0444",
    ];
    expect_origins(listed.counter, "localhost", 403, &wrong);
    // A page is for everybody.
    expect(
        listed.counter,
        200,
        [get("/counter", "Origin: https://zqx\r\n")],
    );

    let special = list(&["none", "null"]);
    expect_origins(special.counter, "localhost", 101, &["no line", "null"]);
    expect_origins(special.counter, "localhost", 403, &["http://localhost", ""]);
}

#[test]
fn a_list_of_hosts_is_for_pages_and_sockets() {
    let site = site(&["--host", "app.example", "--host", "[::1]"]);
    let served = [
        "app.example",
        "APP.example",
        "app.example:8080",
        "[::1]",
        "[::1]:8080",
    ];
    let others = [
        "localhost",
        "127.0.0.1",
        "zqx.example",
        "app.example.zqx",
        "zqxapp.example",
        "app.exampl",
        "[::2]",
    ];
    let page = |host: &str| head(&format!("GET /counter HTTP/1.1|Host: {host}"));
    // As a page of a name that was made to resolve to us.
    let socket = |host: &str| {
        let request = upgrade_request("/counter", &format!("Origin: http://{host}\r\n"));
        request.replace("Host: localhost", &format!("Host: {host}"))
    };
    for port in [site.index, site.counter] {
        expect(port, 200, served.map(page));
        expect(port, 101, served.map(socket));
        expect(port, 403, others.map(page));
        expect(port, 403, others.map(socket));
    }
    // No Host is none of them.
    let heads = [
        "GET /counter HTTP/1.0",
        "GET http://zqx/counter HTTP/1.1|Host: zqx",
    ];
    expect(site.counter, 403, heads.map(head));
}
