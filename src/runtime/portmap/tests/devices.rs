//! UPnP Internet Gateway Devices.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

/// What a gateway does with those who ask it.
#[derive(Clone, Debug, Default)]
struct Manner {
    /// The errors that it answers to the first requests for a mapping; 0 is none.
    refusals: Vec<u16>,
    /// Where it says that it is controlled, if not at itself.
    control: Option<String>,
    /// What it answers to who wants its description, if that is not one.
    description: Option<Vec<u8>>,
    /// Who describes it, if not itself.
    location: Option<String>,
}

/// What a gateway was told to do, and the rest of it.
type Told = (String, String);

/// A gateway that answers a search at the returned address; what it is told comes in the queue.
async fn gateway(manner: Manner) -> (PortMapConfig, mpsc::Receiver<Told>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let ear = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let config = PortMapConfig {
        // There nothing is spoken, and the system says so at once.
        gateway: Some(Ipv4Addr::LOCALHOST),
        search: match ear.local_addr().unwrap() {
            SocketAddr::V4(addr) => addr,
            SocketAddr::V6(addr) => panic!("{addr}"),
        },
        lease: Duration::from_secs(2),
    };
    let own = format!("http://{}/description.xml", listener.local_addr().unwrap());
    let location = manner.location.clone().unwrap_or(own);
    spawn_local(async move {
        let mut datagram = [0; 1_500];
        loop {
            let (_, from) = ear.recv_from(&mut datagram).await.unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\nLOCATION: {location}\r\nEXT:\r\n\r\n");
            ear.send_to(answer.as_bytes(), from).await.unwrap();
        }
    });
    let (ears, told) = mpsc::channel(16);
    spawn_local(async move {
        let mut manner = manner;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, &mut manner, &ears).await;
        }
    });
    (config, told)
}

async fn serve(mut stream: TcpStream, manner: &mut Manner, ears: &mpsc::Sender<Told>) {
    let (head, body) = read_request(&mut stream).await;
    let answer = if head.starts_with("GET /description.xml") {
        let own = || {
            ok(&description(
                manner.control.as_deref().unwrap_or("/control"),
            ))
        };
        manner.description.clone().unwrap_or_else(own)
    } else if head.starts_with("GET /actions.xml") {
        ok(actions().as_bytes())
    } else {
        let action = head.split_once('#').expect("a SOAP action").1;
        let action = action.split_once('"').expect("in quotes").0.to_owned();
        let answer = act(&action, manner);
        ears.send((action, body)).await.unwrap();
        answer
    };
    // The client may hang up in the middle of what it does not want to hear.
    let _ = stream.write_all(&answer).await;
}

async fn read_request(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    let head = String::from_utf8(head).expect("ASCII");
    let len = head.to_ascii_lowercase();
    let len = len
        .split_once("content-length: ")
        .and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    let mut body = vec![0; len.unwrap_or(0)];
    stream.read_exact(&mut body).await.expect("a whole body");
    (head, String::from_utf8(body).expect("UTF-8"))
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn description(control: &str) -> Vec<u8> {
    format!(
        "<root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device><serviceList><service>\
         <serviceType>{SERVICE}</serviceType><SCPDURL>/actions.xml</SCPDURL>\
         <controlURL>{control}</controlURL></service></serviceList></device></root>"
    )
    .into_bytes()
}

fn actions() -> String {
    let argument =
        |name: &&str| format!("<argument><name>{name}</name><direction>in</direction></argument>");
    let arguments =
        |names: &[&str]| -> String { names.iter().map(argument).collect::<Vec<_>>().concat() };
    let place = ["NewRemoteHost", "NewExternalPort", "NewProtocol"];
    let add = [
        "NewInternalPort",
        "NewInternalClient",
        "NewEnabled",
        "NewPortMappingDescription",
        "NewLeaseDuration",
    ];
    format!(
        "<scpd><actionList><action><name>AddPortMapping</name><argumentList>{}{}</argumentList>\
         </action><action><name>DeletePortMapping</name><argumentList>{}</argumentList></action>\
         </actionList></scpd>",
        arguments(&place),
        arguments(&add),
        arguments(&place),
    )
}

fn act(action: &str, manner: &mut Manner) -> Vec<u8> {
    let wrapped = |inner: &str| {
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{inner}\
             </s:Body></s:Envelope>"
        )
    };
    let refusal = match action {
        "AddPortMapping" if !manner.refusals.is_empty() => manner.refusals.remove(0),
        _ => 0,
    };
    if refusal > 0 {
        let error = format!(
            "<s:Fault><detail><UPnPError><errorCode>{refusal}</errorCode>\
             <errorDescription>words</errorDescription></UPnPError></detail></s:Fault>"
        );
        return ok(wrapped(&error).as_bytes());
    }
    let inner = match action {
        "GetExternalIPAddress" => "<NewExternalIPAddress>198.51.100.7</NewExternalIPAddress>",
        _ => "",
    };
    let answer = format!("<u:{action}Response xmlns:u=\"{SERVICE}\">{inner}</u:{action}Response>");
    ok(wrapped(&answer).as_bytes())
}

