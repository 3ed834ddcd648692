//! Without the feature `tls`: there is never a certificate.

use plainws::Result;

use super::args::Serve;

pub(crate) enum Keys {}

impl Keys {
    pub(crate) fn read(_: &Serve) -> Result<Option<Keys>> {
        Ok(None)
    }

    pub(crate) fn read_again(&self) {
        match *self {}
    }
}
