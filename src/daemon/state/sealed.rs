//! A value as the bytes of its file, and back: `{"version":1,"crc32":"1a2b3c4d","value":5}`.
//!
//! A JSON text if the value is one, so that people can read it; but read as exact bytes. Whatever
//! is not what `seal` has written, down to its last line feed, is damaged: JSON alone would not
//! tell 5 from 7, or from the first digit of 53.

use std::fmt;

/// Another form of the file gets another number.
const BEFORE: &[u8] = br#"{"version":1,"crc32":""#;
const BETWEEN: &[u8] = br#"","value":"#;
const AFTER: &[u8] = b"}\n";
/// Of the checksum, in hexadecimal digits.
const DIGITS: usize = 8;
/// What a file has beside its value.
pub(super) const FRAME: usize = BEFORE.len() + DIGITS + BETWEEN.len() + AFTER.len();

/// Why a file is not one of ours, or not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Empty,
    Form,
    Version,
    Checksum,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flaw::Empty => "it is empty",
            Flaw::Form => "it is cut short, or not a state file",
            Flaw::Version => "it is not of version 1: another release may have written it",
            Flaw::Checksum => "its value does not match its checksum",
        })
    }
}

pub(super) fn seal(value: &[u8]) -> Vec<u8> {
    let checksum = format!("{:08x}", crc32(value));
    [BEFORE, checksum.as_bytes(), BETWEEN, value, AFTER].concat()
}

pub(super) fn open(bytes: &[u8]) -> Result<&[u8], Flaw> {
    if bytes.is_empty() {
        return Err(Flaw::Empty);
    }
    let Some(rest) = bytes.strip_prefix(BEFORE) else {
        return Err(match version(bytes) {
            Some(version) if version != b"1" => Flaw::Version,
            _ => Flaw::Form,
        });
    };
    let (checksum, rest) = rest.split_at_checked(DIGITS).ok_or(Flaw::Form)?;
    let value = rest.strip_prefix(BETWEEN).ok_or(Flaw::Form)?;
    let value = value.strip_suffix(AFTER).ok_or(Flaw::Form)?;
    // As text, so that an `A` for an `a` is a flaw as well.
    match format!("{:08x}", crc32(value)).as_bytes() == checksum {
        true => Ok(value),
        false => Err(Flaw::Checksum),
    }
}

/// The number of another form, if it says one as ours does.
fn version(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(br#"{"version":"#)?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    (end > 0).then(|| &rest[..end])
}

/// CRC-32 as of Ethernet and gzip: it finds every single error of up to 32 bits in a row. Bit by
/// bit, as a value is small and written once a second.
fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_that_other_programs_make() {
        // `python3 -c 'import zlib; print(hex(zlib.crc32(b"123456789")))'`
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn a_value_comes_back_as_it_was() {
        for value in [b"5".as_slice(), b"", b"{\"a\":[1,2]}", b"\x00\xff}\n"] {
            let sealed = seal(value);
            assert_eq!(open(&sealed), Ok(value));
            assert_eq!(sealed.len(), value.len() + FRAME);
        }
        let five = String::from_utf8(seal(b"5")).expect("text");
        assert_eq!(five, "{\"version\":1,\"crc32\":\"84b12bae\",\"value\":5}\n");
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(open(b"{\"version\":2,\"value\":5}\n"), Err(Flaw::Version));
        assert_eq!(open(b"{\"version\":17}"), Err(Flaw::Version));
        assert_eq!(open(b"{\"version\":1,\"value\":5}\n"), Err(Flaw::Form));
        assert_eq!(open(b"{\"version\":2"), Err(Flaw::Form), "the digit of 21?");
        assert_eq!(open(b"{\"value\":5}\n"), Err(Flaw::Form));
        assert_eq!(open(b""), Err(Flaw::Empty));
    }
}