fn field<'a>(body: &'a str, name: &str) -> &'a str {
    let rest = body.split_once(&format!("<{name}>")).expect("the field").1;
    rest.split_once('<').expect("its end").0
}

#[test]
fn upnp_grants_a_port_that_is_renewed_and_removed_at_the_end() {
    run(async {
        let (config, mut told) = gateway(Manner::default()).await;
        let mut asked = Asked::of(config);
        assert_eq!(next(&mut told).await.0, "GetExternalIPAddress");
        let (action, body) = next(&mut told).await;
        assert_eq!(action, "AddPortMapping");
        let want = [
            ("NewExternalPort", "6881"),
            ("NewInternalPort", "6881"),
            ("NewInternalClient", "127.0.0.1"),
            ("NewProtocol", "TCP"),
            ("NewLeaseDuration", "2"),
            ("NewPortMappingDescription", "swarm"),
        ];
        for (name, value) in want {
            assert_eq!(field(&body, name), value, "{name}");
        }
        assert_eq!(asked.far_port().await, PORT);
        let mapped = asked.mapped();
        assert_eq!(mapped.protocol, MapProtocol::Upnp);
        assert_eq!(mapped.external_ip, Some([198, 51, 100, 7].into()));
        assert_eq!(next(&mut told).await.0, "AddPortMapping");
        asked.mapping.ended().await;
        let (action, body) = next(&mut told).await;
        assert_eq!(action, "DeletePortMapping");
        assert_eq!(field(&body, "NewExternalPort"), "6881");
    });
}

#[test]
fn a_port_that_leads_elsewhere_is_left_to_others() {
    run(async {
        let manner = Manner {
            refusals: vec![718],
            ..Manner::default()
        };
        let (config, mut told) = gateway(manner).await;
        let mut asked = Asked::of(config);
        assert_eq!(next(&mut told).await.0, "GetExternalIPAddress");
        assert_eq!(field(&next(&mut told).await.1, "NewExternalPort"), "6881");
        let (_, body) = next(&mut told).await;
        let other: u16 = field(&body, "NewExternalPort").parse().unwrap();
        assert_ne!(other, PORT);
        assert_eq!(field(&body, "NewInternalPort"), "6881");
        assert_eq!(asked.far_port().await, other);
        assert_eq!(asked.mapped().external_port, other);
    });
}

#[test]
fn a_gateway_that_knows_no_leases_is_asked_for_ever_and_told_at_the_end() {
    run(async {
        let manner = Manner {
            refusals: vec![725],
            ..Manner::default()
        };
        let (config, mut told) = gateway(manner).await;
        let mut asked = Asked::of(config);
        assert_eq!(next(&mut told).await.0, "GetExternalIPAddress");
        assert_eq!(field(&next(&mut told).await.1, "NewLeaseDuration"), "2");
        assert_eq!(field(&next(&mut told).await.1, "NewLeaseDuration"), "0");
        assert_eq!(asked.far_port().await, PORT);
        asked.mapping.ended().await;
        assert_eq!(next(&mut told).await.0, "DeletePortMapping");
    });
}

