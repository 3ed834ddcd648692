//! Connections over sockets that somebody else has made.

use std::os::unix::net::UnixStream;

use crate::support::servers::{echo, start};
use crate::support::talk::text;

use super::*;

#[track_caller]
fn echoes(ws: &Connection) {
    for sent in ["one", "two"] {
        ws.send(sent).unwrap();
        assert_eq!(text(ws), sent);
    }
}

#[test]
fn a_given_tcp_socket_is_used_whatever_the_url_names() {
    let server = start(echo);
    let socket = TcpStream::connect(server.local_addr().to_string()).unwrap();
    let local = socket.local_addr().unwrap();
    // One that does not block is made to: else a wait for a message would be a hot loop.
    socket.set_nonblocking(true).unwrap();
    let same = socket.try_clone().unwrap();
    let client = Client::builder().proxy("http://proxy.invalid");
    let ws = client.connect_over("ws://name.invalid/a?b", socket);
    let ws = ws.unwrap();
    assert_eq!(ws.local_addr().to_string(), local.to_string());
    assert_eq!(ws.request().header("Host"), Some("name.invalid"));
    assert_eq!(ws.request().target(), "/a?b");
    let some = Duration::from_millis(20);
    same.set_read_timeout(Some(some)).unwrap();
    let start = Instant::now();
    let nothing = (&same).read(&mut [0]).expect_err("nothing to read");
    assert!(start.elapsed() >= some / 2, "{nothing}");
    same.set_read_timeout(None).unwrap();
    echoes(&ws);
}

#[test]
fn a_given_unix_socket_is_a_connection_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo");
    let address = format!("unix:{}", path.display());
    let server = plainws::Server::builder(echo).listen(&*address).start();
    let _server = server.unwrap();
    let socket = UnixStream::connect(&path).unwrap();
    let ws = Client::builder().connect_over("ws://localhost/", socket);
    let ws = ws.unwrap();
    assert_eq!(ws.peer_addr().to_string(), address);
    echoes(&ws);
}

#[test]
fn a_given_socket_follows_no_redirect_and_has_the_opening_deadline() {
    let peer = Peer::saying(redirect("/"));
    let socket = TcpStream::connect(peer.address).unwrap();
    let result = client().connect_over("ws://h/", socket);
    fails(result, "Refused: server answered HTTP 302");
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let result = impatient().connect_over("ws://h/", ours);
    fails(result, "TimedOut: no answer from h:80 within 700ms");
}
