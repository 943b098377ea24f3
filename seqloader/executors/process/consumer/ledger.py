"""Where every ticket is: waiting to be written, written, answered, or lost with a worker.

Pure: facts in, tickets out. It knows no pipe, process or clock.

Rules
    R1  A serial is given when a ticket is written, rises by one, and is never used twice. A ticket
        that is issued again gets a new one.
    R2  Serials leave the pipe in the order they were written: with n tickets still in it, they
        are the last n written.
    R3  Lost = written - in the pipe - held by a living worker - answered. The facts must have been
        gathered in this order: the death, what is in the pipe, what the living hold, all
        reports. Then a ticket may be called lost while a living worker is about to note it
        (it is computed twice and the answer to the old serial is unknown), but none that is
        really lost is missed.
    R4  A worker answers for the one lost ticket it had noted; others are issued again at no cost.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from seqloader.executors.process.wire.records import EMPTY_ATTEMPT
from seqloader.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["EMPTY", "Aftermath", "Ledger"]

EMPTY: Final = Ticket(0, 0, 0, EMPTY_ATTEMPT)
"""Computes nothing: whoever takes it only loads the state it names."""


class Aftermath(NamedTuple):
    """What the deaths of some workers mean for the tickets."""

    blamed: dict[int, Ticket]
    """Worker number -> the ticket that died with it."""
    again: list[Ticket]
    """Lost between reading and noting; nobody is to blame."""


class Ledger:
    """The tickets of one pool."""

    __slots__ = ("next_serial", "unwritten", "written")

    def __init__(self) -> None:
        self.unwritten: deque[Ticket] = deque()
        self.written: dict[int, Ticket] = {}
        self.next_serial = 1

    def write(self, ticket: Ticket) -> int:
        """Note that a ticket was put into the pipe; its serial."""
        serial = self.next_serial
        self.written[serial] = ticket
        self.next_serial = serial + 1
        return serial

    def answer(self, serial: int) -> Ticket | None:
        """The ticket that a report answers; None for one that was called lost, or given up."""
        return self.written.pop(serial, None)

    def bury(self, *, in_pipe: int, held: Collection[int], taken: Mapping[int, int]) -> Aftermath:
        """Find out which tickets are lost, and forget them.

        Args:
            in_pipe: how many tickets are in the pipe.
            held: serials that living workers have noted.
            taken: dead worker's number -> serial it had noted last (0: none).
        """
        first_in_pipe = self.next_serial - in_pipe
        lost = [serial for serial in self.written if serial < first_in_pipe and serial not in held]
        culprits = {serial: number for number, serial in taken.items()}
        blamed: dict[int, Ticket] = {}
        again: list[Ticket] = []
        for serial in lost:
            ticket = self.written.pop(serial)
            if serial in culprits:
                blamed[culprits[serial]] = ticket
            else:
                again.append(ticket)
        return Aftermath(blamed, again)

    def check(self) -> None:
        """Assert the rules; for tests."""
        assert all(0 < serial < self.next_serial for serial in self.written)
