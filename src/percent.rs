//! Percent-encoding (RFC 3986, section 2.1), as paths and forms have it.

/// The bytes that a text stands for, and whether each `%` in it begins an escape; one that does not stays
/// as it is.
pub(crate) fn decoded(text: &[u8]) -> (Vec<u8>, bool) {
    let digit = |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let (mut bytes, mut is_valid, mut at) = (Vec::new(), true, 0);
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                is_valid &= byte != b'%';
                bytes.push(byte);
                at += 1;
            }
        }
    }
    (bytes, is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_bytes_and_the_rest_stays() {
        let rows: [(&str, &[u8], bool); 6] = [
            ("a%20b", b"a b", true),
            ("%C3%a9", b"\xc3\xa9", true),
            ("%", b"%", false),
            ("a%4", b"a%4", false),
            ("%zz%41", b"%zzA", false),
            ("%2541", b"%41", true),
        ];
        for (text, bytes, is_valid) in rows {
            let found = decoded(text.as_bytes());
            assert_eq!(found, (bytes.to_vec(), is_valid), "{text}");
        }
    }
}
