"""What does moving a batch from a worker to the consumer cost, from 1.3 KB to 154 MB?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from harness.cases import Case
from harness.chapter import Chapter, Column, Plot
from harness.judge import Judge
from harness.verdict import Row
from peers import Peer

from chapters.cases import IN_EMPTY, paced, peer_streams

__all__ = ["IMAGES", "LARGE", "MEGABYTE", "TINY"]

FEW = ("loop", "Pool.imap", "torch tensors", "SPDL arena", "seqloader")  # of --quick
TWO = "limit, 2 processes"

GB_PER_S = Column("gb_per_s", "GB/s")
BATCHES_PER_S = Column("batches_per_s", "batches/s")
MEMORY = Column("memory_mb", "memory MB")
IN_US = (Column("consumer_us", "consumer CPU us/batch"), Column("all_us", "all CPU us/batch"))
IN_MS = (
    Column("consumer_us", "consumer CPU ms/batch", 1e-3),
    Column("all_us", "all CPU ms/batch", 1e-3),
)
CHECK = Column("check_us", "our check us/batch")
BANDWIDTH = (
    Column("fill_gb_per_s", "fill GB/s"),
    Column("copy_gb_per_s", "copy GB/s"),
    Column("fill_and_copy_gb_per_s", "fill, then copy GB/s"),
    Column("copy_and_copy_gb_per_s", "copy, then copy GB/s"),
)


def _beside(
    chapter: str, quick: bool, workload: str, options: Mapping[str, Any], *, limits: bool = True
) -> list[Case]:
    """The machine's limits for such batches, and what our own check of one costs."""

    def case(label: str, measure: str, **more: Any) -> Case:
        name = f"{chapter}: {label}"
        return Case(name, measure, workload=workload, workload_options=options, **more)

    measured = [case("limit, 1 process", "bandwidth", workers=1), case(TWO, "bandwidth", workers=2)]
    check = case("the check of a batch", "own_cost", max_rounds=1)
    return paced(quick, *(measured if limits else []), check)


# --- tiny --------------------------------------------------------------------------------


