//! One sentence on stderr, of a command that is no daemon and so has no log.

use std::io::{self, Write};

pub(super) fn say(sentence: &str) {
    // Where nobody reads there is nothing to say.
    let _ = writeln!(io::stderr(), "{sentence}");
}
