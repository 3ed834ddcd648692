//! A real browser: Debian's Chromium, driven through chromedriver with the W3C WebDriver protocol.
//!
//! The protocol is JSON over HTTP/1.1 with short answers, so a stream and serde_json are all that
//! it takes; the crates for it bring 80 to 150 others.

use std::cell::RefCell;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Daemon;
use super::tools::{PATIENCE, poll, require};

const INSTALL: &str = "apt-get install chromium chromium-driver";

/// Runs chromedriver ($0) and kills the whole group when stdin ends. Stdin ends with the test
/// process, so a run that is interrupted, where nothing is dropped, leaves no browser behind.
const WATCHED: &str = r#""$0" --port=0 </dev/null & read -r _; kill -s KILL 0"#;

/// In the back/forward cache a page would keep its WebSockets open after the tab went elsewhere.
///
/// The crash handler stays, as without it (`--disable-crashpad-for-testing`) pages do not load. It
/// leaves the process group, but ends with the browser.
const FLAGS: &str = "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --no-proxy-server --disable-background-networking --disable-component-update --disable-sync \
    --disable-dev-shm-usage --disable-features=BackForwardCache";

/// The key of an element's id in answers, a constant of the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The errors that say that an element was not touched yet.
const NOT_YET: [&str; 4] = [
    "no such element",
    "element not interactable",
    "element click intercepted",
    "stale element reference",
];

/// A headless browser with a profile of its own; dropping it ends all its processes and removes
/// the profile. For one thread, as the driver has one current tab and takes one call at a time.
pub struct Browser {
    stream: RefCell<BufReader<TcpStream>>,
    session: String,
    // Fields drop in this order. The driver's drop waits for the end of its output, which every
    // process of the browser holds open: only then does nobody write into the profile any more.
    driver: Daemon,
    _profile: TempDir,
}

impl Browser {
    /// Starts the browser, without any tab.
    ///
    /// # Panics
    ///
    /// When Chromium or its driver is missing, with the command that installs them.
    #[track_caller]
    pub fn open() -> Browser {
        Browser::open_with(&[])
    }

    /// As [`open`](Browser::open), trusting this certificate, by the hash of its key.
    #[cfg(feature = "tls")]
    #[track_caller]
    pub fn open_trusting(certificate: &openssl::x509::X509) -> Browser {
        let key = certificate.public_key().unwrap().public_key_to_der();
        let hash = openssl::sha::sha256(&key.unwrap());
        let hash = openssl::base64::encode_block(&hash);
        Browser::open_with(&[&format!("--ignore-certificate-errors-spki-list={hash}")])
    }

    /// As [`open`](Browser::open), with more arguments for Chromium.
    #[track_caller]
    pub fn open_with(more: &[&str]) -> Browser {
        let chromium = require("chromium", INSTALL);
        let chromedriver = require("chromedriver", INSTALL);
        let profile = TempDir::with_prefix("plainws-browser-");
        let profile = profile.expect("a private directory can be made");
        let mut command = Command::new("sh");
        command.args(["-c", WATCHED]).arg(chromedriver);
        // What is written beside the profile lands in the private directory too.
        for name in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            command.env(name, profile.path());
        }
        let driver = Daemon::spawn_group(command);
        let line = driver.wait_line("started successfully on port ");
        let port = line.trim_end_matches('.').rsplit(' ').next();
        let port = port.and_then(|port| port.parse::<u16>().ok());
        let port = port.expect("chromedriver ends that line with its port");
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        let stream = stream.expect("chromedriver takes connections");
        // Longer than the limits below: the driver's own sentence tells more than a lost answer.
        stream.set_read_timeout(Some(3 * PATIENCE)).unwrap();

