//! The report in all its forms, on results that look like real ones.

#[path = "report/sample.rs"]
mod sample;

use insta::assert_snapshot;
use proptest::prelude::*;
use roxmltree::{Document, Node};
use swarm::report::render::{compare, html, summary_md, svgs};
use swarm::report::{Kind, Results};

use sample::{Wish, fan_out, http, results, riders, run, swarm, sweep};

fn names(results: &Results) -> Vec<String> {
    svgs(results).into_iter().map(|(name, _)| name).collect()
}

/// The page as XML: its only elements without an end are `meta`.
fn as_xml(page: &str) -> String {
    let body = page.strip_prefix("<!DOCTYPE html>").expect("opens as HTML");
    let mut out = String::new();
    for (at, part) in body.split("<meta ").enumerate() {
        match part.split_once('>') {
            Some((attributes, rest)) if at > 0 => {
                for part in ["<meta ", attributes, "/>", rest] {
                    out += part;
                }
            }
            _ => out += part,
        }
    }
    out
}

#[test]
fn the_summary_of_a_fan_out_reads_well() {
    assert_snapshot!(summary_md(&fan_out()));
}

#[test]
fn the_summary_of_free_riders_tells_behaviours_apart() {
    assert_snapshot!(summary_md(&riders()));
}

#[test]
fn each_picture_is_drawn_when_there_is_something_to_draw() {
    let fan_out = [
        "completion.svg",
        "completion-close.svg",
        "piece-copies.svg",
        "who-feeds-whom.svg",
        "who-feeds-whom-2.svg",
    ];
    assert_eq!(names(&self::fan_out()), fan_out);
    let several = names(&sweep(4));
    assert!(
        several.contains(&"time-by-fetchers.svg".to_owned()),
        "{several:?}"
    );
    assert!(
        several.contains(&"copies-by-fetchers.svg".to_owned()),
        "{several:?}"
    );
    assert!(names(&results(Kind::Sim, "swarm sim", Vec::new())).is_empty());
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_else() {
    for results in [fan_out(), sweep(5), riders()] {
        let page = html(&results);
        let xml = as_xml(&page);
        let document = Document::parse(&xml).expect("well-formed");
        let element = |name: &str| {
            let found = document
                .descendants()
                .filter(|node| node.has_tag_name(name));
            found.count()
        };
        assert_eq!(element("h1"), 1);
        assert_eq!(element("script") + element("link") + element("img"), 0);
        for node in document.descendants() {
            for forbidden in ["src", "href", "onload", "onclick"] {
                assert!(node.attribute(forbidden).is_none());
            }
        }
        for outside in ["url(", "@import", "https:"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let links = page.matches("http://").count();
        let spaces = page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count();
        assert_eq!(links, spaces);
    }
}

#[test]
fn ids_on_the_page_are_unique_and_every_label_exists() {
    let xml = as_xml(&html(&fan_out()));
    let document = Document::parse(&xml).expect("well-formed");
    let mut ids: Vec<&str> = document
        .descendants()
        .filter_map(|node| node.attribute("id"))
        .collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
    let labelled = document
        .descendants()
        .filter_map(|node| node.attribute("aria-labelledby"));
    for label in labelled.flat_map(str::split_whitespace) {
        assert!(ids.contains(&label), "{label}");
    }
}

#[test]
fn every_picture_is_a_file_of_its_own_with_a_title_and_a_description() {
    for (name, svg) in svgs(&fan_out()).into_iter().chain(svgs(&sweep(5))) {
        let document = Document::parse(&svg).expect("well-formed");
        let root = document.root_element();
        assert_eq!(root.attribute("role"), Some("img"), "{name}");
        let text_of = |tag: &str| {
            let found = root.children().find(|node| node.tag_name().name() == tag);
            found.and_then(|node| node.text()).unwrap_or_default().len()
        };
        assert!(text_of("title") > 5 && text_of("desc") > 20, "{name}");
        assert!(svg.contains("prefers-color-scheme:dark"), "{name}");
    }
}

#[test]
fn names_cannot_break_out_of_the_page_or_the_table() {
    let mut results = fan_out();
    let evil = "<script>alert(1)</script>|\"'&\n# x";
    for run in &mut results.runs {
        run.contender = evil.to_owned();
        run.warnings = vec![evil.to_owned()];
        for host in &mut run.hosts {
            host.name = evil.to_owned();
        }
    }
    results.command = "```\n# evil".to_owned();
    let page = html(&results);
    assert!(!page.contains("<script"));
    Document::parse(&as_xml(&page)).expect("well-formed");
    for (_, svg) in svgs(&results) {
        Document::parse(&svg).expect("well-formed");
    }
    let summary = summary_md(&results);
    assert_eq!(
        summary.matches("<script").count(),
        summary.matches("\\<script").count()
    );
    let rows = summary.lines().filter(|line| line.starts_with('|'));
    let bars: Vec<usize> = rows
        .map(|row| row.matches('|').count() - row.matches("\\|").count())
        .collect();
    assert!(bars.iter().all(|count| *count == bars[0]), "{bars:?}");
    assert!(!summary.lines().any(|line| line == "# evil"));
}

/// Where a text stands, with a width that a narrow font would need at least.
struct Placed {
    text: String,
    left: f64,
    right: f64,
    baseline: f64,
}

fn placed(node: Node<'_, '_>) -> Placed {
    let number = |node: Node<'_, '_>, name: &str| -> f64 {
        node.attribute(name)
            .map_or(0.0, |value| value.parse().expect("well-formed"))
    };
    let (mut x, mut y) = (number(node, "x"), number(node, "y"));
    for above in node.ancestors() {
        let moved = above
            .attribute("transform")
            .and_then(|text| text.strip_prefix("translate("));
        if let Some((dx, dy)) = moved.and_then(|text| text.trim_end_matches(')').split_once(' ')) {
            x += dx.parse::<f64>().expect("well-formed");
            y += dy.parse::<f64>().expect("well-formed");
        }
    }
    let letters = node.descendants().filter(Node::is_text);
    let text: String = letters.filter_map(|part| part.text()).collect();
    let width = 6.3 * text.chars().count() as f64;
    let left = match node.attribute("text-anchor") {
        Some("end") => x - width,
        Some("middle") => x - width / 2.0,
        _ => x,
    };
    Placed {
        text,
        left,
        right: left + width,
        baseline: y,
    }
}

/// Texts of a picture that lie on each other or outside of it.
fn collisions(svg: Node<'_, '_>) -> Vec<String> {
    let width: f64 = svg
        .attribute("viewBox")
        .expect("well-formed")
        .split(' ')
        .nth(2)
        .expect("well-formed")
        .parse()
        .expect("well-formed");
    let texts = svg
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")));
    let texts: Vec<Placed> = texts.map(placed).collect();
    let mut found = Vec::new();
    for (at, one) in texts.iter().enumerate() {
        if one.left < -1.0 || one.right > width + 1.0 {
            found.push(format!("{} is cut off", one.text));
        }
        for other in &texts[at + 1..] {
            let beside = one.right <= other.left || other.right <= one.left;
            if !beside && (one.baseline - other.baseline).abs() < 12.0 {
                found.push(format!("{} on {}", one.text, other.text));
            }
        }
    }
    found
}

fn check_pictures(results: &Results) {
    let xml = as_xml(&html(results));
    let document = Document::parse(&xml).expect("well-formed");
    for svg in document
        .descendants()
        .filter(|node| node.tag_name().name() == "svg")
    {
        let found = collisions(svg);
        let class = svg.attribute("class").expect("well-formed");
        let title = svg
            .children()
            .find(|node| node.tag_name().name() == "title");
        let title = title.and_then(|node| node.text()).expect("well-formed");
        assert!(found.is_empty(), "{class}, {title}: {found:?}");
    }
}

#[test]
fn no_text_lies_on_another() {
    for most in 2..=9 {
        check_pictures(&sweep(most));
    }
    for results in [fan_out(), riders()] {
        check_pictures(&results);
    }
}

#[test]
fn warnings_that_differ_in_numbers_only_are_said_once() {
    let mut results = fan_out();
    for (at, run) in results.runs.iter_mut().enumerate() {
        run.warnings = vec![format!("the processor was {at} % busy")];
    }
    results.runs[2]
        .warnings
        .push("the disk was slow".to_owned());
    let summary = summary_md(&results);
    let warnings: Vec<&str> = summary
        .lines()
        .filter(|line| line.starts_with("> "))
        .collect();
    assert_eq!(
        warnings,
        [
            "> **Warning:** the processor was 0 % busy (the first of 6 such warnings in 6 runs)",
            "> **Warning:** the disk was slow",
        ]
    );
    assert_eq!(html(&results).matches("role=\"note\"").count(), 2);
}

#[test]
fn many_contenders_with_long_names_fit_too() {
    let named = [
        "swarm",
        "swarm with an optimistic slot for every tenth peer",
        "aria2 1.36.0",
        "libtorrent 2.0.11 with all of its defaults left alone",
        "transmission",
        "rqbit",
        "http",
        "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
    ];
    let runs = [4, 8, 16].into_iter().flat_map(|n| {
        named.into_iter().map(move |contender| {
            let efficiency = 0.9 - 0.01 * contender.len() as f64;
            run(Wish {
                contender,
                efficiency,
                ..swarm(n, 9)
            })
        })
    });
    check_pictures(&results(Kind::Bench, "swarm bench", runs.collect()));
}

#[test]
fn runs_without_bound_end_or_samples_still_make_a_report() {
    let mut results = fan_out();
    for run in &mut results.runs {
        run.bound = None;
        run.samples.clear();
        run.overhead = None;
        run.hosts[3].completed_s = None;
        run.hosts[4].completed_s = None;
        run.hosts[4].left_s = Some(3.0);
    }
    check_pictures(&results);
    let summary = summary_md(&results);
    assert!(summary.contains("Only 13 of 15 were complete"), "{summary}");
    for run in &mut results.runs {
        for host in run.hosts.iter_mut().skip(1) {
            host.completed_s = None;
        }
    }
    check_pictures(&results);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_was_recorded_makes_a_report(
        counts in prop::collection::vec(1_usize..90, 1..4),
        efficiency in 0.001_f64..1.0,
        size in 1_u64..1 << 42,
        seed in 0_u64..1000,
    ) {
        let wish = |n: usize, contender| Wish { contender, size, efficiency, ..swarm(n, seed) };
        let runs = counts.iter().flat_map(|n| [run(wish(*n, "swarm")), run(wish(*n, "http"))]);
        let mut results = results(Kind::Sim, "swarm sim", runs.collect());
        results.setup.size = size;
        check_pictures(&results);
        for text in [summary_md(&results), html(&results)] {
            prop_assert!(!text.contains("NaN") && !text.contains(">inf"));
        }
        prop_assert_eq!(Results::from_json(&results.to_json()).expect("well-formed"), results);
    }
}

#[test]
fn a_slower_run_is_told_with_how_much_and_what_else_differs() {
    let mut old = results(
        Kind::Sim,
        "swarm sim",
        vec![
            run(swarm(4, 1)),
            run(swarm(8, 1)),
            run(http(4, 1)),
            run(http(2, 1)),
        ],
    );
    let mut new = results(
        Kind::Sim,
        "swarm sim",
        vec![
            run(swarm(4, 1)),
            run(swarm(8, 1)),
            run(http(4, 1)),
            run(http(8, 1)),
        ],
    );
    for host in &mut new.runs[1].hosts {
        host.completed_s = host.completed_s.map(|at| at * 1.08);
    }
    for host in &mut new.runs[2].hosts {
        host.completed_s = host.completed_s.map(|at| at * 0.9);
    }
    let comparison = compare(&old, &new, 0.05);
    assert!(!comparison.is_fine());
    assert_snapshot!(comparison, @r"
    ok      swarm, 4 fetchers: 28.4 s → 28.4 s, the same
    SLOWER  swarm, 8 fetchers: 28.4 s → 30.7 s, 8.0 % slower
    ok      http, 4 fetchers: 109.6 s → 98.6 s, 10.0 % faster
    only before: http with 2 fetchers
    only now: http with 8 fetchers
    1 of 3 slower by more than 5.0 %
    ");
    assert!(compare(&old, &new, 0.1).is_fine());
    old.setup.piece_length = 512 * 1024;
    old.setup.parameters = old.setup.parameters.with("rtt", "20 ms");
    new.runs[0].hosts[1].completed_s = None;
    assert_snapshot!(compare(&old, &new, 0.1), @r"
    SLOWER  swarm, 4 fetchers: 28.4 s → never, does not finish any more
    ok      swarm, 8 fetchers: 28.4 s → 30.7 s, 8.0 % slower
    ok      http, 4 fetchers: 109.6 s → 98.6 s, 10.0 % faster
    only before: http with 2 fetchers
    only now: http with 8 fetchers
    setups differ: piece length was 524288, is 262144
    setups differ: rtt was 20 ms, is not given
    1 of 3 slower by more than 10.0 %
    ");
}

#[test]
fn a_comparison_of_nothing_is_not_fine() {
    let one = results(Kind::Sim, "swarm sim", vec![run(swarm(4, 1))]);
    let other = results(Kind::Bench, "swarm bench", vec![run(swarm(5, 1))]);
    let comparison = compare(&one, &other, 0.05);
    assert!(!comparison.is_fine());
    assert_snapshot!(comparison, @r"
    only before: swarm with 4 fetchers
    only now: swarm with 5 fetchers
    setups differ: one was simulated, the other measured
    nothing to compare: no contender and number of fetchers in both
    ");
}

#[test]
fn repeated_runs_are_compared_by_their_median() {
    let runs = |times: [u64; 3]| {
        let runs = times.map(|seed| run(swarm(6, seed)));
        results(Kind::Sim, "swarm sim", runs.into())
    };
    let (old, mut new) = (runs([1, 2, 3]), runs([3, 2, 1]));
    let same = compare(&old, &new, 0.0);
    assert_eq!(same.changes.len(), 1);
    assert_eq!(same.changes[0].slower_by(), Some(0.0));
    // One outlier does not move a median of three by much.
    for host in &mut new.runs[0].hosts {
        host.completed_s = host.completed_s.map(|at| at * 10.0);
    }
    assert!(compare(&old, &new, 0.05).is_fine());
}
