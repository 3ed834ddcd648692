//! `Trust`: whom a client believes, and TLS over a wire. In this build there is none.

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::wire::Wire;

/// What makes a client trust a server, or a proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust(());

impl Trust {
    /// Makes TLS with `host`, an IPv6 address without brackets, over a wire; over TLS again if the
    /// wire has it already, as on the way through a proxy.
    pub(crate) fn secure(&self, _wire: &mut Wire, _host: &str, _deadline: Deadline) -> Result<()> {
        Err(Error::Invalid("TLS is not in this build".to_owned()))
    }
}
