//! Who may do what: rules, users, tokens and the login, at a daemon.

use plainws::Client;

use crate::http::hosted;
use crate::support::files::Folder;
use crate::support::process::{Daemon, end_of, plainws, plainws_command, url_port};
use crate::support::raw::{Answer, Raw, exchange};
use crate::support::talk::end;
use crate::support::tools::{PATIENCE, wait_until};

const RULES: &str = "\
deny  *          read,write /topic/secret/
allow user:ann   read,write /
allow token:cron write      /topic/cpu
allow *          read       /topic/
allow *          read       /counter
";

struct Site {
    folder: Folder,
    daemon: Daemon,
    port: u16,
    token: String,
}

/// Makes a token and its line.
fn token(name: &str) -> (String, String) {
    let made = plainws_command(&["token", name]).output().unwrap();
    assert!(made.status.success());
    let stderr = String::from_utf8(made.stderr).unwrap();
    let line = stderr
        .lines()
        .find(|line| line.contains("sha256:"))
        .unwrap();
    let line = line.rsplit("plainws: ").next().unwrap().to_owned();
    (
        String::from_utf8(made.stdout).unwrap().trim().to_owned(),
        line,
    )
}

fn site() -> Site {
    let folder = Folder::new();
    let hash = bcrypt::hash("secret", 4).unwrap();
    let (token, line) = token("cron");
    let [rules, users, tokens] = [
        ("rules", RULES.to_owned()),
        ("users", format!("ann:{hash}\n")),
        ("tokens", line + "\n"),
    ]
    .map(|(name, content)| folder.write(name, content).display().to_string());
    let daemon = plainws(&[
        "serve",
        "--listen=127.0.0.1:0",
        "--access",
        &rules,
        "--users",
        &users,
        "--tokens",
        &tokens,
    ]);
    let port = url_port(&daemon.wait_line("index at "));
    Site {
        folder,
        daemon,
        port,
        token,
    }
}

impl Site {
    #[track_caller]
    fn ask(&self, line: &str, lines: &str) -> Answer {
        let length = if line.starts_with("GET") {
            ""
        } else {
            "|Content-Length: 1"
        };
        let head = hosted(&format!("{line} HTTP/1.1{length}{lines}"));
        let body = if length.is_empty() { "" } else { "1" };
        exchange(self.port, head + body)
    }
}

/// `ann:secret`.
const ANN: &str = "|Authorization: Basic YW5uOnNlY3JldA==";
const BROWSER: &str = "|Accept: text/html,*/*";

#[test]
fn each_may_do_what_the_rules_say() {
    let site = site();
    let cron = format!("|Authorization: Bearer {}", site.token);
    let wrong = "|Authorization: Basic YW5uOndyb25n";
    let rows = [
        ("PUT /topic/a", "", 401),
        ("PUT /topic/a", ANN, 204),
        ("GET /topic/a", "", 200),
        ("PUT /topic/cpu", &cron, 204),
        ("PUT /topic/a", &cron, 403),
        ("DELETE /topic/cpu", &cron, 204),
        ("GET /topic/secret/x", ANN, 403),
        ("GET /topic/%73ecret/x", ANN, 403),
        ("GET /topic/*", "", 401),
        ("GET /topic/*", ANN, 403),
        ("GET /topics", "", 401),
        ("GET /topics", ANN, 200),
        ("GET /", "", 401),
        ("GET /counter", "", 200),
        ("GET /hello", "", 401),
        ("GET /healthz", "", 200),
        ("GET /plainws.js", "", 200),
        ("GET /login", "", 200),
        ("GET /topic/a", wrong, 401),
        ("GET /topic/a", "|Authorization: Bearer nonsense", 401),
    ];
    for (line, lines, status) in rows {
        let answer = site.ask(line, lines);
        assert_eq!(answer.status, status, "{line}{lines}: {answer:?}");
        if status == 401 {
            let challenges = answer.head.matches("WWW-Authenticate: ").count();
            assert_eq!(challenges, 2, "{answer:?}");
        }
    }
    let read = site.ask("GET /topic/a", "");
    assert_eq!(read.header("Plainws-Access"), Some("read"));
    assert_eq!(
        site.ask("GET /topic/a", ANN).header("Plainws-Access"),
        Some("read,write")
    );
    // A browser is led to the form, and back.
    let led = site.ask("GET /topics", BROWSER);
    assert_eq!(
        (led.status, led.header("Location")),
        (303, Some("login?next=/topics"))
    );
    let deep = site.ask("GET /stream/a/b?last=2", BROWSER);
    assert_eq!(
        deep.header("Location"),
        Some("../../login?next=/stream/a/b%3Flast%3D2")
    );
}