def _tiny_cases(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    return [
        *peer_streams("tiny", quick, peers, "Tiny", options={}, batch_nbytes=1280),
        *paced(quick, Case("tiny: a pipe, 64 bytes", "pipe")),
        *_beside("tiny", quick, "Tiny", {}, limits=False),
    ]


def _tiny_rows(judge: Judge) -> list[Row]:
    reason = (
        "A hand-over is a few microseconds of Python in the consumer, which is the busiest of three"
        " processes on two cores: whatever else runs there meanwhile takes from it first, and shows"
        " in the spread."
    )
    return [judge.times_best("tiny, 1.3 KB", 4, "batches_per_s", "batches/s", reason=reason)]


TINY = Chapter(
    name="tiny",
    title="Tiny batches: what a hand-over costs",
    text=(
        "A batch is (32, 8) float32 and (32,) int64 made by `np.full`, about 1.3 KB. Computing it"
        " takes a few microseconds, so what is measured is the hand-over. No loader beats the plain"
        " loop here; the loop says how little the work is."
    ),
    cases=_tiny_cases,
    columns=(BATCHES_PER_S, *IN_US, MEMORY),
    plots=(Plot(BATCHES_PER_S),),
    rows=_tiny_rows,
    beside=(
        CHECK,
        Column("pipe_write_read_us", "write + read us"),
        Column("pipe_round_trip_us", "round trip us"),
    ),
)


# --- 1 MB --------------------------------------------------------------------------------


def _megabyte_cases(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    work = ("Copied", "CopiedInArena")
    streams = peer_streams("1mb", quick, peers, *work, options={}, batch_nbytes=1 << 20)
    return [*streams, *_beside("1mb", quick, "Copied", {})]


def _megabyte_rows(judge: Judge) -> list[Row]:
    work, limit = "1 MB, a template copied", (TWO, "copy_and_copy_gb_per_s")
    reason = (
        "The two copies of a batch fill the core's cache, so that the Python code which hands it"
        " over starts cold each time, in the worker as in the consumer: compare the consumer's CPU"
        " for a tiny batch."
    )
    return [judge.times_best(work, 5, "gb_per_s", "GB/s", limit=limit, reason=reason)]


COPY_WORDS = "2 processes: copy, then copy"
MEGABYTE = Chapter(
    name="1mb",
    title="1 MB batches",
    text=(
        "A batch is a copy of a template of 1 MiB with its index written into every page, and 32"
        " labels. The limit for a loader that copies into shared memory is a copy of the template"
        " and a second one into a buffer that is already mapped."
    ),
    cases=_megabyte_cases,
    columns=(GB_PER_S, BATCHES_PER_S, *IN_US, MEMORY),
    plots=(
        Plot(GB_PER_S, limit=TWO, limit_figure="copy_and_copy_gb_per_s", limit_words=COPY_WORDS),
    ),
    rows=_megabyte_rows,
    beside=(*BANDWIDTH, CHECK),
    quick_peers=FEW,
)


# --- 38.5 MB and 154 MB ------------------------------------------------------------------

PICTURE_NBYTES = 224 * 224 * 3 * 4


def _image_cases(chapter: str, pictures: int, quick: bool, peers: Sequence[Peer]) -> list[Case]:
    options = {"batch": pictures}
    streams = peer_streams(
        chapter,
        quick,
        peers,
        "Images",
        "ImagesInArena",
        options=options,
        batch_nbytes=pictures * PICTURE_NBYTES,
        # Until every block of a queue of 8, of the workers and of the consumer was used: the
        # first use of shared memory takes far longer than any other.
        warmup_batches=4 if quick else 24,
    )
    return [*streams, *_beside(chapter, quick, "Images", options)]


def _image_rows(judge: Judge, words: str, ratio: float, ratio_in_empty: float) -> list[Row]:
    what, copied, filled = ("gb_per_s", "GB/s"), "fill_and_copy_gb_per_s", "fill_gb_per_s"
    full, empty = f"{words} by np.full", f"{words} in seqloader.empty"
    return [
        judge.times_best(full, ratio, *what, limit=(TWO, copied)),
        judge.times_best(empty, ratio_in_empty, *what, label=IN_EMPTY, limit=(TWO, filled)),
    ]


FILL_WORDS = "2 processes that only fill"
IMAGE_PLOT = Plot(GB_PER_S, limit=TWO, limit_figure="fill_gb_per_s", limit_words=FILL_WORDS)
IMAGE_TEXT = (
    " The limit for a loader that copies into shared memory is a fill of one buffer and its copy"
    " into another that is already mapped; built in `seqloader.empty`, the fill alone."
)
CPU_REASON = (
    "Both read one element of every page, which is nearly all of it; ours adds the Python code of a"
    " hand-over that recovers from dead workers."
)

IMAGES = Chapter(
    name="images",
    title="Images, 38.5 MB a batch",
    text=("A batch is (64, 224, 224, 3) float32 filled by `np.full`, and 64 labels." + IMAGE_TEXT),
    cases=lambda quick, peers: _image_cases("images", 64, quick, peers),
    columns=(GB_PER_S, BATCHES_PER_S, *IN_MS, MEMORY),
    plots=(IMAGE_PLOT, Plot(IN_MS[0], more_is_better=False, suffix="-consumer")),
    rows=lambda judge: [
        *_image_rows(judge, "images, 38.5 MB,", 1.3, 3),
        judge.not_above_best(
            "images, consumer CPU a batch", "consumer_us", "ms", 1e-3, reason=CPU_REASON
        ),
    ],
    beside=(*BANDWIDTH, CHECK),
)

LARGE = dataclasses.replace(
    IMAGES,
    name="large",
    title="Large batches, 154 MB each",
    text="The same with 256 pictures a batch." + IMAGE_TEXT,
    cases=lambda quick, peers: _image_cases("large", 256, quick, peers),
    plots=(IMAGE_PLOT,),
    rows=lambda judge: _image_rows(judge, "large, 154 MB,", 1.1, 2),
    quick_peers=("loop", "SPDL arena", "seqloader"),
)
