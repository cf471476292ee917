//! Whom a session tells of a swarm, by `--scope` and by what the manifest or link names.
//!
//! The rule: nothing of a swarm that is private or only known on this network goes beyond it, and a
//! link that everybody could have just works.

use super::App;
use super::args::{Network, Scope};
use super::error::{CliError, Exit};
use crate::runtime::dht::{DhtConfig, DhtUse};
use crate::runtime::portmap::PortMapConfig;
use crate::tracker::TrackerUrl;

/// What a manifest or link says of where its swarm is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    /// Trackers that are asked, in tiers.
    pub(super) trackers: &'a [Vec<String>],
    /// Nodes of the DHT.
    pub(super) nodes: &'a [String],
    /// Whether anybody else is named: web seeds, peers.
    pub(super) others: bool,
    /// Whether only its trackers may be asked (BEP 27).
    pub(super) private: bool,
    /// Whether we need nothing of anybody.
    pub(super) complete: bool,
}

/// Says if the flags contradict each other.
pub(super) fn check(network: &Network) -> Result<(), CliError> {
    let wants_dht = network.dht || !network.dht_bootstrap.is_empty();
    if network.scope == Scope::Lan && wants_dht {
        let what = "--scope lan stays on this network, and the DHT does not";
        return Err(CliError::new(Exit::Usage, what).help("leave one of them out"));
    }
    if network.scope == Scope::Lan && network.portmap {
        let what = "--scope lan stays on this network, and --portmap opens it to others";
        return Err(CliError::new(Exit::Usage, what).help("leave one of them out"));
    }
    if network.no_dht && !network.dht_bootstrap.is_empty() {
        let what = "--dht-bootstrap names nodes of the DHT, and --no-dht turns it off";
        return Err(CliError::new(Exit::Usage, what).help("leave one of them out"));
    }
    Ok(())
}

/// How the DHT is used, if it is.
pub(super) fn dht(network: &Network, named: Named<'_>, app: &App<'_>) -> Option<DhtConfig> {
    let when = when(network, named)?;
    let hosts = named
        .trackers
        .iter()
        .flatten()
        .filter_map(|url| host_of(url));
    Some(DhtConfig {
        when,
        bootstrap: network.dht_bootstrap.clone(),
        nodes: named.nodes.to_vec(),
        trackers: hosts.collect(),
        cache: app.state_dir.as_ref().map(|dir| dir.join("dht-nodes")),
    })
}

/// Whether the DHT may be asked for a swarm of which nobody is named.
pub(super) fn may_ask_strangers(network: &Network) -> bool {
    let here_only = network.bind.is_some_and(|bind| bind.is_loopback());
    !network.no_dht && network.scope != Scope::Lan && !here_only
}

/// How the gateway is asked to let others in, if it is. A private manifest (BEP 27) asks for nobody
/// but its trackers and those whom they name; who wants them let in says so.
pub(super) fn port_mapping(network: &Network, private: bool) -> Option<PortMapConfig> {
    let here_only = network.bind.is_some_and(|bind| bind.is_loopback());
    if network.no_portmap || network.scope == Scope::Lan || here_only {
        return None;
    }
    let by_scope = network.scope == Scope::Internet && !private;
    (network.portmap || by_scope).then(PortMapConfig::default)
}

fn when(network: &Network, named: Named<'_>) -> Option<DhtUse> {
    let asked = network.dht || !network.dht_bootstrap.is_empty();
    if named.private || network.no_dht || network.scope == Scope::Lan {
        return None;
    }
    if asked || network.scope == Scope::Internet {
        return Some(DhtUse::Always);
    }
    if !named.trackers.is_empty() || !named.nodes.is_empty() {
        return Some(DhtUse::IfPublic);
    }
    let is_known = named.others || !network.peer.is_empty() || network.peers_from.is_some();
    let is_lost = !named.complete && !is_known && may_ask_strangers(network);
    is_lost.then_some(DhtUse::IfAlone)
}

/// Host and port of a tracker.
fn host_of(url: &str) -> Option<String> {
    let url = TrackerUrl::parse(url).ok()?;
    Some(format!("{}:{}", url.host(), url.port()))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::args::{Command, parse};

    fn network(words: &str) -> Network {
        let words = format!("swarm fetch x {words}");
        let cli = parse(words.split_whitespace().map(OsString::from)).unwrap();
        match cli.command {
            Some(Command::Fetch(args)) => args.network,
            other => panic!("{other:?}"),
        }
    }

    const NOBODY: Named<'_> = Named {
        trackers: &[],
        nodes: &[],
        others: false,
        private: false,
        complete: false,
    };

    #[test]
    fn what_only_this_network_knows_is_told_to_nobody_else() {
        let seeding = Named {
            complete: true,
            ..NOBODY
        };
        assert_eq!(when(&network(""), seeding), None);
        let with_peer = network("--peer 10.0.0.5:6881");
        assert_eq!(when(&with_peer, NOBODY), None);
        let mirrored = Named {
            others: true,
            ..NOBODY
        };
        assert_eq!(when(&network(""), mirrored), None);
    }

    #[test]
    fn a_link_that_names_nobody_is_looked_up() {
        assert_eq!(when(&network(""), NOBODY), Some(DhtUse::IfAlone));
        for words in ["--no-dht", "--scope lan", "--bind 127.0.0.1"] {
            assert_eq!(when(&network(words), NOBODY), None, "{words}");
        }
    }

    #[test]
    fn a_swarm_is_as_public_as_the_trackers_and_nodes_that_it_names() {
        let trackers = [vec!["http://tracker.example/announce".to_owned()]];
        let tracked = Named {
            trackers: &trackers,
            complete: true,
            ..NOBODY
        };
        assert_eq!(when(&network(""), tracked), Some(DhtUse::IfPublic));
        let nodes = ["10.0.0.5:6881".to_owned()];
        let placed = Named {
            nodes: &nodes,
            complete: true,
            ..NOBODY
        };
        assert_eq!(when(&network(""), placed), Some(DhtUse::IfPublic));
        assert_eq!(when(&network("--no-dht"), placed), None);
        let wide = network("--scope internet");
        assert_eq!(when(&wide, tracked), Some(DhtUse::Always));
        let own = network("--dht-bootstrap 10.0.0.5:6881");
        assert_eq!(when(&own, tracked), Some(DhtUse::Always));
    }

    #[test]
    fn the_gateway_is_asked_where_everybody_is_told_and_where_the_user_wants_it() {
        let asked = |words: &str, private| port_mapping(&network(words), private).is_some();
        for words in ["--scope internet", "--portmap", "--no-portmap --portmap"] {
            assert!(asked(words, false), "{words}");
        }
        let never = [
            "",
            "--scope lan",
            "--scope internet --no-portmap",
            "--portmap --bind 127.0.0.1",
        ];
        for words in never {
            assert!(!asked(words, false), "{words}");
        }
        assert!(!asked("--scope internet", true), "a private manifest");
        assert!(asked("--portmap", true), "unless the user says so");
        assert!(check(&network("--scope lan --portmap")).is_err());
    }

    #[test]
    fn a_private_manifest_stays_with_its_trackers() {
        let private = Named {
            private: true,
            ..NOBODY
        };
        for words in ["", "--dht", "--scope internet", "--dht-bootstrap h:1"] {
            assert_eq!(when(&network(words), private), None, "{words}");
        }
    }
}
