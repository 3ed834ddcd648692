//! `Command`: what a typed line means. Text in, values out.

use data_encoding::HEXLOWER_PERMISSIVE;
use plainws::{CloseCode, Message};

use crate::escaped::Escaped;

/// The answer to `/help`.
pub(super) const HELP: [&str; 5] = [
    "/ping                   how long a ping takes",
    "/close [CODE [REASON]]  close, with 1000 unless told otherwise",
    "/binary HEX             send a binary message: /binary 00 ff",
    "//text                  send /text; every other line is sent as it is",
    "Ctrl-D, Ctrl-C          close with 1000; a second Ctrl-C ends at once",
];

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Send(Message),
    Ping,
    Close(CloseCode, String),
    Help,
}

impl Command {
    /// # Errors
    ///
    /// A sentence about what is no command, or has the wrong arguments.
    pub(super) fn parse(line: &str) -> Result<Command, String> {
        let Some(rest) = line.strip_prefix('/') else {
            return Ok(Command::Send(line.into()));
        };
        if rest.starts_with('/') {
            return Ok(Command::Send(rest.into()));
        }
        let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let argument = argument.trim();
        match name {
            "ping" if argument.is_empty() => Ok(Command::Ping),
            "help" if argument.is_empty() => Ok(Command::Help),
            "ping" | "help" => Err(format!("/{name} takes no argument; nothing was sent")),
            "close" => close(argument),
            "binary" => binary(argument),
            _ => {
                let name = Escaped(name);
                Err(format!(
                    "/{name} is no command, nothing was sent; /help lists the commands, \
                     //{name} sends the line"
                ))
            }
        }
    }
}

fn close(argument: &str) -> Result<Command, String> {
    if argument.is_empty() {
        return Ok(Command::Close(CloseCode::NORMAL, String::new()));
    }
    let (code, reason) = argument
        .split_once(char::is_whitespace)
        .unwrap_or((argument, ""));
    let code = code
        .parse()
        .map_err(|_| "write /close CODE REASON with a number: /close 4000 bye".to_owned())?;
    Ok(Command::Close(
        CloseCode(code),
        reason.trim_start().to_owned(),
    ))
}

fn binary(argument: &str) -> Result<Command, String> {
    let digits: String = argument.split_whitespace().collect();
    match HEXLOWER_PERMISSIVE.decode(digits.as_bytes()) {
        Ok(bytes) => Ok(Command::Send(Message::Binary(bytes))),
        Err(_) => Err(
            "write the bytes as pairs of hexadecimal digits: /binary 00 ff; nothing was sent"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message_unless_it_starts_with_a_slash() {
        for (line, sent) in [("", ""), ("a /b", "a /b"), ("//a", "/a"), ("///", "//")] {
            assert_eq!(Command::parse(line), Ok(Command::Send(sent.into())));
        }
    }

    #[test]
    fn commands_have_arguments() {
        let close = |code, reason: &str| Ok(Command::Close(CloseCode(code), reason.to_owned()));
        assert_eq!(Command::parse("/ping"), Ok(Command::Ping));
        assert_eq!(Command::parse("/help "), Ok(Command::Help));
        assert_eq!(Command::parse("/close"), close(1000, ""));
        assert_eq!(Command::parse("/close 4000"), close(4000, ""));
        assert_eq!(
            Command::parse("/close 4000 so  long"),
            close(4000, "so  long")
        );
        for line in ["/binary 00 fF", "/binary 00fF"] {
            let bytes = Message::from(&[0, 255]);
            assert_eq!(Command::parse(line), Ok(Command::Send(bytes)));
        }
    }

    #[test]
    fn what_is_no_command_says_so() {
        for line in [
            "/",
            "/pong",
            "/ping 1",
            "/close soon",
            "/close 99999",
            "/binary f",
            "/binary xx",
        ] {
            assert!(Command::parse(line).is_err(), "{line}");
        }
    }
}
