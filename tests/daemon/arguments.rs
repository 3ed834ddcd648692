//! Arguments and variables.

use super::*;

/// What is told of one option, in a table of docs/ or by `--help`.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    value: String,
    variable: String,
    default: String,
}

/// The texts between backticks.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The rows of the table about a command in docs/, by flag, and the cells of the defaults as they
/// are.
fn documented(command: &str) -> BTreeMap<String, (Told, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{command}.md"));
    let page = fs::read_to_string(page).unwrap();
    let head = page.lines().find(|line| line.starts_with("| option "));
    let head: Vec<&str> = head.unwrap().split('|').map(str::trim).collect();
    let column = |name: &str| head.iter().position(|&cell| cell == name);
    let rows = page.lines().filter(|line| line.starts_with("| `-"));
    let rows = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let option = code(cells[1])[0];
        let optional = option.strip_suffix(']').and_then(|o| o.split_once("[="));
        let (flag, value) = optional.or(option.split_once(' ')).unwrap_or((option, ""));
        let default = cells[column("default").unwrap()];
        let told = Told {
            value: value.to_owned(),
            variable: column("variable").map_or_else(String::new, |at| code(cells[at]).concat()),
            // Several of one option stand there as several; a default in words is for people.
            default: code(default).join(","),
        };
        (flag.to_owned(), (told, default.replace('`', "")))
    });
    rows.collect()
}

/// The options of a command's `--help`, by flag, and their texts.
fn help(command: &str) -> BTreeMap<String, (Told, String)> {
    let mut plainws = plainws(&[command, "--help"]);
    assert!(
        plainws.wait_exit(PATIENCE).success(),
        "{}",
        plainws.report()
    );
    let help = plainws.stdout_lines().join("\n");
    let (_, options) = help.split_once("Options:\n").expect("a list of options");
    let mut entries: Vec<String> = Vec::new();
    let mut is_option = false;
    for line in options.lines().filter(|line| !line.is_empty()) {
        // Headings, and what is told behind the options, stand at the margin.
        if !line.starts_with(' ') {
            is_option = false;
        } else if line.trim_start().starts_with('-') && line.find('-') < Some(8) {
            is_option = true;
            entries.push(line.trim().to_owned());
        } else if is_option && let Some(last) = entries.last_mut() {
            // A long text goes on on the next line.
            *last += &format!(" {}", line.trim());
        }
    }
    let bracket = |entry: &str, name: &str| {
        let (_, rest) = entry.split_once(&format!("[{name}: "))?;
        Some(rest.split_once(']')?.0.to_owned())
    };
    let parsed = entries.into_iter().map(|entry| {
        // The long name, of those that are not known by their short one.
        let names = entry.split_whitespace().take(2);
        let long = names.filter(|name| name.starts_with("--") && !name.starts_with("--verbose"));
        let long = long.map(|name| name.split("[=").next().unwrap()).next();
        let short = entry.split([' ', ',']).next().unwrap();
        let flag = long.unwrap_or(short).to_owned();
        let value = entry.split_once(" <").or_else(|| entry.split_once("=<"));
        let value = value.and_then(|(_, rest)| Some(rest.split_once('>')?.0));
        let value = value.filter(|_| flag != "-v").unwrap_or_default();
        let variable = bracket(&entry, "env").unwrap_or_default();
        let told = Told {
            value: value.to_owned(),
            variable: variable.trim_end_matches('=').to_owned(),
            default: bracket(&entry, "default").unwrap_or_default(),
        };
        (flag, (told, entry))
    });
    parsed.filter(|(flag, _)| flag != "--help").collect()
}

#[track_caller]
fn tell_the_same_options(command: &str) {
    let (documented, help) = (documented(command), help(command));
    let flags = |of: &BTreeMap<String, _>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(flags(&documented), flags(&help), "{command}");
    assert!(
        documented.len() > 10,
        "the table was found: {documented:#?}"
    );
    for (flag, (told, entry)) in &help {
        let (row, cell) = &documented[flag];
        assert_eq!(row.value, told.value, "the value of {command} {flag}");
        assert_eq!(
            row.variable, told.variable,
            "the variable of {command} {flag}"
        );
        if !told.default.is_empty() {
            assert_eq!(row.default, told.default, "the default of {command} {flag}");
            continue;
        }
        // In words: each of them stands in the help's text.
        let entry = entry.to_lowercase();
        for word in cell.to_lowercase().split([',', ' ']) {
            assert!(
                ["", "same"].contains(&word) || entry.contains(word),
                "the documented default {cell:?} of {command} {flag} is not in {entry:?}"
            );
        }
    }
}

#[test]
fn the_docs_and_the_help_tell_the_same_options() {
    tell_the_same_options("serve");
    tell_the_same_options("connect");
}

