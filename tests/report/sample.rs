//! Results that look like those of a real run, made up from one seed number.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the figures are made up, and small"
)]

use swarm::report::{
    Flow, HostRun, Kind, Overhead, Parameters, Results, Role, Run, Sample, Setup, TraceHash,
};

pub(crate) const MIB: u64 = 1024 * 1024;

/// Numbers that look random and are the same everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2) | 1)
    }

    /// Evenly between 0 and 1.
    pub(crate) fn roll(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        (self.0 >> 40) as f64 / f64::from(1_u32 << 24)
    }
}

/// What is asked of [`run`].
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) contender: &'static str,
    pub(crate) fetchers: usize,
    pub(crate) size: u64,
    /// Bytes per second up of fetcher number n.
    pub(crate) up: fn(usize) -> u64,
    pub(crate) behaviour: fn(usize) -> &'static str,
    /// What share of the bound the last one reaches.
    pub(crate) efficiency: f64,
    pub(crate) seed: u64,
}

pub(crate) fn even(_: usize) -> u64 {
    10_000_000
}

pub(crate) fn honest(_: usize) -> &'static str {
    "honest"
}

pub(crate) fn swarm(fetchers: usize, seed: u64) -> Wish {
    Wish {
        contender: "swarm",
        fetchers,
        size: 256 * MIB,
        up: even,
        behaviour: honest,
        efficiency: 0.945,
        seed,
    }
}

pub(crate) fn http(fetchers: usize, seed: u64) -> Wish {
    Wish {
        contender: "http",
        efficiency: 0.98 / fetchers as f64,
        ..swarm(fetchers, seed)
    }
}

