//! `Printer`: all that is shown at a terminal goes through one queue and one thread, `printer`, to
//! rustyline's external printer, which draws it above the line being typed.
//!
//! Three traps of that printer are what this file is about. Between two lines it writes straight to
//! the terminal, past what it still holds for the next line; it holds up to two lines that nobody
//! draws if there is no next line; and its `print` blocks while nobody is typing. So nothing is
//! handed over between two lines (`Gate`), and at the end two lines that show nothing push out the
//! last one that does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustyline::ExternalPrinter;
use signal_hook::consts::SIGINT;

use super::spawn::spawn;
use crate::deadline::Deadline;
use crate::lock::{Lock, Signal};

/// What a slow terminal keeps waiting here; beyond that the server has to wait, too.
const QUEUE: usize = 256;

/// One up and one down again: the external printer ends each line.
const NOTHING: &str = "\x1b[A\n";

/// How often the editor is woken until it hears: the signal is lost while it sets itself up.
const WAKE_EVERY: Duration = Duration::from_millis(20);

/// The door to the terminal; a clone is the same one. Any thread may show a line.
#[derive(Clone)]
pub(super) struct Printer {
    queue: Sender<Item>,
}

enum Item {
    Line(String),
    End,
}

impl Printer {
    pub(super) fn start(
        external: impl ExternalPrinter + Send + 'static,
        gate: Arc<Gate>,
    ) -> io::Result<Printer> {
        let (queue, items) = bounded(QUEUE);
        spawn("printer", move || print(&items, external, &gate))?;
        Ok(Printer { queue })
    }

    /// Shows a line, which must be escaped. Waits while the terminal is slow.
    pub(super) fn show(&self, line: String) {
        // After the end there is nobody to show it to.
        let _ = self.queue.send(Item::Line(line));
    }

    /// Shows what is queued, then wakes the editor for good. For the end of the session.
    pub(super) fn end(&self) {
        let _ = self.queue.send(Item::End);
    }
}

fn print(items: &Receiver<Item>, mut external: impl ExternalPrinter, gate: &Gate) {
    let mut print = |line: String| {
        gate.wait();
        // The terminal is gone; the editor will notice.
        let _ = external.print(line);
    };
    for item in items {
        match item {
            Item::Line(line) => print(line + "\n"),
            Item::End => break,
        }
    }
    if gate.is_used() {
        print(NOTHING.to_owned());
        print(NOTHING.to_owned());
    }
    gate.wake();
}

/// What the printer and the editor's thread know of each other.
#[derive(Default)]
pub(super) struct Gate {
    state: Lock<State>,
    changed: Signal,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Between two lines: the external printer must not be used.
    shut: bool,
    /// There has been an editor.
    used: bool,
    /// All has been shown.
    done: bool,
    /// The editor will not be used any more.
    left: bool,
}

impl Gate {
    /// A line is being typed: what is printed now is drawn above it.
    pub(super) fn open(&self) {
        self.set(|state| state.shut = false);
    }

    /// No line is being typed, until `open`.
    pub(super) fn shut(&self) {
        self.set(|state| {
            state.shut = true;
            state.used = true;
        });
    }

    /// Whether all has been shown.
    pub(super) fn is_done(&self) -> bool {
        self.state.lock().done
    }

    /// The editor is not used any more. Waits until all has been shown, if it never was used.
    pub(super) fn leave(&self) {
        let mut state = self.state.lock();
        state.left = true;
        self.changed.notify_all();
        while !state.used && !state.done {
            state = self.changed.wait(state, Deadline::NEVER);
        }
    }

    fn is_used(&self) -> bool {
        self.state.lock().used
    }

    fn wait(&self) {
        let mut state = self.state.lock();
        while state.shut && !state.left {
            state = self.changed.wait(state, Deadline::NEVER);
        }
    }

    /// Ends the line that is being typed: rustyline takes SIGINT for Ctrl-C, and nothing else
    /// makes it return.
    fn wake(&self) {
        let mut state = self.state.lock();
        state.done = true;
        self.changed.notify_all();
        while state.used && !state.left {
            // The editor's own handler, or that of the thread `signals`, which knows of the end.
            let _ = signal_hook::low_level::raise(SIGINT);
            state = self.changed.wait(state, Deadline::after(WAKE_EVERY));
        }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }
}
