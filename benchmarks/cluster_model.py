"""How many workers can one consumer feed from, and what do several consumers get?

Simulated   a consumer and its actors, call by call (`harness/cluster.py`), as fast as they can
Varied      batches of 1.3 KB to 154 MB; 1 to 1,000 nodes of 16 actors; 1 to 1,000 ranks
Measured    by `ask.py ray --save`, on one machine: what a call costs the consumer; what it takes to
            read a byte, to write one into a store, and to receive one from another node
Assumed     a worker that makes 50 MB/s, in 0.1 ms at least; two threads that receive, up to 25
            Gbit/s; 0.3 ms to a node; 64 GB of object store; 8 ranks on a machine, which share its
            network and store and nothing else
Not shown   a real network; Ray's head, through which no batch passes; failures

Run         python benchmarks/cluster_model.py [RESULTS.json]     writes docs/cluster-model.md
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from pathlib import Path

from harness.cluster import Cluster, Costs, Outcome, Simulation
from harness.page import fill, markdown
from harness.processes import BENCHMARKS
from harness.report import show_table
from harness.script import parser_of
from harness.tables import Table

from seqloader.command.words import three_digits

COSTS = BENCHMARKS / "results" / "ray_costs.json"
DOCS = BENCHMARKS.parent / "docs"

GB, MB = 1e9, 1e6
SIZES = {"1.3 KB": 1.3e3, "100 KB": 1e5, "1 MB": MB, "10 MB": 1e7, "38.5 MB": 3.85e7}
SIZES |= {"154 MB": 1.54e8}
NODES = (1, 3, 10, 30, 100, 300, 1000)
RANKS = (1, 8, 64, 256, 1000)
ACTORS_A_NODE, RANKS_A_MACHINE, THREADS = 16, 8, 2
NETWORK_S_PER_BYTE, LATENCY_S, STORE_BYTES = 8 / 25e9, 3e-4, 64 * GB

COMPUTE_S = {name: 1e-4 + nbytes / (50 * MB) for name, nbytes in SIZES.items()}

Outcomes = dict[str, dict[int, Outcome]]
"""By the size of a batch, and the number of nodes or ranks."""


def costs_of(path: Path) -> Costs:
    """What `ask.py ray` has measured, as costs: medians over its rounds."""
    runs = json.loads(path.read_text())["runs"]

    def median(case: str, figure: str) -> float:
        found = [run["figures"][figure] for run in runs if run["case"] == case]
        return float(statistics.median(found))

    large, chunk = "38.5 MB: seqloader on Ray", 16  # of 64 in flight, for 2 workers
    alone_s = median("tiny: seqloader on Ray, a call for each", "consumer_us") / 1e6
    chunk_s = chunk * median("tiny: seqloader on Ray", "consumer_us") / 1e6
    # What all processes take beside what they take on one node: half of it is the receiver's.
    sent_s = (median(f"{large}, another node", "all_us") - median(large, "all_us")) / 2e6
    fill_s = SIZES["38.5 MB"] / GB / median("memory, 38.5 MB, 1 process", "fill_gb_per_s")
    return Costs(
        call_s=alone_s,
        batch_s=max(0.0, (chunk_s - alone_s) / (chunk - 1)),
        take_s_per_byte=(median(large, "consumer_us") / 1e6 - alone_s) / SIZES["38.5 MB"],
        store_s_per_byte=(1 / median(f"{large}, 1 worker", "batches_per_s") - fill_s)
        / SIZES["38.5 MB"],
        network_s_per_byte=max(NETWORK_S_PER_BYTE, sent_s / SIZES["38.5 MB"] / THREADS),
        latency_s=LATENCY_S,
    )


def simulated(costs: Costs, shapes: dict[int, tuple[int, int]]) -> Outcomes:
    """Of (nodes, ranks), which have the nodes among them: the rate of all ranks together."""
    return {
        name: {key: together(costs, name, *shape) for key, shape in shapes.items()}
        for name in SIZES
    }


def together(costs: Costs, size: str, nodes: int, ranks: int) -> Outcome:
    share = 1 / min(ranks, RANKS_A_MACHINE)
    actors = nodes * ACTORS_A_NODE // ranks
    cluster = Cluster(actors, ACTORS_A_NODE, STORE_BYTES * share, share)
    one = Simulation(costs, cluster, SIZES[size], COMPUTE_S[size]).run()
    return one._replace(batches_per_s=ranks * one.batches_per_s)


def the_most(outcomes: Outcomes) -> Table:
    """What one consumer gets at the most, from how many workers, and why no more."""
    rows = []
    for name, of_size in outcomes.items():
        rate, busiest, window = of_size[NODES[-1]]
        shown = [three_digits(rate), three_digits(rate * SIZES[name] / GB)]
        shown += [f"{rate * COMPUTE_S[name]:,.0f}", f"{window:,}"]
        rows.append([name, *shown, busiest])
    heads = ["", "batches/s", "GB/s", "workers busy", "window", "because"]
    return Table("One consumer", heads, rows)


def rates(size: str, outcomes: dict[int, Outcome]) -> list[float]:
    """GB/s."""
    return [each.batches_per_s * SIZES[size] / GB for each in outcomes.values()]


def growing(title: str, outcomes: Outcomes, counted: str) -> Table:
    """GB/s, with more and more of something."""
    rows = [[name, *map(three_digits, rates(name, of_size))] for name, of_size in outcomes.items()]
    return Table(title, [counted, *(f"{n:,}" for n in next(iter(outcomes.values())))], rows)


def draw(path: Path, panels: dict[str, Outcomes]) -> None:
    """GB/s over the number of nodes, and over that of ranks."""
    from seqloader.command.plots import bare_axes, picture

    with picture(path, (9.5, 4.2), 130) as figure:
        for axes, (title, outcomes) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            for name, of_size in outcomes.items():
                axes.plot(list(of_size), rates(name, of_size), marker="o", ms=3, label=name)
            axes.set(xscale="log", yscale="log", xlabel=title, ylabel="GB/s")
            bare_axes(axes, grid="both", without=("top", "right"))
        axes.legend(fontsize=8, frameon=False)


def main() -> int:
    """Simulate, print, and write the page."""
    parser = parser_of("cluster_model.py", __doc__)
    parser.add_argument("results", nargs="?", type=Path, metavar="RESULTS.json")
    results = parser.parse_args().results
    if results is not None:
        COSTS.write_text(json.dumps(dataclasses.asdict(costs_of(results)), indent=1) + "\n")
    costs = Costs(**json.loads(COSTS.read_text()))
    alone = simulated(costs, {nodes: (nodes, 1) for nodes in NODES})
    ranks = simulated(costs, {ranks: (NODES[-1], ranks) for ranks in RANKS})
    told = {
        "call": f"{costs.call_s * 1e3:.2f} ms",
        "batch": f"{costs.batch_s * 1e6:.0f} us",
        "reading": f"{costs.take_s_per_byte * MB * 1e6:.0f} us",
        "writing": f"{costs.store_s_per_byte * MB * 1e6:.0f} us",
        "receiving": f"{costs.network_s_per_byte * THREADS * MB * 1e6:.0f} us",
    }
    tables = {
        "most": the_most(alone),
        "nodes": growing("GB/s of one consumer", alone, "nodes"),
        "ranks": growing("GB/s of all ranks together, of 1,000 nodes", ranks, "ranks"),
    }
    for name, table in tables.items():
        show_table(table)
        told[name] = markdown(table)
    page = fill("cluster-model.md", **told)
    (DOCS / "cluster-model.md").write_text(page, encoding="utf-8")
    panels = {"nodes of 16 workers, one consumer": alone, "ranks, 1,000 nodes among them": ranks}
    draw(DOCS / "benchmarks" / "cluster-model.png", panels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
