"""Hugging Face's Trainer: it trains with a loader, and goes on with the next batch.

A Trainer says where it stands by the number of its update steps. It derives its epoch from that,
as if every epoch had had as many steps as `len()` says, and finds the place in it by skipping: it
asks Accelerate for a loader without the first batches, which that makes out of the `dataset` of the
one it has. So there are three things here.

    TrainLoader   what the Trainer trains with: a `TorchLoader`, with a `dataset` that hands out a
                  placeholder for each batch that is to be skipped. None of them is computed
    LoaderPlace   a callback. It has the loader's place saved in `trainer_state.json`, which each
                  checkpoint has: a SIGTERM's too, for which no `on_save` is called
    _tell_where   has the Trainer begin in the epoch in which the loader stood. The two differ where
                  an epoch had fewer steps: batches were left out, or it was ended early

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
from seqloader.adapters.progress import batches_done
from seqloader.errors import ResumeError, SeqloaderWarning

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
    computed nor delivered. `train()` raises a `ResumeError` where the Trainer would end before it
    has trained with all that is left: on more processes, for instance.

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
    _tell_where(trainer, train_loader)
    return trainer


def _tell_where(trainer: Any, train_loader: TrainLoader) -> None:
    """Have a Trainer begin in the epoch in which the loader stood, if it can be told (from 5.3)."""
    own = getattr(type(trainer), "_init_training_state", None)
    if own is None:
        return

    def init_training_state(*given: Any, **named: Any) -> tuple[int, int]:
        counted = own(trainer, *given, **named)
        return train_loader.begin(trainer.args, trainer.state, counted)

    trainer._init_training_state = init_training_state


class TrainLoader:
    """What a Trainer trains with."""

    # What Accelerate asks of a loader that it makes another of, without the first batches.
    batch_size = None
    drop_last = False
    prefetch_factor = None

    def __init__(self, loader: TorchLoader[Any]) -> None:
        self.loader = loader
        self.dataset = _WithPlaceholders(loader)
        self.has_begun = False
        """Whether the loader was brought to where this training begins."""
        self.steps_of_epoch: int | None = None
        """Update steps that the Trainer makes in a whole epoch; None: it has no end."""

    def begin(self, args: Any, state: Any, counted: tuple[int, int]) -> tuple[int, int]:
        """Bring the loader to where training begins.

        Args:
            args, state: Of the Trainer.
            counted: What it derives from the number of its update steps.

        Returns:
            The epoch in which it begins, and how many batches of that it skips.
        """
        # As the Trainer does, before a state is loaded that may change the length.
        self.steps_of_epoch = _steps_of_epoch(args, self.loader)
        place = _saved_place(state)
        if place is None:
            if state.global_step and not args.ignore_data_skip:
                warn_of_unsaved_place("with_loader(trainer, loader)")
            epoch, skipped = counted
            self.loader.seek(epoch, skipped)
        else:
            epoch, skipped = self._bring(place, args, state, counted)
        self.dataset.skipped = skipped
        self.has_begun = True
        return epoch, skipped

    def _bring(
        self, place: dict[str, Any], args: Any, state: Any, counted: tuple[int, int]
    ) -> tuple[int, int]:
        loader, steps = self.loader, self.steps_of_epoch
        loader.load_state_dict(place["loader"])
        if steps is None:  # all of the training is one epoch
            return counted
        batches_a_step = args.gradient_accumulation_steps
        found = loader.state_dict()
        done = batches_done(found, loader.enqueuer.shard[1])
        if done >= len(loader):
            loader.end_epoch()
        elif done:
            loader.enqueuer.peek()  # where nothing is left of the epoch, it is ended
        epoch, done_steps = loader.enqueuer.epoch, 0
        if args.ignore_data_skip:
            loader.seek(epoch)
            return epoch, 0
        if epoch == found["epoch"]:
            same = steps == place["steps_of_epoch"]
            done_steps = place["done_steps"] if same else done // batches_a_step
        _check_can_go_on(args, state.global_step, epoch * steps + done_steps, steps, place)
        return epoch, done_steps * batches_a_step

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
    """Has the place of a Trainer's loader saved with each checkpoint.

    The Trainer may make another one of it, without arguments, when it resumes: it finds the loader
    when training begins.
    """

    def __init__(self) -> None:
        self._train_loader: TrainLoader
        self.place: dict[str, Any] | None = None
        """After the last update step; see `_note`."""
        self._done_steps = 0
        """Update steps of the epoch under way."""
        self._has_leftovers = False
        """Whether batches were trained with since the last update step."""
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
        """Find the loader, which stands where training begins."""
        train_loader = self._train_loader = kwargs["train_dataloader"]
        warn_if_shards_misfit(
            self._loader.enqueuer,
            args.world_size,
            "start the script with a launcher, such as torchrun",
        )
        if not train_loader.has_begun:
            _begin_as_counted(train_loader, args, state)
        train_loader.has_begun = False  # that was this training
        # A checkpoint of before knows nothing of it.
        state.stateful_callbacks.setdefault(type(self).__name__, {})
        self._done_steps = train_loader.dataset.skipped // args.gradient_accumulation_steps
        self._has_leftovers = False
        self._note(state.global_step)

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Another batch of a step was trained with."""
        self._has_leftovers = True

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """All that was handed out is trained with."""
        self._done_steps += 1
        self._has_leftovers = False
        self._note(state.global_step + 1)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the loader's epoch too: the Trainer does not ask for more than it has."""
        if control.should_training_stop:  # it may have left batches that it was given
            self._loader.enqueuer.join_end_of_epoch()
            return
        self._loader.end_epoch()
        self._done_steps = 0
        # What no step was made with yet goes into the first of the next epoch. A checkpoint has
        # nothing of it, so that it is to be trained with again.
        if control.should_epoch_stop or not self._has_leftovers:
            self._note(state.global_step)

    @property
    def _loader(self) -> TorchLoader[Any]:
        return self._train_loader.loader

    def _note(self, global_step: int) -> None:
        self.place = {
            "global_step": global_step,
            "done_steps": self._done_steps,
            "steps_of_epoch": self._train_loader.steps_of_epoch,
            "loader": self._loader.state_dict(),
        }


