//! A container booted with systemd, and programs inside it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Output};
use std::time::{Duration, SystemTime};

use crate::support::process::Daemon;

/// A boot takes a second; with all cores busy many.
const BOOT: Duration = Duration::from_secs(90);

/// What there has to be before a container can be booted, and how to get it.
pub(super) struct Needs {
    pub(super) root: PathBuf,
    pub(super) package: PathBuf,
}

impl Needs {
    /// Finds them.
    ///
    /// # Panics
    ///
    /// When something is missing, with all that it would need.
    #[track_caller]
    pub(super) fn find() -> Needs {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let (root, packages) = (target.join("sysroot"), target.join("debian"));
        let mut missing = Vec::new();
        if !rustix::process::geteuid().is_root() {
            missing.push("to be root".to_owned());
        }
        let path = env::var_os("PATH").unwrap_or_default();
        for program in ["systemd-nspawn", "nsenter", "dpkg-deb"] {
            if !env::split_paths(&path).any(|folder| folder.join(program).exists()) {
                let install = "apt-get install systemd-container util-linux dpkg";
                missing.push(format!("{program} ({install})"));
            }
        }
        if !root.join("etc/debian_version").exists() {
            let root = root.display();
            missing.push(format!("{root} (tests/systemd/sysroot.sh makes it)"));
        }
        let package = newest(&packages);
        match &package {
            None => missing.push("the package (systemd/package.sh makes it)".to_owned()),
            Some(package) => missing.extend(newer_than(package).map(|source| {
                let source = source.display();
                format!("a package that is newer than {source} (systemd/package.sh makes it)")
            })),
        }
        let needs = "a container booted with systemd";
        assert!(
            missing.is_empty(),
            "this test needs {needs}, which needs {}",
            missing.join(", and ")
        );
        let package = package.expect("found");
        Needs { root, package }
    }
}

fn changed(path: &Path) -> SystemTime {
    path.metadata().unwrap().modified().unwrap()
}

fn newest(packages: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(packages).ok()?;
    let paths = entries.map(|entry| entry.unwrap().path());
    let packages = paths.filter(|path| path.extension().is_some_and(|e| e == "deb"));
    packages.max_by_key(|path| changed(path))
}

/// A source of the package that has been changed since it was made.
fn newer_than(package: &Path) -> Option<PathBuf> {
    let made = changed(package);
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut ahead: Vec<_> = ["src", "html", "systemd"].map(|d| top.join(d)).into();
    while let Some(path) = ahead.pop() {
        if path.is_dir() {
            ahead.extend(fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else if changed(&path) > made {
            return Some(path);
        }
    }
    None
}

/// A booted container; powered off when dropped, or when this process ends.
pub(super) struct Container {
    supervisor: Daemon,
    stdin: Option<ChildStdin>,
    leader: String,
}

impl Container {
    #[track_caller]
    pub(super) fn boot(root: &Path) -> Container {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/container.sh");
        let mut command = Command::new(script);
        command.arg(format!("plainws-{}", std::process::id()));
        command.arg(root);
        let supervisor = Daemon::spawn(command);
        let stdin = supervisor.stdin();
        let line = supervisor.wait_line("leader ");
        let leader = line.trim_start_matches("leader ").to_owned();
        Container {
            supervisor,
            stdin: Some(stdin),
            leader,
        }
    }

    /// A command inside.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader, "--all", "--"]);
        command.args(words).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs([("LC_ALL", "C.UTF-8"), ("SYSTEMD_PAGER", "cat")]);
        command
    }

    /// A command of the host that sees the network of the container.
    pub(super) fn outside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader, "--net", "--"]);
        command.args(words);
        command
    }

    /// Runs a command inside: whether it succeeds, and its output.
    pub(super) fn try_run(&self, words: &[&str]) -> (bool, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(words).output().unwrap();
        let output = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        (status.success(), output.trim_end().to_owned())
    }

    /// Runs a command inside, which has to succeed: its output.
    #[track_caller]
    pub(super) fn run(&self, words: &[&str]) -> String {
        let (fine, output) = self.try_run(words);
        assert!(fine, "{words:?} failed:\n{output}\n{}", self.journal());
        output
    }

    /// Runs a line of shell inside.
    #[track_caller]
    pub(super) fn sh(&self, line: &str) -> String {
        self.run(&["sh", "-c", line])
    }

    /// Copies a file in.
    #[track_caller]
    pub(super) fn put(&self, file: &Path, to: &str) {
        let mut tee = self.command(&["sh", "-c", r#"cat > "$0""#, to]);
        let status = tee.stdin(fs::File::open(file).unwrap()).status();
        assert!(status.unwrap().success(), "{} to {to}", file.display());
    }

    /// A property of the service.
    #[track_caller]
    pub(super) fn property(&self, name: &str) -> String {
        self.run(&["systemctl", "show", "-P", name, "plainws.service"])
    }

    /// For messages: what the service and systemd have said of it.
    pub(super) fn journal(&self) -> String {
        self.try_run(&["journalctl", "-o", "short-precise", "-u", "plainws*"])
            .1
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if !std::thread::panicking() {
            self.supervisor.wait_exit(BOOT);
        } else {
            // Its end would be cut short otherwise, and the container would stay.
            let _ =
                crate::support::tools::poll(BOOT, || (!self.supervisor.is_running()).then_some(()));
        }
    }
}
