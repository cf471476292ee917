//! The hash module.
