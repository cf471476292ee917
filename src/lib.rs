//! `swarm` gets large files onto many machines: pieces, traded rarest first and tit for tat between
//! equal peers, over real BitTorrent.
//!
//! Read [`torrent::event`], then [`torrent`], then [`runtime`]: that is the system.

pub mod bencode;
pub mod bitfield;
pub mod cli;
pub mod hash;
pub mod ids;
pub mod layout;
pub mod metainfo;
pub mod report;
pub mod runtime;
pub mod sim;
pub mod storage;
pub mod time;
pub mod torrent;
pub mod tracker;
pub mod wire;
