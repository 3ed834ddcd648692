//! `plainws completions` and `plainws man`.

use super::*;
use crate::support::tools::require;

#[track_caller]
fn output(args: &[&str]) -> String {
    let mut daemon = Daemon::spawn(plainws_command(args));
    let status = daemon.wait_exit(PATIENCE);
    assert!(status.success(), "{}", daemon.report());
    assert_eq!(daemon.lines(), [""; 0]);
    daemon.stdout_lines().join("\n") + "\n"
}

/// Runs a program with this input.
#[track_caller]
fn filter(program: &str, args: &[&str], input: &str) -> Option<(i32, Vec<String>, Vec<String>)> {
    let mut command = Command::new(require(program, &format!("apt-get install {program}"))?);
    command
        .args(args)
        .env("MANWIDTH", "100")
        .env("LC_ALL", "C.UTF-8");
    let mut pipe = Pipe::spawn(command);
    pipe.write(input);
    pipe.end();
    Some(pipe.result())
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = output(&["completions", shell]);
        for word in ["connect", "serve", "reconnect", "max-size"] {
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
    let mut wrong = Daemon::spawn(plainws_command(&["completions", "dos"]));
    assert_eq!(wrong.wait_exit(PATIENCE).code(), Some(2));
}

#[test]
fn bash_takes_its_completions() {
    let mut script = output(&["completions", "bash"]);
    // What bash makes of `plainws connect --rec` and a tab.
    script += "COMP_WORDS=(plainws connect --rec); COMP_CWORD=2; \
               _plainws plainws --rec connect; echo \"${COMPREPLY[@]}\"\n";
    if let Some((code, lines, errors)) = filter("bash", &["--norc", "-s"], &script) {
        assert_eq!(
            (code, lines),
            (0, vec!["--reconnect".to_owned()]),
            "{errors:?}"
        );
    }
}

#[test]
fn the_man_page_tells_all_options_of_all_commands() {
    let page = output(&["man"]);
    assert!(page.contains(".TH plainws 1"), "{page}");
    let Some((code, lines, errors)) = filter("man", &["-l", "-"], &page) else {
        return;
    };
    assert_eq!(code, 0, "{errors:?}");
    let lines = lines.join("\n");
    for text in [
        "--listen",
        "--reconnect",
        "PLAINWS CONNECT",
        "Exit codes:",
        "/ping",
    ] {
        assert!(lines.contains(text), "{text} in {lines}");
    }
    // One line of the shapes is one line of the page.
    assert!(
        lines.contains(r#"{"event":"message","type":"binary","data":"AP8="}"#),
        "{lines}"
    );
}

#[test]
fn each_command_has_a_page_of_its_own() {
    let page = output(&["man", "serve"]);
    assert!(page.contains("max\\-connections"), "{page}");
    assert!(!page.contains("reconnect"), "{page}");
    assert!(output(&["man", "connect"]).contains("reconnect"));
    let mut wrong = Daemon::spawn(plainws_command(&["man", "dance"]));
    assert_eq!(wrong.wait_exit(PATIENCE).code(), Some(2));
    assert!(
        wrong.lines()[0].contains("there is no command dance"),
        "{:?}",
        wrong.lines()
    );
}
