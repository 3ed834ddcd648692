//! `Answer`: what a server or a proxy answers.