        let flags = FLAGS.split(' ').chain(more.iter().copied());
        let mut flags: Vec<String> = flags.map(String::from).collect();
        let home = profile.path().display();
        flags.push(format!("--user-data-dir={home}/profile"));
        let limit = PATIENCE.as_secs() * 1000;
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"implicit": 0, "pageLoad": limit, "script": limit},
        }}});
        let mut browser = Browser {
            stream: RefCell::new(BufReader::new(stream)),
            session: "/session".into(),
            driver,
            _profile: profile,
        };
        let answer = browser.must("POST ", &wanted);
        browser.session = format!("/session/{}", answer["sessionId"].as_str().unwrap());
        browser
    }

    /// Opens `url` in a new tab and waits until the page is loaded.
    ///
    /// In truth a window of its own: in a hidden tab Chromium stops animation frames. The window
    /// that the browser starts with stays, as closing the last one ends the session.
    #[track_caller]
    pub fn tab(&self, url: &str) -> Tab<'_> {
        let window = self.must("POST /window/new", &json!({"type": "window"}));
        let tab = Tab {
            browser: self,
            handle: json!({"handle": window["handle"]}),
            url: url.to_owned(),
        };
        tab.must("POST /url", &json!({"url": url}));
        tab
    }

    /// Takes the console's errors since the last call, of all tabs: violations of the content
    /// security policy, failed loads and connections, uncaught exceptions.
    ///
    /// Without a missing `/favicon.ico`, which no page asked for.
    #[track_caller]
    pub fn console(&self) -> Vec<String> {
        let mut entries = self.must("POST /se/log", &json!({"type": "browser"}));
        let entries = entries.as_array_mut().unwrap();
        entries.retain(|entry| entry["level"] == "SEVERE");
        let lines = entries.iter().filter_map(|entry| entry["message"].as_str());
        let favicon = |line: &str| line.contains("/favicon.ico") && line.contains("status of 404");
        lines
            .filter(|line| !favicon(line))
            .map(String::from)
            .collect()
    }

    #[track_caller]
    fn must(&self, what: &str, body: &Value) -> Value {
        match self.call(what, body) {
            Ok(value) => value,
            Err(error) => panic!("the browser refuses {what} {body}: {}", error["message"]),
        }
    }

    /// Calls the driver with `what`, a method and a path inside the session. `Err` is its own
    /// account of what is wrong.
    #[track_caller]
    fn call(&self, what: &str, body: &Value) -> Result<Value, Value> {
        match self.exchange(what, body) {
            Ok((200, mut answer)) => Ok(answer["value"].take()),
            Ok((_, mut answer)) => Err(answer["value"].take()),
            Err(error) => {
                let driver = self.driver.report();
                panic!("no answer of chromedriver to {what}: {error}: {driver}")
            }
        }
    }

    fn exchange(&self, what: &str, body: &Value) -> io::Result<(u16, Value)> {
        let (method, path) = what.split_once(' ').unwrap();
        let path = format!("{}{path}", self.session);
        // GET and DELETE have none.
        let body = Some(body).filter(|body| !body.is_null());
        let body = body.map_or(String::new(), Value::to_string);
        let length = body.len();
        // In one write: a second small one would wait until the first is acknowledged.
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut stream = self.stream.borrow_mut();
        stream.get_mut().write_all(request.as_bytes())?;

        let mut line = String::new();
        stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).unwrap_or_default().parse();
        let mut length = 0;
        while !line.trim().is_empty() {
            line.clear();
            stream.read_line(&mut line)?;
            if let Some(("content-length", value)) = line.to_lowercase().split_once(':') {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer)?;
        let answer = serde_json::from_slice(&answer)?;
        Ok((status.map_err(io::Error::other)?, answer))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The polite way first, for the pages to close their connections. A driver that does not
        // answer soon is killed next, so a failure does not matter.
        let stream = self.stream.get_mut().get_ref();
        let _ = stream.set_read_timeout(Some(PATIENCE / 3));
        let _ = self.exchange("DELETE ", &Value::Null);
    }
}

/// A page in a [`Browser`], open until [`close`](Tab::close) or the end of the browser.
pub struct Tab<'b> {
    browser: &'b Browser,
    handle: Value,
    url: String,
}

