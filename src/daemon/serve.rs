//! `plainws serve`: the daemon's life as a straight list.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use log::{error, info, warn};
use plainws::{Address, Error, Server};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::access::Access;
use super::args::Serve;
use super::keys::Keys;
use super::listen::{self, Security};
use super::metrics::{self, Figures, FiguresAt};
use super::notify::Notify;
use super::state::State;
use super::{limits, logger, sockets};
use crate::apps::{App, Apps, Files, Grant, Limits, Pages, Topics};

/// While the state is saved at the end, signals are looked for this often.
const LISTEN_EVERY: Duration = Duration::from_millis(100);
/// Saving takes longer than this only if something is wrong with the disk.
const PATIENCE: Duration = Duration::from_secs(2);
/// Signals closer together than this are one.
const SAME_REQUEST: Duration = Duration::from_millis(10);

pub(crate) fn run(args: Serve) -> ExitCode {
    if let Err(error) = logger::start(args.verbose, args.log_level, args.log_format) {
        // Where nobody reads there is nothing to say.
        let _ = writeln!(io::stderr(), "cannot start the log's thread: {error}");
        return ExitCode::FAILURE;
    }
    let code = match serve(args) {
        Ok(code) => code,
        Err(failed) => {
            error!("{failed}");
            ExitCode::FAILURE
        }
    };
    logger::flush();
    code
}

fn serve(args: Serve) -> plainws::Result<ExitCode> {
    // Before anything can be lost by a signal.
    let at_terminal = io::stderr().is_terminal();
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(Error::other)?;
    let own = args.html_dir.map(|folder| {
        let name = folder.display().to_string();
        let files = Files::new(folder, args.csp);
        files.map_err(|error| format!("cannot read the folder {name}: {error}"))
    });
    let pages = Pages::new(own.transpose()?);
    let (state, saved) = match State::open(args.state_dir.as_deref(), args.sync) {
        Ok((state, saved)) => (Arc::new(state), saved),
        Err(code) => return Ok(code),
    };
    let health = state.health();
    let limits = Limits {
        topics: args.max_topics,
        keep: args.keep,
        memory: args.topics_size,
        size: args.max_size,
    };
    let topics = Topics::start(limits, saved, state.journal())?;
    let apps = Apps::new(pages, state.hub(), topics.clone(), health.clone());
    let keys = Keys::read(args.tls)?;
    let (figures_path, figures_alone) = match args.metrics {
        Some(FiguresAt::Path(path)) => (Some(path), None),
        Some(FiguresAt::Address(address)) => (None, Some(address)),
        None => (None, None),
    };
    let mut listeners = Vec::new();
    for bound in sockets::bind(&args.listen)? {
        let secure = is_secure(bound.security, &bound.name, keys.is_some())?;
        listeners.push((bound, secure));
    }
    limits::prepare(
        args.max_connections,
        listeners.len(),
        figures_alone.is_some(),
    )?;
    let owners: Vec<Option<App>> = listeners.iter().map(|(bound, _)| bound.app).collect();
    let figures = Figures::new(&state, &topics);
    let shown = Arc::clone(&figures);
    let secure = listeners.iter().map(|(_, secure)| *secure).collect();
    let access = Access::read(args.access, secure)?;
    let rules = access.clone();
    let mut server = Server::builder(|_| Ok(()))
        .route(move |request| {
            let granted = rules
                .as_ref()
                .map(|rules| rules.check(request, apps.pages()));
            Some(match granted.transpose() {
                Err(answer) => answer,
                Ok(_) if figures_path.as_deref() == Some(request.path()) => shown.answer(request),
                Ok(grant) => {
                    let grant = grant.unwrap_or(Grant::ALL);
                    apps.route(request, owners[request.listener()], &grant)
                }
            })
        })
        .max_connections(args.max_connections)
        .max_per_address(args.max_per_address)
        .trusted_proxies(args.trusted_proxy)
        .max_size(args.max_size)
        .backlog(args.backlog)
        .open_timeout(args.open_timeout)
        .close_timeout(args.close_timeout)
        .write_timeout(args.write_timeout)
        .ping_interval(args.ping_interval)
        .ping_timeout(args.ping_timeout);
    if !args.origin.is_empty() {
        server = server.origins(args.origin);
    }
    if !args.host.is_empty() {
        server = server.hosts(args.host);
    }
    let mut places = Vec::new();
    for (bound, secure) in listeners {
        let chosen = listen::is_open(&bound.name);
        let listener = bound.listener;
        places.push((chosen, place(bound.app, secure, listener.local_addr())));
        server = match &keys {
            #[cfg(feature = "tls")]
            Some(keys) if secure => server.listen_tls(listener, keys.tls()),
            _ => server.listen(listener),
        };
    }
    // Before anybody is served: it may fail.
    let _figures = figures_alone
        .map(|address| metrics::serve(&address, Arc::clone(&figures)))
        .transpose()?;
    let server = Arc::new(server.start()?);
    figures.watch(&server);
    for (chosen, place) in places {
        match chosen {
            true => info!(target: logger::CHOSEN, "{place}"),
            false => info!("{place}"),
        }
    }
    let notify = Notify::ready(&server)?;

    let ended = signals.handle();
    let waiting = {
        let server = Arc::clone(&server);
        thread::spawn(move || {
            let result = server.wait();
            ended.close();
            result
        })
    };
    let mut stopping: Option<Instant> = None;
    for signal in signals.forever() {
        // Of a terminal that closes SIGHUP means to end, as ever; else to read the files again.
        let terminal_gone = at_terminal && !io::stderr().is_terminal();
        if signal == SIGHUP && !terminal_gone {
            if stopping.is_some() {
                continue;
            }
            notify.reloading(|| {
                match &keys {
                    Some(keys) => keys.read_again(),
                    None if access.is_none() => {
                        info!("SIGHUP: there is no certificate to read again")
                    }
                    None => {}
                }
                access.iter().for_each(|access| access.read_again(&server));
            });
            continue;
        }
        let name = match signal {
            SIGTERM => "SIGTERM",
            SIGINT => "SIGINT",
            _ => "the terminal has gone",
        };
        if let Some(since) = stopping {
            // timeout(1) signals the process and then its group: that is one request.
            if since.elapsed() < SAME_REQUEST {
                continue;
            }
            info!("{name} again: ending at once");
            return Ok(ExitCode::from(128 + signal as u8));
        }
        stopping = Some(Instant::now());
        health.stop();
        let connections = match server.connections() {
            1 => "1 connection".to_owned(),
            n => format!("{n} connections"),
        };
        info!("{name}: closing {connections}");
        notify.stopping(args.close_timeout);
        let (closing, limit) = (Arc::clone(&server), args.close_timeout);
        let saved = Arc::clone(&state);
        let shut_down = move || {
            if !closing.shutdown(limit) {
                error!("a connection's thread did not end within {limit:?}");
                if let Err(lost) = saved.finish() {
                    error!("{lost}");
                }
                logger::flush();
                std::process::exit(1);
            }
        };
        let shutdown = thread::Builder::new().name("shutdown".to_owned());
        if let Err(error) = shutdown.spawn(shut_down.clone()) {
            // Without a thread it is done here, where a second signal is not heard.
            error!("cannot start a thread to shut down: {error}");
            shut_down();
        }
    }
    let ended = waiting.join();
    // After the last client, and whatever has ended the server.
    match finish(topics, state)? {
        Some(value) => info!("ended; counter saved with {value}"),
        None => info!("ended"),
    }
    match ended {
        Ok(result) => result.map(|()| ExitCode::SUCCESS),
        Err(_) => Err("waiting for the server panicked".into()),
    }
}