#[test]
fn limits_and_listeners_have_their_variables_and_defaults_in_the_help() {
    let help = help("serve");
    let limits =
        "max-connections max-size open-timeout ping-interval ping-timeout close-timeout backlog";
    for flag in limits.split(' ') {
        let (told, entry) = &help[&format!("--{flag}")];
        let variable = format!("PLAINWS_{}", flag.to_uppercase().replace('-', "_"));
        assert_eq!(told.variable, variable);
        assert!(!told.default.is_empty(), "{entry}");
    }
    let default = "hello=127.0.0.1:8765,clock=127.0.0.1:5678,counter=127.0.0.1:6789";
    assert_eq!(help["--listen"].0.default, default);
}

#[test]
fn each_documented_variable_is_read() {
    let opened = "--html-dir --tls-cert --tls-key --tls-password-file --access --users --tokens";
    let folder = crate::support::files::Folder::new();
    let rules = folder.write("rules", "");
    // A value that nothing can mean is refused, by its name; every name could be a host's.
    for (flag, (told, _)) in documented("serve") {
        // Every text is a policy, too.
        if told.variable.is_empty() || flag == "--host" || flag == "--csp" {
            continue;
        }
        let mut command = plainws_command(&["serve"]);
        command.env("PLAINWS_LISTEN", "127.0.0.1:0");
        // A key or a password alone is not asked for.
        if ["--tls-key", "--tls-password-file"].contains(&flag.as_str()) {
            command.env("PLAINWS_TLS_CERT", file!());
        }
        if ["--users", "--tokens"].contains(&flag.as_str()) {
            command.env("PLAINWS_ACCESS", &rules);
        }
        command.env(&told.variable, "/no?such thing");
        let (code, lines) = end_of(command);
        let lines = lines.join("\n");
        assert!(
            code == 2
                || (opened.split(' ').any(|f| f == flag) && code == 1)
                || (flag == "--state-dir" && code == 78),
            "{flag}: {lines}"
        );
        assert!(lines.contains("/no?such thing"), "{flag}: {lines}");
    }
}

#[test]
fn a_variable_without_a_value_is_as_good_as_none() {
    // As a line of a file of settings may leave it.
    let mut command = plainws_command(&["serve"]);
    for (told, _) in documented("serve").into_values() {
        if !told.variable.is_empty() {
            command.env(told.variable, "");
        }
    }
    command.args(["--listen", "127.0.0.1:0"]);
    let daemon = Daemon::spawn(command);
    daemon.wait_line("index at ");
    stopped(daemon);
}

#[test]
fn variables_do_what_the_flags_do() {
    let mut command = plainws_command(&["serve"]);
    command.envs([
        ("PLAINWS_LISTEN", "counter=127.0.0.1:0,hello=127.0.0.1:0"),
        ("PLAINWS_MAX_CONNECTIONS", "1"),
        ("PLAINWS_MAX_SIZE", "20"),
        ("PLAINWS_HOST", "127.0.0.1,app.example"),
        ("PLAINWS_ORIGIN", "none,https://app.example"),
        ("PLAINWS_OPEN_TIMEOUT", "300ms"),
        ("PLAINWS_PING_INTERVAL", "50ms"),
        ("PLAINWS_LOG_LEVEL", "debug"),
    ]);
    let daemon = Daemon::spawn(command);
    let counter = url_port(&daemon.wait_line("counter at "));
    let hello = url_port(&daemon.wait_line("hello at "));

    let host = |name: &str| format!("GET /healthz HTTP/1.1\r\nHost: {name}\r\n\r\n");
    assert_eq!(exchange(counter, host("app.example")).status, 200);
    assert_eq!(exchange(counter, host("localhost")).status, 403);

    // Half a request, and then nothing.
    assert_eq!(exchange(hello, "GET / HTTP/1.1\r\n").status, 408);

    let mut only = Raw::connect(counter);
    let request = upgrade_request("/", "Origin: https://app.example\r\n");
    only.send(request.replace("localhost", "app.example").as_bytes());
    assert_eq!(only.answer().status, 101);
    let second = plainws::connect(&format!("ws://127.0.0.1:{hello}/"));
    let refused = second.expect_err("there is one place for all listeners");
    assert!(
        matches!(refused, Error::Refused(ref r) if r.status == 503),
        "{refused}"
    );
    while only.frame().expect("a ping comes soon").opcode != 9 {}
    only.send(&raw::text("more than twenty bytes"));
    assert_eq!(only.close_frame().0, 1009);
    drop(only);

    let origin = Client::builder().header("Origin", "https://evil.example");
    let url = format!("ws://127.0.0.1:{hello}/");
    let refused = origin
        .connect(&url)
        .expect_err("an origin that is not listed");
    assert!(
        matches!(refused, Error::Refused(ref r) if r.status == 403),
        "{refused}"
    );
    daemon.wait_line("[DEBUG]");
}

