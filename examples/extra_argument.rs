//! An extra argument of a handler is what its closure captures.
//!
//!     cargo run --example extra_argument
//!     python3 -m websockets ws://localhost:8765/

use plainws::{Connection, Result};

fn handler(ws: &Connection, extra_argument: &str) -> Result<()> {
    ws.send(extra_argument)
}

fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "localhost:8765".to_owned());
    let extra_argument = "spam".to_owned();
    plainws::serve(&address, move |ws| handler(ws, &extra_argument))
}
