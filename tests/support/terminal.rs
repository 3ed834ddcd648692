//! A program in a pseudo-terminal of its own, which is also the one that Ctrl-C signals.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use super::tools::{PATIENCE, kill, poll};

pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const UP: &str = "\x1b[A";
pub const LEFT: &str = "\x1b[D";

/// What no program draws.
const END: &str = "\x00end";

/// A running program and all that it has drawn; dropping it kills and reaps it.
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// Held, so that what was drawn can be read after the program has ended, and its modes, too.
    screen: File,
    drawn: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    modes: String,
}

impl Terminal {
    /// Starts a command in a new session, whose terminal has 100 columns.
    #[track_caller]
    pub fn spawn(command: &Command) -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string();
        let mut screen = OpenOptions::new();
        let screen = screen.read(true).write(true).open(name.unwrap()).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&screen, size).unwrap();
        let modes = modes(&screen);
        // A controlling terminal needs code between fork and exec: util-linux has it.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program());
        session.env("TERM", "xterm").args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        let stdio = || Stdio::from(OwnedFd::from(screen.try_clone().unwrap()));
        session.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let child = session.spawn().expect("setsid of util-linux is installed");
        let keyboard = File::from(keyboard);
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let reader = thread::Builder::new().name("terminal".into()).spawn({
            let (mut output, drawn) = (keyboard.try_clone().unwrap(), Arc::clone(&drawn));
            move || {
                let mut bytes = [0; 4096];
                // Ends with an error when nobody holds the other side any more.
                while let Ok(read @ 1..) = output.read(&mut bytes) {
                    drawn.lock().unwrap().extend_from_slice(&bytes[..read]);
                }
            }
        });
        Terminal {
            child,
            keyboard,
            screen,
            drawn,
            reader: Some(reader.unwrap()),
            modes,
        }
    }

    /// Types these bytes.
    pub fn keys(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).unwrap();
    }

    /// All that was drawn, with its escape codes.
    pub fn drawn(&self) -> String {
        let drawn = String::from_utf8_lossy(&self.drawn.lock().unwrap()).into_owned();
        match drawn.strip_suffix(END) {
            Some(drawn) => drawn.to_owned(),
            None => drawn,
        }
    }

    /// Waits until `needle` has been drawn behind the first `from` bytes; where it ends.
    #[track_caller]
    pub fn wait_from(&self, from: usize, needle: &str) -> usize {
        let found = poll(PATIENCE, || {
            let drawn = self.drawn();
            let at = drawn.get(from..)?.find(needle)?;
            Some(from + at + needle.len())
        });
        let Some(end) = found else {
            panic!(
                "awaited {needle:?} behind byte {from} of {:?}",
                self.drawn()
            );
        };
        end
    }

    /// Waits until `needle` has been drawn; where it ends.
    #[track_caller]
    pub fn wait(&self, needle: &str) -> usize {
        self.wait_from(0, needle)
    }

    /// Waits for the end, and checks that the terminal was left as it was found.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        let status: Option<ExitStatus> = poll(PATIENCE, || self.child.try_wait().unwrap());
        let Some(status) = status else {
            panic!("awaited the end after {:?}", self.drawn());
        };
        assert_eq!(modes(&self.screen), self.modes, "the terminal's modes");
        // What the program wrote last may not have been read yet: this comes behind it.
        self.screen.write_all(END.as_bytes()).unwrap();
        let whole = poll(PATIENCE, || {
            let drawn = self.drawn.lock().unwrap();
            drawn.ends_with(END.as_bytes()).then_some(())
        });
        assert!(whole.is_some(), "all that was drawn: {:?}", self.drawn());
        let drawn = self.drawn();
        let (on, off) = ("\x1b[?2004h", "\x1b[?2004l");
        let left = drawn.rfind(on) <= drawn.rfind(off);
        assert!(left, "bracketed paste is still on: {drawn:?}");
        status.code()
    }

    /// Whether keys reach the program as they are typed, Ctrl-C and Ctrl-D as bytes.
    pub fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.screen).unwrap().local_modes;
        !modes.intersects(LocalModes::ISIG | LocalModes::ICANON)
    }

    pub fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.screen).unwrap();
        modes.local_modes.contains(LocalModes::ECHO)
    }

    pub fn signal(&self, name: &str) {
        assert!(kill(name, &self.child.id().to_string()));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Fails only for a process that has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The reader ends when the last descriptor of the terminal's side is closed, and ours is
        // closed by replacing it.
        if let Ok(null) = File::open("/dev/null") {
            self.screen = null;
        }
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

fn modes(screen: &File) -> String {
    let modes: Termios = tcgetattr(screen).unwrap();
    format!("{modes:?}")
}
