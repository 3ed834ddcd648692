//! Connections over sockets that somebody else has made.

use std::os::unix::net::UnixStream;

use plainws::Server;

use super::*;

fn echo(address: &str) -> Server {
    let handler = |ws: &Connection| {
        for message in ws {
            ws.send(message?)?;
        }
        Ok(())
    };
    Server::builder(handler).listen(address).start().unwrap()
}

#[track_caller]
fn echoes(ws: &Connection) {
    for text in ["one", "two"] {
        ws.send(text).unwrap();
        let answer = ws.recv_timeout(PATIENCE).unwrap();
        assert_eq!(answer, Some(Message::from(text)));
    }
}

#[test]
fn a_given_tcp_socket_is_used_whatever_the_url_names() {
    let server = echo("127.0.0.1:0");
    let socket = TcpStream::connect(server.local_addr().to_string()).unwrap();
    let local = socket.local_addr().unwrap();
    let client = Client::builder().proxy("http://proxy.invalid");
    let ws = client
        .connect_over("ws://name.invalid/a?b", socket)
        .unwrap();
    assert_eq!(ws.local_addr().to_string(), local.to_string());
    assert_eq!(ws.request().header("Host"), Some("name.invalid"));
    assert_eq!(ws.request().target(), "/a?b");
    echoes(&ws);
}

#[test]
fn a_given_socket_that_does_not_block_is_made_to() {
    let server = echo("127.0.0.1:0");
    let socket = TcpStream::connect(server.local_addr().to_string()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let same = socket.try_clone().unwrap();
    let ws = Client::builder().connect_over("ws://h", socket).unwrap();
    // Else a wait for a message would be a hot loop.
    same.set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let start = Instant::now();
    let nothing = (&same).read(&mut [0]).expect_err("nothing to read");
    assert!(start.elapsed() >= Duration::from_millis(15), "{nothing}");
    same.set_read_timeout(None).unwrap();
    echoes(&ws);
}

#[test]
fn a_given_unix_socket_is_a_connection_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo");
    let _server = echo(&format!("unix:{}", path.display()));
    let socket = UnixStream::connect(&path).unwrap();
    let ws = Client::builder()
        .connect_over("ws://localhost/", socket)
        .unwrap();
    assert_eq!(
        ws.peer_addr().to_string(),
        format!("unix:{}", path.display())
    );
    echoes(&ws);
}

#[test]
fn a_given_socket_does_not_follow_redirects() {
    let peer = Peer::saying("HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    let socket = TcpStream::connect(peer.address).unwrap();
    match fails(Client::builder().connect_over("ws://h/", socket)) {
        Error::Refused(refused) => assert_eq!(refused.status, 302),
        error => panic!("{error}"),
    }
}

#[test]
fn a_given_socket_has_the_opening_deadline() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let client = Client::builder().open_timeout(Duration::from_millis(300));
    let error = fails(client.connect_over("ws://h/", ours));
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert_eq!(error.to_string(), "no answer from h:80 within 300ms");
}
