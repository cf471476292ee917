//! The edge: sockets, threads and the clock around the pure core.
//!
//! [`session`] starts a network thread and some disk threads. On the network thread the driver
//! feeds the core and performs its actions; `listener` and `dial` make connections, each a task of
//! its own. Payload goes socket → piece buffer → disk worker → file, and file → socket; the core
//! sees coordinates only.

pub mod announce;
mod backlog;
mod buffers;
pub mod clock;
mod connection;
pub mod dht;
mod dial;
mod disk;
mod driver;
mod http;
mod hub;
mod leaving;
mod link;
mod listener;
pub mod lookup;
pub mod lsd;
mod network;
pub mod notices;
mod outbox;
pub mod portmap;
mod receive;
pub mod scope;
mod seats;
mod send;
pub mod session;
pub mod tracker;
mod upkeep;
pub mod web;
mod web_seed;

pub use clock::Clock;
pub use lookup::{Found, Lookup};
pub use lsd::LocalStatus;
pub use notices::NextNotice;
pub use outbox::ControlBytes;
pub use portmap::MappingStatus;
pub use session::{Session, SessionConfig, SessionError};
