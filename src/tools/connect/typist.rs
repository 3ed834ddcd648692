//! `Typist`: what rustyline asks while a line is being typed, and the editor that asks it. In the
//! main thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::termios::tcgetwinsize;
use rustyline::completion::Completer;
use rustyline::config::{BellStyle, Config};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Editor, Helper};

use super::printer::Gate;

pub(super) const PROMPT: &str = "> ";

/// An editor with a history that ends with the command: what is typed may be secret.
pub(super) fn editor(gate: &Arc<Gate>) -> rustyline::Result<Editor<Typist, MemHistory>> {
    let config = Config::builder()
        .auto_add_history(true)
        .bell_style(BellStyle::None)
        .build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    editor.set_helper(Some(Typist {
        gate: Arc::clone(gate),
        width: AtomicUsize::new(0),
    }));
    Ok(editor)
}

/// Tells the printer when a line is being typed; completes and colours nothing.
pub(super) struct Typist {
    gate: Arc<Gate>,
    /// How many columns the line takes, prompt included, at most.
    width: AtomicUsize,
}

impl Typist {
    /// Whether the line that was typed is one row of the terminal.
    pub(super) fn is_one_row(&self) -> bool {
        let columns = tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_col);
        self.width.load(Ordering::Relaxed) < usize::from(columns)
    }
}

impl Helper for Typist {}

impl Completer for Typist {
    type Candidate = String;
}

impl Highlighter for Typist {}

impl Hinter for Typist {
    type Hint = String;

    /// Called each time before the line is drawn, the first time as soon as the terminal is raw.
    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<String> {
        let columns = |c: char| match c {
            ' '..='~' => 1,
            // Breaks the row: more than any terminal has.
            '\n' => usize::from(u16::MAX),
            _ => 2,
        };
        let width = PROMPT.len() + line.chars().map(columns).sum::<usize>();
        self.width.store(width, Ordering::Relaxed);
        self.gate.open();
        None
    }
}

impl Validator for Typist {
    /// Called when a line is entered, before the terminal leaves its raw mode.
    fn validate(&self, _: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.gate.shut();
        Ok(ValidationResult::Valid(None))
    }
}