#[test]
fn who_guesses_has_to_wait_and_nobody_is_told_a_secret() {
    let site = site();
    let wrong = "|Authorization: Basic YW5uOndyb25n";
    let statuses: Vec<u16> = (0..20)
        .map(|_| site.ask("GET /topic/a", wrong).status)
        .collect();
    let tried = statuses.iter().filter(|status| **status == 401).count();
    assert!(statuses.contains(&429) && tried >= 5, "{statuses:?}");
    let waits = || (site.ask("GET /topic/a", ANN).status != 429).then_some(());
    wait_until("the second to be over", PATIENCE, waits);
    let log = site.daemon.report();
    for secret in ["secret\"", "wrong", "YW5u", site.token.as_str()] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[test]
fn a_browser_logs_in_by_the_form_and_stays_so() {
    let site = site();
    let post = |body: &str, more: &str| {
        let form = "|Content-Type: application/x-www-form-urlencoded";
        let line = format!(
            "POST /login HTTP/1.1{form}{more}|Content-Length: {}",
            body.len()
        );
        exchange(site.port, hosted(&line) + body)
    };
    let wrong = post("user=ann&password=no&token=&next=%2Ftopics", "");
    assert_eq!(
        wrong.header("Location"),
        Some("login?next=/topics&error=wrong")
    );
    assert_eq!(wrong.header("Set-Cookie"), None);
    let foreign = post(
        "user=ann&password=secret",
        "|Origin: https://foreign.example",
    );
    assert_eq!(foreign.status, 403);
    let form = format!("user=&password=&token={}&next=%2Ftopic%2Fcpu", site.token);
    for body in ["user=ann&password=secret&token=&next=%2Ftopics", &form] {
        let back = post(body, "");
        assert_eq!(back.status, 303, "{back:?}");
        assert!(
            back.header("Location").unwrap().starts_with("./topic"),
            "{back:?}"
        );
        let cookie = back.header("Set-Cookie").unwrap();
        for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/"] {
            assert!(
                cookie.contains(part) && !cookie.contains("Secure"),
                "{cookie}"
            );
        }
        let known = format!("|Cookie: a=b; {}", cookie.split(';').next().unwrap());
        let may = if body.contains("ann") {
            ("PUT /topic/a", 204)
        } else {
            ("PUT /topic/cpu", 204)
        };
        assert_eq!(site.ask(may.0, &known).status, may.1, "{body}");
    }
    assert_eq!(
        site.ask("PUT /topic/a", "|Cookie: plainws=nonsense").status,
        401
    );
}

