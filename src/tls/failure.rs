//! `Failure`: why a handshake came to nothing. The client says it with the stage and whom it was with.

use std::fmt;
use std::io;

use crate::error::Error;

/// Why a handshake came to nothing.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "tls"),
    expect(dead_code, reason = "nothing fails that is not there")
)]
pub(crate) enum Failure {
    /// This build has no TLS.
    #[cfg_attr(feature = "tls", expect(dead_code, reason = "this build has it"))]
    Absent,
    /// What was set cannot be used; nothing was sent.
    Setup(Error),
    /// The deadline came first.
    Late,
    /// The connection was lost.
    Lost(io::Error),
    /// The two ends do not agree: why, as the end says it that finds out.
    Disagreed(String),
}

/// As a server says it of a client.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Absent => f.write_str("this build has none"),
            Failure::Setup(error) => error.fmt(f),
            Failure::Late => f.write_str("it took too long"),
            Failure::Lost(error) => error.fmt(f),
            Failure::Disagreed(why) => f.write_str(why),
        }
    }
}
