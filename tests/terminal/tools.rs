//! `plainws completions` and `plainws man`.

use super::*;

#[track_caller]
fn output(args: &[&str]) -> String {
    let mut daemon = Daemon::spawn(plainws_command(args));
    let status = daemon.wait_exit(PATIENCE);
    assert!(status.success(), "{}", daemon.report());
    assert_eq!(daemon.lines(), [""; 0]);
    daemon.stdout_lines().join("\n") + "\n"
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
