"""States that earlier versions saved are loaded, and give what those versions delivered next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from earlier_runs import RUNS, following, run_of

FILES = sorted(Path(__file__).with_name("earlier_states").glob("*.json"))
EARLIER = {file.stem: json.loads(file.read_text()) for file in FILES}

pytestmark = [
    pytest.mark.filterwarnings("ignore::seqloader.SeqloaderWarning"),
    pytest.mark.parametrize("version", EARLIER),
    pytest.mark.parametrize("name", RUNS),
]


def test_every_state_of_an_earlier_version_gives_what_came_next(version, name):
    saved = EARLIER[version][name]
    batches = saved["batches"]

    for done, state in enumerate(saved["states"]):
        with run_of(name) as enqueuer:
            enqueuer.load_state_dict(state)
            assert following(enqueuer, len(batches) - done) == batches[done:]


def test_states_are_written_as_the_earlier_version_wrote_them(version, name):
    saved = EARLIER[version][name]

    with run_of(name) as enqueuer:
        for state, batch in zip(saved["states"], saved["batches"], strict=True):
            assert json.loads(json.dumps(enqueuer.state_dict())) == state
            assert following(enqueuer, 1) == [batch]


def test_skips_of_an_earlier_version_are_left_out(version, name):
    saved = EARLIER[version][name].get("skipping")
    if saved is None:
        pytest.skip("positions of an endless run are not skipped ahead")

    with run_of(name) as enqueuer:
        enqueuer.load_state_dict(saved["state"])
        assert following(enqueuer, len(saved["batches"])) == saved["batches"]
