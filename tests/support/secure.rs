//! What [`Raw`] is without TLS, with it: by OpenSSL itself.

use std::net::TcpStream;

use openssl::ssl::{
    ShutdownState, SslConnector, SslConnectorBuilder, SslMethod, SslStream, SslVerifyMode,
};

use super::certificates;
use super::raw::{Peer, Raw};

pub type Secure = Peer<SslStream<TcpStream>>;

/// A client that takes any certificate.
pub fn connector() -> SslConnectorBuilder {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).expect("a connector");
    connector.set_verify(SslVerifyMode::NONE);
    connector
}

impl Secure {
    /// Connects, whatever certificate the server shows.
    #[track_caller]
    pub fn connect(port: u16) -> Secure {
        Secure::over(Raw::connect(port))
    }

    /// As [`connect`](Secure::connect), over a connection that has been made.
    #[track_caller]
    pub fn over(raw: Raw) -> Secure {
        match connector().build().connect("localhost", raw.stream) {
            Ok(stream) => Secure::new(stream),
            Err(error) => panic!("no TLS handshake: {error}"),
        }
    }

    /// Connects and makes a plain opening handshake.
    #[track_caller]
    pub fn upgrade(port: u16, path: &str) -> Secure {
        Secure::connect(port).open(path)
    }

    /// This end's address, as the peer's log has it.
    pub fn address(&self) -> String {
        let address = self.stream.get_ref().local_addr();
        address.expect("an address").to_string()
    }

    /// The serial number of the certificate that the server has shown.
    pub fn serial(&self) -> String {
        let certificate = self.stream.ssl().peer_certificate();
        certificates::serial(&certificate.expect("a certificate of the server"))
    }

    /// Whether the peer has said by `close_notify` that it has ended.
    pub fn was_notified(&mut self) -> bool {
        self.stream.get_shutdown().contains(ShutdownState::RECEIVED)
    }
}
