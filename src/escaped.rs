//! `Escaped`: text of a peer, made fit for one line of a log, an error or a terminal.

use std::fmt::{self, Write};

/// At most this many bytes of a peer's text are shown.
const MAX_BYTES: usize = 200;

/// Shows control characters, line separators and bidirectional overrides as escapes, and cuts
/// what is long: a peer writes no line of its own into a log and moves no cursor. `{:.4096}` cuts later,
/// `{:#}` never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = match f.alternate() {
            true => usize::MAX,
            false => f.precision().unwrap_or(MAX_BYTES),
        };
        for (at, c) in self.0.char_indices() {
            if at >= most {
                return write!(f, "... [{} bytes]", self.0.len());
            }
            show(c, f)?;
        }
        Ok(())
    }
}

fn show(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match c {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => write!(f, "\\x{:02x}", c as u32),
        // Line and paragraph separators, and what turns the direction of reading.
        '\u{2028}'
        | '\u{2029}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{061c}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => write!(f, "\\u{{{:x}}}", c as u32),
        _ => f.write_char(c),
    }
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn nothing_of_a_peer_reaches_a_terminal_raw() {
        let nasty = "a\r\n\x1b[31m\0\x7f\u{85}\u{202e}\u{2028}é";
        let shown = Escaped(nasty).to_string();
        assert_eq!(shown, r"a\r\n\x1b[31m\x00\x7f\x85\u{202e}\u{2028}é");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let long = "é".repeat(500);
        let cut = format!("{}... [1000 bytes]", "é".repeat(100));
        assert_eq!(Escaped(&long).to_string(), cut);
        assert_eq!(format!("{:#}", Escaped(&long)), long);
    }
}
