//! `plainws token`: makes a token for `serve --access`, and shows it once.

use std::io::{self, Write};
use std::process::ExitCode;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};

use super::say::say;

/// Make a token for serve --tokens: it is printed once, and the line for the file on stderr
#[derive(clap::Args)]
pub(crate) struct Token {
    /// Whose token it is, as rules name it (token:NAME): letters, digits, and . _ -
    #[arg(value_parser = name)]
    name: String,
}

pub(crate) fn run(args: Token) -> ExitCode {
    let token = BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
    if writeln!(io::stdout(), "{token}").is_err() {
        return ExitCode::FAILURE;
    }
    let hash = HEXLOWER.encode(&Sha256::digest(token.as_bytes()));
    say("this token is not shown again; add this line to the file of --tokens:");
    say(&format!("{} sha256:{hash}", args.name));
    ExitCode::SUCCESS
}

fn name(text: &str) -> Result<String, String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match !text.is_empty() && text.bytes().all(fine) {
        true => Ok(text.to_owned()),
        false => Err("a name is letters, digits, and . _ -".to_owned()),
    }
}
