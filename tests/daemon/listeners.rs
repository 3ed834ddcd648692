//! Where it listens, and whose pages it serves.

use super::*;

#[test]
fn start_up_tells_each_listener_as_the_readme_shows() {
    let readme = include_str!("../../README.md");
    let shown = readme.lines().filter_map(|line| {
        let (_time, said) = line.split_once(" [INFO] ")?;
        said.split_once(" at ")
    });
    let shown: Vec<(&str, &str)> = shown.collect();
    assert_eq!(shown.len(), 3, "the README shows the three listeners");
    let listen = shown.iter().flat_map(|(app, _)| {
        let address = format!("{app}=127.0.0.1:0");
        ["--listen".to_owned(), address]
    });
    let args: Vec<String> = ["serve".to_owned()].into_iter().chain(listen).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let daemon = plainws(&args);
    for (app, url) in &shown {
        let line = daemon.wait_line(&format!("{app} at "));
        let port = url_port(&line);
        let expected = format!("{app} at {url}");
        let with_port = expected.replace(&url_port(url).to_string(), &port.to_string());
        assert_eq!(said(&line), with_port);
        let page = exchange(port, get("/", ""));
        assert_eq!(page.status, 200);
        assert!(
            page.body
                .to_lowercase()
                .contains(&format!("<h1>{app}</h1>"))
        );
    }
    assert_eq!(stopped(daemon).len(), 5, "a line each, and two for the end");
}

#[test]
fn start_up_tells_what_is_no_tcp_port_of_this_host_too() {
    let directory = directory();
    let address = format!("hello={}", unix(&directory));
    let daemon = plainws(&["serve", "--listen", "127.0.0.1:0", "--listen", &address]);
    let index = daemon.wait_line("index at ");
    let port = url_port(&index);
    assert_eq!(said(&index), format!("index at http://127.0.0.1:{port}/"));
    let hello = daemon.wait_line("hello at ");
    assert_eq!(said(&hello), format!("hello at {}", unix(&directory)));
}

#[test]
fn a_colon_and_a_port_is_both_families() {
    let daemon = plainws(&["serve", "-v", "--listen", "hello=:0"]);
    let line = daemon.wait_line("hello at ");
    let port = url_port(&line);
    let all = format!("hello at http://localhost:{port}/ and all addresses of this host");
    assert_eq!(said(&line), all);
    let mut hosts = vec!["127.0.0.1"];
    if has_ipv6() {
        hosts.push("[::1]");
    } else {
        eprintln!("only IPv4 was tried, as this machine has no IPv6");
    }
    for host in hosts {
        let ws = plainws::connect(&format!("ws://{host}:{port}/")).unwrap();
        ws.send("Rust").unwrap();
        assert_eq!(text(&ws), "Hello Rust!");
        // As people write it, not ::ffff:127.0.0.1.
        daemon.wait_line(&format!(" {} / opened", ws.local_addr()));
    }
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    if !has_ipv6() {
        return eprintln!("skipped: this machine has no IPv6");
    }
    let daemon = plainws(&["serve", "--listen", "hello=[::1]:0"]);
    let line = daemon.wait_line("hello at ");
    let port = url_port(&line);
    assert_eq!(said(&line), format!("hello at http://[::1]:{port}/"));
    let ws = plainws::connect(&format!("ws://[::1]:{port}/")).unwrap();
    ws.send("Rust").unwrap();
    assert_eq!(text(&ws), "Hello Rust!");
    let v4 = TcpStream::connect(("127.0.0.1", port));
    assert!(v4.is_err(), "one address is one address");
}

#[test]
fn a_name_is_all_its_addresses_at_one_port() {
    let daemon = plainws(&["serve", "--listen", "hello=localhost:0"]);
    let port = url_port(&daemon.wait_line("hello at "));
    let ws = plainws::connect(&format!("ws://localhost:{port}/")).unwrap();
    ws.send("Rust").unwrap();
    assert_eq!(text(&ws), "Hello Rust!");
    for line in &stopped(daemon)[..] {
        let other = line.contains(" at ") && url_port(line) != port;
        assert!(!other, "another port than {port}: {line}");
    }
}

#[test]
fn a_unix_socket_serves_pages_and_sockets_and_is_removed_at_the_end() {
    for signal in ["TERM", "INT"] {
        let directory = directory();
        let (address, path) = (unix(&directory), socket(&directory));
        let mut daemon = plainws(&["serve", "--listen", &format!("hello={address}")]);
        daemon.wait_line(&address);
        assert!(is_healthy(&path));
        let page = ask(&path, get("/", "").as_bytes()).unwrap();
        assert!(String::from_utf8_lossy(&page).contains("<h1>Hello</h1>"));
        // The whole life of a WebSocket: name and close frame are on their way already.
        let request = upgrade_request("/", "").into_bytes();
        let name = [request, raw::text("Rust"), raw::close(1000, "")].concat();
        let answer = ask(&path, &name).unwrap();
        let frames = b"\r\n\r\n\x81\x0bHello Rust!\x88\x02\x03\xe8";
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
        assert!(answer.ends_with(frames), "{answer:?}");
        daemon.signal(signal);
        assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(0));
        assert!(!Path::new(&path).exists(), "removed after SIG{signal}");
    }
}

