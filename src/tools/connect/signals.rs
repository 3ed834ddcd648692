//! Signals: the first SIGINT or SIGTERM closes with 1000, the second one ends at once. At a terminal
//! SIGHUP and SIGQUIT do, too, with the terminal as it was. In the thread `signals`.

use std::io;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::session::Session;
use super::spawn::spawn;

/// Signals closer together than this are one: timeout(1) signals the process and then its group.
const SAME_REQUEST: Duration = Duration::from_millis(10);

/// A terminal that takes nothing more is left as it is.
const RESTORE_TIMEOUT: Duration = Duration::from_millis(200);

/// Takes the signals from now on, before anything is begun that one could break off. Without a
/// terminal, SIGHUP and SIGQUIT do what they do by default: nohup(1) switches the one off.
pub(super) fn take(at_terminal: bool) -> io::Result<Signals> {
    let signals = Signals::new([SIGINT, SIGTERM])?;
    if at_terminal {
        signals.handle().add_signal(SIGHUP)?;
        signals.handle().add_signal(SIGQUIT)?;
    }
    Ok(signals)
}

/// `restore` puts the terminal back as it was, before the process ends at once.
pub(super) fn watch(
    mut signals: Signals,
    session: Session,
    restore: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let watch = move || {
        let mut asked: Option<Instant> = None;
        for signal in signals.forever() {
            // The line editor is woken by a signal when the session is over.
            if session.is_over() || asked.is_some_and(|since| since.elapsed() < SAME_REQUEST) {
                continue;
            }
            let at_once = matches!(signal, SIGHUP | SIGQUIT);
            if asked.replace(Instant::now()).is_some() || at_once {
                end(signal, restore);
            }
            // Another signal must still be heard.
            session.leave_soon();
        }
    };
    spawn("signals", watch)
}

/// The main thread may wait for a terminal or a peer, and the terminal may be stopped.
fn end(signal: i32, restore: impl FnOnce() + Send + 'static) -> ! {
    let (done, restored) = crossbeam_channel::bounded(1);
    let restoring = move || {
        restore();
        let _ = done.send(());
    };
    if spawn("restore", restoring).is_ok() {
        let _ = restored.recv_timeout(RESTORE_TIMEOUT);
    }
    std::process::exit(128 + signal)
}
