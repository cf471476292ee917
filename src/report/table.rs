//! The figures of all runs as rows and columns, for every form of the report.
//!
//! A column that nobody has a value for is left out.

use super::batch::Batch;
use super::figures::Figures;
use super::numbers::{copies, count, percent, plain, seconds, size};
use super::run::HONEST;

/// Rows of text below named columns.
pub(super) struct Table {
    /// What each column holds.
    pub(super) columns: Vec<Column>,
    /// One text for each column.
    pub(super) rows: Vec<Vec<String>>,
}

/// What a column holds.
pub(super) struct Column {
    /// Its name.
    pub(super) name: &'static str,
    /// What it means; empty if the name says it.
    pub(super) meaning: &'static str,
    /// Whether it holds words rather than numbers.
    pub(super) is_text: bool,
}

/// Shown where there is no value.
const NOTHING: &str = "–";

/// One row for each batch: times, efficiency, copies, overhead, fairness, cost.
pub(super) fn of_batches(batches: &[Batch<'_>]) -> Table {
    let mut table = Table {
        columns: Vec::new(),
        rows: vec![Vec::new(); batches.len()],
    };
    let repeats = batches.iter().any(|batch| batch.runs.len() > 1);
    let misses = |batch: &Batch<'_>| batch.runs.iter().any(|(_, f)| f.complete < f.fetchers);
    let short = batches.iter().any(misses);
    table.add(batches, "contender", "", |batch| {
        Some(batch.contender.to_owned())
    });
    table.add(batches, "fetchers", "", |batch| Some(count(batch.fetchers)));
    table.add(batches, "runs", "figures are medians over them", |batch| {
        repeats.then(|| count(batch.runs.len()))
    });
    table.add(batches, "complete", "fetchers, in the worst run", |batch| {
        let least = batch.runs.iter().map(|(_, f)| f.complete).min()?;
        short.then(|| count(least))
    });
    table.add(
        batches,
        "left",
        "fetchers that went incomplete, at most",
        |batch| {
            let most = batch.runs.iter().map(|(_, f)| f.left).max()?;
            short.then(|| count(most))
        },
    );
    table.add_medians(batches, &TIMES);
    table.add(
        batches,
        "bound",
        "T_min, the least time that the rates allow",
        |batch| batch.bound_s().map(seconds),
    );
    table.add_medians(batches, &SHARES);
    let given = "of a fetcher: least, median, most";
    table.add(batches, "given/received", given, |batch| {
        let of = |at: usize| batch.median(|f| f.given_received.map(|given| given[at]));
        Some([of(0)?, of(1)?, of(2)?].map(copies).join(" · "))
    });
    table.add_medians(batches, &COSTS);
    let hash = "over every event: equal for two runs of one random seed";
    table.add(batches, "trace hash", hash, |batch| match &batch.runs[..] {
        [(run, _)] if batches.len() > 1 => run.trace_hash.map(|hash| hash.to_string()),
        _ => None,
    });
    table
}

type Figure = fn(&Figures) -> Option<f64>;

/// Name, meaning, value and form of a column of medians.
type Medians = (&'static str, &'static str, Figure, fn(f64) -> String);

const TIMES: [Medians; 4] = [
    ("first", "first completion", |f| f.first_s, seconds),
    ("median", "median completion", |f| f.median_s, seconds),
    ("p95", "95 % are complete", |f| f.p95_s, seconds),
    ("last", "last completion", |f| f.last_s, seconds),
];

const SHARES: [Medians; 9] = [
    ("of bound", "T_min / last", |f| f.efficiency, percent),
    (
        "of reference",
        "T_ref / last, with T_ref = T_min + ⌊log2 N⌋·P/u",
        |f| f.efficiency_reference,
        percent,
    ),
    (
        "seed copies",
        "copies of the content that seeds sent",
        |f| Some(f.seed_copies),
        copies,
    ),
    (
        "from peers",
        "payload that came from other fetchers",
        |f| f.from_peers,
        percent,
    ),
    (
        "duplicate",
        "payload received in vain, of all payload",
        |f| f.duplicate,
        percent,
    ),
    (
        "HAVE",
        "bytes of have messages per byte of payload",
        |f| f.have,
        percent,
    ),
    (
        "requests",
        "bytes of request messages per byte of payload",
        |f| f.request,
        percent,
    ),
    (
        "other",
        "bytes of everything else per byte of payload",
        |f| f.other,
        percent,
    ),
    (
        "Jain",
        "Jain's index of given / received; 1 is equal",
        |f| f.jain,
        plain,
    ),
];

const COSTS: [Medians; 3] = [
    (
        "CPU s/GiB",
        "processor seconds per GiB received",
        |f| f.cpu_s_per_gib,
        plain,
    ),
    (
        "peak RSS",
        "most memory resident, everybody together",
        |f| f.rss_peak,
        size,
    ),
    (
        "RSS/GiB",
        "the same per GiB received",
        |f| f.rss_peak_per_gib,
        size,
    ),
];

/// One row for each behaviour in the typical run of each batch.
pub(super) fn of_groups(batches: &[Batch<'_>]) -> Table {
    let names = [
        ("contender", "", true),
        ("fetchers", "", false),
        ("behaviour", "", true),
        ("hosts", "that play like this", false),
        ("complete", "of them", false),
        ("mean", "completion of those who got everything", false),
        ("median", "completion", false),
        ("last", "completion", false),
        (
            "against honest",
            "mean completion / that of honest fetchers",
            false,
        ),
    ];
    let column = |(name, meaning, is_text)| Column {
        name,
        meaning,
        is_text,
    };
    let mut rows = Vec::new();
    for batch in batches {
        let groups = &batch.typical().1.groups;
        let honest = groups.iter().find(|group| group.behaviour == HONEST);
        let honest = honest.and_then(|group| group.mean_s);
        for group in groups {
            let time = |time: Option<f64>| time.map_or_else(|| NOTHING.to_owned(), seconds);
            let against = group.mean_s.zip(honest).map(|(own, honest)| own / honest);
            rows.push(vec![
                batch.contender.to_owned(),
                count(batch.fetchers),
                group.behaviour.clone(),
                count(group.fetchers),
                count(group.complete),
                time(group.mean_s),
                time(group.median_s),
                time(group.last_s),
                against.map_or_else(|| NOTHING.to_owned(), |ratio| format!("{} ×", plain(ratio))),
            ]);
        }
    }
    Table {
        columns: names.map(column).into(),
        rows,
    }
}

impl Table {
    fn add_medians(&mut self, batches: &[Batch<'_>], columns: &[Medians]) {
        for &(name, meaning, figure, shown) in columns {
            self.add(batches, name, meaning, |batch| {
                batch.median(figure).map(shown)
            });
        }
    }

    fn add(
        &mut self,
        batches: &[Batch<'_>],
        name: &'static str,
        meaning: &'static str,
        value: impl Fn(&Batch<'_>) -> Option<String>,
    ) {
        let values: Vec<Option<String>> = batches.iter().map(value).collect();
        if values.iter().all(Option::is_none) {
            return;
        }
        self.columns.push(Column {
            name,
            meaning,
            is_text: matches!(name, "contender" | "trace hash"),
        });
        for (row, value) in self.rows.iter_mut().zip(values) {
            row.push(value.unwrap_or_else(|| NOTHING.to_owned()));
        }
    }
}
