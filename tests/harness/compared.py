"""What follows from the runs of `fanout`: the figures that people compare, and their table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

# From these on, a run says more about the machine than about the client.
STEAL_MAX = 0.05
# Of a process's time, in which it was ready and had no core; mean of all.
WAITED_MAX = 0.1


def derive(run: dict[str, Any], session: dict[str, Any]) -> dict[str, Any]:
    """The figures of one run."""
    done = sorted(run["completed_s"])
    size, fetchers = session["size"], session["fetchers"]
    figures = {
        "first_s": done[0],
        "median_s": statistics.median(done),
        "last_s": done[-1],
        "copies": run["sent"][-1][0] / size,
        "cpu_s_per_gib": run["cpu_s"] / (size * fetchers / 2**30),
        "mib_per_s": fetchers * size / 2**20 / done[-1],
        "noisy": noise(run),
    }
    if session["link"] is not None:
        figures["efficiency_link"] = bound(session, session["link"] / 8) / done[-1]
        figures["efficiency_payload"] = bound(session, session["uplink_payload"]) / done[-1]
        figures["uplinks"] = where_time_went(run, session["uplink_counted"])
    return figures


def bound(session: dict[str, Any], rate: float) -> float:
    """`T_min` = max{F/u(S), N·F/(u(S)+u(L))}: one seed, equal uplinks, downlinks without limit."""
    size, fetchers = session["size"], session["fetchers"]
    return max(size / rate, fetchers * size / ((fetchers + 1) * rate))


def noise(run: dict[str, Any]) -> str:
    """Why the run should be taken with care, or nothing."""
    said = []
    waited = statistics.fmean(run["waited_s"]) / max(run["completed_s"])
    if waited > WAITED_MAX:
        said.append(f"waited for a core {waited:.0%} of the time")
    if run["steal"] > STEAL_MAX:
        said.append(f"{run['steal']:.0%} stolen")
    return ", ".join(said)


def where_time_went(run: dict[str, Any], rate: float) -> dict[str, Any]:
    """How full the seed's uplink and all uplinks together were, until the last was complete."""
    last = max(run["completed_s"])
    spans = []
    for index in range(1, len(run["sent"])):
        start, end = run["sample_s"][index - 1], run["sample_s"][index]
        if start < 0 or start > last:
            continue
        sent = [b - a for a, b in zip(run["sent"][index - 1], run["sent"][index])]
        full = rate * (end - start)
        spans.append((start, end - start, sent[0] / full, sum(sent) / len(sent) / full))

    def tenths(which: int) -> list[float]:
        within = [[] for _ in range(10)]
        for span in spans:
            within[min(9, int(10 * span[0] / last))].append(span[which])
        return [round(statistics.fmean(part), 3) if part else 0.0 for part in within]

    def reached(which: int, share: float) -> float | None:
        return next((span[0] for span in spans if span[which] >= share), None)

    return {
        # Seconds of a full uplink that were not used.
        "seed_unused_s": sum(span[1] * max(0.0, 1 - span[2]) for span in spans),
        "all_unused_s": sum(span[1] * max(0.0, 1 - span[3]) for span in spans),
        "seed_half_full_from_s": reached(2, 0.5),
        "all_half_full_from_s": reached(3, 0.5),
        "all_nine_tenths_full_from_s": reached(3, 0.9),
        "seed_by_tenth": tenths(2),
        "all_by_tenth": tenths(3),
    }


def markdown(session: dict[str, Any], runs: Sequence[dict[str, Any]]) -> str:
    """The table, its heading with the conditions, and what to beware of."""
    clients = list(dict.fromkeys(run["client"] for run in runs))
    lines = [heading(session), "", *table(session, runs, clients)]
    lines += ["", *ratios(runs, clients)] if len(clients) > 1 else []
    lines += ["", *filled(runs, clients)] if session["link"] is not None else []
    noisy = [
        f"- round {run['round']}, {run['client']}: {run['figures']['noisy']}"
        for run in runs
        if run["figures"]["noisy"]
    ]
    lines += ["", "Runs in which the machine may have been the limit:", *noisy] if noisy else []
    lines += [f"- failed: {text}" for text in session["failed"]]
    return "\n".join(lines) + "\n"


