"""Hugging Face's Trainer: it trains with a loader, and goes on with the next batch.

A Trainer says where it stands by the number of its update steps, and finds the place again by
skipping: it asks Accelerate for a loader without the first batches, which that makes out of the
`dataset` of the one it has. So there are two objects here.

    TrainLoader   what the Trainer trains with: a `TorchLoader`, with a `dataset` that hands out a
                  placeholder for each batch that is to be skipped. None of them is computed
    LoaderPlace   a callback. It brings the loader to its place when training begins, and has that
                  place saved in `trainer_state.json`, which each checkpoint has: a SIGTERM's too,
                  for which no `on_save` is called

Where training stands is what the loader handed out up to the last update step: the Trainer takes
all batches of a step before it trains with the first.
"""

from __future__ import annotations

import json
import warnings
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from seqloader.adapters.frameworks import framework
from seqloader.adapters.misfits import warn_if_shards_misfit, warn_of_unsaved_place
from seqloader.errors import SeqloaderWarning

framework("transformers", extra="transformers", at_least="4.53")

# After Transformers: who has neither is told to install both, and not torch alone.
from seqloader.adapters.torch import TorchLoader  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LoaderPlace", "TrainLoader", "with_loader"]

_callbacks = framework("transformers.trainer_callback", extra="transformers")
TrainerCallback: Any = _callbacks.TrainerCallback
ExportableState: Any = _callbacks.ExportableState
IterableDataset: Any = framework("torch.utils.data", extra="torch").IterableDataset


def with_loader(trainer: Any, loader: TorchLoader[Any]) -> Any:
    """Have a Trainer train with a loader; `train(resume_from_checkpoint=...)` is then exact.

        trainer = with_loader(Trainer(model, args), TorchLoader(train, workers=4, seed=0))
        trainer.train(resume_from_checkpoint=True)

    `train()` brings the loader to where the Trainer stands: to the beginning of its first epoch, or
    to the batch after the last one that the checkpoint was trained with. What was before is neither
    computed nor delivered.

    A `TorchLoader` is also taken in each place where the Trainer takes a dataset for evaluation and
    prediction: `Trainer(eval_dataset=...)`, `evaluate(...)`, `predict(...)`.

    Args:
        trainer: A `transformers.Trainer`, of any class.
        loader: Its batches are what the model is called with, dictionaries as a rule.

    Returns:
        The trainer.
    """
    own_eval, own_test = trainer.get_eval_dataloader, trainer.get_test_dataloader
    train_loader = TrainLoader(loader)

    def get_eval_dataloader(eval_dataset: Any = None) -> Any:
        chosen = trainer.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(chosen, str):
            chosen = trainer.eval_dataset[chosen]
        return chosen if isinstance(chosen, TorchLoader) else own_eval(eval_dataset)

    def get_test_dataloader(test_dataset: Any) -> Any:
        return test_dataset if isinstance(test_dataset, TorchLoader) else own_test(test_dataset)

    trainer.get_train_dataloader = lambda: train_loader
    trainer.get_eval_dataloader = get_eval_dataloader
    trainer.get_test_dataloader = get_test_dataloader
    trainer.add_callback(LoaderPlace())
    return trainer


class TrainLoader:
    """What a Trainer trains with."""

    # What Accelerate asks of a loader that it makes another of, without the first batches.
    batch_size = None
    drop_last = False
    prefetch_factor = None

    def __init__(self, loader: TorchLoader[Any]) -> None:
        self.loader = loader
        self.dataset = _WithPlaceholders(loader)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)

    @staticmethod
    def collate_fn(batch: Any) -> Any:
        """The batch as it is."""
        return batch


class _WithPlaceholders(IterableDataset):  # type: ignore[misc]
    """As many placeholders as are skipped before it comes to the loader's batches."""

    def __init__(self, loader: TorchLoader[Any]) -> None:
        self.loader = loader
        self.skipped = 0

    def __iter__(self) -> Iterator[Any]:
        return chain(repeat(None, self.skipped), iter(self.loader))


