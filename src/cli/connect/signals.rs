//! SIGINT and SIGTERM: the first one closes with 1000, the second one ends at once. In the thread
//! `signals`.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::session::Session;

/// Signals closer together than this are one: timeout(1) signals the process and then its group.
const SAME_REQUEST: Duration = Duration::from_millis(10);

/// Takes the signals from now on, before anything is begun that one could break off.
pub(super) fn take() -> io::Result<Signals> {
    Signals::new([SIGINT, SIGTERM])
}

/// `restore` puts the terminal back as it was, before the process ends at once.
pub(super) fn watch(
    mut signals: Signals,
    session: Session,
    restore: impl Fn() + Send + 'static,
) -> io::Result<()> {
    let watch = move || {
        let mut asked: Option<Instant> = None;
        for signal in signals.forever() {
            // The line editor is woken by a signal when the session is over.
            if session.is_over() || asked.is_some_and(|since| since.elapsed() < SAME_REQUEST) {
                continue;
            }
            if asked.replace(Instant::now()).is_some() {
                restore();
                // The main thread may wait for a terminal or a peer.
                std::process::exit(128 + signal);
            }
            let session = session.clone();
            // It waits for the peer's answer, and another signal must still be heard.
            let leave = thread::Builder::new().name("leave".to_owned());
            let _ = leave.spawn(move || session.leave());
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)?;
    Ok(())
}
