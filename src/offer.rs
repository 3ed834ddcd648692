//! `Offer`: what a client asks for.
