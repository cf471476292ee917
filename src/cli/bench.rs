//! `swarm bench`: how near a swarm of real sessions on this machine comes to the least time.
//!
//! Every machine of it is a session of its own, with its own address on loopback, its own files and
//! its own limits, all in this process. What they record becomes [`Results`].

mod args;
mod download;
mod fleet;
mod gather;
mod machine;
mod member;
mod scene;
mod site;
mod view;
mod watch;

use self::args::{Plan, Round};
use self::fleet::Fleet;
use self::scene::Scene;
use self::view::Outlook;
use super::App;
use super::error::{CliError, Exit};
use super::event::Event;
use super::screen::results_lines;
use super::text::Text;
use super::units::{show_clock, show_counted, show_size};
use crate::report::{Kind, Parameters, Results, Run, Setup};

pub(super) use args::BenchArgs;

pub(super) fn run(args: &BenchArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    let plan = Plan::of(args)?;
    let mut outlook = Outlook::new(&plan);
    let scene = Scene::prepare(&plan, app)?;
    let mut results = Results {
        kind: Kind::Bench,
        command: app.command.clone(),
        setup: setup(&plan, &scene),
        runs: Vec::new(),
    };
    tell_plan(&plan, &results, &outlook, app);
    for (number, round) in (1..).zip(outlook.rounds().to_vec()) {
        let fleet = Fleet {
            plan: &plan,
            round,
            scene: &scene,
        };
        let run = match fleet.run(&outlook, app) {
            Ok(run) => run,
            // What was measured until then is worth having.
            Err(error) if !results.runs.is_empty() && app.signals.stop().is_some() => {
                tell_results(&results, app);
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        outlook.note(run.ended_s);
        tell_run(number, round, &run, &results, app);
        results.runs.push(run);
    }
    drop(scene);
    tell_results(&results, app);
    let payload = |run: &Run| run.overhead.map_or(0, |overhead| overhead.payload);
    let moved = results.runs.iter().map(payload).sum();
    app.printer.event(&Event::End {
        exit: 0,
        sent: moved,
        received: moved,
    });
    Ok(Exit::Done)
}

fn setup(plan: &Plan, scene: &Scene) -> Setup {
    let rate = |rate: Option<u64>| {
        rate.map_or("no limit".to_owned(), |rate| {
            format!("{} Mbit/s", rate as f64 / 125e3)
        })
    };
    let peers: Vec<String> = plan.peers.iter().map(ToString::to_string).collect();
    Setup {
        size: plan.size,
        piece_length: plan.piece_len,
        pieces: scene.meta().layout().piece_count(),
        rng_seed: plan.rng_seed,
        parameters: Parameters::default()
            .with("peers", peers.join(", "))
            .with("seeds", plan.seeds)
            .with("up", rate(plan.up))
            .with("down", rate(plan.down))
            .with("repeat", plan.repeat),
    }
}

fn tell_plan(plan: &Plan, results: &Results, outlook: &Outlook, app: &mut App<'_>) {
    let runs = outlook.rounds().len();
    let estimate = outlook.left();
    let takes = estimate.map_or(String::new(), |left| {
        format!(", about {}", show_clock(left))
    });
    app.printer.say(&Text::new(format!(
        " Bringing {} to each machine, {}{takes}. Ctrl-C stops.",
        show_size(plan.size),
        show_counted(runs as u64, "run"),
    )));
    let setup = &results.setup;
    app.printer.event(&Event::Setup {
        command: "bench",
        size: setup.size,
        piece_length: setup.piece_length,
        pieces: setup.pieces,
        rng_seed: setup.rng_seed,
        runs,
        estimate: estimate.map(|estimate| estimate.as_secs_f64()),
    });
}

fn tell_run(number: usize, round: Round, run: &Run, results: &Results, app: &mut App<'_>) {
    let figures = results.figures(run);
    let seconds = |at: Option<f64>| at.map_or("–".to_owned(), |at| format!("{at:.1} s"));
    let of_bound = figures.efficiency.map_or(String::new(), |efficiency| {
        format!(", {:.1} % of the bound", efficiency * 100.0)
    });
    app.printer.say(&Text::new(format!(
        " Run {number}: {} to {}: first {}, last {}{of_bound}",
        run.contender,
        show_counted(round.peers.into(), "machine"),
        seconds(figures.first_s),
        seconds(figures.last_s),
    )));
    for warning in &run.warnings {
        app.printer.warn("cpu-bound", warning);
    }
    app.printer.event(&Event::Run {
        run: number,
        contender: run.contender.clone(),
        peers: round.peers.into(),
        bound_s: run.bound.map(|bound| bound.fluid_s),
        reference_s: run.bound.map(|bound| bound.reference_s),
        rng_seed: run.rng_seed,
        trace_hash: run.trace_hash,
        figures: Box::new(figures),
    });
}

fn tell_results(results: &Results, app: &mut App<'_>) {
    let look = app.printer.look();
    let width = look.columns.unwrap_or(100).max(60);
    for line in results_lines(results, look.rates, width) {
        app.printer.line(&line);
    }
}
