//! The arguments of `plainws connect` as values. Nothing is opened here.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;

use crate::units::{self, OrOff};

/// What does not belong to one option. In a man page each indented line stands as it is, if an empty
/// one ends the list.
const MORE: &str = "\
At a terminal each line typed is a text message, and what arrives is drawn above it:
  /ping                   how long a ping takes
  /close [CODE [REASON]]  close, with 1000 unless told otherwise
  /binary HEX             send a binary message
  /help                   these commands
  //text                  send /text

Ctrl-D and Ctrl-C close with 1000 and wait for the answer; a second Ctrl-C ends at once.

In a pipe each line of the input is a text message, and each message received is one line of the
output, with control characters but the tab written as \\n, \\x1b. After the end of the input it
goes on receiving until the server closes, or for --wait.

With --json each line of the output is an object:
  {\"event\":\"open\",\"uri\":\"ws://localhost:8765\",\"subprotocol\":null}
  {\"event\":\"message\",\"type\":\"text\",\"data\":\"Hello Rust!\"}
  {\"event\":\"message\",\"type\":\"binary\",\"data\":\"AP8=\"}           in base64
  {\"event\":\"close\",\"code\":1000,\"reason\":\"\",\"clean\":true,\"lost\":null}

clean tells that both sides said goodbye; lost is a sentence if the connection was lost.

Exit codes:
  0  closed normally, or as /close asked for
  1  could not connect
  2  wrong usage
  3  closed with another code, lost, or no answer for --one
  130, 143  ended at once by a second Ctrl-C or signal

The reason is one sentence on stderr.";

/// Connect to a WebSocket server, at a terminal or in a pipe
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Connect {
    /// Where to: ws://HOST[:PORT][/PATH] or wss://...; a name and password may stand before HOST
    #[arg(value_name = "URI")]
    pub(crate) uri: String,

    /// Send this header, too, as 'Authorization: Bearer x'; repeatable
    #[arg(short = 'H', long, value_name = "HEADER", help_heading = "Connection", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,

    /// Origin of the page that we claim to be, such as https://app.example. Default: none
    #[arg(long, value_name = "ORIGIN", help_heading = "Connection")]
    pub(crate) origin: Option<String>,

    /// Offer this subprotocol; repeatable, best first. Default: none
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    pub(crate) subprotocol: Vec<String>,

    /// Log in as NAME (HTTP Basic). The password is that of PLAINWS_PASSWORD, or asked for.
    /// Default: as in the URI
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    pub(crate) user: Option<String>,

    /// Go through this proxy: http://, https://, socks5h:// or socks5://HOST[:PORT], or off.
    /// Default: from the environment (wss_proxy, ws_proxy, https_proxy, http_proxy, all_proxy,
    /// no_proxy)
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) proxy: Option<String>,

    /// Connect to this Unix socket instead of the host of the URI. Default: none
    #[arg(long, value_name = "PATH", help_heading = "Connection", conflicts_with_all = ["proxy", "reconnect"])]
    pub(crate) unix: Option<PathBuf>,

    /// Time for connecting and the opening handshake, in seconds or as 500ms, 10s, 2m
    #[arg(long, value_name = "TIME", help_heading = "Connection", default_value = "10s", value_parser = units::duration)]
    pub(crate) open_timeout: Duration,

    /// Time between keepalive pings, or off
    #[arg(long, value_name = "TIME", help_heading = "Connection", default_value = "20s", value_parser = units::duration_or_off)]
    pub(crate) ping_interval: OrOff,

    /// Time within which the server must show a sign of life after a ping, or off
    #[arg(long, value_name = "TIME", help_heading = "Connection", default_value = "20s", value_parser = units::duration_or_off)]
    pub(crate) ping_timeout: OrOff,

    /// Send one message, print the next one that arrives, end. The message is --message or the whole input
    /// without its last line end; an empty input sends nothing
    #[arg(long, help_heading = "Messages", conflicts_with = "reconnect")]
    pub(crate) one: bool,

    /// The message of --one
    #[arg(long, value_name = "TEXT", help_heading = "Messages", requires = "one")]
    pub(crate) message: Option<String>,

    /// How long to go on receiving after the end of the input, or to wait for the answer of
    /// --one, in seconds or as 500ms; 0 closes at once. Default: until the server closes
    #[arg(long, value_name = "TIME", help_heading = "Messages", value_parser = units::wait)]
    pub(crate) wait: Option<Duration>,

    /// Largest message accepted, in bytes or as 64KiB, 1MiB
    #[arg(long, value_name = "SIZE", help_heading = "Messages", default_value = "1MiB", value_parser = units::size)]
    pub(crate) max_size: usize,

    /// Trust the certificate authorities of this PEM file only. Default: the system's
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) ca: Option<PathBuf>,

    /// Show this certificate (PEM, with its chain) to the server. Default: none
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) cert: Option<PathBuf>,

    /// The key of --cert. Default: in the file of --cert
    #[arg(long, value_name = "FILE", help_heading = "TLS", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Accept any certificate: whoever is in between can read and change everything
    #[arg(long, help_heading = "TLS", conflicts_with = "ca")]
    pub(crate) insecure: bool,

    /// Connect again after each end that is not 1000, with growing delays, until N attempts in a
    /// row have failed; N is 10 if not given. Default: off
    #[arg(
        long,
        value_name = "N",
        help_heading = "Reconnecting",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10",
        value_parser = units::at_least_one
    )]
    pub(crate) reconnect: Option<usize>,

    /// Write one JSON object an event
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,

    /// -v shows headers and pings on stderr, -vv also frames
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write 'NAME: VALUE'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_cut_at_its_first_colon() {
        let parsed = |text: &str| header(text).ok();
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(parsed("X-Time: 10:30"), pair("X-Time", "10:30"));
        assert_eq!(parsed("Empty:"), pair("Empty", ""));
        assert_eq!(parsed("X-Time"), None);
        assert_eq!(parsed(": x"), None);
    }
}
