//! Whether the gateway lets others in, in words.

use std::net::SocketAddr;

use crate::cli::event::Event;
use crate::runtime::MappingStatus;
use crate::runtime::portmap::Mapped;

/// What came of asking the gateway.
pub(in crate::cli) fn mapping_words(status: &MappingStatus) -> String {
    match status {
        MappingStatus::Asking => "the gateway is being asked to let others in".into(),
        MappingStatus::Failed(_) => "the gateway lets nobody in".into(),
        MappingStatus::Mapped(mapped) => format!(
            "reached from outside at {} ({})",
            outside(mapped),
            mapped.protocol.name()
        ),
    }
}

/// What is worth a warning about it.
pub(in crate::cli) fn mapping_trouble(status: &MappingStatus, port: u16) -> Option<String> {
    match status {
        MappingStatus::Failed(why) => Some(format!(
            "the gateway lets nobody in ({why}); we can still go to others. Forward TCP port {port} \
             to this machine by hand, or --no-portmap"
        )),
        MappingStatus::Mapped(mapped) if mapped.is_behind_another() => Some(format!(
            "the gateway's own address in {} is not one of the internet: another gateway may keep \
             others out",
            outside(mapped)
        )),
        MappingStatus::Mapped(_) | MappingStatus::Asking => None,
    }
}

/// The same for programs; `None` before there is an answer.
pub(in crate::cli) fn mapping_event(status: &MappingStatus, port: u16) -> Option<Event> {
    match status {
        MappingStatus::Asking => None,
        MappingStatus::Mapped(mapped) => Some(Event::PortMapping {
            state: "mapped",
            port,
            external_port: Some(mapped.external_port),
            external_ip: mapped.external_ip.map(|ip| ip.to_string()),
            via: Some(mapped.protocol.name().to_lowercase()),
            seconds: Some(mapped.lease.as_secs()),
            reason: None,
        }),
        MappingStatus::Failed(why) => Some(Event::PortMapping {
            state: "failed",
            port,
            external_port: None,
            external_ip: None,
            via: None,
            seconds: None,
            reason: Some(why.clone()),
        }),
    }
}

fn outside(mapped: &Mapped) -> String {
    match mapped.external_ip {
        Some(ip) => SocketAddr::new(ip, mapped.external_port).to_string(),
        None => format!("port {} of the gateway", mapped.external_port),
    }
}
