//! Without the feature `tls`: types that cannot exist, so that nothing else needs to ask.

use std::io;

use crate::client::Attempt;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::wire::Wire;

#[derive(Clone, Debug)]
pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn accept(&self, _: &Wire, _: Deadline) -> std::result::Result<(), String> {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum Session {}

impl Session {
    pub(crate) fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn has_unsent(&self) -> bool {
        match *self {}
    }

    pub(crate) fn has_unread(&self) -> bool {
        match *self {}
    }

    pub(crate) fn close_notify(&mut self) {
        match *self {}
    }
}

/// What a client trusts: nobody, as it cannot ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust(());

impl Trust {
    pub(crate) fn secure(&self, _: &mut Wire, _: &str, place: &str, _: &Attempt) -> Result<()> {
        Err(Error::invalid(format!(
            "cannot reach {place} by TLS: this build has none, it was made without the feature tls"
        )))
    }
}
