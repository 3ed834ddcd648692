//! Child processes whose output a test reads line by line, and which do not outlive the test.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::tools::{PATIENCE, kill, poll, wait_until};

/// How long output may last after its process ended: a grandchild can hold the pipe open.
const DRAIN: Duration = Duration::from_secs(10);

/// A running program with its output; dropping it kills and reaps it. Threads may share it.
///
/// Its stdin is a pipe that [`stdin`](Daemon::stdin) gives away; nobody writes to it otherwise, and it
/// ends with the test process, however that dies.
pub struct Daemon {
    child: Mutex<Child>,
    group: bool,
    stderr: Output,
    stdout: Output,
}

impl Daemon {
    /// Starts `command`; its stdin, stdout and stderr are replaced.
    #[track_caller]
    pub fn spawn(mut command: Command) -> Daemon {
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("cannot start {command:?}: {error}"),
        };
        Daemon {
            stderr: Output::read("child-stderr", child.stderr.take().unwrap()),
            stdout: Output::read("child-stdout", child.stdout.take().unwrap()),
            child: Mutex::new(child),
            group: false,
        }
    }

    /// Starts `command` as the leader of a process group, which is killed as a whole on drop.
    ///
    /// For a program with children. Ctrl-C in the terminal does not reach such a group.
    #[track_caller]
    pub fn spawn_group(mut command: Command) -> Daemon {
        command.process_group(0);
        let mut daemon = Daemon::spawn(command);
        daemon.group = true;
        daemon
    }

    /// Gives the stdin away, once: it ends when that is dropped.
    #[track_caller]
    pub fn stdin(&self) -> ChildStdin {
        let stdin = self.child.lock().unwrap().stdin.take();
        stdin.expect("the stdin was not taken before")
    }

    /// Returns the lines of stderr so far; all of them after [`wait_exit`](Daemon::wait_exit).
    pub fn lines(&self) -> Vec<String> {
        self.stderr.lines.lock().unwrap().clone()
    }

    /// Returns the lines of stdout so far; all of them after [`wait_exit`](Daemon::wait_exit).
    pub fn stdout_lines(&self) -> Vec<String> {
        self.stdout.lines.lock().unwrap().clone()
    }

    /// Waits for a line that contains `needle`, on stderr or stdout, and returns the first one. A
    /// line from before the call counts.
    ///
    /// # Panics
    ///
    /// After [`PATIENCE`], or at once when the output has ended, with all lines and the exit status.
    #[track_caller]
    pub fn wait_line(&self, needle: &str) -> String {
        let found = poll(PATIENCE, || {
            // Asked before the search: the last line may arrive between the two.
            let ended = self.ended().is_some();
            let mut lines = self.lines().into_iter().chain(self.stdout_lines());
            let line = lines.find(|line| line.contains(needle));
            (line.is_some() || ended).then_some(line)
        });
        let Some(line) = found.flatten() else {
            panic!("awaited a line with {needle:?}, but {}", self.report());
        };
        line
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Sends the signal `name`, for example `TERM`; panics when the process has ended.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        // Held over both steps: once another thread has reaped the process, its id may be reused.
        let mut child = self.child.lock().unwrap();
        let sent = matches!(child.try_wait(), Ok(None)) && kill(name, &child.id().to_string());
        drop(child);
        assert!(sent, "cannot send SIG{name}: {}", self.report());
    }

    /// Waits until the process ends, and returns its status.
    ///
    /// # Panics
    ///
    /// When it still runs after `within`, with all lines.
    #[track_caller]
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let Some(status) = poll(within, || self.status()) else {
            panic!("awaited the exit for {within:?}, but {}", self.report());
        };
        poll(DRAIN, || self.ended());
        status
    }

    /// Tells whether the process has not ended yet.
    pub fn is_running(&self) -> bool {
        self.status().is_none()
    }

    /// Describes the process and all its output, for the end of a sentence about a failure.
    pub fn report(&self) -> String {
        let mut text = match self.status() {
            Some(status) => format!("the process ended ({status}) and wrote:"),
            None => format!("process {} is running and wrote:", self.pid()),
        };
        for (name, lines) in [("stderr", self.lines()), ("stdout", self.stdout_lines())] {
            text.extend(lines.iter().map(|line| format!("\n  {name} | {line}")));
        }
        text
    }

    fn status(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    fn ended(&self) -> Option<()> {
        let ended = |output: &Output| output.reader.as_ref().is_none_or(JoinHandle::is_finished);
        (ended(&self.stderr) && ended(&self.stdout)).then_some(())
    }
}

