//! Without the feature `tls`: there is never a certificate.

use plainws::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct KeyFiles {}

pub(super) enum Keys {}

impl Keys {
    pub(super) fn read(_: KeyFiles) -> Result<Option<Keys>> {
        Ok(None)
    }

    pub(super) fn read_again(&self) {
        match *self {}
    }
}
