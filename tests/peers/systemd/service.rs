//! The life of the package on a host, in one container: each step goes on from the one before.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::container::{Container, Needs};
use crate::support::process::{Daemon, plainws_command};
use crate::support::tools::{PATIENCE, wait_until};

const COUNTER: &str = "ws://127.0.0.1:6789/";
const SETTINGS: &str = "/etc/default/plainws";

/// `plainws connect --json` of this build, in the network of the container.
fn client(container: &Container, url: &str, more: &[&str]) -> Daemon {
    let plainws = [env!("CARGO_BIN_EXE_plainws"), "connect", "--json"];
    let mut command = container.outside(&[&plainws, more, &[url]].concat());
    for (name, _) in plainws_command(&[]).get_envs() {
        command.env_remove(name);
    }
    Daemon::spawn(command)
}

/// A client of the counter, connected: what it is told first has a value.
#[track_caller]
fn counter(container: &Container, url: &str, more: &[&str]) -> Daemon {
    let client = client(container, url, more);
    client.wait_line(r#"\"value\":"#);
    client
}

#[track_caller]
fn wait_property(container: &Container, name: &str, wanted: &str) {
    let what = format!("{name}={wanted}");
    wait_until(&what, PATIENCE, || {
        (container.property(name) == wanted).then_some(())
    });
}

/// The lines of the journal that the daemon wrote, at a priority or a graver one.
fn said(container: &Container, priority: &str) -> Vec<String> {
    let fields = ["_COMM=plainws", "-o", "cat", "-p", priority];
    let text = container.run(&[&["journalctl"], &fields[..]].concat());
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_package_is_a_service() {
    let needs = Needs::find();
    let container = Container::boot(&needs.root);
    installed(&container, &needs.package);
    counted(&container);
    killed(&container);
    hung(&container);
    // More starts within a minute than the unit allows, in all: they are counted anew.
    container.run(&["systemctl", "reset-failed", "plainws"]);
    reloaded(&container);
    logged(&container);
    stopped(&container);
    activated(&container);
    waited_for(&container);
    container.run(&["systemctl", "reset-failed", "plainws"]);
    upgraded(&container, &needs.package);
    purged(&container);
}

/// Installing it starts and enables the service, and nothing else.
fn installed(container: &Container, package: &Path) {
    container.put(package, "/root/plainws.deb");
    container.run(&["dpkg", "-i", "/root/plainws.deb"]);
    for (state, unit, expected) in [
        ("is-active", "plainws.service", "active"),
        ("is-enabled", "plainws.service", "enabled"),
        ("is-active", "plainws.socket", "inactive"),
        ("is-enabled", "plainws.socket", "disabled"),
    ] {
        let (_, is) = container.try_run(&["systemctl", state, unit]);
        assert_eq!(is, expected, "{unit} {state}\n{}", container.journal());
    }
    assert_eq!(container.property("StatusText"), "clients: 0");
    assert_eq!(container.property("User"), "plainws");
    for file in [
        SETTINGS,
        "/usr/share/man/man1/plainws.1.gz",
        "/usr/share/bash-completion/completions/plainws",
        "/usr/share/plainws/html/counter.html",
        "/usr/share/doc/plainws/certs/openssl.cnf",
        "/usr/share/doc/plainws/README.md",
        "/usr/share/doc/plainws/docs/serve.md",
        "/usr/share/doc/plainws/LICENSE-MIT",
    ] {
        container.run(&["test", "-s", file]);
    }
    let listed = container.run(&["dpkg-query", "-W", "-f=${Conffiles}", "plainws"]);
    assert!(listed.trim().starts_with(SETTINGS), "{listed}");
}

/// A client changes the counter, and systemd knows how many clients there are.
fn counted(container: &Container) {
    let mut client = counter(container, COUNTER, &[]);
    wait_property(container, "StatusText", "clients: 1");
    let mut stdin = client.stdin();
    std::io::Write::write_all(&mut stdin, b"{\"action\":\"plus\"}\n").unwrap();
    client.wait_line(r#"\"value\":1}"#);
    client.signal("INT");
    assert_eq!(client.wait_exit(PATIENCE).code(), Some(0));
    wait_property(container, "StatusText", "clients: 0");
}

/// `kill -9`: systemd starts it again.
fn killed(container: &Container) {
    let before = container.property("MainPID");
    let kill = ["systemctl", "kill", "-s", "KILL", "--kill-whom=main"];
    container.run(&[&kill[..], &["plainws"]].concat());
    wait_property(container, "NRestarts", "1");
    wait_property(container, "ActiveState", "active");
    assert_ne!(container.property("MainPID"), before);
    let client = counter(container, COUNTER, &[]);
    // systemd's STATE_DIRECTORY has kept it.
    client.wait_line(r#"\"value\":1}"#);
}

/// A daemon that does not move is ended by the watchdog, and started again.
fn hung(container: &Container) {
    let unit = "/run/systemd/system/plainws.service.d";
    container.sh(&format!(
        "mkdir -p {unit} && printf '[Service]\\nWatchdogSec=3s\\n' > {unit}/watchdog.conf"
    ));
    container.run(&["systemctl", "daemon-reload"]);
    container.run(&["systemctl", "restart", "plainws"]);
    let before = container.property("MainPID");
    for _ in 0..3 {
        let fed = container.property("WatchdogTimestampMonotonic");
        wait_until("the watchdog to be fed", PATIENCE, || {
            (container.property("WatchdogTimestampMonotonic") != fed).then_some(())
        });
    }
    assert_eq!(container.property("MainPID"), before);
    container.run(&["systemctl", "kill", "-s", "STOP", "plainws"]);
    wait_until("a new process", PATIENCE, || {
        let pid = container.property("MainPID");
        (pid != before && pid != "0").then_some(())
    });
    wait_property(container, "ActiveState", "active");
    let journal = container.run(&["journalctl", "-u", "plainws", "-o", "cat"]);
    assert!(journal.contains("Watchdog timeout"), "{journal}");
    container.sh(&format!("rm -r {unit} && systemctl daemon-reload"));
    container.run(&["systemctl", "restart", "plainws"]);
}

/// A certificate made by this build: with its key, and alone.
fn certificate(folder: &TempDir, name: &str) -> (PathBuf, String) {
    let pem = folder.path().join(format!("{name}.pem"));
    let mut cert: Command = plainws_command(&["cert", "--out"]);
    let made = cert.arg(&pem).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let alone = pem.with_extension("crt").display().to_string();
    (pem, alone)
}

/// The counter over TLS, by the settings' file; a reload brings a new certificate, and leaves who is
/// there alone.
fn reloaded(container: &Container) {
    let folder = TempDir::with_prefix("plainws-service-").unwrap();
    let (first, trusted_first) = certificate(&folder, "first");
    let (second, trusted_second) = certificate(&folder, "second");
    let url = "wss://127.0.0.1:6443/";
    let put = |pem: &Path| {
        container.put(pem, "/etc/plainws/localhost.pem");
        container.sh("cd /etc/plainws && chown root:plainws *.pem && chmod 640 *.pem");
    };
    container.run(&["mkdir", "/etc/plainws"]);
    put(&first);
    let settings = "PLAINWS_TLS_CERT=/etc/plainws/localhost.pem\\n\
         PLAINWS_LISTEN=plain+hello=127.0.0.1:8765,plain+clock=127.0.0.1:5678,\
         plain+counter=127.0.0.1:6789,counter=127.0.0.1:6443\\n";
    container.sh(&format!("printf '{settings}' >> {SETTINGS}"));
    container.run(&["systemctl", "restart", "plainws"]);
    let old = counter(container, url, &["--ca", &trusted_first]);
    let pid = container.property("MainPID");

    put(&second);
    container.run(&["systemctl", "reload", "plainws"]);
    let _new = counter(container, url, &["--ca", &trusted_second]);
    let mut refused = client(container, url, &["--ca", &trusted_first]);
    assert_eq!(refused.wait_exit(PATIENCE).code(), Some(1));
    wait_property(container, "StatusText", "clients: 2");
    assert!(old.is_running(), "{}", old.report());

    // What is no certificate leaves the old one in force.
    container.sh("echo nonsense > /etc/plainws/localhost.pem");
    container.run(&["systemctl", "reload", "plainws"]);
    let _newer = counter(container, url, &["--ca", &trusted_second]);
    assert_eq!(container.property("MainPID"), pid);
    put(&second);
}

/// The journal files the daemon's lines under their priorities, and has the only timestamp.
fn logged(container: &Container) {
    let stays = |line: &String| line.contains("the old certificate stays in force");
    let errors = wait_until(
        "the error in the journal, which takes its time",
        PATIENCE,
        || Some(said(container, "err")).filter(|errors| errors.iter().any(stays)),
    );
    assert!(
        errors.iter().all(|l| l.starts_with("[ERROR] ")),
        "{errors:#?}"
    );
    let all = said(container, "info");
    let served = |line: &String| line.starts_with("[INFO] counter at http://");
    assert!(all.iter().any(served), "{all:#?}");
    for line in all {
        assert!(line.starts_with('['), "more than level and text: {line}");
    }
}

/// A stop tells the clients, and is no failure.
fn stopped(container: &Container) {
    let client = counter(container, COUNTER, &[]);
    container.run(&["systemctl", "stop", "plainws"]);
    client.wait_line(r#""code":1001"#);
    assert_eq!(container.property("Result"), "success");
    assert_eq!(container.property("ExecMainStatus"), "0");
}

/// The socket's first client starts the service.
fn activated(container: &Container) {
    container.run(&["systemctl", "enable", "--now", "plainws.socket"]);
    assert_eq!(container.property("ActiveState"), "inactive");
    let _client = counter(container, COUNTER, &[]);
    assert_eq!(container.property("ActiveState"), "active");
    // What is beyond the socket's ports is bound by the daemon.
    // The journal takes its time.
    wait_until("the listeners in the journal", PATIENCE, || {
        let said = said(container, "info").join("\n");
        let told = [
            "handed over: 127.0.0.1:6789",
            "counter at https://127.0.0.1:6443/",
        ];
        told.iter().all(|line| said.contains(line)).then_some(())
    });
}

/// Clients that come while the service restarts, or after a kill, wait and are served.
fn waited_for(container: &Container) {
    let unit = "/run/systemd/system/plainws.service.d";
    // Long enough that there is a time without the daemon.
    container.sh(&format!(
        "mkdir -p {unit} && printf '[Service]\\nExecStartPre=+sleep 2\\n' > {unit}/slow.conf"
    ));
    container.run(&["systemctl", "daemon-reload"]);
    for away in [
        &["systemctl", "restart", "--no-block", "plainws"][..],
        &[
            "systemctl",
            "kill",
            "-s",
            "KILL",
            "--kill-whom=main",
            "plainws",
        ],
    ] {
        container.run(away);
        wait_property(container, "SubState", "start-pre");
        let waiting: Vec<_> = (0..5).map(|_| client(container, COUNTER, &[])).collect();
        for client in waiting {
            client.wait_line(r#"\"value\":"#);
        }
        wait_property(container, "SubState", "running");
    }
    container.sh(&format!("rm -r {unit} && systemctl daemon-reload"));
}

/// An upgrade starts the new version, and leaves changed settings alone.
fn upgraded(container: &Container, package: &Path) {
    let folder = TempDir::with_prefix("plainws-upgrade-").unwrap();
    let next = folder.path().join("next.deb");
    let tree = folder.path().join("tree");
    // The same, with a higher version.
    let line = r#"dpkg-deb -R "$0" "$1" && sed -i 's/^Version: .*/&+next/' "$1/DEBIAN/control" &&
        echo '# A new line.' >> "$1/etc/default/plainws" && dpkg-deb -b "$1" "$2""#;
    let mut repack = Command::new("sh");
    repack.args(["-c", line]).args([package, &tree, &next]);
    let made = repack.output().unwrap();
    assert!(made.status.success(), "{made:?}");
    container.put(&next, "/root/next.deb");
    let (settings, pid) = (fs_in(container, SETTINGS), container.property("MainPID"));
    container.sh("DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i /root/next.deb");
    let version = container.run(&["dpkg-query", "-W", "-f=${Version}", "plainws"]);
    assert!(version.ends_with("+next"), "{version}");
    assert_eq!(fs_in(container, SETTINGS), settings);
    wait_property(container, "ActiveState", "active");
    assert_ne!(container.property("MainPID"), pid);
    let client = counter(container, COUNTER, &[]);
    client.wait_line(r#"\"value\":1}"#);
}

fn fs_in(container: &Container, path: &str) -> String {
    container.run(&["cat", path])
}

/// A purge leaves nothing but the account, and what the administrator has made.
fn purged(container: &Container) {
    container.run(&["dpkg", "-P", "plainws"]);
    container.run(&["rm", "-r", "/etc/plainws"]);
    let line = "find / -xdev -name '*plainws*' -not -path '/proc/*' -not -path '/root/*'";
    assert_eq!(container.sh(line), "");
    for unit in ["plainws.service", "plainws.socket"] {
        let (_, state) = container.try_run(&["systemctl", "is-active", unit]);
        assert_eq!(state, "inactive", "{unit}");
    }
    let (running, processes) = container.try_run(&["pgrep", "-x", "plainws"]);
    assert!(!running, "{processes}");
}
