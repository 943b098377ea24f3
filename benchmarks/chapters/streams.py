"""What does moving a batch from a worker to the consumer cost, from 1.3 KB to 154 MB?

And how much of two cores arrives as decoded photographs?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import pictures
from harness.cases import Case
from peers import Peer

from chapters.cases import paced, peer_streams

PICTURE_NBYTES = 224 * 224 * 3 * 4
JPEG_NBYTES = pictures.BATCH * pictures.RESIZED_PX[0] * pictures.RESIZED_PX[1] * 3


def tiny(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    return [
        *peer_streams("tiny", quick, peers, "Tiny", options={}, batch_nbytes=1280),
        *paced(quick, Case("tiny: a pipe, 64 bytes", "pipe")),
        *_beside("tiny", quick, "Tiny")[-1:],
    ]


def megabyte(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    work = ("Copied", "CopiedInArena")
    streams = peer_streams("1mb", quick, peers, *work, options={}, batch_nbytes=1 << 20)
    return [*streams, *_beside("1mb", quick, "Copied")]


def images(
    quick: bool, peers: Sequence[Peer], chapter: str = "images", batch: int = 64
) -> list[Case]:
    # Until every block of a queue of 8, of the workers and of the consumer was used: the first use
    # of shared memory takes far longer than any other.
    warmup: Any = {"warmup_batches": 4 if quick else 24}
    options, nbytes = {"batch": batch}, batch * PICTURE_NBYTES
    work = ("Images", "ImagesInArena")
    streams = peer_streams(
        chapter, quick, peers, *work, options=options, batch_nbytes=nbytes, **warmup
    )
    return [*streams, *_beside(chapter, quick, "Images", **options)]


def large(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    return images(quick, peers, "large", 256)


def _beside(chapter: str, quick: bool, workload: str, **options: Any) -> list[Case]:
    """The machine's limits for such batches, and what our own check of one costs."""

    def case(label: str, measure: str, **more: Any) -> Case:
        return Case(f"{chapter}: {label}", measure, "none", workload, options, **more)

    return paced(
        quick,
        case("limit, 1 process", "bandwidth", workers=1),
        case("limit, 2 processes", "bandwidth", workers=2),
        case("the check of a batch", "own_cost", max_rounds=1),
    )


def jpeg(quick: bool, peers: Sequence[Peer]) -> list[Case]:
    times: Any = {"warmup_s": 0.3 if quick else 0.6, "measure_s": 1.0 if quick else 3.0}
    work, nbytes = ("Pictures", "PicturesInArena"), 10 * JPEG_NBYTES
    streams = peer_streams("jpeg", quick, peers, *work, options={}, batch_nbytes=nbytes, **times)
    name = "jpeg: 2 independent loops at once"
    return [*streams, Case(name, "loops", workload=work[0], workers=2, **times)]
