//! PCP, and NAT-PMP where the gateway does not speak it: one datagram there and one back, at most
//! 1,100 bytes, from the gateway's own address and port only.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use crab_nat::{
    GATEWAY_PORT, GatewayAddress, InternetProtocol, MappingFailure, PortMapping,
    PortMappingOptions, PortMappingType, TimeoutConfig, natpmp, pcp,
};

use super::{MapProtocol, Mapped, local_towards};

/// What is sent is sent again after 250 ms, and once more after 500: a gateway is on our own wire.
/// No answer is taken for none after another second (RFC 6886 has nine tries, and a minute).
const PATIENCE: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 2,
    max_retry_timeout: None,
};

/// The same for what we can do without, and for a gateway that has said nothing so far.
const LITTLE_PATIENCE: TimeoutConfig = TimeoutConfig {
    max_retries: 1,
    ..PATIENCE
};

/// A mapping that the gateway granted.
#[derive(Debug)]
pub(super) struct Lease {
    mapping: PortMapping,
    /// The gateway's address towards the internet, of which NAT-PMP is asked once.
    external_ip: Option<IpAddr>,
}

/// Asks `gateway` for our own port, or for any.
///
/// # Errors
/// Why it refused, in words of ours.
pub(super) async fn map(
    gateway: Ipv4Addr,
    bind: Ipv4Addr,
    (port, lease): (NonZeroU16, Duration),
) -> Result<Lease, String> {
    let client = local_towards(SocketAddr::from((gateway, GATEWAY_PORT)), bind)?;
    let gateway = GatewayAddress::from(gateway);
    let options = PortMappingOptions {
        external_port: Some(port),
        lifetime_seconds: Some(u32::try_from(lease.as_secs()).unwrap_or(u32::MAX)),
        timeout_config: Some(PATIENCE),
    };
    let tcp = InternetProtocol::Tcp;
    let request = pcp::BaseMapRequest::new(gateway, client.into(), tcp, port);
    let why_not = match pcp::port_mapping(request, None, None, options).await {
        Ok(mapping) => {
            return Ok(Lease {
                mapping,
                external_ip: None,
            });
        }
        Err(failure) => failure,
    };
    let timeout_config = match why_not {
        pcp::Failure::Timeout => LITTLE_PATIENCE,
        _ => PATIENCE,
    };
    let options = PortMappingOptions {
        timeout_config: Some(timeout_config),
        ..options
    };
    match natpmp::port_mapping(gateway, tcp, port, options).await {
        Ok(mapping) => {
            let asked = natpmp::external_address(gateway, Some(LITTLE_PATIENCE)).await;
            Ok(Lease {
                mapping,
                external_ip: asked.ok().map(IpAddr::V4),
            })
        }
        Err(failure) => Err(format!(
            "PCP: {}; NAT-PMP: {}",
            of_pcp(&why_not),
            of_natpmp(&failure)
        )),
    }
}

impl Lease {
    pub(super) fn mapped(&self) -> Mapped {
        let (protocol, external_ip) = match self.mapping.mapping_type() {
            PortMappingType::NatPmp => (MapProtocol::NatPmp, self.external_ip),
            PortMappingType::Pcp { external_ip, .. } => {
                (MapProtocol::Pcp, Some(external_ip.to_canonical()))
            }
        };
        Mapped {
            protocol,
            external_ip: external_ip.filter(|ip| !ip.is_unspecified()),
            external_port: self.mapping.external_port().get(),
            lease: Duration::from_secs(self.mapping.lifetime().into()),
        }
    }

    pub(super) async fn renew(&mut self) -> Result<(), String> {
        self.mapping.renew().await.map_err(|failure| of(&failure))
    }

    pub(super) async fn remove(self) -> Result<(), String> {
        let removed = self.mapping.try_drop().await;
        removed.map_err(|(failure, _)| of(&failure))
    }
}

fn of(failure: &MappingFailure) -> String {
    match failure {
        MappingFailure::Pcp(failure) => of_pcp(failure),
        MappingFailure::NatPmp(failure) => of_natpmp(failure),
    }
}

fn of_pcp(failure: &pcp::Failure) -> String {
    match failure {
        pcp::Failure::Timeout => "no answer".into(),
        pcp::Failure::Socket(error) => of_socket(error),
        pcp::Failure::UnsupportedVersion(_) => "not spoken".into(),
        pcp::Failure::NotAuthorized(_) => "refused".into(),
        pcp::Failure::NoResources(_) | pcp::Failure::UserExceededQuota(_) => "no port left".into(),
        pcp::Failure::InvalidResponse(_) | pcp::Failure::Nonce => "an answer without sense".into(),
        other => format!("refused ({other})"),
    }
}

fn of_natpmp(failure: &natpmp::Failure) -> String {
    match failure {
        natpmp::Failure::Timeout => "no answer".into(),
        natpmp::Failure::Socket(error) => of_socket(error),
        natpmp::Failure::UnsupportedVersion(_) | natpmp::Failure::UnsupportedOpcode => {
            "not spoken".into()
        }
        natpmp::Failure::NotAuthorized => "refused".into(),
        natpmp::Failure::NetworkFailure => "the gateway has no address itself".into(),
        natpmp::Failure::OutOfResources => "no port left".into(),
        natpmp::Failure::InvalidResponse(_) => "an answer without sense".into(),
    }
}

fn of_socket(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "not spoken".into(),
        kind => kind.to_string(),
    }
}