def _saved_place(state: Any) -> dict[str, Any] | None:
    """What a checkpoint says of the loader, if it does of this step."""
    saved = state.stateful_callbacks.get(LoaderPlace.__name__)
    for each in saved if isinstance(saved, list) else [saved]:
        place: dict[str, Any] | None = ((each or {}).get("attributes") or {}).get("place")
        if state.global_step and place is not None and place["global_step"] == state.global_step:
            return place
    return None


def _steps_of_epoch(args: Any, loader: TorchLoader[Any]) -> int | None:
    batches_a_step: int = args.gradient_accumulation_steps
    try:
        return max(1, -(-len(loader) // batches_a_step))
    except TypeError:
        return None


def _check_can_go_on(args: Any, made: int, needed: int, steps: int, place: dict[str, Any]) -> None:
    """Refuse where the Trainer would end before it has trained with all that is left.

    Args:
        made: Update steps of the Trainer.
        needed: Of a training that has made all steps up to where the loader stands.
        steps: Of an epoch, now.
    """
    then = place["steps_of_epoch"]
    if made <= needed and (args.max_steps <= 0 or steps == then):
        return
    raise ResumeError(
        f"an epoch has {steps} update steps here, and had {then} when the checkpoint was saved. "
        f"The Trainer knows where it is, and when it has done, by the number of its steps alone, "
        f"which is {made}: it would end before it has trained with all that is left. Resume it on "
        "as many processes, and with the gradient_accumulation_steps of then"
    )


def _begin_as_counted(train_loader: TrainLoader, args: Any, state: Any) -> None:
    """Bring the loader to where the Trainer alone begins, or refuse: it cannot be told."""
    steps = _steps_of_epoch(args, train_loader.loader)
    epoch, step = divmod(state.global_step, steps or state.max_steps)
    skipped = 0 if args.ignore_data_skip else step * args.gradient_accumulation_steps
    begun = train_loader.begin(args, state, (epoch, skipped))
    if begun != (epoch, skipped):
        raise ResumeError(
            f"the loader stood in epoch {begun[0]}, {begun[1]} batches after its beginning, and "
            f"this Trainer would go on in epoch {epoch}, after {skipped} batches, since it takes "
            "every epoch to have had as many as len() says. Transformers 5.3 or later can be told"
        )


def _unwritable(error: Exception) -> str:
    return (
        "the state of the Sequence cannot be written to trainer_state.json, so that checkpoints do "
        "not hold it: a resumed training would go on at its place with a Sequence made anew. Let "
        f"its state_dict() return what JSON can write: lists, not arrays ({error})"
    )
