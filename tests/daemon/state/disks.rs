//! A disk that is full, or becomes read-only.

use super::*;

/// Starts a daemon whose state directory is a file system of its own, of 64 KiB, in a mount
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
    let mount = "mount -t tmpfs -o size=64k,mode=700 tmpfs \"$0\"";
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
        let newest = disk.join(NAME);
        let good = wait_until("the value to be saved", PATIENCE, || fs::read(&newest).ok());
        assert_eq!(health(port, ""), (200, "ok".to_owned()));
        let filler = disk.join("filler");
        let full = fs::write(&filler, vec![0; 128 * 1024]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(add(&ws, 1), 2);
        let line = daemon.wait_line("[ERROR] cannot save");
        assert!(line.contains("No space left on device"), "{line}");
        let text = "degraded: the state cannot be saved".to_owned();
        assert_eq!(health(port, ""), (200, text.clone()));
        assert_eq!(health(port, "?strict"), (503, text));
        // Clients do not notice, and tries do not pile up: neither lines nor files.
        assert_eq!(add(&ws, 500), 502);
        assert_eq!(joined(port).1, 502);
        assert!(degraded(port));
        assert_eq!(complaints(&daemon), 1, "{}", daemon.report());
        let old = fs::read(&newest).unwrap();
        assert!(
            old == good || sync == "second",
            "the last good value is still there"
        );
        let entries = fs::read_dir(&disk).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name != "filler" && name != "counter.json.previous");
        names.sort();
        assert_eq!(names, [NAME]);
        fs::remove_file(&filler).unwrap();
        daemon.wait_line("is saved again");
        wait_until("the end of it", PATIENCE, || {
            (!degraded(port)).then_some(())
        });
        assert_eq!(health(port, "?strict"), (200, "ok".to_owned()));
        let content = fs::read_to_string(&newest).unwrap();
        assert!(content.contains("\"value\":502}"), "{content}");
        assert_eq!(add(&ws, 1), 503);
        assert_eq!(complaints(&daemon), 1, "{}", daemon.report());
        stopped(daemon);
    }
}

#[test]
fn a_disk_that_becomes_read_only_is_degraded_and_recovers() {
    let directory = Folder::new();
    let Some((daemon, port, disk)) = on_a_small_disk(&directory, &["--sync", "always"]) else {
        return;
    };
    let remount = |how: &str| {
        let mut command = Command::new("nsenter");
        let pid = daemon.pid().to_string();
        command.args(["-t", &pid, "-m"]);
        if !is_root() {
            command.args(["-U", "--preserve-credentials"]);
        }
        let remounted = command.args(["mount", "-o", &format!("remount,{how}")]);
        let remounted = remounted.arg(directory.0.path()).status().unwrap();
        // The daemon holds no file open for writing that would forbid it.
        assert!(remounted.success(), "{how}");
    };
    let (ws, _) = joined(port);
    assert_eq!(add(&ws, 1), 1);
    remount("ro");
    assert!(!degraded(port), "nothing has changed yet");
    assert_eq!(add(&ws, 1), 2);
    let line = daemon.wait_line("[ERROR] cannot save");
    assert!(line.contains("Read-only file system"), "{line}");
    assert!(degraded(port));
    assert_eq!(add(&ws, 10), 12);
    remount("rw");
    daemon.wait_line("is saved again");
    assert!(!degraded(port));
    let content = fs::read_to_string(disk.join(NAME)).unwrap();
    assert!(content.contains("\"value\":12}"), "{content}");
    stopped(daemon);
}