/// A run as wished.
pub(crate) fn run(wish: Wish) -> Run {
    let mut dice = Dice::new(wish.seed);
    let is_swarm = wish.contender != "http";
    let mut hosts = vec![HostRun {
        name: "seed".to_owned(),
        role: Role::Seed,
        behaviour: "honest".to_owned(),
        up: Some((wish.up)(0)),
        completed_s: Some(0.0),
        ..HostRun::default()
    }];
    hosts.extend((0..wish.fetchers).map(|n| HostRun {
        name: format!("peer {}", n + 1),
        behaviour: (wish.behaviour)(n).to_owned(),
        up: Some((wish.up)(n)),
        ..HostRun::default()
    }));
    let bound = Run::bound_of(wish.size, 256 * 1024, &hosts).expect("rates are limited");
    let last = bound.fluid_s / wish.efficiency * (1.0 + 0.01 * dice.roll());
    for (n, host) in hosts.iter_mut().skip(1).enumerate() {
        let late = if is_swarm {
            1.0 - (1.0 - wish.efficiency) * 0.8 * dice.roll().powi(2)
        } else {
            0.97 + 0.03 * dice.roll()
        };
        let rides = if host.behaviour == "free-rider" {
            1.6
        } else {
            1.0
        };
        host.completed_s = Some(last * rides * if n == 0 { 1.0 } else { late });
    }
    let flows = flows(&wish, &mut hosts, &mut dice);
    let ended_s = hosts
        .iter()
        .filter_map(|host| host.completed_s)
        .fold(0.0, f64::max);
    let samples = samples(&hosts, ended_s);
    let payload: u64 = hosts.iter().map(|host| host.received).sum();
    Run {
        contender: wish.contender.to_owned(),
        rng_seed: Some(wish.seed),
        flows: if hosts.len() > 256 { Vec::new() } else { flows },
        samples: if is_swarm { samples } else { Vec::new() },
        overhead: is_swarm.then_some(Overhead {
            payload,
            duplicate: payload / 700,
            have: payload / 1900,
            request: payload / 960,
            other: payload / 1200,
        }),
        cpu_s: Some(payload as f64 / 1024.0 / MIB as f64 * 1.1),
        rss_peak: Some(240 * MIB),
        trace_hash: Some(TraceHash(wish.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        ended_s,
        bound: Some(bound),
        hosts,
        warnings: Vec::new(),
    }
}

/// Who sent what to whom, entered into the hosts too.
fn flows(wish: &Wish, hosts: &mut [HostRun], dice: &mut Dice) -> Vec<Flow> {
    let mut flows = Vec::new();
    let count = hosts.len();
    for to in 1..count {
        let mut weights: Vec<f64> = (0..count)
            .map(|from| {
                let host = &hosts[from];
                let rides = host.behaviour == "free-rider";
                let gives = match from {
                    0 => 1.0,
                    from if from == to || rides || wish.contender == "http" => 0.0,
                    _ => 0.3 + dice.roll().powi(3) * 2.0,
                };
                gives * host.up.unwrap_or(0) as f64
            })
            .collect();
        let sum: f64 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
        for (from, share) in weights
            .into_iter()
            .enumerate()
            .filter(|(_, share)| *share > 0.0)
        {
            let bytes = (share * wish.size as f64).round() as u64;
            hosts[from].sent += bytes;
            hosts[to].received += bytes;
            if from == 0 {
                hosts[to].received_from_seeds += bytes;
            }
            flows.push(Flow {
                from: u32::try_from(from).expect("hosts are few"),
                to: u32::try_from(to).expect("hosts are few"),
                bytes,
            });
        }
    }
    flows
}

fn samples(hosts: &[HostRun], ended_s: f64) -> Vec<Sample> {
    let whole = (hosts.len() - 1) as f64;
    let sample = |step: u32| {
        let t = ended_s * f64::from(step) / 120.0;
        let done = (t / ended_s).min(1.0);
        let complete = hosts
            .iter()
            .skip(1)
            .filter(|host| host.completed_s <= Some(t))
            .count();
        let spread =
            |lag: f64| (1.0 + whole * ((done - lag) / (1.0 - lag)).max(0.0).powf(1.3)) as u32;
        Sample {
            t,
            complete: u32::try_from(complete).expect("hosts are few"),
            done,
            copies_min: if done < 0.93 { 1 } else { spread(0.9).max(2) },
            copies_median: spread(0.02),
        }
    };
    (0..=120).map(sample).collect()
}

/// Results of these runs.
pub(crate) fn results(kind: Kind, command: &str, runs: Vec<Run>) -> Results {
    Results {
        kind,
        command: command.to_owned(),
        setup: Setup {
            size: 256 * MIB,
            piece_length: 256 * 1024,
            pieces: 1024,
            rng_seed: 1,
            parameters: Parameters::default()
                .with("choker", "tit-for-tat")
                .with("arrive", "together"),
        },
        runs,
    }
}

/// Fifteen fetchers three times, by swarm and by HTTP.
pub(crate) fn fan_out() -> Results {
    let rounds = (1..=3).flat_map(|seed| [run(swarm(15, seed)), run(http(15, seed))]);
    let command = "swarm bench --peers 15 --size 256M --link 80Mbit --repeat 3 --versus http";
    results(Kind::Bench, command, rounds.collect())
}

/// Swarms of 2 to 64 fetchers.
pub(crate) fn sweep(most: u32) -> Results {
    let counts = (1..=most).map(|power| 1_usize << power);
    let runs = counts.flat_map(|n| [run(swarm(n, 1)), run(http(n, 1))]);
    results(
        Kind::Sim,
        "swarm sim --peers 2,4,8,16,32,64 --versus http",
        runs.collect(),
    )
}

/// A hundred fetchers of four speeds, thirty of whom give nothing.
pub(crate) fn riders() -> Results {
    let wish = Wish {
        up: |n| [1_250_000, 6_250_000, 12_500_000, 125_000_000][n % 4],
        behaviour: |n| if n % 10 < 3 { "free-rider" } else { "honest" },
        ..swarm(100, 5)
    };
    let command = "swarm sim --peers 100 --free-riders 30%";
    results(Kind::Sim, command, vec![run(wish)])
}
