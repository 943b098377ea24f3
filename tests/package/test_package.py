"""What the package as a whole promises: light to import, a pinned surface, typed, one version."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import seqloader

REPOSITORY = Path(__file__).parents[2]

FRAMEWORKS = {"jax", "keras", "tensorflow", "torch"}
NOT_BEFORE_NEEDED = {"cloudpickle", "multiprocessing", "psutil", "subprocess"}
OF_THE_DEMO = {"PIL", "imageio", "rich", "skimage", "tqdm"}
SLOW_TO_IMPORT = {"cloudpickle", "logging", "pathlib", "secrets", "tempfile", "urllib.parse"}
"""Of what many programs import anyhow, and starting a worker needs nothing of."""
PROCESS = "seqloader.executors.process"

PUBLIC = {
    "ArraySequence",
    "BatchContext",
    "BatchedSequence",
    "EnqueuerStopped",
    "ForkedEnqueuerError",
    "ResumeError",
    "OrderedEnqueuer",
    "SeqloaderError",
    "SeqloaderWarning",
    "Sequence",
    "SlowBatchWarning",
    "Stats",
    "TuningStep",
    "Verdict",
    "WeightedMix",
    "WorkerError",
    "WorkerLostError",
    "WorkerLostWarning",
    "WorkerStartError",
    "WorkerTraceback",
    "batch_context",
    "share",
    "shared_empty",
}

WORKER_SIDE = sorted(
    "seqloader.executors.process.worker" + f".{path.stem}" * (path.stem != "__init__")
    for path in (REPOSITORY / "seqloader/executors/process/worker").glob("*.py")
)


def test_importing_seqloader_brings_nothing_heavy():
    assert brought_by("seqloader") & (FRAMEWORKS | NOT_BEFORE_NEEDED | OF_THE_DEMO) == set()


def test_importing_seqloader_leaves_the_engine_for_later():
    engine = {m for m in brought_by("seqloader") if m.startswith("seqloader.executors.")}

    assert engine == {"seqloader.executors.origin"}  # which notes the directory, and that at once


def test_a_worker_pays_for_nothing_that_only_its_consumer_needs():
    heavy = {"multiprocessing", "psutil", "seqloader.enqueuer", "subprocess"}

    assert len(WORKER_SIDE) > 1
    assert brought_by(*WORKER_SIDE) & (heavy | FRAMEWORKS | OF_THE_DEMO) == set()


def test_a_worker_pays_for_no_slow_import_and_for_no_definitions_unless_some_come():
    brought = brought_by(*WORKER_SIDE)

    assert brought & (SLOW_TO_IMPORT | {"dataclasses", "random"}) == set()
    assert definitions_among(brought) == {"numbers", "script"}  # asked for each object of a batch


def test_the_first_worker_waits_for_no_import_that_is_needed_only_after_it():
    brought = brought_by("seqloader.enqueuer", f"{PROCESS}.executor")
    later = {"consumer.names", "consumer.sending", "wire.culprit", "wire.refusals"}
    others = {f"seqloader.executors.{name}" for name in ("inline", "thread")}

    assert brought & (SLOW_TO_IMPORT | FRAMEWORKS) == set()
    assert brought & ({f"{PROCESS}.{name}" for name in later} | others) == set()
    assert definitions_among(brought) == {"numbers", "script"}


def test_public_names_are_pinned():
    assert set(seqloader.__all__) == PUBLIC
    assert len(seqloader.__all__) == len(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_is_there_and_listed(name):
    assert getattr(seqloader, name) is not None
    assert name in dir(seqloader)


@pytest.mark.parametrize("name", ["empty", "zeros", "stack"])
def test_array_builders_are_there_but_shadow_nothing_in_a_star_import(name):
    assert callable(getattr(seqloader, name))
    assert name not in seqloader.__all__


def test_a_name_that_is_not_there_is_named_in_the_error():
    with pytest.raises(
        AttributeError, match=r"module 'seqloader' has no attribute 'OrderdEnqueuer'"
    ):
        seqloader.OrderdEnqueuer  # noqa: B018


def test_version_is_that_of_the_installed_distribution():
    try:
        installed = importlib.metadata.version("seqloader")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("seqloader is not installed: it runs from its source")

    assert seqloader.__version__ == installed


def test_wheel_is_pure_and_typed_and_holds_the_package_alone(tmp_path):
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)

    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    assert wheel.name.endswith("-py3-none-any.whl")
    assert "seqloader/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"seqloader"}


def definitions_among(modules: set[str]) -> set[str]:
    """The modules that send or rebuild definitions by value."""
    package = f"{PROCESS}.wire.definitions."
    return {name.removeprefix(package) for name in modules if name.startswith(package)}


def brought_by(*modules: str) -> set[str]:
    """The modules that importing these adds to a fresh interpreter that has numpy."""
    script = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import numpy\n"
        "before = set(sys.modules)\n"
        "for name in sys.argv[2:]: __import__(name)\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, json.dumps(sys.path), *modules],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )
    return set(json.loads(done.stdout))