#[test]
fn a_unix_socket_of_a_killed_daemon_is_replaced() {
    let directory = directory();
    let (address, path) = (unix(&directory), socket(&directory));
    let args = ["serve", "--listen", &address];
    let mut killed = plainws(&args);
    killed.wait_line(&address);
    killed.signal("KILL");
    killed.wait_exit(PATIENCE);
    assert!(Path::new(&path).exists(), "left behind");
    let daemon = plainws(&args);
    daemon.wait_line(&address);
    assert!(is_healthy(&path));
}

#[test]
fn a_unix_socket_of_a_live_daemon_is_refused_and_left_to_it() {
    let directory = directory();
    let (address, path) = (unix(&directory), socket(&directory));
    let args = ["serve", "--listen", &address];
    let first = plainws(&args);
    first.wait_line(&address);
    let (code, lines) = end_of(plainws_command(&args));
    assert_eq!(code, 1);
    assert_eq!(lines.len(), 1, "one line: {lines:#?}");
    assert!(lines[0].contains(&address), "{lines:#?}");
    assert!(is_healthy(&path), "the first one serves on");
    assert!(first.is_running());
}

#[test]
fn a_file_in_the_place_of_a_unix_socket_is_left_alone() {
    let directory = directory();
    let (address, path) = (unix(&directory), socket(&directory));
    let args = ["serve", "--listen", &address];
    fs::write(&path, "precious").unwrap();
    let (code, lines) = end_of(plainws_command(&args));
    assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
    assert!(lines[0].contains(&address), "{lines:#?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    // At the end, too, if somebody has put another one there meanwhile.
    fs::remove_file(&path).unwrap();
    let daemon = plainws(&args);
    daemon.wait_line(&address);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    stopped(daemon);
    assert!(Path::new(&path).exists(), "the socket of another program");
}

#[test]
fn a_port_in_use_is_one_clear_line_and_exit_code_1_within_a_second() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = directory();
    let args = [
        "serve".to_owned(),
        format!("--listen={}", unix(&directory)),
        format!("--listen=counter={address}"),
    ];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // The best of some, as a machine may be busy just now.
    let best = (0..5).map(|_| {
        let start = Instant::now();
        let (code, lines) = end_of(plainws_command(&args));
        assert_eq!(code, 1);
        assert_eq!(lines.len(), 1, "one line: {lines:#?}");
        assert!(lines[0].contains("[ERROR]"), "{lines:#?}");
        assert!(lines[0].contains(&address), "{lines:#?}");
        assert!(lines[0].contains("in use"), "{lines:#?}");
        let file = Path::new(&socket(&directory)).exists();
        assert!(!file, "the listener before it is given up, too");
        start.elapsed()
    });
    let best = best.min().unwrap();
    assert!(best < Duration::from_secs(1), "{best:?}");
}

#[test]
fn an_address_that_is_not_ours_or_cannot_be_is_one_line_and_exit_code_1() {
    let long = format!("unix:/{}", "x".repeat(200));
    // TEST-NET-1 of RFC 5737, which no host has.
    for address in ["192.0.2.1:0", "unix:/no/such/folder/socket", &long] {
        let (code, lines) = end_of(plainws_command(&["serve", "--listen", address]));
        assert_eq!(code, 1, "{address}");
        assert_eq!(lines.len(), 1, "one line: {lines:#?}");
        assert!(lines[0].contains(address), "{lines:#?}");
        assert!(lines[0].contains("cannot listen on"), "{lines:#?}");
    }
}

#[test]
fn it_is_ready_soon_and_its_health_is_ok() {
    // The best of some, as a machine may be busy just now; the debug build is slower.
    let best = (0..5).map(|_| {
        let directory = directory();
        let start = Instant::now();
        let _daemon = plainws(&["serve", "--listen", &unix(&directory)]);
        wait_healthy(&socket(&directory));
        start.elapsed()
    });
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 100 });
    let best = best.min().unwrap();
    assert!(best < limit, "ready after {best:?}");
}

#[test]
fn it_takes_at_most_6_mib_when_idle() {
    if cfg!(debug_assertions) {
        return eprintln!("skipped: only the release build counts");
    }
    let (daemon, port) = serve("counter", &[]);
    assert_eq!(exchange(port, get("/", "")).status, 200);
    drop(connect(port, "/"));
    let resident = daemon.resident();
    assert!(resident <= 6 * 1024, "{resident} KiB");
}

#[test]
fn a_folder_that_is_not_there_is_one_line_and_exit_code_1() {
    let file = directory();
    let file = file.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in ["/no/such/folder", file.to_str().unwrap()] {
        let args = ["serve", "--listen=127.0.0.1:0", "--html-dir", folder];
        let (code, lines) = end_of(plainws_command(&args));
        assert_eq!(code, 1, "{lines:#?}");
        assert_eq!(lines.len(), 1, "one line: {lines:#?}");
        assert!(lines[0].contains(folder), "{lines:#?}");
    }
}
