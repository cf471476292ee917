//! Mappings asked of gateways on loopback that grant, refuse, lie and say nothing.

#[cfg(target_os = "linux")]
mod datagrams;
mod devices;

use tokio::task::LocalSet;

use super::*;

/// Nothing on loopback takes so long, on however busy a machine.
const AMPLE: Duration = Duration::from_secs(20);
const PORT: u16 = 6_881;

/// Runs as the session does: everything on one thread.
fn run<F: Future>(test: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test)
}

/// A mapping that is asked for, and what the core hears of it.
struct Asked {
    mapping: Mapping,
    events: mpsc::Receiver<Event>,
}

impl Asked {
    fn of(config: PortMapConfig) -> Self {
        let (events, inbox) = mpsc::channel(16);
        let mapping = PortMap {
            config,
            port: NonZeroU16::new(PORT).unwrap(),
            bind: Some(Ipv4Addr::LOCALHOST.into()),
            events,
        };
        Self {
            mapping: mapping.start(),
            events: inbox,
        }
    }

    /// The next port that the core is told of; by then the status fits.
    async fn far_port(&mut self) -> u16 {
        match timeout(AMPLE, self.events.recv()).await {
            Ok(Some(Event::Command(Command::FarPort(port)))) => port,
            other => panic!("{other:?}"),
        }
    }

    fn mapped(&self) -> Mapped {
        match self.mapping.status() {
            MappingStatus::Mapped(mapped) => mapped,
            other => panic!("{other:?}"),
        }
    }

    async fn failure(&mut self) -> String {
        assert_eq!(self.far_port().await, PORT);
        match self.mapping.status() {
            MappingStatus::Failed(why) => why,
            other => panic!("{other:?}"),
        }
    }
}

/// The next thing that a gateway was asked.
async fn next<T>(heard: &mut mpsc::Receiver<T>) -> T {
    let next = timeout(AMPLE, heard.recv()).await;
    next.expect("asked in time").expect("the gateway is there")
}

#[test]
fn trackers_of_this_network_name_us_to_this_network() {
    let port = |url| port_for(url, (6_881, 40_000));
    for near in [
        "http://10.0.0.5:6969/announce",
        "udp://127.0.0.1:6969",
        "http://[fd00::5]/announce",
        "http://localhost:6969/announce",
    ] {
        assert_eq!(port(near), 6_881, "{near}");
    }
    for far in [
        "http://198.51.100.7/announce",
        "udp://tracker.example:6969",
        "https://[2001:db8::1]/announce",
    ] {
        assert_eq!(port(far), 40_000, "{far}");
    }
}

#[test]
fn a_gateway_that_is_itself_behind_another_is_told_apart() {
    let mapped = |external_ip: Option<&str>| Mapped {
        protocol: MapProtocol::Upnp,
        external_ip: external_ip.map(|ip| ip.parse().unwrap()),
        external_port: PORT,
        lease: LEASE,
    };
    for ip in ["10.0.0.1", "100.64.3.4", "192.168.1.7"] {
        assert!(mapped(Some(ip)).is_behind_another(), "{ip}");
    }
    assert!(!mapped(Some("198.51.100.7")).is_behind_another());
    assert!(!mapped(None).is_behind_another());
}

#[test]
fn only_ipv4_is_mapped_and_that_is_said() {
    run(async {
        let (events, _inbox) = mpsc::channel(1);
        let asked = PortMap {
            config: PortMapConfig::default(),
            port: NonZeroU16::MIN,
            bind: Some("::1".parse().unwrap()),
            events,
        };
        let why = asked.ask().await.err().unwrap();
        assert_eq!(why, "only IPv4 ports are mapped");
    });
}
