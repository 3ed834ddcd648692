//! SOCKS 5 (RFC 1928), with a name and a password if the proxy wants them (RFC 1929).
//!
//! Our own: the crate `socks` is not maintained any more and has neither a deadline nor an error
//! that says which step has failed; the others are asynchronous. It is three messages each way.
//! In the caller's thread, within the attempt's deadline. Not a byte more is read than the proxy's
//! answers have, as what comes behind them is the server's.

use std::io;
use std::net::IpAddr;

use super::login::Login;
use super::transport::Transport;
use super::url;
use crate::error::{Error, Result};

const VERSION: u8 = 5;
/// Of the messages with name and password.
const LOGIN_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const WITH_LOGIN: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks the proxy at the other end to connect to a host: an address, or a name which it resolves.
pub(super) fn connect(
    transport: &Transport<'_>,
    login: Option<&Login>,
    host: &str,
    port: u16,
) -> Result<()> {
    let request = request(host, port)?;
    greet(transport, login)?;
    transport.send(&request)?;
    let [_, code, _, kind] = answer(transport, VERSION)?;
    if code != 0 {
        let (error, why) = refusal(code);
        let what = format!(
            "{} does not connect to {}",
            transport.name,
            url::place(host, port)
        );
        return Err(match error {
            Some(kind) => Error::io(what, io::Error::new(kind, why)),
            None => Error::handshake(format!("{what}: {why}")),
        });
    }
    // The address that it connects from, and its port, which nobody needs.
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => usize::from(receive::<1>(transport)?[0]),
        _ => {
            return Err(wrong(
                transport,
                "answered an address of no kind that SOCKS 5 has",
            ));
        }
    };
    for _ in 0..length + 2 {
        receive::<1>(transport)?;
    }
    Ok(())
}

/// Asks for a connection.
fn request(host: &str, port: u16) -> Result<Vec<u8>> {
    let (kind, host) = match host.parse() {
        Ok(IpAddr::V4(address)) => (IPV4, address.octets().to_vec()),
        Ok(IpAddr::V6(address)) => (IPV6, address.octets().to_vec()),
        Err(_) => (NAME, counted(host.as_bytes(), "the name of the host")?),
    };
    Ok([&[VERSION, CONNECT, 0, kind], &*host, &port.to_be_bytes()].concat())
}

/// Length and bytes.
fn counted(bytes: &[u8], what: &str) -> Result<Vec<u8>> {
    match u8::try_from(bytes.len()) {
        Ok(length @ 1..) => Ok([&[length], bytes].concat()),
        _ => Err(Error::invalid(format!(
            "{what} has {} bytes, and SOCKS 5 takes 1 to 255",
            bytes.len()
        ))),
    }
}

/// What a code means, and what kind of error it is if it may pass (RFC 1928, section 6).
fn refusal(code: u8) -> (Option<io::ErrorKind>, String) {
    use io::ErrorKind as K;
    let (kind, why) = match code {
        1 => (Some(K::Other), "general failure"),
        2 => (None, "its rules forbid it"),
        3 => (Some(K::NetworkUnreachable), "network unreachable"),
        4 => (
            Some(K::HostUnreachable),
            "host unreachable, or no such name",
        ),
        5 => (Some(K::ConnectionRefused), "connection refused"),
        6 => (Some(K::HostUnreachable), "too many hops"),
        7 => (None, "it does not know the command"),
        8 => (
            Some(K::Unsupported),
            "it does not know this kind of address",
        ),
        _ => return (None, format!("unknown code {code}")),
    };
    (kind, format!("{why} (SOCKS code {code})"))
}

/// Agrees on whether the proxy wants to know who we are, and says it.
fn greet(transport: &Transport<'_>, login: Option<&Login>) -> Result<()> {
    let hello: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_LOGIN, WITH_LOGIN],
        None => &[VERSION, 1, NO_LOGIN],
    };
    // Before anything is sent: a password that cannot be sent is a mistake of ours.
    let secret = login
        .map(|login| secret(login, &transport.name))
        .transpose()?;
    transport.send(hello)?;
    let [_, method] = answer(transport, VERSION)?;
    Err(wrong(
        transport,
        match (method, secret) {
            (NO_LOGIN, _) => return Ok(()),
            (WITH_LOGIN, Some(secret)) => {
                transport.send(&secret)?;
                match answer(transport, LOGIN_VERSION)? {
                    [_, 0] => return Ok(()),
                    _ => "does not accept this name and password",
                }
            }
            (NO_METHOD, None) => {
                "wants to know who we are; put name and password into its URL, as \
                 socks5h://NAME:PASSWORD@HOST"
            }
            (NO_METHOD, Some(_)) => "wants another kind of login than name and password",
            _ => "answered a way to log in that was not offered",
        },
    ))
}

fn secret(login: &Login, proxy: &str) -> Result<Vec<u8>> {
    let name = counted(&login.name, &format!("the user name for {proxy}"))?;
    // An empty password is none that RFC 1929 allows, but many proxies take it.
    let password = match login.password.is_empty() {
        true => vec![0],
        false => counted(&login.password, &format!("the password for {proxy}"))?,
    };
    Ok([&[LOGIN_VERSION], &*name, &*password].concat())
}

/// Exactly so many bytes.
fn receive<const N: usize>(transport: &Transport<'_>) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += transport.receive(&mut bytes[filled..])?;
    }
    Ok(bytes)
}

/// So many bytes, of which the first is the version.
fn answer<const N: usize>(transport: &Transport<'_>, version: u8) -> Result<[u8; N]> {
    let bytes = receive(transport)?;
    match bytes[0] {
        first if first == version => Ok(bytes),
        b'H' => Err(wrong(transport, "answered HTTP; write http:// in its URL")),
        _ => Err(wrong(transport, "answered something that is not SOCKS 5")),
    }
}

fn wrong(transport: &Transport<'_>, what: &str) -> Error {
    Error::handshake(format!("{} {what}", transport.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_asked_for_by_address_or_by_name() {
        let asked = |host| request(host, 0x1234).expect(host);
        assert_eq!(asked("1.2.3.4"), [5, 1, 0, 1, 1, 2, 3, 4, 0x12, 0x34]);
        assert_eq!(asked("ab"), [5, 1, 0, 3, 2, b'a', b'b', 0x12, 0x34]);
        let v6 = asked("::1");
        assert_eq!((&v6[..4], v6[19], v6.len()), (&[5, 1, 0, 4][..], 1, 22));
        assert_eq!(asked(&"x".repeat(255)).len(), 262);
        let error = request(&"x".repeat(256), 1).expect_err("too long");
        assert!(error.to_string().contains("1 to 255"), "{error}");
    }

    #[test]
    fn each_code_is_told_in_words() {
        for code in 1..=8 {
            let (_, why) = refusal(code);
            assert!(why.ends_with(&format!("(SOCKS code {code})")), "{why}");
        }
        assert_eq!(refusal(9), (None, "unknown code 9".to_owned()));
    }
}
