"""torchdata's StatefulDataLoader around a TorchLoader."""

from __future__ import annotations

import numpy as np
import pytest

from seqloader import ArraySequence

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("torchdata", reason="torchdata is not installed")

from torchdata.stateful_dataloader import StatefulDataLoader  # noqa: E402

from seqloader.adapters.torch import TorchLoader  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    # torchdata 0.11 calls what torch 2.13 has deprecated.
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),
]


class Batches(torch.utils.data.IterableDataset):
    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        return iter(self.loader)

    def state_dict(self):
        return self.loader.state_dict()

    def load_state_dict(self, state):
        self.loader.load_state_dict(state)


@pytest.fixture
def make():
    made = []

    def make():
        sequence = ArraySequence(np.arange(12), 2, shuffle=True)
        made.append(TorchLoader(sequence, workers=0, seed=5))
        return StatefulDataLoader(Batches(made[-1]), batch_size=None)

    yield make
    for loader in made:
        loader.close()


def passes(loader, count):
    return [[batch.tolist() for batch in loader] for _ in range(count)]


def take(loader, count):
    """So many batches; a last pass is left where they are had."""
    taken = []
    while len(taken) < count:
        for batch in loader:
            taken.append(batch.tolist())
            if len(taken) == count:
                break
    return taken


@pytest.mark.parametrize("stop_after", range(13))
def test_it_goes_on_with_the_next_batch_wherever_it_was_left(make, stop_after):
    whole = [batch for epoch in passes(make(), 3) for batch in epoch]
    loader = make()
    first = take(loader, stop_after)
    state = loader.state_dict()

    resumed = make()
    resumed.load_state_dict(state)
    assert first + take(resumed, 18 - stop_after) == whole


def test_a_state_saved_between_epochs_begins_the_next(make):
    whole = passes(make(), 3)
    loader = make()
    first = passes(loader, 2)

    resumed = make()
    resumed.load_state_dict(loader.state_dict())
    assert first + passes(resumed, 1) == whole
