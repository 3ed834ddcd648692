//! `plainws connect` with a server of Python's; what bash makes of our completions, and man of our page.

use std::process::Command;

use crate::support::examples::packaged;
use crate::support::pipe::{connect, feed, run};
use crate::support::process::{Daemon, url_port};
use crate::support::python;
use crate::support::terminal::{CTRL_D, Terminal};
use crate::support::tools::require;

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
fn server() -> (Daemon, String) {
    let daemon = python::spawn(ECHO, &[]);
    let port = url_port(&daemon.wait_line("ws://"));
    (daemon, format!("ws://127.0.0.1:{port}/"))
}

#[test]
fn a_script_talks_to_it() {
    let (_daemon, uri) = server();
    let (code, lines, errors) = run(&[&uri], "Grüße\n\nbye\n");
    assert_eq!(lines, ["Grüße", ""], "{errors:?}");
    let sentence = "Connection closed: 4000 (private use) so long.";
    assert_eq!((code, errors), (3, vec![sentence.to_owned()]));
}

#[test]
fn a_person_talks_to_it() {
    let (_daemon, uri) = server();
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

/// What a program prints for this input.
#[track_caller]
fn filter(program: &str, args: &[&str], input: &str) -> String {
    let mut command = Command::new(require(program, &format!("apt-get install {program}")));
    command.args(args);
    command.envs([("MANWIDTH", "100"), ("LC_ALL", "C.UTF-8")]);
    let (code, lines, errors) = feed(command, input);
    assert_eq!(code, 0, "{errors:?}");
    lines.join("\n")
}

#[test]
fn bash_takes_its_completions() {
    let mut script = packaged("plainws.bash");
    // What bash makes of `plainws connect --rec` and a tab.
    script += "COMP_WORDS=(plainws connect --rec); COMP_CWORD=2; \
               _plainws plainws --rec connect; echo \"${COMPREPLY[@]}\"\n";
    assert_eq!(filter("bash", &["--norc", "-s"], &script), "--reconnect");
}

#[test]
fn the_man_page_tells_all_options_of_all_commands() {
    let shown = filter("man", &["-l", "-"], &packaged("plainws.1"));
    for text in [
        "--listen",
        "--reconnect",
        "PLAINWS CONNECT",
        "Exit codes:",
        "/ping",
        // One line of the shapes is one line of the page.
        r#"{"event":"message","type":"binary","data":"AP8="}"#,
    ] {
        assert!(shown.contains(text), "{text} in {shown}");
    }
}
