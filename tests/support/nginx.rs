//! A real nginx on free ports, in a directory of its own, with a certificate for localhost.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use openssl::ssl::{SslConnector, SslMethod};
use plainws::{Client, ClientBuilder, Connection};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::certificates::Certificate;
use super::process::Daemon;
use super::raw::Answer;
use super::tools::{PATIENCE, poll, require};

const INSTALL: &str = "apt-get install nginx-light";

/// Debian has it where only root's PATH leads.
const PLACES: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// Runs nginx ($0) and kills it with its workers when stdin ends, which it does with the test.
const WATCHED: &str = r#""$0" "$@" </dev/null & read -r _; kill -s KILL 0"#;

/// What nginx wants outside of `http`, and its folders, which are the system's otherwise. `user`: its
/// workers reach the sockets of the test; for who is not root it has no meaning.
const MAIN: &str = "daemon off;
worker_processes 1;
user root;
pid DIR/nginx.pid;
error_log stderr info;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    HTTP
}
";

pub struct Nginx {
    pub daemon: Daemon,
    pub http: u16,
    pub https: u16,
    /// The certificate that it shows, for who is to trust it.
    pub pem: String,
    _folder: TempDir,
}

/// What a configuration is written for.
pub struct Site<'a> {
    pub http: u16,
    pub https: u16,
    /// Files with the certificate and the key.
    pub certificate: &'a Path,
    pub key: &'a Path,
}

impl Site<'_> {
    /// A server at the port for https with these locations.
    pub fn server(&self, locations: &str) -> String {
        let (port, certificate, key) = (self.https, self.certificate, self.key);
        format!(
            "server {{\nlisten 127.0.0.1:{port} ssl;\nserver_name localhost;\n\
             ssl_certificate {};\nssl_certificate_key {};\n{locations}\n}}\n",
            certificate.display(),
            key.display(),
        )
    }
}

impl Nginx {
    /// Starts it with the text that `configure` gives for the inside of `http`.
    ///
    /// # Panics
    ///
    /// When nginx is missing, with the command that installs it, or does not take the configuration.
    #[track_caller]
    pub fn start(configure: impl Fn(&Site<'_>) -> String) -> Nginx {
        let certificate = Certificate::localhost();
        Nginx::with_identity(&certificate.pem(), &certificate.key_pem(), configure)
    }

    /// As [`start`](Nginx::start), with this certificate and key.
    #[track_caller]
    pub fn with_identity(
        pem: &str,
        key_pem: &str,
        configure: impl Fn(&Site<'_>) -> String,
    ) -> Nginx {
        let there = |place: &&str| Path::new(place).exists();
        let nginx = PLACES.into_iter().find(there).unwrap_or(PLACES[0]);
        let program = require(nginx, INSTALL);
        let folder = TempDir::with_prefix("plainws-nginx-").expect("a private directory");
        let path = |name: &str| folder.path().join(name);
        let (certificate, key) = (path("cert.pem"), path("key.pem"));
        fs::write(&certificate, pem).unwrap();
        fs::write(&key, key_pem).unwrap();
        // Its ports cannot be left to the system: another program may take one before nginx does.
        for _ in 0..5 {
            let free = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
            let [http, https] = free.map(|socket| socket.local_addr().unwrap().port());
            let site = Site {
                http,
                https,
                certificate: &certificate,
                key: &key,
            };
            let main = MAIN.replace("DIR", &folder.path().display().to_string());
            fs::write(path("nginx.conf"), main.replace("HTTP", &configure(&site))).unwrap();
            let mut command = Command::new("sh");
            command.args(["-c", WATCHED]).arg(&program);
            command.args(["-e", "stderr", "-p"]).arg(folder.path());
            command.arg("-c").arg(path("nginx.conf"));
            let daemon = Daemon::spawn_group(command);
            let emergency = |daemon: &Daemon| {
                let lines = daemon.lines();
                lines.into_iter().find(|line| line.contains("[emerg]"))
            };
            // Written once it listens.
            let pid = path("nginx.pid");
            let up = poll(PATIENCE, || match emergency(&daemon) {
                Some(line) => Some(Err(line)),
                None => pid.metadata().is_ok_and(|m| m.len() > 0).then_some(Ok(())),
            });
            match up {
                Some(Ok(())) => {
                    return Nginx {
                        daemon,
                        http,
                        https,
                        pem: pem.to_owned(),
                        _folder: folder,
                    };
                }
                Some(Err(line)) if line.contains("Address already in use") => {}
                _ => panic!("nginx did not come up: {}", daemon.report()),
            }
        }
        panic!("nginx found no free ports in five tries");
    }

    /// A client that trusts it.
    pub fn client(&self) -> ClientBuilder {
        Client::builder().ca(self.pem.as_bytes().to_vec())
    }

    pub fn url(&self, path: &str) -> String {
        format!("wss://localhost:{}{path}", self.https)
    }

    /// Connects from an address of this host's loopback network, 127.0.0.0/8.
    pub fn connect_from(
        &self,
        address: &str,
        client: &ClientBuilder,
        path: &str,
    ) -> plainws::Result<Connection> {
        client.connect_over(&self.url(path), dial(address, self.https))
    }

    /// Sends a request for a page, over TLS; `more` are whole header lines.
    pub fn get(&self, path: &str, more: &str) -> Answer {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        let trusted = openssl::x509::X509::from_pem(self.pem.as_bytes()).unwrap();
        connector.cert_store_mut().add_cert(trusted).unwrap();
        let stream = dial("127.0.0.1", self.https);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = connector.build().connect("localhost", stream).unwrap();
        let port = self.https;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{more}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        answer(stream)
    }

    /// The same at the port for http.
    pub fn get_plain(&self, path: &str) -> Answer {
        let mut stream = dial("127.0.0.1", self.http);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        answer(stream)
    }
}

/// Reads an answer up to the end of the stream.
fn answer(mut stream: impl Read) -> Answer {
    let mut bytes = Vec::new();
    // Some servers end TLS without saying so; what is missing shows in the text.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no answer but {text:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Connects to a port of 127.0.0.1 from this address.
#[track_caller]
pub fn dial(from: &str, port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from = SocketAddr::new(from.parse().expect("an address"), 0);
    socket.bind(&from.into()).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.connect(&to.into()).expect("somebody listens");
    socket.into()
}

/// The configuration of examples/nginx for this site, and for these applications: what is written
/// behind `server` in nginx.
#[track_caller]
pub fn ours(site: &Site<'_>, clock: &str, counter: &str) -> String {
    let mut text = include_str!("../../examples/nginx/plainws.conf").to_owned();
    let folder = "/etc/letsencrypt/live/app.example";
    for (from, to) in [
        (
            "listen 80;\n    listen [::]:80;",
            format!("listen 127.0.0.1:{};", site.http),
        ),
        (
            "listen 443 ssl;\n    listen [::]:443 ssl;",
            format!("listen 127.0.0.1:{} ssl;", site.https),
        ),
        ("server_name app.example;", "server_name localhost;".into()),
        ("\n    server 127.0.0.1:5678;", format!("\nserver {clock};")),
        (
            "\n    server 127.0.0.1:6789;",
            format!("\nserver {counter};"),
        ),
        (
            &format!("{folder}/fullchain.pem"),
            site.certificate.display().to_string(),
        ),
        (
            &format!("{folder}/privkey.pem"),
            site.key.display().to_string(),
        ),
    ] {
        assert!(text.contains(from), "{from} in examples/nginx/plainws.conf");
        text = text.replace(from, &to);
    }
    text
}
