//! What tests share: processes, real peers, raw sockets. Everything cleans up when dropped.

// Each test module uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod browser;
#[cfg(feature = "tls")]
pub mod certificates;
pub mod logs;
#[cfg(feature = "tls")]
pub mod nginx;
pub mod pair;
pub mod process;
pub mod python;
pub mod raw;
#[cfg(feature = "tls")]
pub mod secure;
pub mod terminal;
pub mod tools;
