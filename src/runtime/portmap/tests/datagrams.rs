//! PCP and NAT-PMP. Their port is fixed, so each gateway has a loopback address of its own.

use tokio::net::UdpSocket;

use super::*;

/// What a gateway knows and does.
#[derive(Clone, Copy)]
enum Manner {
    /// PCP, with another port than was asked for.
    Pcp,
    /// NAT-PMP alone: it says so to who speaks PCP.
    NatPmp,
    /// Neither, and nothing is said.
    Mute,
    /// Bytes without sense, of this length.
    Babble(usize),
}

/// A request for a mapping as a gateway heard it.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    version: u8,
    lifetime: u32,
    internal_port: u16,
    external_port: u16,
}

const GRANTED_PORT: u16 = 40_001;
/// So short that a renewal comes at once.
const GRANTED_SECS: u32 = 1;

/// A gateway at an address that nobody else has; what it is asked comes in the queue.
async fn gateway(manner: Manner) -> (PortMapConfig, mpsc::Receiver<Request>) {
    let mut number = std::process::id();
    let (socket, address) = loop {
        let [.., b, c] = number.to_be_bytes();
        let address = Ipv4Addr::new(127, 99, b, c);
        match UdpSocket::bind((address, crab_nat::GATEWAY_PORT)).await {
            Ok(socket) => break (socket, address),
            Err(_) => number = number.wrapping_add(257),
        }
    };
    // Who looks for UPnP finds nobody there.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let search = match silent.local_addr().unwrap() {
        SocketAddr::V4(addr) => addr,
        SocketAddr::V6(addr) => panic!("{addr}"),
    };
    let (heard, requests) = mpsc::channel(16);
    spawn_local(async move {
        let _taken = silent;
        let mut datagram = [0; 1_500];
        loop {
            let (len, from) = socket.recv_from(&mut datagram).await.unwrap();
            let (answer, request) = answer(manner, &datagram[..len]);
            if let Some(answer) = answer {
                socket.send_to(&answer, from).await.unwrap();
            }
            if let Some(request) = request {
                let _ = heard.send(request).await;
            }
        }
    });
    let config = PortMapConfig {
        gateway: Some(address),
        search,
        lease: LEASE,
    };
    (config, requests)
}

fn answer(manner: Manner, datagram: &[u8]) -> (Option<Vec<u8>>, Option<Request>) {
    match (manner, datagram[0]) {
        (Manner::Mute, _) => (None, None),
        (Manner::Babble(len), _) => (Some(vec![0xee; len]), None),
        (Manner::Pcp, 2) => pcp(datagram),
        (Manner::NatPmp, 0) if datagram[1] == 0 => {
            let epoch = [0; 4];
            let answer = [&[0, 128, 0, 0][..], &epoch, &[198, 51, 100, 7]].concat();
            (Some(answer), None)
        }
        (Manner::NatPmp, 0) => natpmp(datagram),
        // RFC 6886, section 3.5: the version that is spoken, and result 1.
        (_, _) => (Some(vec![0, 128 | datagram[1], 0, 1, 0, 0, 0, 9]), None),
    }
}

fn u16_at(datagram: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([datagram[at], datagram[at + 1]])
}

fn u32_at(datagram: &[u8], at: usize) -> u32 {
    u32::from(u16_at(datagram, at)) << 16 | u32::from(u16_at(datagram, at + 2))
}

/// RFC 6887, sections 7.1, 7.2 and 11.1.
fn pcp(datagram: &[u8]) -> (Option<Vec<u8>>, Option<Request>) {
    let request = Request {
        version: 2,
        lifetime: u32_at(datagram, 4),
        internal_port: u16_at(datagram, 40),
        external_port: u16_at(datagram, 42),
    };
    let lifetime = request.lifetime.min(GRANTED_SECS);
    let external_ip = Ipv4Addr::new(198, 51, 100, 7).to_ipv6_mapped();
    let answer = [
        &[2, 0x81, 0, 0][..],
        &lifetime.to_be_bytes(),
        &[0; 16],
        &datagram[24..42],
        &GRANTED_PORT.to_be_bytes(),
        &external_ip.octets(),
    ];
    (Some(answer.concat()), Some(request))
}

