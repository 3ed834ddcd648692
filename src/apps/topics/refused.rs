//! `Refused`: why a change is not made, in words, and as a status or a close code.

use std::fmt;

use plainws::{CloseCode, Response};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There are as many topics and streams as there may be.
    Full(usize),
    /// All of them together take as much memory as they may.
    NoMemory(usize),
    TooLarge(usize),
    NotJson,
    Missing,
    /// The value is not the one that the client knows; the version that it has.
    Changed(Option<u64>),
    /// The client may only read.
    ReadOnly,
}

impl Refused {
    /// For figures.
    pub(super) const REASONS: [&'static str; 7] = [
        "full",
        "memory",
        "too_large",
        "not_json",
        "missing",
        "changed",
        "read_only",
    ];

    pub(super) fn reason(self) -> usize {
        match self {
            Refused::Full(_) => 0,
            Refused::NoMemory(_) => 1,
            Refused::TooLarge(_) => 2,
            Refused::NotJson => 3,
            Refused::Missing => 4,
            Refused::Changed(_) => 5,
            Refused::ReadOnly => 6,
        }
    }

    pub(super) fn code(self) -> CloseCode {
        match self {
            Refused::Full(_) | Refused::NoMemory(_) => CloseCode::TRY_AGAIN_LATER,
            Refused::TooLarge(_) => CloseCode::TOO_BIG,
            Refused::NotJson => CloseCode::INVALID_DATA,
            Refused::Missing | Refused::Changed(_) | Refused::ReadOnly => CloseCode::POLICY,
        }
    }

    pub(super) fn response(self) -> Response {
        let status = match self {
            Refused::Full(_) | Refused::NoMemory(_) => 507,
            Refused::TooLarge(_) => 413,
            Refused::NotJson => 400,
            Refused::Missing => 404,
            Refused::Changed(_) => 412,
            Refused::ReadOnly => 403,
        };
        let response = Response::text(status, self.to_string());
        match self {
            Refused::Changed(Some(version)) => response.header("ETag", format!("\"{version}\"")),
            _ => response,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Full(limit) => write!(
                f,
                "there are {limit} topics and streams already, the limit of --max-topics"
            ),
            Refused::NoMemory(limit) => write!(
                f,
                "topics and streams hold {limit} bytes already, the limit of --topics-size"
            ),
            Refused::TooLarge(limit) => write!(f, "a value has at most {limit} bytes (--max-size)"),
            Refused::NotJson => f.write_str(
                "a merge patch is JSON, nested 127 levels at most, and so is what it changes",
            ),
            Refused::Missing => f.write_str("there is no value"),
            Refused::Changed(Some(version)) => write!(f, "the version is {version} now"),
            Refused::Changed(None) => f.write_str("there is no value now"),
            Refused::ReadOnly => f.write_str("you may read this, not change it"),
        }
    }
}