#[test]
fn a_lost_mapping_is_asked_for_anew() {
    run(async {
        let manner = Manner {
            // Granted, and not renewed.
            refusals: vec![0, 501],
            ..Manner::default()
        };
        let (config, mut told) = gateway(manner).await;
        let mut asked = Asked::of(config);
        assert_eq!(asked.far_port().await, PORT);
        assert_eq!(asked.far_port().await, PORT);
        assert_eq!(asked.mapped().protocol, MapProtocol::Upnp);
        let mut actions = Vec::new();
        while let Ok((action, _)) = told.try_recv() {
            actions.push(action);
        }
        let (add, ask) = ("AddPortMapping", "GetExternalIPAddress");
        assert_eq!(actions, [ask, add, add, ask, add]);
    });
}

#[test]
fn a_mapping_to_an_address_that_we_have_no_more_is_removed_and_asked_for_anew() {
    run(async {
        let (config, mut told) = gateway(Manner::default()).await;
        let asked = upnp::map(&config, Ipv4Addr::LOCALHOST, PORT).await;
        let mut lease = asked.expect("a mapping");
        lease.local.set_ip(Ipv4Addr::new(127, 0, 0, 9).into());
        assert_eq!(lease.renew().await.unwrap_err(), "our address changed");
        let mut actions = Vec::new();
        while let Ok((action, _)) = told.try_recv() {
            actions.push(action);
        }
        let (ask, add, delete) = (
            "GetExternalIPAddress",
            "AddPortMapping",
            "DeletePortMapping",
        );
        assert_eq!(actions, [ask, add, delete]);
    });
}

#[test]
fn the_words_of_a_gateway_are_not_shown() {
    run(async {
        let manner = Manner {
            refusals: vec![501],
            ..Manner::default()
        };
        let (config, _told) = gateway(manner).await;
        let why = Asked::of(config).failure().await;
        assert_eq!(
            why,
            "PCP: not spoken; NAT-PMP: not spoken; UPnP: refused (error 501)"
        );
    });
}

#[test]
fn a_description_is_taken_from_nobody_but_the_gateway() {
    run(async {
        // Another service of this network, which must hear nothing.
        let victim = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await;
        let Ok(victim) = victim else {
            return; // Only Linux has more than one loopback address.
        };
        let url = format!("http://{}/", victim.local_addr().unwrap());
        let redirect =
            format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
        let manners = [
            Manner {
                location: Some(url.clone()),
                ..Manner::default()
            },
            Manner {
                control: Some(format!("{url}control")),
                ..Manner::default()
            },
            Manner {
                description: Some(redirect.into_bytes()),
                ..Manner::default()
            },
        ];
        let asking: Vec<_> = manners
            .into_iter()
            .map(|manner| spawn_local(refused(manner)))
            .collect();
        for asked in asking {
            tokio::select! {
                _ = victim.accept() => panic!("somebody else was asked"),
                asked = asked => asked.unwrap(),
            }
        }
    });
}

/// Finds no gateway in one that is like this, which is told nothing.
async fn refused(manner: Manner) {
    let (config, mut told) = gateway(manner).await;
    let asked = upnp::map(&config, Ipv4Addr::LOCALHOST, PORT).await;
    assert_eq!(asked.expect_err("no gateway"), "no gateway answers");
    assert!(told.try_recv().is_err());
}

#[test]
fn descriptions_without_end_or_sense_are_no_gateway() {
    let deep = [b"<a>".repeat(100_000), b"</a>".repeat(100_000)].concat();
    let long = description(&"x".repeat(2 << 20));
    let entities = b"<!DOCTYPE r [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;\">\
        <!ENTITY c \"&b;&b;&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;&c;&c;\">]><r>&d;&d;&d;</r>";
    let cases = [
        deep,
        long,
        entities.to_vec(),
        b"<root>".to_vec(),
        vec![0xff; 100],
    ];
    run(async {
        let manners = cases.into_iter().map(|description| Manner {
            description: Some(ok(&description)),
            ..Manner::default()
        });
        let asking: Vec<_> = manners.map(|manner| spawn_local(refused(manner))).collect();
        for asked in asking {
            asked.await.unwrap();
        }
    });
}
