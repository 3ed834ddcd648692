//! The password of `--user`: from the environment, or typed at the terminal without echo.

use plainws::{Error, Result};

const VARIABLE: &str = "PLAINWS_PASSWORD";

/// # Errors
///
/// [`Error::Invalid`] if there is neither a variable nor a terminal.
pub(super) fn of(name: &str) -> Result<String> {
    match std::env::var(VARIABLE) {
        Ok(password) => return Ok(password),
        Err(std::env::VarError::NotUnicode(_)) => {
            return Err(Error::Invalid(format!("{VARIABLE} is no UTF-8 text")));
        }
        Err(std::env::VarError::NotPresent) => {}
    }
    let prompt = format!("Password of {}: ", plainws::escaped(name));
    rpassword::prompt_password(prompt).map_err(|error| {
        Error::Invalid(format!(
            "there is no terminal to ask for the password of --user: {error}; set {VARIABLE}"
        ))
    })
}
