"""What a dataset cannot do for who uses it, in words that name the cure."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from seqloader.adapters.frameworks import framework
from seqloader.adapters.misfits import warn_if_shards_misfit
from seqloader.errors import SeqloaderWarning
from seqloader.run.shards import shard_of_group

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["ENDED", "Remarks", "refuse_tf_keras", "sharding_by_keras"]

keras = framework("keras", extra="keras", at_least="3.8")
log = logging.getLogger("seqloader")

ENDED = (
    "a pass over this KerasDataset asks for a batch after it was ended: by another fit, evaluate "
    "or predict with the same dataset, for instance in a callback. Make one dataset for each. (It "
    "means nothing where TensorFlow has still read ahead for a fit that was stopped)"
)


def sharding_by_keras() -> str | None:
    """Why Keras' own sharding gives wrong batches, where it is on; None: it is not."""
    distribution = keras.distribution.distribution()
    # Before there was such an attribute, Keras refused whatever is no tf.data.Dataset.
    if distribution is None or not getattr(distribution, "auto_shard_dataset", True):
        return None
    count = getattr(distribution, "num_processes", None) or _processes_with_shards()
    if count < 2:
        return None
    cure = "set distribution.auto_shard_dataset = False"
    if not hasattr(distribution, "auto_shard_dataset"):
        cure = "install a later Keras: this one takes no PyDataset on several processes"
    return (
        f"Keras is to shard the dataset over {count} processes by itself, by the index of a batch, "
        "which a KerasDataset does not use. Let the enqueuer do it, KerasDataset(..., "
        f'shard="auto"), and {cure}'
    )


class Remarks:
    """What is said once for a dataset.

    Args:
        shard_is_given: Whether it is known on purpose which batches are for this process.
    """

    def __init__(self, *, shard_is_given: bool) -> None:
        self._expected = 0
        self._said_order = self._said_missing = False
        self._said_shards = shard_is_given

    def on_shards(self, enqueuer: Any) -> None:
        """Keras is about to train."""
        if self._said_shards or enqueuer.shard[1] > 1:
            return
        count = _processes_with_shards()
        if count == 1:
            return
        self._said_shards = True
        warn_if_shards_misfit(
            enqueuer,
            count,
            "shard=(0, 1) only where each is to have them all, as for a validation",
        )

    def on_order(self, index: int) -> None:
        """Keras asks for the batch with that index."""
        if index == 0:
            self._expected = 0
        if index != self._expected and not self._said_order:
            self._said_order = True
            log.info(
                "fit(shuffle=True), which is Keras' default, does not change the order of a "
                "KerasDataset: that is the enqueuer's. KerasDataset(..., shuffle=True) permutes "
                "the batches anew in each epoch"
            )
        self._expected = index + 1

    def on_missing(self, epoch: int, steps: int | None) -> None:
        """That epoch is over, before Keras has had as many batches."""
        if self._said_missing:
            return
        self._said_missing = True
        warnings.warn(
            SeqloaderWarning(
                f"Keras was told that epoch {epoch} has {steps} batches, and some of them were "
                f"None or skipped: its steps are filled up with the first batches of epoch "
                f"{epoch + 1}, and so on. Leave such batches out of the Sequence's length, or "
                "give Keras endless=True and steps_per_epoch"
            ),
            stacklevel=2,
        )


def _processes_with_shards() -> int:
    """How many processes train, on a part of the data each."""
    try:
        group = shard_of_group()
    except ValueError:  # what a launcher says does not fit; nobody has asked for it
        return 1
    return 1 if group is None else group.count


def refuse_tf_keras(frame: FrameType) -> None:
    """TypeError where tf_keras (Keras 2) looks what kind of data it was given."""
    if frame.f_globals.get("__name__", "").partition(".")[0] == "tf_keras":
        raise TypeError(
            "tf_keras is Keras 2, and a KerasDataset is for Keras 3.8 or later: `import keras`, "
            "and make the model with that. Worker processes are the dataset's, and not an argument "
            "of fit: model.fit(KerasDataset(sequence, workers=4))"
        )