impl Tab<'_> {
    /// Returns the text of the element that matches `css`, as it is shown; of a field, what is
    /// typed into it.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let Some(text) = self.shown(css) else {
            panic!("nothing matches {css} on {}", self.url);
        };
        text
    }

    /// Waits until the element that matches `css` shows `expected`, apart from spaces around it.
    #[track_caller]
    pub fn wait_text(&self, css: &str, expected: &str) {
        let mut last = None;
        let seen = poll(PATIENCE, || {
            last = self.shown(css);
            (last.as_deref().map(str::trim) == Some(expected)).then_some(())
        });
        if seen.is_none() {
            let last = last.map_or("nothing matches".into(), |text| format!("{text:?}"));
            panic!(
                "awaited {expected:?} in {css} on {}, seen: {last}",
                self.url
            );
        }
    }

    /// Clicks the element that matches `css`, once it is there and nothing covers it.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.act(css, "click", &json!({}));
    }

    /// Types `text` into the field that matches `css`, after what is there; `\n` is Enter.
    #[track_caller]
    pub fn type_text(&self, css: &str, text: &str) {
        self.act(css, "value", &json!({"text": text}));
    }

    /// Runs `js`, the body of a function, and returns what it returns; a promise is awaited.
    #[track_caller]
    pub fn script(&self, js: &str) -> Value {
        self.must("POST /execute/sync", &json!({"script": js, "args": []}))
    }

    /// Writes what the tab shows to the file `path`, as PNG.
    #[track_caller]
    pub fn screenshot(&self, path: impl AsRef<Path>) {
        let image = self.must("GET /screenshot", &Value::Null);
        fs::write(path, base64(image.as_str().unwrap())).expect("the screenshot can be written");
    }

    /// Loads the page again and waits until it is loaded.
    #[track_caller]
    pub fn reload(&self) {
        self.must("POST /refresh", &json!({}));
    }

    /// Closes the tab.
    #[track_caller]
    pub fn close(self) {
        let left = self.must("DELETE /window", &Value::Null);
        // With a closed tab as the current one the driver refuses to open another.
        self.browser
            .must("POST /window", &json!({"handle": left[0]}));
    }

    #[track_caller]
    fn shown(&self, css: &str) -> Option<String> {
        let js = "const e = document.querySelector(arguments[0]); return e && \
            (e.matches('input, textarea, select') ? e.value : e.innerText ?? e.textContent)";
        let text = self.must("POST /execute/sync", &json!({"script": js, "args": [css]}));
        text.as_str().map(str::to_owned)
    }

    /// Does `action` to an element, tried again while the page is not ready for it.
    #[track_caller]
    fn act(&self, css: &str, action: &str, body: &Value) {
        let mut last = Ok(Value::Null);
        poll(PATIENCE, || {
            self.switch();
            let find = json!({"using": "css selector", "value": css});
            let found = self.browser.call("POST /element", &find);
            last = found.and_then(|element| {
                let id = element[ELEMENT].as_str().unwrap();
                let path = format!("POST /element/{id}/{action}");
                self.browser.call(&path, body)
            });
            // No other error is tried again, as the click may have been made.
            let again = |error: &Value| NOT_YET.iter().any(|code| error["error"] == *code);
            (!last.as_ref().is_err_and(again)).then_some(())
        });
        if let Err(error) = last {
            panic!("no {action} on {css} of {}: {}", self.url, error["message"]);
        }
    }

    #[track_caller]
    fn must(&self, what: &str, body: &Value) -> Value {
        self.switch();
        self.browser.must(what, body)
    }

    /// Makes this the driver's current tab: another one may have been used since.
    #[track_caller]
    fn switch(&self) {
        self.browser.must("POST /window", &self.handle);
    }
}

/// Decodes base64 as the driver writes it, without line breaks.
fn base64(text: &str) -> Vec<u8> {
    const SYMBOLS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0, 0);
    // The padding is no symbol, and what is held then is only filling.
    for value in text.chars().map_while(|symbol| SYMBOLS.find(symbol)) {
        bits = (bits << 6 | value) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
