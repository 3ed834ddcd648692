//! `Login`: a name and a password, from a URL or given; becomes HTTP's Basic scheme (RFC 7617) or
//! what SOCKS wants. Nothing shows it: its `Debug` is three dots.

use std::fmt;

use data_encoding::BASE64;

/// Who we are to a server or a proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) name: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl Login {
    pub(super) fn new(name: impl Into<String>, password: impl Into<String>) -> Login {
        Login {
            name: name.into().into_bytes(),
            password: password.into().into_bytes(),
        }
    }

    /// Reads `name:password` as a URL has it, percent-encoded; without a colon it is the name.
    pub(super) fn of_userinfo(userinfo: &str) -> Login {
        let (name, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        Login {
            name: decode(name),
            password: decode(password),
        }
    }

    /// The value of `Authorization` or `Proxy-Authorization`. `None` if the name has a colon, which
    /// that scheme cannot tell from the one before the password.
    pub(super) fn basic(&self) -> Option<String> {
        if self.name.contains(&b':') {
            return None;
        }
        let pair = [&*self.name, b":", &*self.password].concat();
        Some(format!("Basic {}", BASE64.encode(&pair)))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

/// Decodes `%41`; a `%` without two digits behind it stays, as browsers do it.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |n: usize| char::from(*bytes.get(at + n)?).to_digit(16);
        match (byte, hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(userinfo: &str) -> Option<String> {
        Login::of_userinfo(userinfo).basic()
    }

    /// The example of RFC 7617, section 2.
    #[test]
    fn a_login_of_a_url_is_decoded_and_then_encoded() {
        let aladdin = Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned());
        assert_eq!(basic("Aladdin:open%20sesame"), aladdin);
        assert_eq!(Login::new("Aladdin", "open sesame").basic(), aladdin);
        // test:123£, section 2.1.
        assert_eq!(
            basic("test:123%C2%A3").as_deref(),
            Some("Basic dGVzdDoxMjPCow==")
        );
        // The password may have colons; what is no escape stays.
        assert_eq!(basic("a:b:%c%"), Login::new("a", "b:%c%").basic());
        assert_eq!(basic("a"), Login::new("a", "").basic());
    }

    #[test]
    fn a_name_with_a_colon_has_no_basic_form() {
        assert_eq!(basic("a%3Ab:c"), None);
    }

    #[test]
    fn a_login_does_not_show_itself() {
        assert_eq!(format!("{:?}", Login::new("ada", "secret")), "...");
    }
}
