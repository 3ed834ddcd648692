//! A disk that is full. (One with a database in use cannot be made read-only.)

use super::*;

/// Starts a daemon whose state directory is a file system of its own, of 2 MiB, in a mount
/// namespace of its own; the path by which this process sees it. `None`, and says so, where that
/// is not allowed.
fn on_a_small_disk(directory: &Folder, more: &[&str]) -> Option<(Daemon, u16, PathBuf)> {
    let unshare = |command: &mut Command| {
        // Without root's rights, with those of a user namespace.
        command.args(if is_root() {
            ["-m"].as_slice()
        } else {
            &["-r", "-m"]
        });
    };
    let mut can = Command::new("unshare");
    unshare(&mut can);
    let mount = "mount -t tmpfs -o size=2m,mode=700 tmpfs \"$0\"";
    can.args(["sh", "-c", mount])
        .arg(directory.0.path())
        .stderr(Stdio::null());
    if !can.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: needs unshare, and the right to mount a tmpfs in it (root has it)");
        return None;
    }
    let mut command = Command::new("unshare");
    unshare(&mut command);
    let mount = format!("{mount} && exec \"$@\"");
    command.args(["sh", "-c", &mount]).arg(directory.0.path());
    let listen = "counter=127.0.0.1:0";
    let state = directory.arg("");
    let args = [&["serve", "--listen", listen, "--state-dir", &state], more].concat();
    run_by(&mut command, &args);
    let daemon = Daemon::spawn(command);
    let port = url_port(&daemon.wait_line("counter at http"));
    let seen = PathBuf::from(format!("/proc/{}/root{state}", daemon.pid()));
    assert!(seen.exists(), "{}", daemon.report());
    Some((daemon, port, seen))
}

/// How many lines tell that saving fails.
fn complaints(daemon: &Daemon) -> usize {
    let lines = daemon.lines();
    lines
        .iter()
        .filter(|line| line.contains("[ERROR] cannot save"))
        .count()
}

#[test]
fn a_full_disk_is_degraded_serves_on_and_recovers() {
    for sync in ["second", "always"] {
        let directory = Folder::new();
        let Some((daemon, port, disk)) = on_a_small_disk(&directory, &["--sync", sync]) else {
            return;
        };
        let (ws, _) = joined(port);
        assert_eq!(add(&ws, 1), 1);
        assert_eq!(health(port, ""), (200, "ok".to_owned()));
        let filler = disk.join("filler");
        let full = fs::write(&filler, vec![0; 4 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        wait_until("no more room", PATIENCE, || {
            // What is left of a page of the log is used up.
            add(&ws, 1);
            (complaints(&daemon) > 0).then_some(())
        });
        let line = daemon.wait_line("[ERROR] cannot save");
        assert!(line.contains("full"), "{line}");
        let text = "degraded: the state cannot be saved".to_owned();
        assert_eq!(health(port, ""), (200, text.clone()));
        assert_eq!(health(port, "?strict"), (503, text));
        // Clients do not notice, and tries do not pile up: neither lines nor files.
        let last = add(&ws, 500);
        assert_eq!(joined(port).1, last);
        assert!(degraded(port));
        assert_eq!(complaints(&daemon), 1, "{}", daemon.report());
        let entries = fs::read_dir(&disk).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["filler", NAME, "plainws.db-wal"]);
        fs::remove_file(&filler).unwrap();
        daemon.wait_line("is saved again");
        wait_until("the end of it", PATIENCE, || {
            (!degraded(port)).then_some(())
        });
        assert_eq!(health(port, "?strict"), (200, "ok".to_owned()));
        assert_eq!(add(&ws, 1), last + 1);
        assert_eq!(complaints(&daemon), 1, "{}", daemon.report());
        stopped(daemon);
    }
}

#[test]
fn a_value_that_cannot_be_saved_at_the_end_is_named_and_the_exit_code_is_1() {
    let directory = Folder::new();
    let Some((mut daemon, port, disk)) = on_a_small_disk(&directory, &[]) else {
        return;
    };
    let (ws, _) = joined(port);
    fs::write(disk.join("filler"), vec![0; 4 << 20]).unwrap_err();
    let mut last = 0;
    wait_until("no more room", PATIENCE, || {
        last = add(&ws, 1);
        (complaints(&daemon) > 0).then_some(())
    });
    daemon.signal("TERM");
    let code = daemon.wait_exit(PATIENCE).code();
    assert_eq!(code, Some(1), "{}", daemon.report());
    let told = daemon.lines().pop().unwrap();
    assert!(
        told.ends_with(&format!("the value {last} is lost")),
        "{told}"
    );
}
