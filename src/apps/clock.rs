//! clock: the local time at random intervals, for as long as the client stays.

use std::time::{Duration, Instant};

use chrono::Local;
use plainws::{Connection, Result};

/// The longest pause between two texts.
const PAUSE: Duration = Duration::from_secs(3);

pub(crate) fn clock(ws: &Connection) -> Result<()> {
    loop {
        ws.send(format!("{}, sent by the server over WebSocket.", ctime()))?;
        let next = Instant::now() + PAUSE.mul_f64(rand::random());
        // Receiving is the timer: it ends at once when the client leaves. What the client says
        // is not for us.
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            ws.recv_timeout(left)?;
        }
    }
}

/// As C's `ctime` writes it: `Sun Nov 22 10:21:09 2026`, the day padded with a space.
fn ctime() -> String {
    Local::now().format("%a %b %e %H:%M:%S %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_padded_as_in_c() {
        use chrono::TimeZone;
        let day = Local
            .with_ymd_and_hms(2026, 11, 2, 10, 21, 9)
            .single()
            .expect("a time");
        assert_eq!(
            day.format("%a %b %e %H:%M:%S %Y").to_string(),
            "Mon Nov  2 10:21:09 2026"
        );
        assert_eq!(ctime().len(), 24);
    }
}
