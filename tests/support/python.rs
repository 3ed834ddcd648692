//! Python's `websockets` as a peer, from a virtual environment in `target/peers`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::process::Daemon;
use super::tools::PATIENCE;

/// Returns the interpreter that has `websockets` 17.
///
/// # Panics
///
/// When it is missing, with the command that installs it.
#[track_caller]
pub fn python() -> PathBuf {
    // Checked once, as an import takes a second on a busy machine.
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PYTHON.get_or_init(checked) {
        Ok(python) => python.clone(),
        Err(missing) => panic!("{missing}"),
    }
}

/// Returns the interpreter if it has Django, too, for examples/django.
///
/// # Panics
///
/// When Django 5.2 is missing, with the command that installs it.
#[track_caller]
pub fn django() -> PathBuf {
    let python = python();
    let script = "import django; print(django.__version__)";
    let mut child = Daemon::spawn(command(&python, script, &[]));
    child.wait_exit(PATIENCE);
    assert!(
        child.stdout_lines().concat().starts_with("5.2."),
        "this test needs Django 5.2, but in {} {}\nrun `{} -m pip install -r \
         examples/django/requirements.txt`",
        python.display(),
        child.report(),
        python.display(),
    );
    python
}

/// Runs `script` with `args` in `sys.argv[1:]` to its end, and returns its stdout without the final
/// newline.
///
/// # Panics
///
/// When it exits with another status than 0 or not within [`PATIENCE`], with its output.
#[track_caller]
pub fn run(script: &str, args: &[&str]) -> String {
    let mut child = spawn(script, args);
    let status = child.wait_exit(PATIENCE);
    assert!(status.success(), "a script failed: {}", child.report());
    child.stdout_lines().join(
        "
",
    )
}

/// Starts `script` with `args` in `sys.argv[1:]`, for a server or for a client that is to be there
/// while the test goes on.
#[track_caller]
pub fn spawn(script: &str, args: &[&str]) -> Daemon {
    Daemon::spawn(command(&python(), script, args))
}

fn command(python: &Path, script: &str, args: &[&str]) -> Command {
    let mut command = Command::new(python);
    // -I: neither PYTHON* variables nor modules in the current directory count. -u: a printed port
    // arrives at once, not when a buffer is full.
    command.args(["-I", "-u", "-c", script]).args(args);
    command
}

fn checked() -> Result<PathBuf, String> {
    let peers = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers");
    let python = peers.join("bin/python");
    let mut found = format!("{} is missing", python.display());
    if python.exists() {
        let script = "import websockets; print(websockets.__version__)";
        let mut child = Daemon::spawn(command(&python, script, &[]));
        child.wait_exit(PATIENCE);
        if child.stdout_lines().concat().starts_with("17.") {
            return Ok(python);
        }
        found = format!("in {} {}", python.display(), child.report());
    }
    // As one types it in the package's directory; with CARGO_TARGET_DIR it may lie elsewhere.
    let short = peers.strip_prefix(env!("CARGO_MANIFEST_DIR"));
    let peers = short.unwrap_or(&peers).display();
    Err(format!(
        "this test needs Python websockets 17, but {found}\nrun `python3 -m venv {peers} && \
         {peers}/bin/pip install 'websockets>=17,<18'`"
    ))
}
