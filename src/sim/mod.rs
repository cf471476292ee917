//! The sim module.
