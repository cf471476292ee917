//! Announces to UDP trackers.

use tokio::net::UdpSocket;

use super::*;

/// A UDP tracker that answers each packet by what `answer` makes of it; returns its port.
async fn udp_tracker(mut answer: impl FnMut(&[u8]) -> Vec<Vec<u8>> + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let port = socket.local_addr().expect("bound").port();
    tokio::task::spawn_local(async move {
        let mut packet = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut packet).await {
            for answer in answer(&packet[..len]) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    port
}

fn word(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(packet[at..at + 4].try_into().expect("four bytes"))
}

/// What a tracker that gives out connection id 42 answers.
fn proper(packet: &[u8]) -> Vec<u8> {
    let transaction = &packet[12..16];
    match word(packet, 8) {
        0 => [&[0; 4], transaction, &42_u64.to_be_bytes()].concat(),
        _ if packet[..8] != 42_u64.to_be_bytes() => {
            [&[0, 0, 0, 3], transaction, b"unknown connection"].concat()
        }
        _ => [
            &[0, 0, 0, 1],
            transaction,
            &[0, 0, 7, 8],
            &[0; 8],
            &BODY[26..32],
        ]
        .concat(),
    }
}

fn announce_udp(
    deadline: Duration,
    answer: impl FnMut(&[u8]) -> Vec<Vec<u8>> + 'static,
) -> Outcome {
    run(async {
        let port = udp_tracker(answer).await;
        let url = format!("udp://127.0.0.1:{port}/announce");
        Announcer::new(None, Scope::Any, 1)
            .announce(&url, request(), deadline)
            .await
    })
}

#[test]
fn a_udp_tracker_is_asked_for_a_connection_once_a_minute() {
    let connects = Rc::new(RefCell::new(0));
    let counter = connects.clone();
    run(async move {
        let port = udp_tracker(move |packet| {
            *counter.borrow_mut() += i32::from(packet.len() == 16);
            vec![proper(packet)]
        });
        let url = format!("udp://127.0.0.1:{}/announce", port.await);
        let announcer = Announcer::new(None, Scope::Any, 1);
        assert_good(announcer.announce(&url, request(), AMPLE).await);
        assert_good(announcer.announce(&url, request(), AMPLE).await);
    });
    assert_eq!(*connects.borrow(), 1);
}

#[test]
fn a_connection_id_that_the_tracker_forgot_is_renewed() {
    run(async {
        let port = udp_tracker(|packet| vec![proper(packet)]).await;
        let announcer = Announcer::new(None, Scope::Any, 1);
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        announcer.remember_connection(addr, 41);
        let url = format!("udp://127.0.0.1:{port}/announce");
        assert_good(announcer.announce(&url, request(), AMPLE).await);
        assert_eq!(announcer.connection(addr), Some(42));
    });
}

#[test]
fn a_refusal_over_udp_is_passed_on() {
    let outcome = announce_udp(AMPLE, |packet| {
        vec![[&[0, 0, 0, 3], &packet[12..16], b"not here"].concat()]
    });
    assert_eq!(
        outcome,
        Err(AnnounceFailure::Refused("not here".to_owned()))
    );
}

#[test]
fn an_answer_to_somebody_else_is_not_taken_for_ours() {
    assert_good(announce_udp(AMPLE, |packet| {
        let mut foreign = proper(packet);
        foreign[4] ^= 1;
        vec![foreign, b"noise".to_vec(), proper(packet)]
    }));
}

#[test]
fn a_lost_packet_is_sent_again() {
    let mut heard = 0;
    assert_good(announce_udp(Duration::from_secs(2), move |packet| {
        heard += 1;
        if heard == 1 {
            Vec::new()
        } else {
            vec![proper(packet)]
        }
    }));
}

#[test]
fn a_silent_udp_tracker_is_given_up_at_the_deadline() {
    let deadline = Duration::from_millis(50);
    let outcome = announce_udp(deadline, |_| Vec::new());
    assert_eq!(outcome, Err(AnnounceFailure::Timeout(deadline)));
}
