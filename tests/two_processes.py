"""A program run by two processes that belong together."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

LIMIT_S = 100


def run_by_two(program, directory, arguments_of, environment_of):
    """What each process prints last, as JSON.

    Args:
        program: Path of a Python program.
        directory: Where their standard errors go.
        arguments_of, environment_of: Called with the rank of each: 0, 1.
    """
    processes = []
    try:
        for rank in range(2):
            with (directory / f"{rank}.err").open("wb") as errors:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, str(program), *arguments_of(rank)],
                        env=environment_of(rank),
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


def as_launched(port):
    """What a launcher such as torchrun says in the environment of each."""
    return lambda rank: {
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
