//! The table: a row for each measurement, a column for each figure.

use std::fmt;

use crate::latencies::Latencies;
use crate::meter::Measured;

/// A figure of a row; in the order of the table.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    Rate,
    Cpu,
    P50,
    P90,
    P99,
    Max,
    Rss,
    RssPerClient,
    Switches,
    Load,
}

/// Title, width, and decimals of each column.
const COLUMNS: [(&str, usize, usize); 10] = [
    ("messages/s", 12, 0),
    ("us CPU/msg", 12, 2),
    ("p50", 9, 0),
    ("p90", 9, 0),
    ("p99", 9, 0),
    ("max", 9, 0),
    ("RSS KiB", 10, 0),
    ("KiB/client", 12, 1),
    ("switches/s", 12, 0),
    ("load %", 8, 0),
];

/// One measurement, or the medians of several.
pub(crate) struct Row {
    name: &'static str,
    clients: usize,
    cells: [Option<f64>; COLUMNS.len()],
    /// Figures that only this row has: what, and how much.
    others: Vec<(&'static str, f64)>,
    /// What else the reader must know.
    remarks: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: &'static str, clients: usize) -> Row {
        Row {
            name,
            clients,
            cells: [None; COLUMNS.len()],
            others: Vec::new(),
            remarks: Vec::new(),
        }
    }

    pub(crate) fn set(&mut self, column: Column, figure: f64) {
        self.cells[column as usize] = Some(figure);
    }

    pub(crate) fn other(&mut self, what: &'static str, figure: f64) {
        self.others.push((what, figure));
    }

    pub(crate) fn remark(&mut self, sentence: String) {
        self.remarks.push(sentence);
    }

    /// Fills in that so many messages arrived, and what this took.
    pub(crate) fn load(&mut self, messages: u64, measured: &Measured) {
        let Measured {
            elapsed,
            server,
            generator,
            rss_kib,
        } = measured;
        self.set(Column::Rate, messages as f64 / elapsed.as_secs_f64());
        if messages > 0 {
            let cpu = server.cpu.as_secs_f64() * 1e6;
            self.set(Column::Cpu, cpu / messages as f64);
        }
        let switches = server.switches as f64;
        self.set(Column::Switches, switches / server.elapsed.as_secs_f64());
        let generator = generator.cpu.as_secs_f64() / generator.elapsed.as_secs_f64();
        self.set(Column::Load, generator * 100.0);
        self.set(Column::Rss, *rss_kib as f64);
    }

    /// Fills in the clients' share of the server's memory.
    pub(crate) fn memory(&mut self, empty_kib: u64, full_kib: u64) {
        let growth = full_kib as f64 - empty_kib as f64;
        self.set(Column::RssPerClient, growth / self.clients as f64);
    }

    pub(crate) fn latencies(&mut self, latencies: Latencies) {
        if let Some([p50, p90, p99, max]) = latencies.percentiles([0.5, 0.9, 0.99, 1.0]) {
            self.set(Column::P50, p50);
            self.set(Column::P90, p90);
            self.set(Column::P99, p99);
            self.set(Column::Max, max);
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10}{:>8}", self.name, self.clients)?;
        for (cell, (_, width, decimals)) in self.cells.iter().zip(COLUMNS) {
            match cell {
                Some(figure) => write!(f, "{figure:>width$.decimals$}")?,
                None => write!(f, "{:>width$}", "-")?,
            }
        }
        for (what, figure) in &self.others {
            write!(f, "\n    {what}: {figure:.0}")?;
        }
        for sentence in &self.remarks {
            write!(f, "\n    {sentence}")?;
        }
        Ok(())
    }
}

/// The first line.
pub(crate) fn head() -> String {
    let titles: String = COLUMNS
        .iter()
        .map(|(title, width, _)| format!("{title:>width$}"))
        .collect();
    format!("{:<10}{:>8}{titles}", "scenario", "clients")
}

/// Makes one of the rows that each round has: figure by figure the median of the rounds, and the
/// last one's remarks.
pub(crate) fn medians(mut rounds: Vec<Vec<Row>>) -> Vec<Row> {
    let mut rows = rounds.pop().unwrap_or_default();
    for (index, row) in rows.iter_mut().enumerate() {
        let earlier: Vec<&Row> = rounds.iter().filter_map(|round| round.get(index)).collect();
        for (column, cell) in row.cells.iter_mut().enumerate() {
            *cell = median(earlier.iter().map(|row| row.cells[column]).chain([*cell]));
        }
        for (place, (_, figure)) in row.others.iter_mut().enumerate() {
            let others = earlier.iter().map(|row| row.others.get(place));
            let figures = others.map(|other| other.map(|(_, figure)| *figure));
            *figure = median(figures.chain([Some(*figure)])).unwrap_or(*figure);
        }
    }
    rows
}

/// The middle one of those that are there, or what lies between the two middle ones.
fn median(figures: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.flatten().collect();
    figures.sort_by(f64::total_cmp);
    let upper = *figures.get(figures.len() / 2)?;
    let lower = figures[(figures.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}
