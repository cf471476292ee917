//! Behaviour of the core as a whole, one event at a time.