/// RFC 6886, section 3.3; a mapping without lifetime is a removal.
fn natpmp(datagram: &[u8]) -> (Option<Vec<u8>>, Option<Request>) {
    let request = Request {
        version: 0,
        lifetime: u32_at(datagram, 8),
        internal_port: u16_at(datagram, 4),
        external_port: u16_at(datagram, 6),
    };
    let lifetime = request.lifetime.min(GRANTED_SECS);
    let port = if lifetime == 0 { 0 } else { GRANTED_PORT };
    let answer = [
        &[0, 130, 0, 0, 0, 0, 0, 9][..],
        &datagram[4..6],
        &port.to_be_bytes(),
        &lifetime.to_be_bytes(),
    ];
    (Some(answer.concat()), Some(request))
}

fn wants(version: u8, lifetime: u32, external_port: u16) -> Request {
    Request {
        version,
        lifetime,
        internal_port: PORT,
        external_port,
    }
}

#[test]
fn pcp_grants_a_port_that_is_renewed_and_removed_at_the_end() {
    run(async {
        let (config, mut heard) = gateway(Manner::Pcp).await;
        let mut asked = Asked::of(config);
        assert_eq!(next(&mut heard).await, wants(2, 3_600, PORT));
        assert_eq!(asked.far_port().await, GRANTED_PORT);
        let mapped = asked.mapped();
        assert_eq!(mapped.protocol, MapProtocol::Pcp);
        assert_eq!(mapped.external_ip, Some([198, 51, 100, 7].into()));
        assert_eq!(next(&mut heard).await, wants(2, GRANTED_SECS, GRANTED_PORT));
        assert_eq!(asked.far_port().await, GRANTED_PORT);
        asked.mapping.ended().await;
        assert_eq!(next(&mut heard).await, wants(2, 0, 0));
    });
}

#[test]
fn nat_pmp_is_spoken_where_pcp_is_not() {
    run(async {
        let (config, mut heard) = gateway(Manner::NatPmp).await;
        let mut asked = Asked::of(config);
        assert_eq!(next(&mut heard).await, wants(0, 3_600, PORT));
        assert_eq!(asked.far_port().await, GRANTED_PORT);
        let mapped = asked.mapped();
        assert_eq!(mapped.protocol, MapProtocol::NatPmp);
        assert_eq!(mapped.external_ip, Some([198, 51, 100, 7].into()));
        assert_eq!(next(&mut heard).await, wants(0, GRANTED_SECS, GRANTED_PORT));
        asked.mapping.ended().await;
        assert_eq!(next(&mut heard).await, wants(0, 0, 0));
    });
}

#[test]
fn a_mapping_that_is_being_granted_while_we_end_is_removed() {
    run(async {
        let (config, mut heard) = gateway(Manner::Pcp).await;
        let mut asked = Asked::of(config);
        // The task runs as far as its request.
        assert_eq!(next(&mut heard).await.lifetime, 3_600);
        asked.mapping.stop();
        asked.mapping.ended().await;
        assert_eq!(next(&mut heard).await, wants(2, 0, 0));
    });
}

#[test]
fn a_gateway_without_a_word_is_given_up_and_asked_again_later() {
    run(async {
        let (config, _heard) = gateway(Manner::Mute).await;
        tokio::time::pause();
        let mut asked = Asked::of(config);
        let why = asked.failure().await;
        assert_eq!(
            why,
            "PCP: no answer; NAT-PMP: no answer; UPnP: no gateway answers"
        );
        // Time passes by itself where nothing else happens.
        asked.events.recv().await.expect("another try");
    });
}

#[test]
fn bytes_without_sense_are_no_mapping() {
    for len in [0, 1, 3, 4, 11, 12, 16, 24, 59, 60, 1_100, 1_400] {
        run(async {
            let (config, _heard) = gateway(Manner::Babble(len)).await;
            let port = NonZeroU16::new(PORT).unwrap();
            let gateway = config.gateway.unwrap();
            let asked = pmp::map(gateway, Ipv4Addr::UNSPECIFIED, (port, LEASE)).await;
            let why = asked.expect_err("no mapping");
            let want = "an answer without sense";
            assert_eq!(why, format!("PCP: {want}; NAT-PMP: {want}"), "{len}");
        });
    }
}
