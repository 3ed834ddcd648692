//! What the options do to the connection.

use super::*;

#[test]
fn headers_origin_and_login_are_sent() {
    let (listener, uri) = listener();
    let args = [
        &uri,
        "-H",
        "X-One: 1",
        "--header=X-Two:two: 2",
        "--origin",
        "https://app.example",
    ];
    let mut command = connect(&args);
    command.args(["--user", "me", "--subprotocol", "a", "--subprotocol=b"]);
    command.env("PLAINWS_PASSWORD", "secret");
    let pipe = Pipe::spawn(command);
    let (stream, head) = accept(&listener);
    for line in [
        "X-One: 1",
        "X-Two: two: 2",
        "Origin: https://app.example",
        "Authorization: Basic bWU6c2VjcmV0",
        "Sec-WebSocket-Protocol: a, b",
    ] {
        assert!(head.lines().any(|l| l == line), "{line} in {head}");
    }
    drop(stream);
    assert_eq!(pipe.result().0, 3);
}

#[test]
fn verbose_shows_headers_and_pings_but_no_secret() {
    let (listener, uri) = listener();
    let uri = uri.replace("://", "://me:secret@");
    let pipe = Pipe::new(&[&uri, "-v", "-H", "Cookie: id=hidden"]);
    let (mut stream, _) = accept(&listener);
    let lines = [
        "> GET / HTTP/1.1",
        "> Authorization: ...",
        "> Cookie: ...",
        "< HTTP/1.1 101 Switching Protocols",
        "< Set-Cookie: ...",
    ];
    for line in lines {
        pipe.daemon.wait_line(line);
    }
    // An unmasked ping and a text, of a server.
    stream.write_all(b"\x89\x01p\x81\x05hello").unwrap();
    pipe.daemon.wait_line("hello");
    // A close without a code.
    stream.write_all(b"\x88\x00").unwrap();
    let (code, lines, errors) = pipe.result();
    assert_eq!((code, lines), (0, vec!["hello".to_owned()]));
    let errors = errors.join("\n");
    for secret in ["secret", "bWU6", "hidden", "hello"] {
        assert!(!errors.contains(secret), "{secret} in {errors}");
    }
    assert!(errors.to_lowercase().contains("ping"), "{errors}");
}

#[test]
fn very_verbose_shows_frames() {
    let server = echo();
    let (code, lines, errors) = run(&[&uri(&server), "-vv", "--wait=300ms"], "hello\n");
    assert_eq!((code, lines), (0, vec!["hello".to_owned()]));
    let errors = errors.join("\n");
    for line in ["> TEXT \"hello\" [5 bytes]", "< TEXT \"hello\" [5 bytes]"] {
        assert!(errors.contains(line), "{line} in {errors}");
    }
}

#[test]
fn a_unix_socket_is_another_way_to_the_host_of_the_uri() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket").display().to_string();
    let handler = |ws: &Connection| {
        ws.send(ws.request().header("Host").unwrap_or_default())?;
        Ok(())
    };
    let server = Server::builder(handler).listen(format!("unix:{path}").as_str());
    let _server = server.start().unwrap();
    let result = run(&["ws://app.example/", "--unix", &path], "");
    assert_eq!(result, (0, vec!["app.example".to_owned()], vec![]));
    let (code, _, errors) = run(&["ws://app.example/", "--unix", "/no/such"], "");
    assert_eq!(code, 1);
    assert!(
        errors[0].starts_with("cannot connect to unix:/no/such: "),
        "{errors:?}"
    );
}

