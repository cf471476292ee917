//! The report as one page that needs nothing beside itself: no script, no font, no network.

use maud::{DOCTYPE, Markup, PreEscaped, html as markup};

use super::batch::{batches, largest};
use super::chart::{Chart, STYLE, Shape, charts};
use super::numbers::tied;
use super::results::{Kind, Results};
use super::summary::{setup, title, warnings};
use super::table::{Table, of_batches, of_groups};
use super::verdict::{Verdict, of_bound, verdict};

const PAGE_STYLE: &str = include_str!("page.css");

/// The content of `report.html`.
pub fn html(results: &Results) -> String {
    let batches = batches(results);
    let shown = largest(&batches);
    let title = title(results, &batches);
    let bound = shown.iter().find_map(|batch| batch.runs[0].0.bound);
    let groups = of_groups(&batches);
    let kind = match results.kind {
        Kind::Sim => "Simulation: the code that ships, in virtual time",
        Kind::Bench => "Benchmark: real sockets on one machine",
    };
    let page = markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · swarm" }
                style { (PreEscaped(PAGE_STYLE)) (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.kind { (kind) }
                    h1 { (title) }
                    pre tabindex="0" aria-label="the command that repeats it" { code { (results.command) } }
                }
                main {
                    @for warning in warnings(results) {
                        p.warning role="note" { strong { "Warning: " } (tied(&warning)) }
                    }
                    section.verdicts aria-label="verdict" {
                        @for batch in &shown { (card(&verdict(batch, &shown))) }
                    }
                    @if let Some(bound) = bound { p.bound { (tied(&of_bound(&bound))) } }
                    @for chart in charts(results) { (figure(&chart)) }
                    section {
                        h2 { "All figures" }
                        (table(&of_batches(&batches), "figures of all runs"))
                    }
                    @if !groups.rows.is_empty() {
                        section {
                            h2 { "By behaviour" }
                            (table(&groups, "completion by behaviour"))
                        }
                    }
                    section {
                        h2 { "Setup" }
                        dl { @for (name, value) in setup(results) { div { dt { (name) } dd { (value) } } } }
                    }
                    (how_to_read())
                }
            }
        }
    };
    page.into_string()
}

fn card(verdict: &Verdict) -> Markup {
    markup! {
        article {
            h2 { (verdict.contender) }
            p.big { strong { (tied(&verdict.figure)) } " " (verdict.unit) }
            @for sentence in &verdict.sentences { p { (tied(sentence)) } }
        }
    }
}

fn figure(chart: &Chart) -> Markup {
    markup! {
        figure {
            h2 { (chart.title) }
            (chart.svg(Shape::Wide))
            (chart.svg(Shape::Narrow))
            figcaption { (tied(&chart.caption)) }
        }
    }
}

fn table(table: &Table, what: &str) -> Markup {
    let class = |is_text: bool| if is_text { "text" } else { "number" };
    markup! {
        div.scroll role="region" tabindex="0" aria-label=(what) {
            table {
                thead { tr {
                    @for column in &table.columns {
                        th scope="col" class=(class(column.is_text))
                            title=[(!column.meaning.is_empty()).then_some(column.meaning)] {
                            (column.name)
                        }
                    }
                } }
                tbody { @for row in &table.rows { tr {
                    @for (cell, column) in row.iter().zip(&table.columns) {
                        td class=(class(column.is_text)) { (cell) }
                    }
                } } }
            }
        }
        details {
            summary { "What the columns mean" }
            dl { @for column in table.columns.iter().filter(|column| !column.meaning.is_empty()) {
                div { dt { (column.name) } dd { (column.meaning) } }
            } }
        }
    }
}

fn how_to_read() -> Markup {
    markup! {
        section {
            h2 { "How to read this" }
            p {
                "The bound is the least time in which everybody can be complete, whatever the \
                 protocol (Kumar and Ross, 2006): "
                code { "T_min = max{ F/u(S), F/d_min, N·F/(u(S)+u(L)) }" }
                " for content of F bytes, seeds that send u(S) and N fetchers that send u(L) \
                 together, the slowest of which receives d_min. Nothing is faster; 100 % is \
                 perfect."
            }
            p {
                "A fetcher can pass a piece on only when it has all of it. So the last piece needs \
                 about ⌊log2 N⌋ more hops of one piece (P bytes at u) to be everywhere (Mundinger, \
                 Weber and Weiss, 2008): "
                code { "T_ref = T_min + ⌊log2 N⌋·P/u" }
                ". For unequal rates, u is the largest one."
            }
            p {
                "Times count from the moment that a fetcher joined. Medians and 95 % are completions \
                 that occurred (nearest rank). Efficiency needs a common start; without one it is \
                 left out."
            }
        }
    }
}
