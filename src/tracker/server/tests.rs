use std::collections::BTreeMap;

use super::udp::{Packet, Secret};
use super::*;
use crate::tracker::compact::Family;
use crate::tracker::http::{announce_url, decode};
use crate::tracker::udp as client;
use crate::tracker::{AnnounceResponse, TrackerUrl};

const SECRET: Secret = Secret([7; 16]);

fn server(config: ServerConfig) -> TrackerServer {
    TrackerServer::new(config, 1)
}

fn swarm(number: u8) -> InfoHash {
    InfoHash::new([number; 20])
}

fn request(port: u16, left: u64) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: swarm(1),
        peer_id: PeerId::ours([b'x'; 12]),
        port,
        uploaded: 0,
        downloaded: 0,
        left,
        event: AnnounceEvent::Periodic,
        num_want: 50,
        key: 0,
    }
}

fn caller(ip: &str) -> Caller {
    Caller {
        ip: ip.parse().unwrap(),
        reached: None,
    }
}

fn addrs(answer: &Answer) -> Vec<String> {
    let mut addrs: Vec<String> = answer.peers.iter().map(|p| p.addr.to_string()).collect();
    addrs.sort();
    addrs
}

fn at(secs: u64) -> Time {
    Time::ZERO + Duration::from_secs(secs)
}

#[test]
fn everybody_is_named_to_others_and_nobody_to_itself() {
    let mut server = server(ServerConfig::default());
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..2 {
        for ip in ["10.0.0.1", "10.0.0.2", "fd00::3"] {
            let answer = server.announce(&request(6881, 1), caller(ip), at(0));
            named.insert(ip.to_owned(), addrs(&answer.unwrap()));
        }
    }
    assert_eq!(named["10.0.0.1"], ["10.0.0.2:6881", "[fd00::3]:6881"]);
    assert_eq!(named["10.0.0.2"], ["10.0.0.1:6881", "[fd00::3]:6881"]);
    assert_eq!(named["fd00::3"], ["10.0.0.1:6881", "10.0.0.2:6881"]);
    assert_eq!((server.swarm_count(), server.peer_count()), (1, 3));
}

#[test]
fn a_seed_hears_of_those_who_need_it_only() {
    let mut server = server(ServerConfig::default());
    for (ip, left) in [("10.0.0.1", 0), ("10.0.0.2", 0), ("10.0.0.3", 5)] {
        server
            .announce(&request(1, left), caller(ip), at(0))
            .unwrap();
    }
    let seed = server.announce(&request(1, 0), caller("10.0.0.1"), at(0));
    let leech = server.announce(&request(1, 5), caller("10.0.0.3"), at(0));
    let (seed, leech) = (seed.unwrap(), leech.unwrap());
    assert_eq!(addrs(&seed), ["10.0.0.3:1"]);
    assert_eq!(addrs(&leech), ["10.0.0.1:1", "10.0.0.2:1"]);
    assert_eq!((leech.counts.complete, leech.counts.incomplete), (2, 1));
}

#[test]
fn who_says_goodbye_or_is_silent_for_long_is_not_named() {
    let mut server = server(ServerConfig::default());
    let stopped = AnnounceRequest {
        event: AnnounceEvent::Stopped,
        ..request(1, 5)
    };
    for ip in ["10.0.0.1", "10.0.0.2"] {
        server.announce(&request(1, 5), caller(ip), at(0)).unwrap();
    }
    server
        .announce(&stopped, caller("10.0.0.1"), at(1))
        .unwrap();
    assert_eq!(server.peer_count(), 1);
    for second in 0..61 {
        server.sweep(at(3_899 + second));
    }
    assert_eq!((server.swarm_count(), server.peer_count()), (0, 0));
}

