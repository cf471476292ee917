//! What the runs say, in sentences: how near the bound, at what cost to the seed, against whom.

use super::batch::Batch;
use super::bound::{Bound, Limit};
use super::numbers::{copies, count, counted, percent, plain, seconds};

/// What is said about one contender.
pub(super) struct Verdict {
    /// Who.
    pub(super) contender: String,
    /// The one figure to remember.
    pub(super) figure: String,
    /// What it is.
    pub(super) unit: String,
    /// The rest, in sentences.
    pub(super) sentences: Vec<String>,
}

/// About the batch `own`, beside the others that are shown.
pub(super) fn verdict(own: &Batch<'_>, shown: &[&Batch<'_>]) -> Verdict {
    let last = own.median(|figures| figures.last_s);
    let efficiency = own.median(|figures| figures.efficiency);
    let fetchers = counted(own.fetchers, "fetcher");
    let (figure, unit) = match (efficiency, last) {
        (Some(share), _) => (percent(share), "of the bound".to_owned()),
        (None, Some(last)) => (seconds(last), format!("for {fetchers}")),
        (None, None) => {
            let complete = own.median(|figures| Some(figures.complete as f64));
            let complete = plain(complete.unwrap_or(0.0));
            (complete, format!("of {fetchers} complete"))
        }
    };
    let mut sentences = vec![match last {
        Some(last) => format!(
            "The last of {fetchers} was complete after {}.",
            seconds(last)
        ),
        None => unfinished(own),
    }];
    sentences.extend(shares(own));
    sentences.extend(shown.iter().filter_map(|other| against(own, other)));
    Verdict {
        contender: own.contender.to_owned(),
        figure,
        unit,
        sentences,
    }
}

fn unfinished(own: &Batch<'_>) -> String {
    let (run, figures) = own.typical();
    let (complete, all) = (count(figures.complete), count(figures.fetchers));
    let ended = seconds(run.ended_s);
    format!("Only {complete} of {all} were complete when the run ended after {ended}.")
}

fn shares(own: &Batch<'_>) -> Option<String> {
    let sent = copies(own.median(|figures| Some(figures.seed_copies))?);
    let seeds = own.typical().0.seeds().count();
    let who = if seeds == 1 { "The seed" } else { "The seeds" };
    let sent = format!("{who} sent {sent} copies");
    Some(match own.median(|figures| figures.from_peers) {
        Some(share) => format!(
            "{sent}; {} of what fetchers received came from other fetchers.",
            percent(share)
        ),
        None => format!("{sent}."),
    })
}

/// How much faster `own` was than `other` with as many fetchers.
fn against(own: &Batch<'_>, other: &Batch<'_>) -> Option<String> {
    if own.contender == other.contender || own.fetchers != other.fetchers {
        return None;
    }
    let last = |batch: &Batch<'_>| batch.median(|figures| figures.last_s);
    let ratio = last(other)? / last(own)?;
    (ratio > 1.0).then(|| format!("{} × as fast as {}.", plain(ratio), other.contender))
}

/// What the bound is and where it comes from.
pub(super) fn of_bound(bound: &Bound) -> String {
    let limit = match bound.limit {
        Limit::SeedUpload => "the seeds have to send everything once",
        Limit::SlowestDownload => "the slowest fetcher has to receive everything",
        Limit::TotalUpload => "everybody together has to send a copy for each fetcher",
    };
    format!(
        "Bound T_min {}: {limit}. With whole pieces, T_ref {}. From the seeds alone, as a server \
         does it, {}.",
        seconds(bound.fluid_s),
        seconds(bound.reference_s),
        seconds(bound.server_s),
    )
}