/// Saves what is left to save. A disk may hang for ever: another signal ends the waiting for it.
fn finish(topics: Topics, state: Arc<State>) -> plainws::Result<Option<i64>> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Error::other)?;
    let (tell, told) = mpsc::channel();
    let saving = move || {
        topics.finish();
        let _ = tell.send(state.finish());
    };
    thread::Builder::new()
        .name("finish".to_owned())
        .spawn(saving)
        .map_err(Error::other)?;
    let since = Instant::now();
    let mut patient = false;
    loop {
        match told.recv_timeout(LISTEN_EVERY) {
            Ok(finished) => return finished,
            Err(_) if signals.pending().next().is_some() => {
                return Err("ended by a signal before the state was saved".into());
            }
            Err(_) if !patient && since.elapsed() > PATIENCE => {
                patient = true;
                warn!("waiting for the disk to take the state; another signal ends at once");
            }
            Err(_) => {}
        }
    }
}

fn is_secure(security: Security, name: &str, can: bool) -> plainws::Result<bool> {
    match security {
        Security::Tls if !can => {
            let way_out = if cfg!(feature = "tls") {
                "name a certificate with --tls-cert; plainws cert makes one"
            } else {
                "this build has no TLS, it was made without the feature tls"
            };
            Err(format!("cannot serve TLS at {name}: {way_out}").into())
        }
        Security::Plain => Ok(false),
        Security::Tls | Security::Default => Ok(can),
    }
}

/// Where to find what is served, as a line to click on.
fn place(app: Option<App>, secure: bool, address: &Address) -> String {
    let name = app.map_or("index", App::name);
    let scheme = if secure { "https" } else { "http" };
    match address {
        Address::Tcp(tcp) if tcp.ip().is_unspecified() => {
            format!(
                "{name} at {scheme}://localhost:{}/ and all addresses of this host",
                tcp.port()
            )
        }
        Address::Tcp(tcp) => format!("{name} at {scheme}://{tcp}/"),
        unix if secure => format!("{name} at {unix}, with TLS"),
        unix => format!("{name} at {unix}"),
    }
}
