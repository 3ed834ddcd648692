//! `Target`: where a URL leads.
