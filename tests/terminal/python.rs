//! Python websockets at the other end.

use super::*;
use crate::support::process::url_port;
use crate::support::python;

const ECHO: &str = r#"
from websockets.sync.server import serve

def echo(ws):
    for message in ws:
        if message == "bye":
            ws.close(4000, "so long")
        else:
            ws.send(message)

with serve(echo, "127.0.0.1", 0) as server:
    print(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/")
    server.serve_forever()
"#;

/// The server, and its URI.
fn server() -> Option<(Daemon, String)> {
    let daemon = python::spawn(ECHO, &[])?;
    let port = url_port(&daemon.wait_line("ws://"));
    Some((daemon, format!("ws://127.0.0.1:{port}/")))
}

#[test]
fn a_script_talks_to_it() {
    let Some((_daemon, uri)) = server() else {
        return;
    };
    let (code, lines, errors) = run(&[&uri], "Grüße\n\nbye\n");
    assert_eq!(lines, ["Grüße", ""], "{errors:?}");
    let sentence = "Connection closed: 4000 (private use) so long.";
    assert_eq!((code, errors), (3, vec![sentence.to_owned()]));
}

#[test]
fn a_person_talks_to_it() {
    let Some((_daemon, uri)) = server() else {
        return;
    };
    let mut terminal = Terminal::spawn(&connect(&[&uri]));
    terminal.wait("> ");
    terminal.keys("Grüße 🦀\r");
    terminal.wait("< Grüße 🦀\r\n");
    terminal.keys("/binary 00 ff\r");
    terminal.wait("< (binary) 00 ff [2 bytes]\r\n");
    terminal.keys("/ping\r");
    terminal.wait("pong after ");
    terminal.keys(CTRL_D);
    assert_eq!(terminal.exit_code(), Some(0));
    terminal.wait("Connection closed: 1000 (OK).\r\n");
}