/// What the system says of a process.
impl Daemon {
    /// A file below `/proc`.
    #[track_caller]
    fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.pid())).expect("a process that runs")
    }

    /// Resident memory in KiB.
    #[track_caller]
    pub fn resident(&self) -> i64 {
        let status = self.proc("status");
        let rest = status.split_once("VmRSS:").expect("a VmRSS line").1;
        let number = rest.split_whitespace().next().and_then(|n| n.parse().ok());
        number.expect("a number")
    }

    /// Processor time used so far, in user and system mode.
    #[track_caller]
    pub fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|n| n.parse::<u64>().expect("ticks")).sum();
        // A tick is 10 ms on every Linux, as far as processes can see.
        Duration::from_millis(ticks * 10)
    }

    /// The names of all threads.
    #[track_caller]
    pub fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("tasks");
        // A thread may end between the two steps.
        let names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.map(|name| name.trim_end().to_owned()).collect()
    }

    /// How many threads serve a client.
    #[track_caller]
    pub fn clients(&self) -> usize {
        let names = self.threads();
        // Whoever takes over from an opener has its number, also before it has a name of its own:
        // a thread that has not run yet is called as the one that made it.
        let number = |name: &String| {
            let opener = name.strip_prefix("ws-open-");
            opener.or(name.strip_prefix("ws-conn-")).map(str::to_owned)
        };
        let clients: BTreeSet<_> = names.iter().filter_map(number).collect();
        let makers: Vec<_> = names
            .iter()
            .filter(|n| n.starts_with("ws-accept-"))
            .collect();
        let listeners: BTreeSet<_> = makers.iter().collect();
        clients.len() + makers.len() - listeners.len()
    }

    #[track_caller]
    pub fn wait_clients(&self, count: usize) {
        wait_until(&format!("{count} threads of clients"), PATIENCE, || {
            (self.clients() == count).then_some(())
        });
    }

    /// How many files are open.
    #[track_caller]
    pub fn descriptors(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        files.expect("descriptors").count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.group {
            // Before the leader is reaped: until then nobody else can get its id.
            kill("KILL", &format!("-{}", self.pid()));
        }
        let child = self.child.get_mut().unwrap();
        // Fails only for a process that has ended, which is what is wanted.
        let _ = child.kill();
        let _ = child.wait();
        // Joining first would hang on a pipe that a grandchild holds. No panic: the test's own
        // failure is the better one to read.
        if poll(DRAIN, || self.ended()).is_none() {
            return eprintln!("something still holds the output: {}", self.report());
        }
        for output in [&mut self.stderr, &mut self.stdout] {
            let _ = output.reader.take().map(JoinHandle::join);
        }
    }
}

/// One output stream: the lines so far, and the thread that adds to them until the stream ends.
struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn read(name: &str, stream: impl Read + Send + 'static) -> Output {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let work = move || {
            // By bytes: `lines()` stops at what is not UTF-8, and the process would block.
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                sink.lock().unwrap().push(line);
            }
        };
        let reader = thread::Builder::new().name(name.into()).spawn(work);
        let reader = Some(reader.expect("a thread starts"));
        Output { lines, reader }
    }
}

/// Runs the command to its end: the exit code and the lines of stderr.
#[track_caller]
pub fn end_of(command: Command) -> (i32, Vec<String>) {
    let mut daemon = Daemon::spawn(command);
    let status = daemon.wait_exit(PATIENCE);
    assert_eq!(daemon.stdout_lines(), [""; 0], "errors go to stderr");
    let Some(code) = status.code() else {
        panic!("a signal ended it: {}", daemon.report());
    };
    (code, daemon.lines())
}

/// Stops the daemon: all its lines.
#[track_caller]
pub fn stopped(mut daemon: Daemon) -> Vec<String> {
    daemon.signal("TERM");
    assert!(daemon.wait_exit(PATIENCE).success(), "{}", daemon.report());
    daemon.lines()
}

/// Starts the daemon of this crate.
#[track_caller]
pub fn plainws(args: &[&str]) -> Daemon {
    Daemon::spawn(plainws_command(args))
}

/// Returns the command of [`plainws`], for a test that adds variables or a directory.
///
/// Without the settings of whoever runs the tests, and without what a service manager tells it: that
/// stderr is the journal, which changes the form of log lines, and where to report to.
pub fn plainws_command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plainws"));
    command.args(args);
    for name in [
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "LISTEN_FDS",
        // Which a unit that runs the tests may have.
        "STATE_DIRECTORY",
    ] {
        command.env_remove(name);
    }
    let names = env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("PLAINWS_")) {
        command.env_remove(name);
    }
    command
}

/// Returns the port of the first URL in `line` that has one, such as `http://HOST:PORT` or
/// `ws://HOST:PORT`; the host may be `[::1]`.
#[track_caller]
pub fn url_port(line: &str) -> u16 {
    let port = line.split("://").skip(1).find_map(|rest| {
        let host = match rest.starts_with('[') {
            true => rest.find(']')? + 1,
            false => rest.find(|c: char| !c.is_alphanumeric() && !".-_".contains(c))?,
        };
        let digits = rest[host..].strip_prefix(':')?;
        let digits = digits.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    });
    let Some(port) = port else {
        panic!("awaited a URL with a port, and the line is {line:?}");
    };
    port
}

/// Appends the daemon's command to that of a program that runs another one.
pub fn run_by(command: &mut Command, args: &[&str]) {
    let daemon = plainws_command(args);
    command.arg(daemon.get_program()).args(daemon.get_args());
    for (name, value) in daemon.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}
