//! `connect` in a pipe: each line of the input is a message, each message received is a line of the
//! output, and nothing else. `--json` and `--one` are here, too, wherever they run.
//!
//! The thread `receive` writes the output, `input` reads stdin, and `output-end` waits for the
//! reader of the output to go away.

use std::io::{self, BufRead, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plainws::Message;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::args::Connect;
use super::dial::Dial;
use super::end::{ABNORMAL, End, Failure, USAGE};
use super::lines::{Event, close_line, pipe_line, shown_uri};
use super::session::Session;
use super::spawn::spawn;
use super::{json, signals, trace};
use crate::lock::Lock;
use crate::tools::say::say;

/// The exit code, of a session or of what went wrong before there was one.
pub(super) fn run(args: &Connect, dial: Dial) -> Result<u8, Failure> {
    trace::start(args.verbose, |line| say(&line));
    let one = match args.one {
        true => Some(only_message(args).map_err(Failure::usage)?),
        false => None,
    };
    let output = Arc::new(Output {
        json: args.json,
        one: args.one,
        wait: args.wait,
        uri: shown_uri(&args.uri),
        asked: Lock::new(false),
        answered: AtomicBool::new(false),
        decided: OnceLock::new(),
    });
    let show = {
        let output = Arc::clone(&output);
        move |session: &Session, event| output.show(session, &event)
    };
    let signals = signals::take(false)?;
    let session = Session::start(dial, show)?;
    signals::watch(signals, session.clone(), || {})?;
    {
        let (session, output) = (session.clone(), Arc::clone(&output));
        spawn("output-end", move || output.watch_reader(&session))?;
    }
    {
        let (session, output) = (session.clone(), Arc::clone(&output));
        spawn("input", move || output.feed(&session, one))?;
    }
    Ok(output.exit_code(&session))
}

/// What is written, and what the exit code depends on. Shared by the threads of this file.
struct Output {
    json: bool,
    one: bool,
    wait: Option<Duration>,
    uri: String,
    /// The message of `--one` is sent: what comes now is an answer. Locked while it is on its way.
    asked: Lock<bool>,
    /// The answer of `--one` has come.
    answered: AtomicBool,
    /// The exit code, where it is not that of the session: nobody reads the output any more, which is
    /// nothing wrong, or a failure of our own, told already.
    decided: OnceLock<u8>,
}

impl Output {
    /// In the thread `receive`.
    fn show(&self, session: &Session, event: &Event) {
        let is_message = matches!(event, Event::Message(_));
        if is_message && self.one {
            // A greeting that came before is no answer, nor is what comes behind the answer.
            let asked = *self.asked.lock();
            if !asked || self.answered.swap(true, Ordering::SeqCst) {
                return;
            }
        }
        let line = match event {
            Event::Note(sentence) => {
                say(sentence);
                None
            }
            event if self.json => json::line(event, &self.uri),
            Event::Message(message) => Some(pipe_line(message)),
            _ => None,
        };
        if let Some(line) = line {
            self.write(session, line);
        }
        if is_message && self.one {
            session.leave_soon();
        }
    }

    fn write(&self, session: &Session, mut line: String) {
        line.push('\n');
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(line.as_bytes())
            .and_then(|()| stdout.flush());
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.is_unread(session),
            Err(error) => {
                let sentence = format!("cannot write to stdout: {error}");
                self.fail(session, ABNORMAL, &sentence);
            }
        }
    }

    fn is_unread(&self, session: &Session) {
        let _ = self.decided.set(0);
        session.leave_soon();
    }

    fn fail(&self, session: &Session, code: u8, sentence: &str) {
        if self.decided.set(code).is_ok() {
            say(sentence);
        }
        session.leave_soon();
    }

    /// Waits for the end, and says what is to be said about it.
    fn exit_code(&self, session: &Session) -> u8 {
        let end = session.end();
        if let Some(code) = self.decided.get() {
            return *code;
        }
        let (code, sentence) = session.verdict();
        let unanswered = self.one && !self.answered.load(Ordering::SeqCst);
        match (&*end, sentence) {
            (End::Closed(closed), sentence) if unanswered => {
                say(&match (sentence, self.wait) {
                    (None, Some(wait)) if session.left_first(closed) => {
                        format!("no answer within {wait:?}")
                    }
                    (sentence, _) => {
                        let ended = sentence.unwrap_or_else(|| close_line(closed));
                        format!("no answer came. {ended}")
                    }
                });
                return ABNORMAL;
            }
            (_, Some(sentence)) => say(&sentence),
            (_, None) => {}
        }
        code
    }

    /// The thread `input`: it sends all there is to send, and closes when it is time.
    fn feed(&self, session: &Session, one: Option<Option<Message>>) {
        match one {
            Some(message) => {
                let mut asked = self.asked.lock();
                if let Some(message) = message
                    && let Some(connection) = session.connection(None)
                {
                    // An error is the end of the session, which tells more.
                    let _ = connection.send(message);
                }
                *asked = true;
            }
            None => {
                if let Err(sentence) = send_lines(session) {
                    return self.fail(session, USAGE, &sentence);
                }
            }
        }
        if let Some(wait) = self.wait
            && session.connection(None).is_some()
            && !session.ends_within(wait)
        {
            session.leave();
        }
    }

    /// The thread `output-end`: without it `| head -1` would be noticed only when something more is
    /// to be written.
    fn watch_reader(&self, session: &Session) {
        let stdout = io::stdout();
        loop {
            // Errors are told without being asked for.
            let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                Ok(_) if fds[0].revents().contains(PollFlags::ERR) => {
                    return self.is_unread(session);
                }
                _ => return,
            }
        }
    }
}

/// The message of `--one`, read before anything is opened; `None` if the input is empty.
fn only_message(args: &Connect) -> Result<Option<Message>, String> {
    if let Some(text) = &args.message {
        return Ok(Some(text.into()));
    }
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read the input: {error}"))?;
    without_line_end(&mut bytes);
    let text = String::from_utf8(bytes).map_err(|_| "the input is no UTF-8 text".to_owned())?;
    Ok((!text.is_empty()).then(|| text.into()))
}

fn without_line_end(line: &mut Vec<u8>) {
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
}

/// Sends the input line by line. A line that finds no connection waits for the next one.
fn send_lines(session: &Session) -> Result<(), String> {
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    let mut number = 0u64;
    let Some(mut connection) = session.connection(None) else {
        return Ok(());
    };
    loop {
        line.clear();
        number += 1;
        match input.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(format!("cannot read the input: {error}")),
        }
        without_line_end(&mut line);
        let Ok(text) = str::from_utf8(&line) else {
            return Err(format!(
                "line {number} of the input is no UTF-8 text; it was not sent"
            ));
        };
        while connection.send(text).is_err() {
            match session.connection(Some(connection.id())) {
                Some(next) => connection = next,
                None => return Ok(()),
            }
        }
    }
}