class LoaderPlace(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Brings the loader of a Trainer to its place, and has that saved with each checkpoint.

    The Trainer may make another one of it, without arguments, when it resumes: it finds the loader
    when training begins.
    """

    def __init__(self) -> None:
        self._train_loader: TrainLoader
        self.place: dict[str, Any] | None = None
        """After the last update step: {"global_step": int, "loader": its state}."""
        self._saved: dict[str, Any] | None = None
        """What the checkpoint says, until the first epoch begins."""
        self._is_due = False
        """Whether the loader is to be brought to its place."""
        self._warned = False

    def state(self) -> dict[str, Any]:
        """What `trainer_state.json` says of the loader."""
        try:
            if json.loads(json.dumps(self.place)) != self.place:
                raise ValueError("it would come back altered")
        except (TypeError, ValueError) as error:
            if not self._warned:
                self._warned = True
                warnings.warn(SeqloaderWarning(_unwritable(error)), stacklevel=2)
            return {"args": {}, "attributes": {"place": None}}
        return {"args": {}, "attributes": {"place": self.place}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Find the loader, and what the checkpoint says of it."""
        self._train_loader = kwargs["train_dataloader"]
        warn_if_shards_misfit(
            self._loader.enqueuer,
            args.world_size,
            "start the script with a launcher, such as torchrun",
        )
        name = type(self).__name__
        self._saved = _saved_place(state.stateful_callbacks.get(name), state.global_step)
        state.stateful_callbacks.setdefault(name, {})  # a checkpoint of before knows nothing of it
        self._is_due = True

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Bring the loader to where the Trainer stands, before the first epoch that it trains."""
        if not self._is_due:
            return
        self._is_due = False
        saved, self._saved = self._saved, None
        epoch, position = _place_of(args, state, self._loader)
        self._train_loader.dataset.skipped = position
        if saved is not None and not args.ignore_data_skip:
            self._loader.load_state_dict(saved)
            if saved["position"]:
                self._loader.enqueuer.peek()  # where nothing is left of the epoch, it is ended
        else:
            if state.global_step and not args.ignore_data_skip:
                warn_of_unsaved_place("with_loader(trainer, loader)")
            self._loader.seek(epoch, position)
        self._note(state.global_step)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """All that was handed out is trained with."""
        self._note(state.global_step + 1)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the loader's epoch too: the Trainer does not ask for more than it has."""
        if control.should_epoch_stop and not control.should_training_stop:
            self._loader.end_epoch()
        else:
            self._loader.enqueuer.join_end_of_epoch()
        if not control.should_training_stop:  # else it may have left batches that it was given
            self._note(state.global_step)

    @property
    def _loader(self) -> TorchLoader[Any]:
        return self._train_loader.loader

    def _note(self, global_step: int) -> None:
        self.place = {"global_step": global_step, "loader": self._loader.state_dict()}


def _saved_place(saved: Any, global_step: int) -> dict[str, Any] | None:
    """The loader's state in a checkpoint, if it has one that belongs to this step."""
    for each in saved if isinstance(saved, list) else [saved]:
        place = ((each or {}).get("attributes") or {}).get("place")
        if global_step and place is not None and place["global_step"] == global_step:
            state: dict[str, Any] = place["loader"]
            return state
    return None


def _place_of(args: Any, state: Any, loader: TorchLoader[Any]) -> tuple[int, int]:
    """The epoch and position that the Trainer derives from the number of its update steps."""
    batches_a_step = args.gradient_accumulation_steps
    try:
        steps = max(1, -(-len(loader) // batches_a_step))
    except TypeError:  # without a length, all of the training is one epoch
        steps = state.max_steps
    epoch, step = divmod(state.global_step, steps)
    return epoch, 0 if args.ignore_data_skip else step * batches_a_step


def _unwritable(error: Exception) -> str:
    return (
        "the state of the Sequence cannot be written to trainer_state.json, so that checkpoints do "
        "not hold it: a resumed training would go on at its place with a Sequence made anew. Let "
        f"its state_dict() return what JSON can write: lists, not arrays ({error})"
    )