#[test]
fn a_sweep_of_many_swarms_is_done_in_parts_and_misses_none() {
    let mut server = server(ServerConfig::default());
    for number in 0..=255 {
        let request = AnnounceRequest {
            info_hash: swarm(number),
            ..request(1, 5)
        };
        server
            .announce(&request, caller("10.0.0.1"), at(0))
            .unwrap();
    }
    let late = at(4_000);
    let mut left = Vec::new();
    for _ in 0..3 {
        server.sweep(late);
        left.push(server.swarm_count());
    }
    assert_eq!(left, [156, 56, 0]);
}

#[test]
fn swarms_peers_and_what_one_address_holds_are_bounded() {
    let mut server = server(ServerConfig {
        swarms_max: 1,
        peers_max: 70,
        ..ServerConfig::default()
    });
    for port in 1..=100 {
        let answer = server.announce(&request(port, 5), caller("10.0.0.1"), at(0));
        assert!(answer.is_ok(), "who is not noted is answered all the same");
    }
    assert_eq!(server.peer_count(), 64);
    for last in 1..=10 {
        let ip = format!("10.0.1.{last}");
        server.announce(&request(1, 5), caller(&ip), at(0)).unwrap();
    }
    assert_eq!(server.peer_count(), 70);
    let other = AnnounceRequest {
        info_hash: swarm(2),
        ..request(1, 5)
    };
    let refused = server.announce(&other, caller("10.0.0.9"), at(0));
    assert_eq!(refused, Err(Refusal::Full));
    let refused = server.announce(&request(0, 5), caller("10.0.0.9"), at(0));
    assert_eq!(refused, Err(Refusal::NoPort));
}

#[test]
fn a_list_of_swarms_is_kept_to() {
    let listed = BTreeSet::from([swarm(2)]);
    let mut server = server(ServerConfig {
        admission: Admission::Listed(listed),
        ..ServerConfig::default()
    });
    let refused = server.announce(&request(1, 5), caller("10.0.0.1"), at(0));
    assert_eq!(refused, Err(Refusal::NotListed));
}

#[test]
fn the_machine_of_the_tracker_is_named_as_it_was_reached() {
    let resident = Resident {
        port: 6881,
        peer_id: PeerId::ours([b'r'; 12]),
    };
    let mut server = server(ServerConfig {
        resident: Some(resident),
        ..ServerConfig::default()
    });
    let local = Caller {
        ip: "127.0.0.1".parse().unwrap(),
        reached: Some("127.0.0.1".parse().unwrap()),
    };
    let far = Caller {
        ip: "10.0.0.2".parse().unwrap(),
        reached: Some("10.0.0.1".parse().unwrap()),
    };
    let answer = server.announce(&request(5, 9), local, at(0)).unwrap();
    assert_eq!(addrs(&answer), ["127.0.0.1:6881"]);
    assert_eq!(answer.counts.complete, 1);
    let answer = server.announce(&request(6, 9), far, at(0)).unwrap();
    assert_eq!(addrs(&answer), ["10.0.0.1:5", "10.0.0.1:6881"]);
    let one = AnnounceRequest {
        num_want: 1,
        ..request(6, 9)
    };
    let answer = server.announce(&one, far, at(0)).unwrap();
    assert_eq!(addrs(&answer), ["10.0.0.1:6881"]);
}

/// What our own client makes of an answer over HTTP.
fn over_http(server: &mut TrackerServer, request: &AnnounceRequest, ip: &str) -> AnnounceResponse {
    let url = TrackerUrl::parse("http://tracker/announce").unwrap();
    let url = announce_url(&url, request, None);
    let (_, query) = url.target().split_once('?').unwrap();
    decode(&http::announce(server, query, caller(ip), at(0))).unwrap()
}

#[test]
fn our_own_client_understands_the_answer_over_http() {
    let mut server = server(ServerConfig::default());
    over_http(&mut server, &request(1, 5), "10.0.0.1");
    over_http(&mut server, &request(2, 0), "fd00::2");
    let answer = over_http(&mut server, &request(3, 5), "10.0.0.3");
    let mut peers: Vec<String> = answer.peers.iter().map(ToString::to_string).collect();
    peers.sort();
    assert_eq!(peers, ["10.0.0.1:1", "[fd00::2]:2"]);
    assert_eq!(answer.interval, Duration::from_secs(1_800));
    assert_eq!(answer.min_interval, Some(Duration::from_secs(60)));
    assert_eq!((answer.complete, answer.incomplete), (Some(1), Some(2)));
}

