//! UPnP Internet Gateway Devices: found by multicast, described and told by HTTP.
//!
//! The `igd-next` crate takes descriptions from whoever answered the search and from no other host,
//! follows no redirect, and reads 1 MiB and 64 levels of XML at most. Each step has a time limit.

use std::io::ErrorKind::TimedOut;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{AddAnyPortError, AddPortError, GatewayIpVersion, PortMappingProtocol};
use igd_next::{RequestError, SearchError, SearchOptions};
use tokio::time::timeout;

use super::{MapProtocol, Mapped, PortMapConfig, local_towards};

/// Devices may wait as long as the search allows (3 s) before they answer; then their description
/// is fetched.
const SEARCH_MAX: Duration = Duration::from_secs(5);

/// The longest a gateway may take to do what it is told. Chosen: home routers take up to a second.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// What the gateway lists the mapping as, among those of other programs.
const DESCRIPTION: &str = "swarm";

const TCP: PortMappingProtocol = PortMappingProtocol::TCP;

/// A mapping that the gateway granted.
#[derive(Debug)]
pub(super) struct Lease {
    gateway: Gateway<Tokio>,
    /// The address of ours that we may use; unspecified for any.
    bind: Ipv4Addr,
    /// Where it leads to.
    pub(super) local: SocketAddr,
    external_ip: Option<IpAddr>,
    external_port: u16,
    /// What it was asked for; some grant mappings without end only, which are renewed all the same.
    granted_for: Duration,
    is_permanent: bool,
}

/// Looks for a gateway and asks it for our own port, or for any.
///
/// # Errors
/// Why there is none, in words of ours.
pub(super) async fn map(
    config: &PortMapConfig,
    bind: Ipv4Addr,
    port: u16,
) -> Result<Lease, String> {
    let gateway = search_gateway(options(config, bind));
    let gateway = gateway.await.map_err(|error| of_search(&error))?;
    let local = SocketAddr::from((local_towards(gateway.addr, bind)?, port));
    let mut lease = Lease {
        gateway,
        bind,
        local,
        external_ip: None,
        external_port: port,
        granted_for: config.lease,
        is_permanent: false,
    };
    // Before: whoever is stopped while asking has no mapping to remove.
    let asked = timeout(REQUEST_MAX, lease.gateway.get_external_ip()).await;
    lease.external_ip = asked.ok().and_then(Result::ok);
    match lease.add().await {
        Err(AddPortError::OnlyPermanentLeasesSupported) => {
            lease.is_permanent = true;
            lease.add().await.map_err(|error| of_add(&error))?;
        }
        Err(AddPortError::PortInUse) => lease.add_any().await?,
        added => added.map_err(|error| of_add(&error))?,
    }
    Ok(lease)
}

fn options(config: &PortMapConfig, bind: Ipv4Addr) -> SearchOptions {
    let mut options = SearchOptions::default();
    options.bind_addr = (bind, 0).into();
    options.broadcast_address = config.search.into();
    options.timeout = Some(SEARCH_MAX);
    options.single_search_timeout = Some(SEARCH_MAX);
    options.gateway_ip_version = GatewayIpVersion::V4;
    if !config.search.ip().is_multicast() {
        // Loopback is never believed otherwise: whoever answers may not send us there.
        options.allowed_gateway_ips = vec![(*config.search.ip()).into()];
    }
    options
}

impl Lease {
    pub(super) fn mapped(&self) -> Mapped {
        Mapped {
            protocol: MapProtocol::Upnp,
            external_ip: self.external_ip.filter(|ip| !ip.is_unspecified()),
            external_port: self.external_port,
            lease: self.granted_for,
        }
    }

    /// Keeps the mapping. One that leads to an address that we have no more is removed instead,
    /// since whoever has it now did not ask for it.
    pub(super) async fn renew(&mut self) -> Result<(), String> {
        if local_towards(self.gateway.addr, self.bind)? != self.local.ip() {
            // Its owner was another address of ours, so this may be refused.
            let _ = self.remove_it().await;
            return Err("our address changed".into());
        }
        self.add().await.map_err(|error| of_add(&error))
    }

    pub(super) async fn remove(self) -> Result<(), String> {
        self.remove_it().await
    }

    async fn remove_it(&self) -> Result<(), String> {
        let removing = self.gateway.remove_port(TCP, self.external_port);
        match timeout(REQUEST_MAX, removing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("refused".into()),
            Err(_) => Err("no answer".into()),
        }
    }

    async fn add(&self) -> Result<(), AddPortError> {
        let adding = self.gateway.add_port(
            TCP,
            self.external_port,
            self.local,
            self.seconds(),
            DESCRIPTION,
        );
        let late = |_| AddPortError::RequestError(RequestError::IoError(TimedOut.into()));
        timeout(REQUEST_MAX, adding).await.map_err(late)?
    }

    /// Our own port leads to another machine: takes any.
    async fn add_any(&mut self) -> Result<(), String> {
        let seconds = self.seconds();
        let adding = self
            .gateway
            .add_any_port(TCP, self.local, seconds, DESCRIPTION);
        match timeout(REQUEST_MAX, adding).await {
            Ok(Ok(0)) => Err("an answer without sense".into()),
            Ok(Ok(port)) => {
                self.external_port = port;
                Ok(())
            }
            Ok(Err(AddAnyPortError::RequestError(error))) => Err(of_request(&error)),
            Ok(Err(_)) => Err("no port left".into()),
            Err(_) => Err("no answer".into()),
        }
    }

    fn seconds(&self) -> u32 {
        if self.is_permanent {
            return 0;
        }
        u32::try_from(self.granted_for.as_secs()).unwrap_or(u32::MAX)
    }
}

fn of_search(error: &SearchError) -> String {
    match error {
        SearchError::NoResponseWithinTimeout => "no gateway answers".into(),
        SearchError::IoError(error) => error.kind().to_string(),
        _ => "an answer without sense".into(),
    }
}

fn of_add(error: &AddPortError) -> String {
    match error {
        AddPortError::PortInUse => "the port leads to another machine".into(),
        AddPortError::RequestError(error) => of_request(error),
        _ => "refused".into(),
    }
}

/// The words of the gateway itself are left out.
fn of_request(error: &RequestError) -> String {
    match error {
        RequestError::ErrorCode(606, _) => "refused".into(),
        RequestError::ErrorCode(code, _) => format!("refused (error {code})"),
        RequestError::UnsupportedAction(_) => "not able to map ports".into(),
        RequestError::InvalidResponse(_) => "an answer without sense".into(),
        _ => "no answer".into(),
    }
}
