//! `-v` and `-vv`: the library's log lines about this client, without dates, each handed to
//! whatever shows it.

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Headers of the handshake, redirects, proxies.
const HANDSHAKE: &str = "plainws::client";
/// Pings and pongs.
const KEEPALIVE: &str = "plainws::keepalive";

/// Hands each line that `-v` asks for to `show`; may be called by any thread.
pub(super) fn start(verbose: u8, show: impl Fn(String) + Send + Sync + 'static) {
    if verbose == 0 {
        return;
    }
    let trace = Trace {
        frames: verbose > 1,
        show,
    };
    if log::set_boxed_logger(Box::new(trace)).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

struct Trace<S> {
    frames: bool,
    show: S,
}

impl<S: Fn(String) + Send + Sync> Log for Trace<S> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // tungstenite logs each frame's bytes raw, and rustyline each key.
        let ours = match self.frames {
            true => metadata.target().starts_with("plainws"),
            false => [HANDSHAKE, KEEPALIVE].contains(&metadata.target()),
        };
        ours && metadata.level() <= Level::Debug
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            (self.show)(record.args().to_string());
        }
    }

    fn flush(&self) {}
}