#[test]
fn peers_come_as_dictionaries_to_whom_asks_for_them() {
    let mut server = server(ServerConfig::default());
    over_http(&mut server, &request(1, 5), "10.0.0.1");
    let base = "info_hash=%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01\
                &peer_id=abcdefghij0123456789&port=2&left=5";
    let ask = |server: &mut TrackerServer, more: &str| {
        let query = format!("{base}{more}");
        let answer = http::announce(server, &query, caller("10.0.0.2"), at(0));
        String::from_utf8(answer).unwrap()
    };
    let head = "d8:completei0e10:downloadedi0e10:incompletei2e8:intervali1800e12:min intervali60e";
    assert_eq!(
        ask(&mut server, "&compact=0"),
        format!("{head}5:peersld2:ip8:10.0.0.17:peer id20:-SW0100-xxxxxxxxxxxx4:porti1eeee")
    );
    assert_eq!(
        ask(&mut server, "&compact=0&no_peer_id=1"),
        format!("{head}5:peersld2:ip8:10.0.0.14:porti1eeee")
    );
    assert_eq!(ask(&mut server, "&numwant=0"), format!("{head}5:peers0:e"));
}

#[test]
fn what_is_no_announce_is_refused_in_words() {
    let mut server = server(ServerConfig::default());
    let mut ask = |query: &str| {
        let answer = http::announce(&mut server, query, caller("10.0.0.2"), at(0));
        String::from_utf8(answer).unwrap()
    };
    let hash = "info_hash=%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01%01";
    for (query, reason) in [
        (String::new(), "info_hash is not 20 bytes"),
        ("info_hash=%0".to_owned(), "info_hash is not 20 bytes"),
        (format!("{hash}x&port=1"), "info_hash is not 20 bytes"),
        (format!("{hash}&port=1"), "peer_id is not 20 bytes"),
        (format!("{hash}&port=70000"), "port is not a number"),
        (
            format!("{hash}&peer_id=abcdefghij0123456789"),
            "port 0 is no port to listen on",
        ),
    ] {
        let want = format!("d14:failure reason{}:{reason}e", reason.len());
        assert_eq!(ask(&query), want, "{query}");
    }
}

#[test]
fn a_scrape_counts_the_swarms_that_it_names() {
    let mut server = server(ServerConfig::default());
    over_http(&mut server, &request(1, 0), "10.0.0.1");
    let completed = AnnounceRequest {
        event: AnnounceEvent::Completed,
        ..request(1, 0)
    };
    over_http(&mut server, &completed, "10.0.0.2");
    let hash = "%01".repeat(20);
    let other = "b".repeat(20);
    let answer = http::scrape(&server, &format!("info_hash={other}&info_hash={hash}"));
    let counts = |complete, downloaded| {
        format!("d8:completei{complete}e10:downloadedi{downloaded}e10:incompletei0ee")
    };
    let own = "\u{1}".repeat(20);
    let want = format!(
        "d5:filesd20:{own}{}20:{other}{}ee",
        counts(2, 1),
        counts(0, 0)
    );
    assert_eq!(String::from_utf8(answer).unwrap(), want);
    let nothing = String::from_utf8(http::scrape(&server, "")).unwrap();
    assert!(nothing.contains("info_hash is missing"));
}

/// The answer to one packet.
fn over_udp(server: &mut TrackerServer, bytes: &[u8], from: &str, now: Time) -> Vec<u8> {
    let packet = Packet {
        bytes,
        from: from.parse().unwrap(),
        reached: None,
    };
    let mut out = Vec::new();
    udp::answer(server, &SECRET, &packet, now, &mut out);
    out
}

