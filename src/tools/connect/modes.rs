//! `Modes`: how the terminal treats what is typed while the editor does not read, as between two
//! lines.
//!
//! For the whole session the kernel neither edits lines nor echoes, and while there is something to
//! type it makes no signals. Otherwise a Ctrl-D in such a moment would become a NUL, which means
//! nothing to the editor, and a second Ctrl-C would count as the first signal.

use std::io::{self, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// Leaves bracketed paste and clears the line, where the editor cannot.
const RESET: &str = "\x1b[?2004l\r\x1b[K";

/// The modes that the terminal had; dropping it sets them again.
pub(super) struct Modes(Option<Termios>);

impl Modes {
    pub(super) fn without(local: LocalModes) -> Modes {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes -= local;
            // Without ICANON these count: a read returns as soon as there is a byte.
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            set(&modes);
        }
        Modes(before)
    }

    /// What a signal does that ends the process while the editor has the terminal: sets the modes
    /// and clears the line.
    pub(super) fn reset(&self) -> impl Fn() + Send + 'static {
        let before = self.0.clone();
        move || {
            if let Some(modes) = &before {
                set(modes);
                let _ = io::stdout().write_all(RESET.as_bytes());
                let _ = io::stdout().flush();
            }
        }
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        self.0.iter().for_each(set);
    }
}

/// Fails only for a terminal that is gone.
fn set(modes: &Termios) {
    let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
}
