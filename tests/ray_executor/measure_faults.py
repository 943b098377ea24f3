"""What becomes of an epoch when something of the cluster goes, and how long does the consumer wait?

Compared    nothing: each fault is brought about in the middle of an epoch, by itself
Measured    whether every batch came once, in order; the longest time between two batches
Held still  2 actors, a window of 10, 3 ms a batch; the health settings that the how-to has
Not shown   a network between machines: the nodes are on one machine

Run         python tests/ray_executor/measure_faults.py [kills of each size]
"""

from __future__ import annotations

import os
import random
import sys

from cluster_faults import HEALTH, actors_of, epoch_with, kill_all, kill_at_random
from numbered import Failing, Numbered, hang, leave

os.environ.update(HEALTH)

import ray  # its cluster reads the environment
from ray.cluster_utils import Cluster

from seqloader import OrderedEnqueuer
from seqloader.executors.ray import RayExecutor

SIZES = {"1 KB": (128, 200), "1 MB": (1 << 17, 120), "38.5 MB": (4_812_500, 30)}
STORE = {"object_store_memory": 900 << 20}
ROOM = {"resources": {"actors": 1}}
"""On nodes of its own, from which batches are sent to the consumer."""
NEAR = {"resources": {"near": 1}}
"""On the consumer's node."""


def over(sequence, workers=2, queue=10, room=ROOM, **options):
    executor = RayExecutor(workers, num_cpus=0, **room, **options)
    return OrderedEnqueuer(sequence, executor=executor, max_queue_size=queue)


def say(fault, outcomes, length):
    exact = sum(outcome.is_exact(length) for outcome in outcomes)
    stalls = sorted(outcome.stall_s for outcome in outcomes)
    errors = {outcome.error[:150] for outcome in outcomes} - {""}
    median, longest = stalls[len(stalls) // 2], stalls[-1]
    told = f"{exact} of {len(outcomes)} | {median:.2f} | {longest:.2f} | {errors or ''}"
    print(f"| {fault} | {told} |", flush=True)


def kills(count, room, where=""):
    for name, (size, length) in SIZES.items():
        rng, outcomes = random.Random(size), []
        with over(Numbered(length, size, 0.003), room=room) as enqueuer:
            list(enqueuer)
            for _ in range(count):
                while not all(actor.is_ready for actor in actors_of(enqueuer)):
                    list(enqueuer)  # one that has been asked for in place of the last one killed
                strike = kill_at_random(enqueuer, rng)
                outcomes.append(epoch_with(enqueuer, strike, rng.randrange(1, length - 5)))
        say(f"an actor{where} killed, {name}", outcomes, length)


def all_at_once():
    with over(Numbered(200, 128, 0.003)) as enqueuer:
        list(enqueuer)
        say("all actors killed", [epoch_with(enqueuer, kill_all(enqueuer), 60)], 200)


def nodes(cluster, room):
    for name in ("1 KB", "1 MB"):
        size, length = SIZES[name]
        node = room()
        cluster.wait_for_nodes()
        with over(Numbered(length, size, 0.02), workers=3) as enqueuer:
            list(enqueuer)
            outcome = epoch_with(enqueuer, lambda _, n=node: cluster.remove_node(n, False), 40)
        say(f"a node removed, {name}", [outcome], length)


def batches(folder):
    sequence = Failing(20, leave, folder, times=2, length=60, sleep_s=0.003)
    with over(sequence) as enqueuer:
        say("a batch that ends its actor twice", [epoch_with(enqueuer, lambda _: None, 0)], 60)
    folder = folder + "-hang"
    os.mkdir(folder)
    sequence = Failing(20, hang, folder, times=1, length=60, sleep_s=0.003)
    with over(sequence, timeout_s=1.0) as enqueuer:
        say("a batch that hangs, timeout_s=1", [epoch_with(enqueuer, lambda _: None, 0)], 60)


def store_full():
    length = 40
    with over(Numbered(length, 4_812_500), queue=40) as enqueuer:
        kept = []
        outcome = epoch_with(enqueuer, kept.append, 0)
    say("a store smaller than the window", [outcome], length)


def head_gone(cluster):
    import psutil

    with over(Numbered(4000, 128, 0.003)) as enqueuer:
        list(zip(range(50), enqueuer, strict=False))

        def strike(_):
            for process in psutil.process_iter():
                if process.name() == "gcs_server" and psutil.Process() in process.parents():
                    process.kill()

        outcome = epoch_with(enqueuer, strike, 50)
    say("the head's control process killed", [outcome], 4000)


def main():
    import tempfile

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, **STORE, "resources": {"near": 2}}
    )

    def room():
        return cluster.add_node(num_cpus=1, **ROOM, **STORE)

    for _ in range(2):
        room()
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    print("| fault | exact | median stall, s | longest, s | errors |\n|---|---|---|---|---|")
    kills(count, NEAR, " on the consumer's node")
    kills(count, ROOM)
    if "--kills" in sys.argv:
        return
    all_at_once()
    batches(tempfile.mkdtemp())
    store_full()
    nodes(cluster, room)
    head_gone(cluster)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