fn connect(server: &mut TrackerServer, from: &str, now: Time) -> u64 {
    let answer = over_udp(server, &client::connect(9), from, now);
    client::read_connected(&answer, 9).unwrap().unwrap()
}

#[test]
fn our_own_client_understands_the_answer_over_udp() {
    let mut server = server(ServerConfig::default());
    let froms = ["10.0.0.1:999", "10.0.0.2:999", "[fd00::3]:999"];
    let mut answers = Vec::new();
    for from in froms.iter().chain(&froms) {
        let id = connect(&mut server, from, at(0));
        let packet = client::announce(id, 4, &request(6881, 5), "/announce?x=y");
        let answer = over_udp(&mut server, &packet, from, at(0));
        let ip: SocketAddr = from.parse().unwrap();
        let family = Family::of(ip.ip());
        answers.push(client::read_announced(&answer, 4, family).unwrap().unwrap());
    }
    let last = answers.split_off(3);
    assert_eq!(last[0].peers, ["10.0.0.2:6881".parse().unwrap()]);
    assert_eq!(last[1].peers, ["10.0.0.1:6881".parse().unwrap()]);
    assert_eq!(last[2].peers, [], "a UDP answer names one family");
    assert_eq!(last[2].incomplete, Some(3));
}

#[test]
fn a_connection_id_is_good_for_its_address_and_for_two_minutes_only() {
    let mut server = server(ServerConfig::default());
    let id = connect(&mut server, "10.0.0.1:999", at(61));
    let packet = client::announce(id, 4, &request(6881, 5), "/");
    for (from, now, good) in [
        ("10.0.0.1:999", at(61), true),
        ("10.0.0.1:5", at(179), true),
        ("10.0.0.1:999", at(180), false),
        ("10.0.0.2:999", at(61), false),
    ] {
        let answer = over_udp(&mut server, &packet, from, now);
        let read = client::read_announced(&answer, 4, Family::V4).unwrap();
        assert_eq!(read.is_ok(), good, "{from}");
    }
}

#[test]
fn who_has_not_shown_its_address_never_gets_more_than_it_sent() {
    let mut server = server(ServerConfig::default());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for len in 0..=200 {
        for action in 0..5_u32 {
            let mut packet = vec![0; len];
            rand::Rng::fill_bytes(&mut rng, &mut packet);
            if let Some(field) = packet.get_mut(8..12) {
                field.copy_from_slice(&action.to_be_bytes());
            }
            let answer = over_udp(&mut server, &packet, "10.0.0.1:9", at(0));
            assert!(answer.len() <= len, "{len} bytes of action {action}");
        }
    }
    let answer = over_udp(&mut server, &client::connect(1), "10.0.0.1:9", at(60));
    assert_eq!(answer.len(), 16);
}

#[test]
fn an_answer_over_udp_fits_into_one_packet() {
    let config = ServerConfig {
        named_max: 3_000,
        ..ServerConfig::default()
    };
    let mut server = server(config);
    for number in 0..2_000_u32 {
        for ip in [
            std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).to_string(),
            format!("fd00::{number:x}:1"),
        ] {
            server.announce(&request(1, 5), caller(&ip), at(0)).unwrap();
        }
    }
    let request = AnnounceRequest {
        num_want: u32::MAX,
        ..request(1, 5)
    };
    for from in ["10.9.9.9:1", "[fd01::1]:1"] {
        let id = connect(&mut server, from, at(0));
        let packet = client::announce(id, 4, &request, "/");
        let answer = over_udp(&mut server, &packet, from, at(0));
        assert!((1_400..=1_452).contains(&answer.len()), "{}", answer.len());
    }
}

#[test]
fn who_asks_too_often_is_not_answered() {
    let mut server = server(ServerConfig::default());
    let asks = 0..3_000;
    let answered = asks
        .filter(|_| !over_udp(&mut server, &client::connect(1), "10.0.0.1:9", at(0)).is_empty());
    assert_eq!(answered.count(), 1_000);
}
