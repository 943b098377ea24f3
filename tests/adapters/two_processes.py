"""A program run by two processes that train together, as a launcher would start them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

LIMIT_S = 100


def run_by_two(program, directory, *arguments):
    """What each of them prints last, as JSON."""
    port = free_port()
    processes = []
    try:
        for rank in range(2):
            with (directory / f"{rank}.err").open("wb") as errors:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, str(Path(__file__).with_name(program)), *arguments],
                        env=environment_of(rank, port),
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=errors,
                        text=True,
                    )
                )
        outputs = [process.communicate(timeout=LIMIT_S)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    said = [(directory / f"{rank}.err").read_text()[-3000:] for rank in range(2)]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return [json.loads(output.splitlines()[-1]) for output in outputs]  # Gloo prints before it


def environment_of(rank, port):
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
