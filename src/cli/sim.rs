//! `swarm sim`: the core that ships, in virtual time, and how near a swarm of it comes to the bound.

mod args;
mod record;
mod summary;
mod typed;

use std::ops::ControlFlow;
use std::time::Duration;

use super::error::{CliError, Exit};
use super::event::Event;
use super::hashing::SAMPLE_INTERVAL;
use super::screen::{Simulating, millions, results_lines};
use super::text::Text;
use super::units::show_counted;
use super::{App, bench, report_dir};
use crate::report::{Kind, Results, Run};
use crate::sim::build::Plan;
use crate::sim::{Simulation, Snapshot};
use record::record;

pub(super) use args::SimArgs;

/// Which of the runs one is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Counted from 1.
    run: usize,
    /// How many there are.
    runs: usize,
}

pub(super) fn run(args: &SimArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    let plans = args.plans()?;
    // Read before hours of work: it may not be there.
    let earlier = args.compare.as_ref();
    let earlier = earlier.map(|path| report_dir::read(&app.dir.join(path), app.dir));
    let earlier = earlier.transpose()?;
    if let Some(out) = &args.out {
        report_dir::prepare(&app.dir.join(out), app.dir)?;
    }
    let mut results = Results {
        kind: Kind::Sim,
        command: app.command.clone(),
        setup: args.setup()?,
        runs: Vec::with_capacity(plans.len()),
    };
    introduce(args, &results, plans.len(), app);
    for (run, plan) in (1..).zip(&plans) {
        let runs = plans.len();
        let place = Place { run, runs };
        // What was simulated until then is worth having.
        let Some(run) = simulated(plan, place, app) else {
            break;
        };
        tell_run(&run, place, &results, app);
        results.runs.push(run);
    }
    tell_results(&results, app);
    if let Some(out) = args.out.as_ref().filter(|_| !results.runs.is_empty()) {
        let wrote = report_dir::write(&results, &app.dir.join(out), app.dir)?;
        app.printer.say(&Text::new(format!(" {wrote}")));
    }
    if let Some(exit) = app.stop_asked() {
        return Err(CliError::new(exit, "interrupted"));
    }
    let ended = judged(&results);
    if let Some(earlier) = earlier {
        let tolerance = args.fail_if_slower.map(|share| f64::from(share) / 1e6);
        bench::compare(&earlier, &results, tolerance, app)?;
    }
    if ended.is_ok() {
        let payload = |run: &Run| run.overhead.map_or(0, |overhead| overhead.payload);
        let moved = results.runs.iter().map(payload).sum();
        app.printer.event(&Event::End {
            exit: 0,
            sent: moved,
            received: moved,
        });
    }
    ended
}

/// What is simulated, before the first result.
fn introduce(args: &SimArgs, results: &Results, runs: usize, app: &mut App<'_>) {
    let setup = &results.setup;
    let flags = args.flags().into_iter();
    let words = flags.map(|(name, value)| format!("{name} {value}").trim_end().to_owned());
    app.printer.say(&Text::new(format!(
        " Simulating {}: {}",
        show_counted(runs as u64, "run"),
        words.collect::<Vec<_>>().join(", "),
    )));
    app.printer.event(&Event::Setup {
        command: "sim",
        size: setup.size,
        piece_length: setup.piece_length,
        pieces: setup.pieces,
        rng_seed: setup.rng_seed,
        runs,
        estimate: None,
    });
}

/// Makes a run; none if it was called off.
fn simulated(plan: &Plan, place: Place, app: &mut App<'_>) -> Option<Run> {
    let scenario = plan.scenario();
    let started = app.printer.elapsed();
    let mut shown = started;
    let outcome = Simulation::new(scenario.clone()).run_while(&mut |snapshot| {
        let now = app.printer.elapsed();
        if app.stop_asked().is_some() || app.printer.is_abandoned() {
            return ControlFlow::Break(());
        }
        if now >= shown + SAMPLE_INTERVAL {
            shown = now;
            show(snapshot, now.saturating_sub(started), plan, place, app);
        }
        ControlFlow::Continue(())
    });
    app.printer.end_status();
    if app.stop_asked().is_some() || app.printer.is_abandoned() {
        return None;
    }
    let took = app.printer.elapsed().saturating_sub(started);
    app.printer.say(&Text::new(format!(
        " Run {} of {}: {} took {:.1} s, {} events/s",
        place.run,
        place.runs,
        show_counted(plan.fetchers as u64, "peer"),
        took.as_secs_f64(),
        millions(outcome.events, took),
    )));
    Some(record(&scenario, &outcome))
}

fn show(snapshot: Snapshot, took: Duration, plan: &Plan, place: Place, app: &mut App<'_>) {
    let status = Simulating {
        run: place.run,
        runs: place.runs,
        peers: plan.fetchers,
        snapshot,
        took,
    };
    if app.signals.take_report() {
        app.printer.status_line(&status);
    }
    app.printer.status(&status);
}

/// A run that ended: its event, and with `-q` its line.
fn tell_run(run: &Run, place: Place, results: &Results, app: &mut App<'_>) {
    let figures = results.figures(run);
    if app.printer.look().quiet > 0 {
        app.printer.line(&summary::short(run, &figures));
    }
    for warning in &run.warnings {
        app.printer
            .warn("incomplete", warning.trim_end_matches('.'));
    }
    app.printer.event(&Event::Run {
        run: place.run,
        contender: run.contender.clone(),
        peers: figures.fetchers,
        bound_s: run.bound.map(|bound| bound.fluid_s),
        reference_s: run.bound.map(|bound| bound.reference_s),
        rng_seed: run.rng_seed,
        trace_hash: run.trace_hash,
        warnings: run.warnings.clone(),
        figures: Box::new(figures),
    });
}

/// The runs that were made, together.
fn tell_results(results: &Results, app: &mut App<'_>) {
    let look = app.printer.look();
    if look.quiet > 0 || results.runs.is_empty() {
        return;
    }
    let width = look.columns.unwrap_or(100).max(60);
    let lines = results_lines(results, look.rates, width);
    for line in lines.iter().chain(&summary::lines(results, width)) {
        app.printer.line(line);
    }
}

/// How a command ends whose runs all came to their end.
fn judged(results: &Results) -> Result<Exit, CliError> {
    let is_stuck = |run: &&Run| !run.warnings.is_empty();
    let Some(first) = results.runs.iter().find(is_stuck) else {
        return Ok(Exit::Done);
    };
    let what = match results.runs.len() {
        1 => "not everybody who stayed is complete".to_owned(),
        runs => {
            let stuck = results.runs.iter().filter(is_stuck).count();
            format!("in {stuck} of {runs} runs not everybody who stayed is complete")
        }
    };
    let seed = first.rng_seed.unwrap_or(results.setup.rng_seed);
    let help = format!("look closer with --rng-seed {seed} --check, or give it more --time-max");
    Err(CliError::new(Exit::Other, what).help(help))
}
