"""The plot shows every row, whatever was measured."""

from __future__ import annotations

import pytest
from facts_for_tests import LOOP, computing, facts, row
from PIL import Image

from seqloader.command.bench.recommendation import recommend
from seqloader.command.bench.verdict import judge_bench

pytest.importorskip("matplotlib", reason="the plot needs it")


@pytest.mark.leaks_ok(reason="matplotlib keeps the fonts open that it has used")
@pytest.mark.parametrize(
    "known",
    [
        computing(),
        facts(row(0, 99.0, wait_s=0.01), row(8, 500.0, wait_s=0.0), step_s=0.03),
        facts(row(0, 99.0)),
        facts(row(0, 0.001), row(1, 0.002), loop=LOOP),
    ],
    ids=["computing", "stepped", "no workers", "slow"],
)
def test_a_plot_is_drawn_of(known, tmp_path):
    from seqloader.command.bench.plot import write_plot

    path = tmp_path / "plot.png"

    write_plot(path, "data:Batches", known, judge_bench(known), recommend(known))

    with Image.open(path) as plot:
        assert plot.size == (1430, 676)
        colours = plot.convert("RGB").getcolors(1_000_000)
    assert colours is not None
    assert {(53, 88, 181), (217, 130, 43)} <= {colour for _, colour in colours}
