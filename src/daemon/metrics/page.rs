//! The page of figures, in the text format of Prometheus, version 0.0.4: for each figure what it is,
//! its type and its value. Names, helps and labels are ours, and need no escapes.

use std::fmt::Write;

use std::sync::Arc;

use plainws::Metrics;

use crate::apps::Figures as Topics;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What only the daemon knows. What is not there is left out.
pub(super) struct Own {
    pub(super) threads: Option<u64>,
    pub(super) log_lines_dropped: u64,
    pub(super) broadcasts: u64,
    pub(super) topics: Arc<Topics>,
    /// How often the state was saved, and could not be.
    pub(super) saves: Option<(u64, u64)>,
}

pub(super) fn page(server: &Metrics, own: &Own) -> String {
    let Metrics {
        clients,
        event_streams,
        accepted,
        pages,
        messages_in,
        messages_out,
        bytes_in,
        bytes_out,
        slow_closed,
        backlog_bytes,
        ..
    } = server;
    let Own {
        log_lines_dropped,
        broadcasts,
        ..
    } = own;
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        "\
# HELP plainws_build_info The program; the value is always 1.
# TYPE plainws_build_info gauge
plainws_build_info{{version=\"{version}\"}} 1
# HELP plainws_clients WebSocket connections that are open.
# TYPE plainws_clients gauge
plainws_clients {clients}
# HELP plainws_event_streams Those of the connections that are streams of server-sent events.
# TYPE plainws_event_streams gauge
plainws_event_streams {event_streams}
# HELP plainws_connections_accepted_total WebSocket connections opened.
# TYPE plainws_connections_accepted_total counter
plainws_connections_accepted_total {accepted}
# HELP plainws_connections_refused_total Clients that got neither a WebSocket nor a page, by reason.
# TYPE plainws_connections_refused_total counter
"
    );
    for (reason, count) in server.refused() {
        // Writing to memory does not fail.
        let _ = writeln!(
            page,
            "plainws_connections_refused_total{{reason=\"{reason}\"}} {count}"
        );
    }
    let _ = write!(
        page,
        "\
# HELP plainws_pages_total Requests answered with a page.
# TYPE plainws_pages_total counter
plainws_pages_total {pages}
# HELP plainws_messages_received_total WebSocket messages received.
# TYPE plainws_messages_received_total counter
plainws_messages_received_total {messages_in}
# HELP plainws_messages_sent_total WebSocket messages sent, a broadcast once for each client.
# TYPE plainws_messages_sent_total counter
plainws_messages_sent_total {messages_out}
# HELP plainws_received_bytes_total Bytes received, with handshakes and pages, without TLS.
# TYPE plainws_received_bytes_total counter
plainws_received_bytes_total {bytes_in}
# HELP plainws_sent_bytes_total Bytes sent, with handshakes and pages, without TLS.
# TYPE plainws_sent_bytes_total counter
plainws_sent_bytes_total {bytes_out}
# HELP plainws_slow_clients_closed_total Clients that were closed because they read too slowly.
# TYPE plainws_slow_clients_closed_total counter
plainws_slow_clients_closed_total {slow_closed}
# HELP plainws_backlog_bytes Bytes that wait for slow clients.
# TYPE plainws_backlog_bytes gauge
plainws_backlog_bytes {backlog_bytes}
"
    );
    if let Some(threads) = own.threads {
        let _ = write!(
            page,
            "\
# HELP plainws_threads Threads of the process.
# TYPE plainws_threads gauge
plainws_threads {threads}
"
        );
    }
    let _ = write!(
        page,
        "\
# HELP plainws_log_lines_dropped_total Log lines that were dropped because stderr took them too slowly.
# TYPE plainws_log_lines_dropped_total counter
plainws_log_lines_dropped_total {log_lines_dropped}
# HELP plainws_broadcasts_total Messages and states that were sent to all registered clients.
# TYPE plainws_broadcasts_total counter
plainws_broadcasts_total {broadcasts}
"
    );
    topics(&mut page, &own.topics);
    if let Some((saves, failures)) = own.saves {
        let _ = write!(
            page,
            "\
# HELP plainws_state_saves_total Times that the state was written to disk.
# TYPE plainws_state_saves_total counter
plainws_state_saves_total {saves}
# HELP plainws_state_save_failures_total Times that the state could not be written to disk.
# TYPE plainws_state_save_failures_total counter
plainws_state_save_failures_total {failures}
"
        );
    }
    page
}

fn topics(page: &mut String, figures: &Topics) {
    let (topics, streams) = (figures.topics(), figures.streams());
    let (sets, appends, deletions) = (figures.sets(), figures.appends(), figures.deletions());
    let _ = write!(
        page,
        "\
# HELP plainws_topics Topics that have a value or a client.
# TYPE plainws_topics gauge
plainws_topics {topics}
# HELP plainws_streams Streams that have a message or a client.
# TYPE plainws_streams gauge
plainws_streams {streams}
# HELP plainws_topic_sets_total Times that a topic was set.
# TYPE plainws_topic_sets_total counter
plainws_topic_sets_total {sets}
# HELP plainws_stream_messages_total Messages that streams got.
# TYPE plainws_stream_messages_total counter
plainws_stream_messages_total {appends}
# HELP plainws_topic_deletions_total Topics and streams that were deleted.
# TYPE plainws_topic_deletions_total counter
plainws_topic_deletions_total {deletions}
# HELP plainws_topic_writes_refused_total Changes of topics and streams that were refused, by reason.
# TYPE plainws_topic_writes_refused_total counter
"
    );
    for (reason, count) in figures.refusals() {
        let _ = writeln!(
            page,
            "plainws_topic_writes_refused_total{{reason=\"{reason}\"}} {count}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prometheus takes no page with a figure twice, or with one that has no type.
    #[test]
    fn each_figure_is_there_once_with_its_type_and_what_is_not_there_is_left_out() {
        let own = Own {
            threads: None,
            log_lines_dropped: 3,
            topics: Arc::default(),
            broadcasts: 4,
            saves: Some((7, 0)),
        };
        let page = page(&Metrics::default(), &own);
        let of = |start: &str| -> Vec<String> {
            let lines = page.lines().filter_map(|line| line.strip_prefix(start));
            let names = lines.map(|line| line.split([' ', '{']).next().unwrap_or_default());
            let mut names: Vec<String> = names.map(str::to_owned).collect();
            names.dedup();
            names
        };
        let mut once = of("# TYPE ");
        assert_eq!(of("# HELP "), once);
        assert_eq!(of("plainws_").len(), once.len());
        once.sort();
        once.dedup();
        assert_eq!(of("# TYPE ").len(), once.len());
        assert!(page.contains("\nplainws_state_saves_total 7\n"), "{page}");
        assert!(!page.contains("plainws_threads"), "{page}");
    }
}