#[test]
fn a_proxy_is_asked_unless_it_is_off() {
    let (listener, proxy) = listener();
    let proxy = proxy.replace("ws://", "http://me:secret@");
    let mut command = connect(&["ws://app.example/"]);
    command.env("http_proxy", &proxy);
    let pipe = Pipe::spawn(command);
    let (mut stream, _) = listener.accept().unwrap();
    let head = read_head(&mut stream);
    assert!(
        head.starts_with("CONNECT app.example:80 HTTP/1.1\r\n"),
        "{head}"
    );
    stream
        .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
        .unwrap();
    let (code, _, errors) = pipe.result();
    assert_eq!(code, 1);
    assert!(errors[0].contains("answered HTTP 407"), "{errors:?}");
    assert!(!errors[0].contains("secret"), "{errors:?}");

    let server = echo();
    let uri = uri(&server);
    let mut command = connect(&[&uri, "--proxy=off", "--one", "--message=x"]);
    command.env("http_proxy", &proxy);
    assert_eq!(Pipe::spawn(command).result().0, 0);
}

#[test]
fn limits_hold() {
    let server = Server::builder(|ws: &Connection| {
        ws.send("more than twenty bytes")?;
        ws.recv().map(drop)
    });
    let server = server.listen("127.0.0.1:0").start().unwrap();
    let (code, lines, errors) = run(&[&uri(&server), "--max-size=20"], "");
    assert_eq!((code, lines.len()), (3, 0));
    assert!(
        errors[0].starts_with("Connection closed: 1009 (message too big)"),
        "{errors:?}"
    );

    // It accepts and never answers.
    let (_listener, uri) = listener();
    let start = Instant::now();
    let (code, _, errors) = run(&[&uri, "--open-timeout=300ms"], "");
    assert_eq!(code, 1);
    assert!(errors[0].contains("within 300ms"), "{errors:?}");
    assert!(start.elapsed() < Duration::from_secs(8));

    // It reads and says nothing more.
    let (listener, uri) = super::listener();
    let pipe = Pipe::new(&[&uri, "--ping-interval=50ms", "--ping-timeout=200ms"]);
    let (_stream, _) = accept(&listener);
    let (code, _, errors) = pipe.result();
    assert_eq!(code, 3);
    assert!(errors[0].starts_with("Connection closed: "), "{errors:?}");
}

#[test]
fn wrong_usage_is_a_sentence_and_exit_code_2() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "<URI>"),
        (&["http://localhost/"], "ws://HOST"),
        (&["localhost:8765"], "ws://HOST"),
        (&["ws://h", "-H", "no colon"], "NAME: VALUE"),
        (&["ws://h", "-H", "a b: c"], "header"),
        (&["ws://h", "--subprotocol", "a b"], "a b"),
        (&["ws://h", "--message", "x"], "--one"),
        (&["ws://h", "--one", "--reconnect"], "--reconnect"),
        (&["ws://h", "--reconnect=0"], "above 0"),
        (&["ws://h", "--unix=/s", "--proxy=off"], "--proxy"),
        (&["ws://h", "--wait=soon"], "500ms"),
        (&["ws://h", "--max-size=0"], "64KiB"),
        (&["ws://h", "--open-timeout=10"], "10s"),
        (&["ws://h", "--ping-interval=0s"], "or off"),
        (&["ws://h", "--key=k"], "--cert"),
        (&["ws://h", "--insecure", "--ca=f"], "--ca"),
    ];
    for (args, hint) in cases {
        let (code, lines, errors) = run(args, "");
        let errors = errors.join("\n");
        assert_eq!((code, lines.len()), (2, 0), "{args:?}: {errors}");
        assert!(
            errors.contains(hint),
            "{args:?} should say {hint:?}: {errors}"
        );
        assert!(!errors.contains("panicked"), "{args:?}: {errors}");
    }
    // No terminal to ask at, and no variable.
    let mut session = Command::new("setsid");
    let client = connect(&["ws://h", "--user", "me"]);
    session
        .arg("--wait")
        .arg(client.get_program())
        .args(client.get_args());
    session.env_remove("PLAINWS_PASSWORD");
    let (code, _, errors) = Pipe::spawn(session).result();
    assert_eq!(code, 2);
    assert!(errors[0].contains("set PLAINWS_PASSWORD"), "{errors:?}");
}
