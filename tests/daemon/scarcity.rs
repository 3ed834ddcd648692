//! A host that has no more file descriptors or threads to give: the daemon lives, burns no CPU, says
//! so now and then, and goes on when there is something again.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::*;
use crate::support::raw::Answer;

/// Sets the soft limit of a running process.
fn limit(daemon: &Daemon, resource: Resource, to: u64) {
    let pid = Pid::from_raw(daemon.pid() as i32).unwrap();
    let limit = Rlimit {
        current: Some(to),
        maximum: getrlimit(resource).maximum,
    };
    prlimit(Some(pid), resource, limit).expect("a limit can be lowered and raised again");
}

/// The limit below which that many more files can be opened.
fn room_for(daemon: &Daemon, more: usize) -> u64 {
    let files = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let taken: Vec<u64> = names.map(|name| name.parse().unwrap()).collect();
    let free = (0..).filter(|fd| !taken.contains(fd));
    free.take(more).last().unwrap() + 1
}

/// Hundredths of a second that it has spent on a processor.
fn cpu(daemon: &Daemon) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// How many lines say it.
fn told(daemon: &Daemon, what: &str) -> usize {
    let lines = daemon.lines();
    lines.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn without_file_descriptors_clients_wait_and_are_served_later() {
    let (daemon, port) = serve("counter", &[]);
    let first = connect(port, "/");
    assert!(text(&first).contains("users"));
    limit(&daemon, Resource::Nofile, room_for(&daemon, 2));
    let mut served = vec![connect(port, "/"), connect(port, "/")];
    // The system accepts it into the queue, the daemon does not.
    let mut waiting = Raw::connect(port);
    waiting.send(upgrade_request("/", "").as_bytes());
    let line = daemon.wait_line("cannot accept clients at ");
    assert!(line.contains("[WARN]") && line.contains("Too many open files"));

    let (start, before) = (Instant::now(), cpu(&daemon));
    thread::sleep(Duration::from_secs(1));
    let spent = cpu(&daemon) - before;
    let elapsed = start.elapsed();
    assert!(
        spent <= 5 * elapsed.as_secs() + 5,
        "{spent} hundredths of a second of CPU within {elapsed:?}"
    );
    assert_eq!(told(&daemon, "cannot accept clients"), 1, "once in 10 s");
    // Who is there notices nothing.
    first.send(r#"{"action":"plus"}"#).unwrap();
    while !text(&first).contains(r#""value":1"#) {}

    drop(served.pop());
    assert_eq!(waiting.answer().status, 101, "there is one again");
}

/// Of its address space, the bytes in use.
fn address_space(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let size = status.lines().find_map(|l| l.strip_prefix("VmSize:"));
    let size = size.unwrap().trim().trim_end_matches(" kB");
    size.parse::<u64>().unwrap() * 1024
}

#[test]
fn without_threads_clients_get_503_and_later_ones_are_served() {
    let (daemon, port) = serve("counter", &[]);
    let first = connect(port, "/");
    assert!(text(&first).contains("users"));
    let size = address_space(&daemon);
    // Room for much, but not for the stack of a thread, of 256 KiB.
    limit(&daemon, Resource::As, size + 200 * 1024);

    for _ in 0..20 {
        let Answer { status, .. } = Raw::connect(port).answer();
        assert_eq!(status, 503);
    }
    let line = daemon.wait_line("turned away: cannot start a thread");
    assert!(line.contains("[WARN]"), "{line}");
    assert_eq!(told(&daemon, "turned away"), 1, "once in 10 s");
    first.send(r#"{"action":"plus"}"#).unwrap();
    while !text(&first).contains(r#""value":1"#) {}

    limit(&daemon, Resource::As, size + (64 << 20));
    let ws = connect(port, "/");
    assert!(text(&ws).contains("users"));
}

/// Who is told that it is connected is served: its thread is there before.
#[test]
fn without_a_thread_for_the_connection_an_upgrade_gets_503() {
    let (daemon, port) = serve("counter", &["-v"]);
    let first = connect(port, "/");
    assert!(text(&first).contains("users"));
    let size = address_space(&daemon);
    // Room for the stack of an opener, but not for two.
    limit(&daemon, Resource::As, size + 450 * 1024);
    for _ in 0..5 {
        let mut raw = Raw::connect(port);
        raw.send(upgrade_request("/", "").as_bytes());
        assert_eq!(raw.answer().status, 503);
    }
    daemon.wait_line("handshake refused with 503: too few resources");
    limit(&daemon, Resource::As, size + (64 << 20));
    assert!(text(&connect(port, "/")).contains("users"));
}
