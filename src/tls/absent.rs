//! Without the feature `tls`: no server has a certificate, and no client trusts anybody.

use std::sync::Arc;

use super::failure::Failure;
use crate::deadline::Deadline;
use crate::wire::session::Session;
use crate::wire::socket::Socket;

#[derive(Clone, Debug)]
pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn accept(&self, _: &Arc<Socket>, _: Deadline) -> Result<Box<dyn Session>, Failure> {
        match *self {}
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Trust(());

impl Trust {
    pub(crate) fn connect(
        &self,
        _: &Arc<Socket>,
        _: Option<Box<dyn Session>>,
        _: &str,
        _: Deadline,
    ) -> Result<Box<dyn Session>, Failure> {
        Err(Failure::Absent)
    }
}
