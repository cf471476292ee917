//! Bounded, iterative bencode (BEP 3).