#[test]
fn sockets_follow_the_rules_also_those_that_are_read_again() {
    let site = site();
    let url = |path: &str| format!("ws://127.0.0.1:{}{path}", site.port);
    let ann = Client::builder().basic_auth("ann", "secret");
    let known = ann.connect(&url("/topic/a")).unwrap();
    known.send("1").unwrap();
    assert_eq!(known.recv().unwrap(), "1");
    let looking = plainws::connect(&url("/topic/a")).unwrap();
    assert_eq!(looking.recv().unwrap(), "1");
    let refused = plainws::connect(&url("/topic/a")).unwrap();
    refused.send("2").unwrap();
    assert_eq!(end(&refused).received.unwrap().code.0, 1008);
    let counter = plainws::connect(&url("/counter")).unwrap();
    counter.send(r#"{"action":"plus"}"#).unwrap();
    let told = std::iter::repeat_with(|| counter.recv().unwrap().to_string());
    let error = told.take(5).find(|text| text.contains("error")).unwrap();
    assert!(error.contains("you may look"), "{error}");
    assert!(plainws::connect(&url("/hello")).is_err());
    let mut stream = Raw::connect(site.port);
    stream.send(
        hosted(&format!(
            "GET /topic/a HTTP/1.1|Accept: text/event-stream{ANN}"
        ))
        .as_bytes(),
    );
    stream.until("data: 1\n\n");

    // What is no rule leaves all as it is.
    site.folder.write("rules", "allow everybody");
    site.daemon.signal("HUP");
    site.daemon
        .wait_line("the old rules of access stay in force: ");
    known.send("3").unwrap();
    assert_eq!(known.recv().unwrap(), "3");
    // Without ann, and with the same rules.
    site.folder.write("rules", RULES);
    site.folder.write("users", "");
    site.daemon.signal("HUP");
    site.daemon.wait_line("connections closed by them: 2");
    assert_eq!(end(&known).received.unwrap().code.0, 1008);
    stream.rest();
    assert_eq!(looking.recv().unwrap(), "3", "who may look still does");
    assert_eq!(site.ask("GET /topics", ANN).status, 401);
    // A token that is gone: what it opened is closed, and its login, too.
    let cron = format!("Bearer {}", site.token);
    site.folder
        .write("rules", "allow token:cron read,write /\n");
    site.daemon.signal("HUP");
    wait_until("its right", PATIENCE, || {
        let lines = format!("|Authorization: {cron}");
        (site.ask("GET /topics", &lines).status == 200).then_some(())
    });
    let form = format!("token={}&next=%2F", site.token);
    let line = format!("POST /login HTTP/1.1|Content-Length: {}", form.len());
    let back = exchange(site.port, hosted(&line) + &form);
    let cookie = back
        .header("Set-Cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let by = |name: &str, value: &str| Client::builder().header(name, value);
    let sockets = [("Authorization", &*cron), ("Cookie", cookie)]
        .map(|(name, value)| by(name, value).connect(&url("/topic/a")).unwrap());
    site.folder.write("tokens", "");
    site.daemon.signal("HUP");
    for ws in &sockets {
        assert_eq!(end(ws).received.unwrap().code.0, 1008);
    }
    assert_eq!(
        site.ask("GET /topics", &format!("|Cookie: {cookie}"))
            .status,
        401
    );
}

#[test]
fn files_that_cannot_be_meant_end_the_start_with_their_line() {
    let folder = Folder::new();
    let rules = folder
        .write("rules", "allow * read /\n")
        .display()
        .to_string();
    let rows = [
        ("--access", "allow * read /\npermit", "line 2: a rule is"),
        ("--users", "ann:plain", "line 1: the password of \"ann\""),
        ("--tokens", "cron abc", "line 1: a token is NAME"),
    ];
    for (option, content, told) in rows {
        let file = folder.write("wrong", content).display().to_string();
        let mut args = vec!["serve", "--listen=127.0.0.1:0"];
        if option != "--access" {
            args.extend(["--access", &rules]);
        }
        args.extend([option, &file]);
        let (code, lines) = end_of(plainws_command(&args));
        let lines = lines.join("\n");
        assert!(
            code == 1 && lines.contains(told) && lines.contains(&file),
            "{lines}"
        );
    }
    let none = folder.path("none").display().to_string();
    let (code, lines) = end_of(plainws_command(&["serve", "--access", &none]));
    assert!(
        code == 1 && lines.join("\n").contains("cannot read"),
        "{lines:?}"
    );
    assert_eq!(end_of(plainws_command(&["serve", "--users", &none])).0, 2);
    assert_eq!(end_of(plainws_command(&["token", "a b"])).0, 2);
}
