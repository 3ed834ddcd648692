//! What the options do to the connection.

use super::*;

#[test]
fn headers_origin_and_login_are_sent() {
    let (listener, uri) = listener();
    let headers = ["-H", "X-One: 1", "--header=X-Two:two: 2"];
    let more = ["--origin", "https://app.example", "--user", "me"];
    let offers = ["--subprotocol", "a", "--subprotocol=b"];
    let mut command = connect(&[&[&*uri][..], &headers, &more, &offers].concat());
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
fn verbose_shows_headers_pings_and_frames_but_no_secret() {
    let (listener, uri) = listener();
    let uri = uri.replace("://", "://me:secret@");
    let pipe = Pipe::new(&[&uri, "-v", "-H", "Cookie: id=hidden"]);
    let (mut stream, _) = accept(&listener);
    // An unmasked ping and a text, of a server; then a close without a code.
    stream.write_all(b"\x89\x01p\x81\x05hello\x88\x00").unwrap();
    let (code, lines, errors) = pipe.result();
    assert_eq!((code, lines), (0, vec!["hello".to_owned()]));
    for line in [
        "> GET / HTTP/1.1",
        "> Authorization: ...",
        "> Cookie: ...",
        "< HTTP/1.1 101 Switching Protocols",
        "< Set-Cookie: ...",
        "< PING",
    ] {
        let told = errors.iter().any(|told| told.contains(line));
        assert!(told, "{line} in {errors:#?}");
    }
    let errors = errors.join("\n");
    for secret in ["secret", "bWU6", "hidden", "hello"] {
        assert!(!errors.contains(secret), "{secret} in {errors}");
    }
    let server = start(echo);
    let (_, _, errors) = run(&[&super::uri(&server), "-vv", "--wait=300ms"], "hello\n");
    let errors = errors.join("\n");
    for line in ["> TEXT \"hello\" [5 bytes]", "< TEXT \"hello\" [5 bytes]"] {
        assert!(errors.contains(line), "{line} in {errors}");
    }
}

#[test]
fn a_unix_socket_is_another_way_to_the_host_of_the_uri() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let open = path("open");
    let server = Server::builder(|ws: &Connection| {
        let host = ws.request().header("Host").unwrap_or_default();
        ws.send(host.to_owned())
    });
    let server = server.listen(format!("unix:{open}").as_str()).start();
    let _server = server.unwrap();
    let through = |path: &str| {
        let args = ["ws://app.example/", "--open-timeout=300ms"];
        run(&[&args[..], &["--unix", path]].concat(), "")
    };
    printed(through(&open), "app.example");
    failed(through("/no/such"), 1, "cannot connect to unix:/no/such: ");
    // One that takes nobody: there is room for one in its queue.
    let full = path("full");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let socket = socket.unwrap();
    let address = socket2::SockAddr::unix(&full).unwrap();
    socket.bind(&address).unwrap();
    socket.listen(0).unwrap();
    let _queued = std::os::unix::net::UnixStream::connect(&full).unwrap();
    failed(
        through(&full),
        1,
        &format!("cannot connect to unix:{full}: "),
    );
}

#[test]
fn a_proxy_is_asked_unless_it_is_off() {
    let (listener, proxy) = listener();
    let with_proxy = |args: &[&str]| {
        let mut command = connect(args);
        command.env("http_proxy", proxy.replace("ws://", "http://me:secret@"));
        Pipe::spawn(command)
    };
    let pipe = with_proxy(&["ws://app.example/"]);
    let mut asked = Raw::new(listener.accept().unwrap().0);
    let connect = asked.until("\r\n\r\n");
    let to = "CONNECT app.example:80 HTTP/1.1\r\n";
    assert!(connect.starts_with(to), "{connect}");
    asked.send(b"HTTP/1.1 407 x\r\nContent-Length: 2\r\n\r\nno");
    let result = pipe.result();
    assert!(!result.2[0].contains("secret"), "{result:?}");
    failed(result, 1, "answered HTTP 407");

    let server = start(echo);
    let off = [&*uri(&server), "--proxy=off", "--one", "--message=x"];
    printed(with_proxy(&off).result(), "x");
}

#[test]
fn limits_hold() {
    let server = start(|ws| {
        ws.send("more than twenty bytes")?;
        ws.recv().map(drop)
    });
    let result = run(&[&uri(&server), "--max-size=20"], "");
    failed(result, 3, "Connection closed: 1009 (message too big)");

    // It accepts and never answers.
    let (_listener, uri) = listener();
    let start = Instant::now();
    failed(run(&[&uri, "--open-timeout=300ms"], ""), 1, "within 300ms");
    assert!(start.elapsed() < Duration::from_secs(8));

    // It reads and says nothing more.
    let (listener, uri) = super::listener();
    let pipe = Pipe::new(&[&uri, "--ping-interval=50ms", "--ping-timeout=200ms"]);
    let (_stream, _) = accept(&listener);
    failed(pipe.result(), 3, "Connection closed: ");
}

#[test]
fn wrong_usage_is_a_sentence_and_exit_code_2() {
    let mut wrong = String::new();
    for row in "
        : <URI>
        http://localhost/ : ws://HOST
        localhost:8765 : ws://HOST
        ws://h -H no-colon : NAME: VALUE
        ws://h -H [x]:c : header
        ws://h --subprotocol a,b : a,b
        ws://h --message x : --one
        ws://h --one --reconnect : --reconnect
        ws://h --reconnect=0 : above 0
        ws://h --unix=/s --proxy=off : --proxy
        ws://h --wait=soon : 500ms
        ws://h --max-size=0 : 64KiB
        ws://h --open-timeout=10x : 10s
        ws://h --ping-interval=0s : or off
        ws://h --key=k : --cert
        ws://h --insecure --ca=f : --ca"
        .trim()
        .lines()
    {
        let (args, hint) = row.trim().split_once(": ").unwrap();
        let args: Vec<&str> = args.split_whitespace().collect();
        let (code, lines, errors) = run(&args, "");
        let errors = errors.join("\n");
        let told = errors.contains(hint) && !errors.contains("panicked");
        if (code, lines.len(), told) != (2, 0, true) {
            wrong += &format!("\n{row}: {code}, {errors}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    // No terminal to ask at, and no variable.
    let mut session = Command::new("setsid");
    let client = connect(&["ws://h", "--user", "me"]);
    session.arg("--wait").arg(client.get_program());
    session.args(client.get_args());
    session.env_remove("PLAINWS_PASSWORD");
    failed(Pipe::spawn(session).result(), 2, "set PLAINWS_PASSWORD");
}
