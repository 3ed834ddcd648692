//! What tests share: processes, real peers, raw sockets. Everything cleans up when dropped.

// Each test module uses a part of it.
#![allow(dead_code, unreachable_pub)]

#[cfg(feature = "real-peers")]
pub mod browser;
#[cfg(feature = "tls")]
pub mod certificates;
pub mod counter;
pub mod examples;
pub mod files;
pub mod hubs;
pub mod logs;
#[cfg(feature = "real-peers")]
pub mod nginx;
pub mod pair;
pub mod pipe;
pub mod process;
#[cfg(feature = "real-peers")]
pub mod python;
pub mod raw;
#[cfg(feature = "tls")]
pub mod secure;
pub mod servers;
pub mod talk;
pub mod terminal;
pub mod tools;
