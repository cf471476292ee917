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
use super::error::{CliError, Exit};
use super::event::Event;
use super::screen::results_lines;
use super::text::Text;
use super::units::{show_clock, show_counted, show_size};
use super::{App, report_dir};
use crate::report::{Kind, Parameters, Results, Run, Setup, render};

pub(super) use args::BenchArgs;

pub(super) fn run(args: &BenchArgs, app: &mut App<'_>) -> Result<Exit, CliError> {
    let plan = Plan::of(args)?;
    let earlier = args
        .compare
        .as_ref()
        .map(|path| report_dir::read(&app.dir.join(path), app.dir));
    let earlier = earlier.transpose()?;
    if let Some(out) = &args.out {
        report_dir::prepare(&app.dir.join(out), app.dir)?;
    }
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
    if let Some(out) = &args.out {
        let wrote = report_dir::write(&results, &app.dir.join(out), app.dir)?;
        app.printer.say(&Text::new(format!(" {wrote}")));
    }
    if let Some(earlier) = earlier {
        let tolerance = args
            .fail_if_slower
            .map(|millionths| f64::from(millionths) / 1e6);
        compare(&earlier, &results, tolerance, app)?;
    }
    let payload = |run: &Run| run.overhead.map_or(0, |overhead| overhead.payload);
    let moved = results.runs.iter().map(payload).sum();
    app.printer.event(&Event::End {
        exit: 0,
        sent: moved,
        received: moved,
    });
    Ok(Exit::Done)
}

/// Says what became faster or slower since; a failure if the user wants it to be one.
pub(super) fn compare(
    earlier: &Results,
    results: &Results,
    tolerance: Option<f64>,
    app: &mut App<'_>,
) -> Result<(), CliError> {
    /// What is called slower where the user did not say. As much as runs differ among themselves.
    const TOLERANCE: f64 = 0.05;
    let comparison = render::compare(earlier, results, tolerance.unwrap_or(TOLERANCE));
    for line in comparison.to_string().lines() {
        app.printer.line(&Text::new(format!(" {line}")));
    }
    match tolerance {
        Some(_) if comparison.changes.is_empty() => Err(CliError::new(
            Exit::Other,
            "no run can be compared with the earlier ones",
        )
        .help("the same --peers as then")),
        Some(tolerance) if !comparison.is_fine() => {
            let what = format!("slower than then by more than {:.1} %", tolerance * 100.0);
            Err(CliError::new(Exit::Other, what))
        }
        _ => Ok(()),
    }
}

fn setup(plan: &Plan, scene: &Scene) -> Setup {
    let rate = |rate: Option<u64>| {
        rate.map_or("no limit".to_owned(), |rate| {
            format!("{} Mbit/s", rate as f64 / 125e3)
        })
    };
    Setup {
        size: plan.size,
        piece_length: plan.piece_len,
        pieces: scene.meta().layout().piece_count(),
        rng_seed: plan.rng_seed,
        parameters: Parameters::default()
            .with("seeds", plan.seeds)
            .with("up", rate(plan.up))
            .with("down", rate(plan.down)),
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
    app.printer.event(&Event::Run {
        run: number,
        contender: run.contender.clone(),
        peers: round.peers.into(),
        bound_s: run.bound.map(|bound| bound.fluid_s),
        reference_s: run.bound.map(|bound| bound.reference_s),
        rng_seed: run.rng_seed,
        trace_hash: run.trace_hash,
        warnings: run.warnings.clone(),
        figures: Box::new(figures),
    });
}

fn tell_results(results: &Results, app: &mut App<'_>) {
    let look = app.printer.look();
    let width = look.columns.unwrap_or(100).max(60);
    for line in results_lines(results, look.rates, width) {
        app.printer.line(&line);
    }
    // Said of each run in the report; once is enough here.
    let mut warned = results.runs.iter().flat_map(|run| &run.warnings);
    if let Some(first) = warned.next() {
        let (count, runs) = (1 + warned.count(), results.runs.len());
        let text = match runs {
            1 => first.clone(),
            runs => format!("in {count} of {runs} runs {first}"),
        };
        app.printer.warn("cpu-bound", &text);
    }
}