#[test]
fn a_flag_beats_its_variable() {
    let mut command = plainws_command(&[
        "serve",
        "--listen=hello=127.0.0.1:0",
        "--max-size=1KiB",
        "--html-dir=html",
    ]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("PLAINWS_LISTEN", "counter=127.0.0.1:0");
    command.env("PLAINWS_MAX_SIZE", "10");
    command.env("PLAINWS_HTML_DIR", "/no/such/folder");
    let daemon = Daemon::spawn(command);
    let port = url_port(&daemon.wait_line("hello at "));
    let ws = connect(port, "/");
    ws.send("x".repeat(1024)).unwrap();
    assert_eq!(text(&ws).len(), 1024 + 7);
    let lines = stopped(daemon).join("\n");
    assert!(!lines.contains("counter at "), "{lines}");
}

#[test]
fn wrong_usage_is_a_sentence_and_exit_code_2() {
    // A hint, and the arguments that get it, separated by `|`.
    let cases = [
        ("hello, clock or counter", "--listen=chat=:0"),
        (
            "HOST:PORT",
            "--listen=|--listen=hello=|--listen=127.0.0.1|--listen=127.0.0.1:",
        ),
        (
            "HOST:PORT",
            "--listen=127.0.0.1:65536|--listen=127.0.0.1:-1|--listen=::1",
        ),
        ("unix:/path", "--listen=unix:|--listen=unix:relative"),
        (
            "64KiB",
            "--max-size=64 parsecs|--max-size=0|--max-size=1.5MiB|--max-size=off",
        ),
        ("64KiB", "--backlog=99999999999999999999"),
        (
            "10s",
            "--open-timeout=10x|--open-timeout=off|--close-timeout=off",
        ),
        ("more than nothing", "--close-timeout=0s"),
        (
            "or off",
            "--ping-interval=soon|--ping-timeout=-1s|--write-timeout=",
        ),
        ("above 0", "--max-connections=0|--max-connections=many"),
        (
            "SCHEME://HOST",
            "--origin=app.example|--origin=https://app.example/path|--origin=*",
        ),
        ("loud", "--log-level=loud"),
        ("--no-such-option", "--no-such-option"),
        ("counter", "counter"),
    ];
    let cases =
        cases.map(|(hint, wrong)| wrong.split('|').map(move |arg| (hint, vec!["serve", arg])));
    let bare = [
        ("Usage", vec![]),
        ("unrecognized subcommand", vec!["server"]),
    ];
    for (hint, args) in cases.into_iter().flatten().chain(bare) {
        let mut command = plainws_command(&args);
        // Were it taken for right, the default ports would be opened.
        command.env("PLAINWS_LISTEN", "127.0.0.1:0");
        let (code, lines) = end_of(command);
        let lines = lines.join("\n");
        assert_eq!(code, 2, "{args:?}: {lines}");
        let said = lines.contains(hint) && !lines.contains("panicked");
        assert!(said, "{args:?} should say {hint:?}: {lines}");
    }
}

#[test]
fn off_is_for_what_may_never_happen() {
    let never = [
        "--write-timeout=off",
        "--ping-interval=off",
        "--ping-timeout=off",
    ];
    let (_daemon, port) = serve("hello", &never);
    let ws = connect(port, "/");
    ws.send("Rust").unwrap();
    assert_eq!(text(&ws), "Hello Rust!");
}

#[test]
fn it_tells_its_version_and_its_commands() {
    let output = |arg: &str| {
        let mut plainws = plainws(&[arg]);
        assert!(
            plainws.wait_exit(PATIENCE).success(),
            "{}",
            plainws.report()
        );
        plainws.stdout_lines().join("\n")
    };
    let version = concat!("plainws ", env!("CARGO_PKG_VERSION"));
    assert_eq!(output("--version"), version);
    assert!(output("--help").contains("serve"));
}

#[test]
fn the_services_environment_file_shows_each_variable_with_its_default() {
    let text = include_str!("../../systemd/plainws.env");
    let shown = text.lines().filter(|line| line.contains("PLAINWS_"));
    let shown: BTreeMap<_, _> = shown
        .map(|line| {
            let setting = line.strip_prefix('#').filter(|l| l.starts_with("PLAINWS_"));
            let setting = setting.unwrap_or_else(|| panic!("no default in a comment: {line}"));
            let (variable, default) = setting.split_once('=').expect("a value");
            (variable.to_owned(), default.to_owned())
        })
        .collect();
    let help = help("serve").into_values();
    let help: BTreeMap<_, _> = help
        .filter(|(told, _)| !told.variable.is_empty())
        .map(|(told, _)| (told.variable, told.default))
        .collect();
    assert!(help.len() > 10, "{help:?}");
    assert_eq!(shown, help);
    let set = text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    assert_eq!(set.count(), 0, "as it is installed it changes nothing");
}
