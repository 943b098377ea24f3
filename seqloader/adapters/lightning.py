"""Lightning: training that was stopped anywhere goes on with the next batch.

A `TorchLoader` works in a DataLoader's place in a Trainer as it is. What Lightning does by itself
to resume one (2.6):

    saves     the state of each loader that it trains with, in every checkpoint
    loads     it when `fit` sets up its data, and in the middle of an epoch only. Never where
              `estimated_stepping_batches` was asked for: then data were set up before the
              checkpoint was read

`ResumeLoader` loads all of them when training starts, which is after both and before the first
batch. To load is to bring the loader to a place: it does not matter whether it stands there.

What a checkpoint says of the loader is where *training* stands. The two differ by the batch that
failed, when it is written because of an error, and by the one that Lightning takes ahead of a
loader which has no length.
"""

from __future__ import annotations

from typing import Any

from seqloader.adapters.frameworks import framework
from seqloader.adapters.misfits import warn_if_shards_misfit, warn_of_unsaved_place
from seqloader.adapters.progress import batches_done
from seqloader.errors import ResumeError
from seqloader.samples.nest import map_nest

Callback: Any = framework("lightning", extra="lightning", at_least="2.4").Callback

# After Lightning: who has neither is told to install Lightning, which brings torch.
from seqloader.adapters.torch import TorchLoader  # noqa: E402

__all__ = ["ResumeLoader"]

KEY = "seqloader"
"""Of what is ours in a checkpoint."""


class ResumeLoader(Callback):  # type: ignore[misc]
    """A callback that has `fit(..., ckpt_path=...)` go on with the next batch.

        trainer = Trainer(callbacks=[ResumeLoader(), ModelCheckpoint(every_n_train_steps=100)])
        trainer.fit(model, TorchLoader(train, workers=4, seed=0), ckpt_path="last.ckpt")

    It takes care of each `TorchLoader` that the Trainer trains with, wherever it comes from: an
    argument of `fit`, `train_dataloader()` of a module or data module, a dict or list of several.

    Raises:
        ResumeError: The checkpoint was saved with other loaders.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None
        """Of the checkpoint that was read, until training starts."""

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Put the place of each loader into the checkpoint."""
        if self._loaded is not None:
            checkpoint[KEY] = self._loaded
        elif loaders := _loaders(trainer):
            ahead = _batches_ahead(trainer)
            checkpoint[KEY] = {
                "loaders": [_before(loader.state_dict(), ahead) for loader in loaders],
                **_ends(trainer, ahead),
            }

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Keep what the checkpoint says: there may be no loader yet."""
        if trainer.state.fn == "fit":
            self._loaded = checkpoint.get(KEY)
            if self._loaded is None:
                warn_of_unsaved_place("ResumeLoader() among the callbacks")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Bring each loader to its place."""
        loaders = _loaders(trainer)
        replicas = (trainer.distributed_sampler_kwargs or {}).get("num_replicas", 1)
        for loader in loaders:
            warn_if_shards_misfit(
                loader.enqueuer,
                replicas,
                "make the loader in train_dataloader(), of the module or of a LightningDataModule: "
                "before, this process does not know the others",
            )
        saved, self._loaded = self._loaded, None
        if saved is None or not loaders:
            return
        if len(loaders) != len(saved["loaders"]):
            raise ResumeError(
                f"the checkpoint was saved with {len(saved['loaders'])} TorchLoaders, and this "
                f"Trainer trains with {len(loaders)}: give it those that it was saved with"
            )
        # Where a number of steps ends the training, an epoch that was left goes on.
        over = saved["last_batch"] or (saved["epoch_was_left"] and trainer.max_steps == -1)
        for loader, state in zip(loaders, saved["loaders"], strict=True):
            loader.load_state_dict(state)
            if over:
                loader.end_epoch()
        if over and saved["epoch_was_left"]:
            _begin_with_an_epoch(trainer.fit_loop)
        elif (shards := loaders[0].enqueuer.shard[1]) != saved["loaders"][0]["shard"][1]:
            done = batches_done(saved["loaders"][0], shards)
            _recount(trainer.fit_loop.epoch_loop, trainer.num_training_batches if over else done)
        fetcher = trainer.fit_loop._data_fetcher
        if getattr(fetcher, "batches", None):
            iter(fetcher)  # it has taken a batch ahead, from where the loader stood before


def _loaders(trainer: Any) -> list[TorchLoader[Any]]:
    """Those that the Trainer trains with, in the order of their nest."""
    found: list[TorchLoader[Any]] = []

    def note(leaf: Any, path: str) -> None:
        if isinstance(leaf, TorchLoader):
            found.append(leaf)

    map_nest(note, trainer.train_dataloader)
    return found


def _batches_ahead(trainer: Any) -> int:
    """How many batches were handed out and are not trained with yet."""
    progress = trainer.fit_loop.epoch_loop.batch_progress.current
    fetcher = trainer.fit_loop._data_fetcher
    if fetcher is None:  # after `fit`
        has_length = trainer.num_training_batches != float("inf")
        taken = progress.ready + (not has_length)
    else:
        taken = fetcher.fetched
    return max(0, int(taken - progress.processed))


def _ends(trainer: Any, ahead: int) -> dict[str, bool]:
    """What says, when training goes on, whether it does so with another epoch."""
    epochs = trainer.fit_loop.epoch_progress.current
    batches = trainer.fit_loop.epoch_loop.batch_progress
    return {
        "last_batch": not ahead and batches.is_last_batch,
        "epoch_was_left": epochs.processed == epochs.started,
    }


def _begin_with_an_epoch(fit_loop: Any) -> None:
    """Have the Trainer not go on inside an epoch that it has left.

    With `max_steps`, Lightning 2.6 does so after a checkpoint of an epoch's end: it makes one more
    batch of it, and then another pass, so that the rest of this one would be lost.
    """
    if getattr(fit_loop, "restarted_on_epoch_end", False):
        fit_loop.epoch_progress.increment_completed()
        fit_loop.reset_restart_stage()
    fit_loop.epoch_loop.restarting = False


def _recount(epoch_loop: Any, done: int) -> None:
    """Have the Trainer count the batches of this epoch as on this number of processes.

    Counted as on the number that the checkpoint was saved with, the epoch would end too early.
    """
    batches = epoch_loop.batch_progress.current
    more = done - batches.ready
    for name in ("ready", "started", "processed", "completed"):
        setattr(batches, name, getattr(batches, name) + more)


def _before(state: dict[str, Any], batches: int) -> dict[str, Any]:
    return {**state, "position": max(0, state["position"] - batches)}
