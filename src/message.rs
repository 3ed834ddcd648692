//! `Message`: what travels, text or binary. Plain data without a thread of its own.

use std::fmt;

/// A whole message, text or binary (RFC 6455, section 5.6). Fragments are put together and
/// control frames handled before you see one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text: valid UTF-8.
    Text(String),
    /// Any bytes.
    Binary(Vec<u8>),
}

impl Message {
    /// The text, or `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Message::Text(text) => Some(text),
            Message::Binary(_) => None,
        }
    }

    /// The payload: the bytes of the text, or of the binary message.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// The length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether the payload is empty. An empty message is a message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A text as it is; a binary message as `(binary) 00 01 ...` with its size, of 16 bytes, or with
/// `{:.256}` of 256.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Text(text) => f.write_str(text),
            Message::Binary(bytes) => {
                f.write_str("(binary)")?;
                dump(bytes, f.precision().unwrap_or(16), f)?;
                write!(f, " [{} bytes]", bytes.len())
            }
        }
    }
}

/// The first bytes in hexadecimals, a space before each.
pub(crate) fn dump(bytes: &[u8], most: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in bytes.iter().take(most) {
        write!(f, " {byte:02x}")?;
    }
    f.write_str(if bytes.len() > most { " ..." } else { "" })
}

impl From<&str> for Message {
    fn from(text: &str) -> Message {
        Message::Text(text.to_owned())
    }
}

impl From<&String> for Message {
    fn from(text: &String) -> Message {
        Message::Text(text.clone())
    }
}

/// A text message may be compared with text.
impl PartialEq<str> for Message {
    fn eq(&self, text: &str) -> bool {
        self.as_text() == Some(text)
    }
}

/// A text message may be compared with text.
impl PartialEq<&str> for Message {
    fn eq(&self, text: &&str) -> bool {
        self.as_text() == Some(*text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Message {
        Message::Text(text)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Message {
        Message::Binary(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(bytes: &[u8; N]) -> Message {
        Message::Binary(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Message {
        Message::Binary(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_as_people_read_them() {
        assert_eq!(Message::from("Rust").to_string(), "Rust");
        assert_eq!(
            Message::from(&[0, 255]).to_string(),
            "(binary) 00 ff [2 bytes]"
        );
        let long = Message::from(vec![7; 17]).to_string();
        assert!(long.ends_with("07 ... [17 bytes]"), "{long}");
    }
}
