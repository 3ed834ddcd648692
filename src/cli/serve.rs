//! `plainws serve`: the daemon's life as a straight list.

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{error, info};
use plainws::{Address, Listener, Server};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::{Listen, Serve};
use super::logger;
use crate::apps::{App, Apps, Pages};

/// Signals closer together than this are one.
const SAME_REQUEST: Duration = Duration::from_millis(10);

pub(crate) fn run(args: Serve) -> ExitCode {
    logger::start(args.verbose, args.log_level);
    match serve(args) {
        Ok(code) => code,
        Err(failed) => {
            error!("{failed}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: Serve) -> plainws::Result<ExitCode> {
    // Before anything can be lost by a signal.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let pages = Pages::new(args.html_dir.clone()).map_err(|error| {
        format!(
            "cannot read the folder {}: {error}",
            args.html_dir.unwrap_or_default().display()
        )
    })?;
    let apps = Apps::new(pages);
    let mut listeners = Vec::new();
    for Listen { app, address } in &args.listen {
        listeners.extend(
            Listener::bind(address)?
                .into_iter()
                .map(|listener| (*app, listener)),
        );
    }
    let owners: Vec<Option<App>> = listeners.iter().map(|(app, _)| *app).collect();
    let mut server = Server::builder(|_| Ok(()))
        .route(move |request| Some(apps.route(request, owners[request.listener()])))
        .max_connections(args.max_connections)
        .max_size(args.max_size)
        .backlog(args.backlog)
        .open_timeout(args.open_timeout)
        .close_timeout(args.close_timeout)
        .write_timeout(args.write_timeout.0)
        .ping_interval(args.ping_interval.0)
        .ping_timeout(args.ping_timeout.0);
    if !args.origin.is_empty() {
        server = server.origins(args.origin);
    }
    if !args.host.is_empty() {
        server = server.hosts(args.host);
    }
    let mut places = Vec::new();
    for (app, listener) in listeners {
        places.push((app, listener.local_addr().clone()));
        server = server.listen(listener);
    }
    let server = Arc::new(server.start()?);
    for (app, address) in places {
        info!("{}", place(app, &address));
    }

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
        let name = if signal == SIGTERM {
            "SIGTERM"
        } else {
            "SIGINT"
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
        info!("{name}: closing {} connections", server.connections());
        let (handle, limit) = (server.handle(), args.close_timeout);
        thread::spawn(move || {
            if !handle.shutdown(limit) {
                error!("a connection's thread did not end within {limit:?}");
                std::process::exit(1);
            }
        });
    }
    match waiting.join() {
        Ok(result) => result.map(|()| ExitCode::SUCCESS),
        Err(_) => Err("waiting for the server panicked".into()),
    }
}

/// Where to find what is served, as a line to click on.
fn place(app: Option<App>, address: &Address) -> String {
    let name = app.map_or("index", App::name);
    match address {
        Address::Tcp(tcp) if tcp.ip().is_unspecified() => {
            format!(
                "{name} at http://localhost:{}/ and all addresses of this host",
                tcp.port()
            )
        }
        Address::Tcp(tcp) => format!("{name} at http://{tcp}/"),
        unix => format!("{name} at {unix}"),
    }
}