def heading(session: dict[str, Any]) -> str:
    """The conditions, and the two values of the bound with their meaning."""
    size = f"{session['size'] / 2**20:g} MiB"
    fetchers = f"{session['fetchers']} fetcher" + "s" * (session["fetchers"] > 1)
    pieces = f"{session['piece_size'] >> 10} KiB"
    if session["link"] is None:
        return f"### 1 seed, {fetchers}, {size}, no limit, pieces of {pieces}"
    wire, payload = session["link"] / 8, session["uplink_payload"]
    return "\n".join(
        [
            f"### 1 seed, {fetchers}, {size}, every uplink "
            f"{session['link'] / 1e6:g} Mbit/s, pieces of {pieces}",
            "",
            f"T_min {bound(session, wire):.2f} s with u = the rate of the link "
            f"({wire / 2**20:.2f} MiB/s); {bound(session, payload):.2f} s with u = what one plain "
            f"TCP transfer carries through the same queue ({payload / 2**20:.2f} MiB/s, "
            f"{payload / wire:.1%}). The difference is the headers of Ethernet, IP and TCP.",
        ]
    )


def spread(values: Sequence[float], form: str) -> str:
    """Median, and least to most if there is more than one value."""
    median = format(statistics.median(values), form)
    if len(values) == 1:
        return median
    return f"{median} ({format(min(values), form)}–{format(max(values), form)})"


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body]]


def table(
    session: dict[str, Any], runs: Sequence[dict[str, Any]], clients: Sequence[str]
) -> list[str]:
    """One row per client: median (min–max) of its rounds."""
    shaped = session["link"] is not None
    wanted = {"first, s": ("first_s", ".1f"), "median, s": ("median_s", ".1f")}
    wanted["last, s"] = ("last_s", ".1f")
    if shaped:
        wanted["T_min/last, u = link"] = ("efficiency_link", ".1%")
        wanted["T_min/last, u = payload"] = ("efficiency_payload", ".1%")
        wanted["seed sent, copies"] = ("copies", ".2f")
    else:
        wanted["MiB/s"] = ("mib_per_s", ".0f")
    wanted["CPU-s/GiB"] = ("cpu_s_per_gib", ".2f")
    body = []
    for client in clients:
        figures = [run["figures"] for run in runs if run["client"] == client]
        cells = [spread([one[key] for one in figures], form) for key, form in wanted.values()]
        body.append([session["versions"][client], str(len(figures)), *cells])
    return rows(["client", "rounds", *wanted], body)


def ratios(runs: Sequence[dict[str, Any]], clients: Sequence[str]) -> list[str]:
    """How much later than the first client the others had their last fetcher done, by round."""
    first, *others = clients
    last = {(run["round"], run["client"]): run["figures"]["last_s"] for run in runs}
    rounds = sorted({number for number, _ in last})
    body = []
    for other in others:
        both = [n for n in rounds if (n, other) in last and (n, first) in last]
        each = [last[n, other] / last[n, first] for n in both]
        if each:
            body.append([other, spread(each, ".2f"), ", ".join(f"{one:.2f}" for one in each)])
    return rows([f"last done, by {first} in the same round", "ratio", "each round"], body)


def filled(runs: Sequence[dict[str, Any]], clients: Sequence[str]) -> list[str]:
    """How full the uplinks were, in tenths of each client's middle run."""
    body = []
    for client in clients:
        own = sorted(
            (run["figures"] for run in runs if run["client"] == client),
            key=lambda figures: figures["last_s"],
        )
        links = own[(len(own) - 1) // 2]["uplinks"]
        for who in ["seed", "all"]:
            shares = " ".join(f"{100 * share:.0f}" for share in links[f"{who}_by_tenth"])
            body.append([client, who, f"{links[f'{who}_unused_s']:.1f}", shares])
    head = ["client, middle run", "uplink of", "unused, s", "% full in each tenth of the run"]
    return rows(head, body)
