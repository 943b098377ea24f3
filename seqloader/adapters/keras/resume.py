"""A training that was killed goes on with the next batch, beside Keras' `BackupAndRestore`.

`BackupAndRestore` saves the model and the number of Keras' epoch, and no position in the data. What
tells its saves apart is `optimizer.iterations`: the number of updates, which lies in the same file
as the weights. So each record here is kept under that number, and the weights that are restored say
which one holds.

Rules
    K1  A record is written when the backup has changed, at the next hook that Keras calls.
    K2  Killed between the two, the weights are ahead of the last record by a known number of
        batches: these are skipped.
    K3  A record holds where the *trained* batches end, not those that Keras has asked for:
        TensorFlow and jax read ahead.
    K4  Files are replaced, never written in place.
    K5  Keras looks at a batch before it restores the model. So the dataset is brought to the newest
        record when the callback is made, and to another if the weights say so.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqloader.adapters.frameworks import framework
from seqloader.errors import ResumeError

if TYPE_CHECKING:
    from seqloader.adapters.keras.dataset import KerasDataset

__all__ = ["ResumeKeras"]

keras = framework("keras", extra="keras", at_least="3.8")
Callback: Any = keras.callbacks.Callback
log = logging.getLogger("seqloader")

FILE = "seqloader-resume.json"
RECORDS = 4
"""Kept: `BackupAndRestore(double_checkpoint=True)` may go back to the save before the last."""


class ResumeKeras(Callback):  # type: ignore[misc]
    """Makes `fit` go on with the next batch after a crash, where the model was backed up last.

        train = KerasDataset(sequence, workers=4, seed=0)
        backup = keras.callbacks.BackupAndRestore("backup", save_freq=100)
        model.fit(train, epochs=10, callbacks=[backup, ResumeKeras("backup", train)])

    Run the same program again after it was killed: the model is as it was saved, and the next batch
    is the one after those it was trained on; in the middle of an epoch, too, which then has only
    what is left of it. It must stand after `BackupAndRestore` in the list. The Sequence needs a
    `state_dict()` if its hooks change it, as for any resume; give a `seed` where the order or
    anything else is random.

    Make it right before `fit`: from then on the dataset stands where the newest save was made.

    With `steps_per_epoch`, the epoch of Keras in which the save was made has all its steps once
    more, with the next batches: none is lost or comes twice, but there are more steps in all.

    Args:
        path: The `backup_dir` of `BackupAndRestore`; the file `seqloader-resume.json` is put there,
            and goes with it when the training has ended.
        dataset: What `fit` trains on.
    """

    def __init__(self, path: str | os.PathLike[str], dataset: KerasDataset) -> None:
        super().__init__()
        self._folder = Path(path)
        self._dataset = dataset
        self._records = self._read()
        self._backup = self._look()
        """What the backup looked like when it was recorded."""
        self._first = dataset.enqueuer.state_dict()
        """Where the dataset stood."""
        self._guess: dict[str, Any] | None = None
        """The record to which it was brought before anybody knows which one holds."""
        self._ended = 0
        """How many epochs have ended on the way to it."""
        self._epoch = 0
        """Of Keras, that the next batch belongs to."""
        self._steps = 0
        """Trained in it."""
        self._restored: int | None = None
        if self._records and self._backup is not None:
            self._go_to_newest()

    # --- where to go on -------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        self._dataset.follow()
        self._records = self._read()
        self._backup = self._look()
        self._restored = self._iterations()
        record = self._record_of(self._restored)
        guess, self._guess = self._guess, None
        if record is None:
            if guess is not None:
                self._dataset.go_to(self._first, 0)
            return
        # No public way leads to the epoch that `fit` begins with; this is BackupAndRestore's.
        ended = self._go_to(record, guess)
        # Where the dataset is endless, its epochs are not those of Keras.
        epoch = record["epoch"] + (0 if self._dataset.is_endless else ended)
        self.model._initial_epoch = epoch
        self._epoch = epoch

    def _go_to_newest(self) -> None:
        guess = self._records[-1]
        try:
            self._ended = self._dataset.go_to(guess["state"], 0)
        except ResumeError:
            return  # `fit` will say so, if the model is of that record
        self._guess = guess

    def _record_of(self, iterations: int | None) -> dict[str, Any] | None:
        """The latest that the model's weights are not behind of."""
        fitting = [
            record
            for record in self._records
            if iterations is None or record["iterations"] <= iterations
        ]
        if self._records and not fitting:
            log.info(
                "%s is of another training than the model (%s updates): it begins anew",
                self._folder / FILE,
                iterations,
            )
        return fitting[-1] if fitting else None

    def _go_to(self, record: dict[str, Any], guess: dict[str, Any] | None) -> int:
        """Bring the dataset there, if it is not there; how many epochs end on the way."""
        ahead = 0 if self._restored is None else self._restored - record["iterations"]
        if not ahead and record == guess and self._dataset.is_where_it_was_brought():
            return self._ended
        batches = ahead * (getattr(self.model.optimizer, "gradient_accumulation_steps", None) or 1)
        return self._dataset.go_to(record["state"], batches)

    # --- what was trained -----------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._restored is not None and self._iterations() != self._restored:
            raise ValueError(
                "the model was restored after ResumeKeras had looked at it: put BackupAndRestore "
                "before ResumeKeras in the list of callbacks"
            )
        self._restored = None
        self._record()
        self._epoch, self._steps = epoch, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._record()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._dataset.trained(batch + 1 - self._steps)
        self._steps = batch + 1
        self._record()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._epoch, self._steps = epoch + 1, 0
        self._record()

    # --- records --------------------------------------------------------------------------

    def _record(self) -> None:
        """Write down where training stands, if the backup has changed since the last record."""
        backup = self._look()
        if backup is None or backup == self._backup:
            return
        self._backup = backup
        iterations = self._iterations()
        self._records = [
            *(record for record in self._records if record["iterations"] != iterations),
            {"iterations": iterations, "epoch": self._epoch, "state": self._dataset.place()},
        ][-RECORDS:]
        text = self._written()
        fresh = self._folder / f"{FILE}.new"
        fresh.write_text(text)
        os.replace(fresh, self._folder / FILE)

    def _written(self) -> str:
        state = self._records[-1]["state"]
        try:
            text = json.dumps({"version": 1, "records": self._records})
            if json.loads(text)["records"][-1]["state"] != state:
                raise TypeError("it would come back altered")
        except TypeError as error:
            kind = type(self._dataset.enqueuer.sequence).__qualname__
            raise TypeError(
                f"ResumeKeras cannot write the state of {kind} as JSON: {error}. Have its "
                "state_dict() return lists, numbers and text, in dicts whose keys are text "
                "(array.tolist() for an array)"
            ) from error
        return text

    def _look(self) -> object:
        """What the files of the backup look like; None: there is none."""
        try:
            with os.scandir(self._folder) as entries:
                return {
                    entry.name: (entry.stat().st_mtime_ns, entry.stat().st_size)
                    for entry in entries
                    if not entry.name.startswith(FILE)
                } or None
        except FileNotFoundError:
            return None

    def _read(self) -> list[dict[str, Any]]:
        try:
            found = json.loads((self._folder / FILE).read_text())
        except FileNotFoundError:
            return []
        except ValueError:  # cut off, by a loss of power
            log.warning("%s cannot be read: the dataset begins anew", self._folder / FILE)
            return []
        records: list[dict[str, Any]] = found["records"]
        return records

    def _iterations(self) -> int | None:
        """Updates that the model has seen; None: its optimizer does not count."""
        iterations = getattr(getattr(self.model, "optimizer", None), "iterations", None)
        return None if iterations is None else int(keras.ops.convert_to_numpy(iterations))
