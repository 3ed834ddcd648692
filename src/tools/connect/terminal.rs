//! `connect` at a terminal: a line to type with history, and above it what arrives.
//!
//! The main thread edits lines; `receive` hands events to the printer; `send` does what a typed
//! line asks for, as that may wait for a slow peer. The editor is in use without a break until the
//! session is over, because only it draws what is printed.

use std::io::{self, Write};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::termios::LocalModes;
use rustyline::Editor;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;

use super::args::Connect;
use super::command::{Command, HELP};
use super::dial::Dial;
use super::end::{ABNORMAL, End, Failure};
use super::lines::{Event, close_line, shown_uri, terminal_line};
use super::modes::Modes;
use super::printer::{Gate, Printer};
use super::session::Session;
use super::spawn::spawn;
use super::typist::{PROMPT, Typist, editor};
use super::{pipe, signals, trace};
use crate::escaped::Escaped;
use crate::tools::say::say;

/// The line that Ctrl-C, Ctrl-D or the end leaves behind is taken away again.
const ERASE: &str = "\x1b[A\r\x1b[J";
/// 128 and SIGINT, as the shell has it.
const INTERRUPTED: u8 = 130;

/// The exit code, of a session or of what went wrong before there was one.
pub(super) fn run(args: &Connect, dial: Dial) -> Result<u8, Failure> {
    let gate = Arc::new(Gate::default());
    let editor = editor(&gate);
    let mut editor =
        editor.map_err(|error| io::Error::other(format!("cannot use the terminal: {error}")))?;
    // A terminal that cannot move its cursor (TERM=dumb) gets lines, as a pipe does.
    let Ok(external) = editor.create_external_printer() else {
        say(
            "this terminal cannot move its cursor: no line editing and no commands, each line is a \
             message; Ctrl-C closes",
        );
        return pipe::run(args, dial);
    };
    let printer = Printer::start(external, Arc::clone(&gate))?;
    let signals = signals::take(true)?;
    let trace_to = printer.clone();
    trace::start(args.verbose, move |line| trace_to.show(line));
    let uri = shown_uri(&args.uri);
    let events = printer.clone();
    let reconnects = args.reconnect.is_some();
    // What is typed ahead is kept, and shown by the editor.
    let modes = Modes::without(LocalModes::ICANON | LocalModes::ECHO);
    let session = Session::start(dial, move |_: &Session, event| {
        if let Some(line) = line(&event, &uri, reconnects) {
            events.show(line);
        }
    })?;
    signals::watch(signals, session.clone(), modes.reset())?;
    // Until it is connected there is nothing to type, and Ctrl-C is a signal.
    if session.connection(None).is_some() {
        let (sender, orders) = unbounded();
        let (sending, shown) = (session.clone(), printer.clone());
        spawn("send", move || send(&orders, &sending, &shown))?;
        let ending = session.clone();
        spawn("end", move || {
            ending.end();
            printer.end();
        })?;
        let mut typing = Typing {
            editor,
            gate: Arc::clone(&gate),
            session: session.clone(),
            orders: sender,
        };
        let _keys = Modes::without(LocalModes::ISIG);
        if let Some(code) = typing.run() {
            return Ok(code);
        }
    } else {
        printer.end();
    }
    gate.leave();
    let (code, sentence) = session.verdict();
    match (&*session.end(), sentence) {
        (End::Closed(closed), _) => {
            // Where nobody reads there is nothing to say.
            let _ = writeln!(io::stdout(), "{}", close_line(closed));
        }
        (_, Some(sentence)) => say(&sentence),
        (_, None) => {}
    }
    Ok(code)
}

/// What is shown of an event; the last close line is left to the end of the command.
fn line(event: &Event, uri: &str, reconnects: bool) -> Option<String> {
    match event {
        Event::Open(None) => Some(format!("Connected to {uri}.")),
        Event::Open(Some(name)) => {
            let name = Escaped(name);
            Some(format!("Connected to {uri}, subprotocol {name}."))
        }
        Event::Message(message) => Some(format!("< {}", terminal_line(message))),
        Event::Note(sentence) if reconnects => Some(sentence.clone()),
        Event::Note(_) | Event::Closed(_) => None,
    }
}

/// What the thread `send` is to do.
enum Order {
    Do(Command),
    /// Shows this, behind what was asked for before.
    Say(String),
    Leave,
}

/// The thread `send`.
fn send(orders: &Receiver<Order>, session: &Session, printer: &Printer) {
    for order in orders {
        let done = match order {
            Order::Do(Command::Send(message)) => session.send(message),
            Order::Do(Command::Close(code, reason)) => session
                .close(code, &reason)
                .map_err(|error| error.to_string()),
            Order::Do(Command::Ping) => {
                // It waits for the answer, and what is typed next need not.
                let (session, printer) = (session.clone(), printer.clone());
                spawn("ping", move || printer.show(session.ping()))
                    .map_err(|error| error.to_string())
            }
            Order::Do(Command::Help) => {
                HELP.iter()
                    .for_each(|line| printer.show((*line).to_owned()));
                Ok(())
            }
            Order::Say(sentence) => Err(sentence),
            Order::Leave => {
                session.leave();
                Ok(())
            }
        };
        if let Err(sentence) = done {
            printer.show(sentence);
        }
    }
}

/// The main thread's part.
struct Typing {
    editor: Editor<Typist, MemHistory>,
    gate: Arc<Gate>,
    session: Session,
    orders: Sender<Order>,
}

impl Typing {
    /// Reads lines until the session is over and all of it is shown. An exit code if it is not to
    /// be waited for.
    fn run(&mut self) -> Option<u8> {
        let mut leaving = false;
        loop {
            self.gate.shut();
            if self.gate.is_done() {
                return None;
            }
            let read = self.editor.readline(if leaving { "" } else { PROMPT });
            self.gate.shut();
            if self.gate.is_done() {
                self.erase();
                return None;
            }
            match read {
                Ok(_) if leaving => self.erase(),
                Ok(line) => self.typed(&line),
                Err(ReadlineError::Interrupted) if leaving => {
                    self.erase();
                    return Some(INTERRUPTED);
                }
                Err(ReadlineError::Eof) if leaving => self.erase(),
                // The terminal is gone, and nobody will see more.
                Err(_) if leaving => return Some(ABNORMAL),
                Err(ReadlineError::Interrupted) => {
                    self.erase();
                    leaving = true;
                    // Before what `send` is still busy with.
                    self.session.leave_soon();
                }
                Err(_) => {
                    self.erase();
                    leaving = true;
                    // Behind all that was typed.
                    let _ = self.orders.send(Order::Leave);
                }
            }
        }
    }

    /// Takes away the row of the prompt. What needs more than one row stays: half of it helps nobody.
    fn erase(&self) {
        if self.editor.helper().is_some_and(Typist::is_one_row) {
            let mut stdout = io::stdout().lock();
            // The terminal may be gone, and then nobody sees it.
            let _ = stdout.write_all(ERASE.as_bytes());
            let _ = stdout.flush();
        }
    }

    fn typed(&self, line: &str) {
        let order = match Command::parse(line) {
            Ok(command) => Order::Do(command),
            Err(sentence) => Order::Say(sentence),
        };
        // The thread `send` lives as long as this one.
        let _ = self.orders.send(order);
    }
}
