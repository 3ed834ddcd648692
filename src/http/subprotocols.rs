//! The names of subprotocols, as both ends are given them.

use crate::error::{Error, Result};
use crate::escaped::Escaped;

/// RFC 6455, section 4.1: tokens, each once.
pub(crate) fn check(names: &[String]) -> Result<()> {
    for (at, name) in names.iter().enumerate() {
        if !is_token(name) {
            return Err(Error::invalid(format!(
                "'{}' is no subprotocol: a name has letters, digits and !#$%&'*+-.^_`|~ only",
                Escaped(name)
            )));
        }
        if names[..at].contains(name) {
            return Err(Error::invalid(format!(
                "the subprotocol {name} is given twice"
            )));
        }
    }
    Ok(())
}

/// RFC 9110, section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fine)
}
