//! Python websockets 17 at the other end: the tutorial's clients with our three applications, and
//! its servers with our client.

use std::process::Command;
use std::time::Duration;

use plainws::{Client, CloseCode, Connection, Error, Message};
use serde_json::{Value, json};

use crate::support::process::{Daemon, plainws, plainws_command, url_port};
use crate::support::python::{python, run, spawn};
use crate::support::talk::{end, next};
use crate::support::tools::{PATIENCE, wait_until};

mod client;
mod offers;
mod server;
