//! `Proxy`: a way to servers that leads through somebody else.

/// Which proxy to use.
#[derive(Clone, Default)]
pub(crate) enum Choice {
    /// None: straight to the server.
    #[default]
    Direct,
    /// This one, a URL.
    Given(String),
    /// As the environment says, for each target.
    Environment,
}
