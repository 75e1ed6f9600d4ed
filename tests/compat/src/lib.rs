//! Nothing here: the tests in `tests/` hold our records against Autonomi's own crate.

#![forbid(unsafe_code)]
