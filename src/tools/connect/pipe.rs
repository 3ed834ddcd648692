//! `connect` in a pipe: each line of the input is a message, each message received is a line of the
//! output, and nothing else. `--json` and `--one` are here, too, wherever they run.
//!
//! The thread `receive` writes the output, `input` reads stdin, and `output-end` waits for the
//! reader of the output to go away.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use plainws::Message;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::args::Connect;
use super::dial::Dial;
use super::event::{Event, Place, message_line, shown_uri};
use super::session::{End, Session};
use super::{ABNORMAL, USAGE, json, signals, trace, verdict};
use crate::tools::say::say;

pub(super) fn run(args: &Connect, dial: Dial) -> ExitCode {
    trace::start(args.verbose, |line| say(&line));
    let one = match args.one.then(|| only_message(args)).transpose() {
        Ok(one) => one,
        Err(sentence) => {
            say(&sentence);
            return ExitCode::from(USAGE);
        }
    };
    let output = Arc::new(Output::new(args));
    let show = {
        let output = Arc::clone(&output);
        move |session: &Session, event| output.show(session, &event)
    };
    let started = signals::take(false)
        .map_err(Box::<dyn std::error::Error>::from)
        .and_then(|signals| {
            let session = Session::start(dial, show)?;
            signals::watch(signals, session.clone(), || {})?;
            watch_reader(session.clone(), Arc::clone(&output))?;
            feed(args, session.clone(), one, Arc::clone(&output))?;
            Ok(session)
        });
    let session = match started {
        Ok(session) => session,
        Err(error) => {
            say(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let end = session.end();
    ExitCode::from(output.exit_code(&session, &end, args))
}

/// What is written, and what the exit code depends on. Shared by the threads of this file.
struct Output {
    json: bool,
    one: bool,
    uri: String,
    /// The message of `--one` is sent: what comes now is an answer. Locked while it is on its way.
    asked: Mutex<bool>,
    /// The answer of `--one` has come.
    answered: AtomicBool,
    /// Nobody reads the output any more: nothing more to say, and nothing wrong.
    unread: AtomicBool,
    /// A failure of our own, told already: its exit code.
    failed: AtomicU8,
}

impl Output {
    fn new(args: &Connect) -> Output {
        Output {
            json: args.json,
            one: args.one,
            uri: shown_uri(&args.uri),
            asked: Mutex::new(false),
            answered: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            failed: AtomicU8::new(0),
        }
    }

    /// In the thread `receive`.
    fn show(&self, session: &Session, event: &Event) {
        let is_message = matches!(event, Event::Message(_));
        if is_message && self.one {
            // A greeting that came before is no answer, nor is what comes behind the answer.
            let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
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
            Event::Message(message) => Some(message_line(message, Place::Pipe)),
            _ => None,
        };
        if let Some(line) = line {
            self.write(session, line);
        }
        if is_message && self.one {
            leave(session);
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
        self.unread.store(true, Ordering::SeqCst);
        leave(session);
    }

    fn fail(&self, session: &Session, code: u8, sentence: &str) {
        let first = self
            .failed
            .compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst);
        if first.is_ok() {
            say(sentence);
        }
        leave(session);
    }

    fn exit_code(&self, session: &Session, end: &End, args: &Connect) -> u8 {
        let failed = self.failed.load(Ordering::SeqCst);
        if failed != 0 {
            return failed;
        }
        if self.unread.load(Ordering::SeqCst) {
            return 0;
        }
        let (code, sentence) = verdict(session, end);
        let unanswered = self.one && !self.answered.load(Ordering::SeqCst);
        match (end, sentence) {
            (End::Closed(closed), sentence) if unanswered => {
                say(&match (sentence, args.wait) {
                    (None, Some(wait)) if session.left_first(closed) => {
                        format!("no answer within {wait:?}")
                    }
                    (sentence, _) => {
                        let ended = sentence.unwrap_or_else(|| super::close_line(closed));
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
}

/// Closes in a thread of its own: the closing handshake needs the thread `receive`, which may be
/// the caller.
fn leave(session: &Session) {
    let session = session.clone();
    let leave = thread::Builder::new().name("leave".to_owned());
    let _ = leave.spawn(move || session.leave());
}

/// The message of `--one`, read before anything is opened; `None` if the input is empty.
fn only_message(args: &Connect) -> Result<Option<Message>, String> {
    if let Some(text) = &args.message {
        return Ok(Some(text.into()));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::stdin().lock(), &mut bytes)
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

/// Starts the thread `input`: it sends all there is to send, and closes when it is time.
fn feed(
    args: &Connect,
    session: Session,
    one: Option<Option<Message>>,
    output: Arc<Output>,
) -> io::Result<()> {
    let wait = args.wait;
    let work = move || {
        match one {
            Some(message) => {
                let mut asked = output.asked.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(message) = message
                    && let Some(connection) = session.connection(None)
                {
                    // An error is the end of the session, which tells more.
                    let _ = connection.send(message);
                }
                *asked = true;
            }
            None => {
                if let Err((code, sentence)) = send_lines(&session) {
                    return output.fail(&session, code, &sentence);
                }
            }
        }
        leave_after(&session, wait);
    };
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(work)?;
    Ok(())
}

fn leave_after(session: &Session, wait: Option<Duration>) {
    if let Some(wait) = wait
        && session.connection(None).is_some()
        && !session.ends_within(wait)
    {
        session.leave();
    }
}

/// Sends the input line by line. A line that finds no connection waits for the next one.
fn send_lines(session: &Session) -> Result<(), (u8, String)> {
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
            Err(error) => return Err((USAGE, format!("cannot read the input: {error}"))),
        }
        without_line_end(&mut line);
        let Ok(text) = str::from_utf8(&line) else {
            let sentence = format!("line {number} of the input is no UTF-8 text; it was not sent");
            return Err((USAGE, sentence));
        };
        while connection.send(text).is_err() {
            match session.connection(Some(connection.id())) {
                Some(next) => connection = next,
                None => return Ok(()),
            }
        }
    }
}

/// Starts the thread `output-end`: without it `| head -1` would be noticed only when something
/// more is to be written.
fn watch_reader(session: Session, output: Arc<Output>) -> io::Result<()> {
    let work = move || {
        let stdout = io::stdout();
        loop {
            // Errors are told without being asked for.
            let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                Ok(_) if fds[0].revents().contains(PollFlags::ERR) => {
                    return output.is_unread(&session);
                }
                _ => return,
            }
        }
    };
    thread::Builder::new()
        .name("output-end".to_owned())
        .spawn(work)?;
    Ok(())
}
