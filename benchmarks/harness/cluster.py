"""One consumer and its actors, simulated call by call. Pure: costs and sizes in, a rate out.

Servers    the consumer's thread that speaks to Ray, its training loop, the networks of its machine
           and of each node, the actors. Each does one thing after the other
A call     is sent by that thread; computed, and written into the store, by the actor that is free
           first; sent over both networks; its answer is handled by the same thread; its batches are
           taken by the loop, in order. Then the next call is sent: a window of them is open
Left out   Ray's head, through which no batch passes; other traffic; failures
"""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass
from typing import NamedTuple

from seqloader.executors.ray.chunks import TINY_S, Chunks

UNEVEN = 0.3
"""The deviation of the logarithm of what a batch takes, beside the mean."""
ROUNDS, LEAST_CALLS = 5, 2_000
"""So many times the calls that are open are simulated, all but the first and the last counted: what
is sent together comes back together, again and again."""
MOST_IN_CALL = 16  # tiny batches: the window has room for so many
BUSY = 0.8
"""Where nothing is busy for this share of the time, and actors idle, the window is too short."""


@dataclass(frozen=True)
class Costs:
    """Seconds: of the consumer's thread for a call with its answer, and for each batch of a call
    beside the first; of its loop to read a byte, of an actor to write one into its store, of a
    network to send one; and until a call is at an actor."""

    call_s: float
    batch_s: float
    take_s_per_byte: float
    store_s_per_byte: float
    network_s_per_byte: float
    latency_s: float


@dataclass(frozen=True)
class Cluster:
    """What one consumer has. Half of its object store is for the window: Ray needs as much again.
    `network_share`: of its machine's network."""

    actors: int
    actors_a_node: int
    store_bytes: float
    network_share: float = 1.0


class Outcome(NamedTuple):
    """`busiest`: what limits the rate."""

    batches_per_s: float
    busiest: str
    window: int


class Server:
    """Does one thing after the other."""

    def __init__(self) -> None:
        self.free_s = self.busy_s = 0.0

    def serve(self, now_s: float, takes_s: float) -> float:
        """When it is done with what has come now."""
        self.free_s = max(now_s, self.free_s) + takes_s
        self.busy_s += takes_s
        return self.free_s


class Simulation:
    """The consumer takes batches as fast as it can. `compute_s`: of an actor, for a batch."""

    def __init__(self, costs: Costs, cluster: Cluster, nbytes: float, compute_s: float) -> None:
        wanted = 2 * cluster.actors * (MOST_IN_CALL if compute_s < TINY_S else 1)
        self.window = max(2, min(wanted, int(cluster.store_bytes / (2 * nbytes))))
        chunks = Chunks()
        chunks.measure(compute_s, int(nbytes))
        self.chunk = chunks.size(self.window, cluster.actors)
        self.open = self.window // self.chunk
        self.calls = self.open * max(ROUNDS, math.ceil(LEAST_CALLS / self.open))
        self.handle_s = (costs.call_s + (self.chunk - 1) * costs.batch_s) / 2
        self.latency_s = costs.latency_s
        self.compute_s = self.chunk * compute_s
        self.store_s = self.chunk * nbytes * costs.store_s_per_byte
        self.send_s = self.chunk * nbytes * costs.network_s_per_byte
        self.receive_s = self.send_s / cluster.network_share
        self.take_s = self.chunk * nbytes * costs.take_s_per_byte
        self.thread, self.loop, self.network = Server(), Server(), Server()
        self.computed_s = 0.0
        self.nodes = [Server() for _ in range(math.ceil(cluster.actors / cluster.actors_a_node))]
        self.actors_a_node = cluster.actors_a_node
        self.free_s = [(0.0, actor) for actor in range(cluster.actors)]
        self.events: list[tuple[float, int, str, int]] = []
        self.rng = random.Random(0)
        self.known: set[int] = set()
        self.taken_s: list[float] = []
        self.sent = 0

    def run(self) -> Outcome:
        for _ in range(self.open):
            self._send(0.0)
        while self.events:
            now_s, call, what, actor = heapq.heappop(self.events)
            if what == "computed":
                left_s = self.nodes[actor // self.actors_a_node].serve(now_s, self.send_s)
                self._at(left_s, call, "left")
            elif what == "left":
                # Both networks send at once: what remains is what the slower one needs more.
                self._at(self.network.serve(now_s - self.send_s, self.receive_s), call, "arrived")
            elif what == "arrived":
                self._at(self.thread.serve(now_s, self.handle_s), call, "known")
            else:
                self._known(now_s, call)
        return self._outcome()

    def _at(self, when_s: float, call: int, what: str, actor: int = 0) -> None:
        heapq.heappush(self.events, (when_s, call, what, actor))

    def _send(self, now_s: float) -> None:
        sent_s = self.thread.serve(now_s, self.handle_s) + self.latency_s
        free_s, actor = heapq.heappop(self.free_s)
        factor = math.exp(self.rng.gauss(-(UNEVEN**2) / 2, UNEVEN))  # 1 in the mean
        takes_s = self.compute_s * factor + self.store_s
        self.computed_s += takes_s
        done_s = max(sent_s, free_s) + takes_s
        heapq.heappush(self.free_s, (done_s, actor))
        self._at(done_s, self.sent, "computed", actor)
        self.sent += 1

    def _known(self, now_s: float, call: int) -> None:
        self.known.add(call)
        while (due := len(self.taken_s)) in self.known:
            self.known.discard(due)
            self.taken_s.append(self.loop.serve(now_s, self.take_s))
            if self.sent < self.calls:
                self._send(self.taken_s[-1])

    def _outcome(self) -> Outcome:
        took_s = self.taken_s[-1 - self.open] - self.taken_s[self.open - 1]
        busy_s = {
            "its CPU": self.thread.busy_s,
            "its network": self.network.busy_s,
            "its reading": self.loop.busy_s,
            "workers": self.computed_s / len(self.free_s),
        }
        busiest = max(busy_s, key=lambda name: busy_s[name])
        if self.open < len(self.free_s) and busy_s[busiest] < BUSY * self.taken_s[-1]:
            busiest = "room in its object store"
        rate = (self.calls - 2 * self.open) * self.chunk / took_s
        return Outcome(rate, busiest, self.window)
