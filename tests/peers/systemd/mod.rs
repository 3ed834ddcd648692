//! The units, checked by systemd's own tools; and the package, in a container booted with systemd.

mod container;
mod service;
mod units;
