"""Which memory is registered with a driver: what is to be asked of it, and what it has answered."""

from __future__ import annotations

__all__ = ["Registrations"]


class Registrations:
    """Blocks that the driver has locked, by their addresses.

    The driver refuses for reasons that last: a limit, a missing right, memory of a kind that it
    cannot lock. So after a refusal nothing more is asked of it; what is registered stays so.

    Attributes:
        refusal: Why the driver has refused; "": it has not.
        made: How often memory was registered, ever.
    """

    def __init__(self) -> None:
        self.refusal = ""
        self.made = 0
        self._asked: dict[int, int] = {}
        """Address and bytes of what the driver was asked for, and has not refused."""

    def __len__(self) -> int:
        return len(self._asked)

    @property
    def nbytes(self) -> int:
        """Bytes that are registered."""
        return sum(self._asked.copy().values())

    def wants(self, address: int) -> bool:
        """Whether the driver is to be asked for a block that is not locked."""
        return not self.refusal and address not in self._asked

    def ask(self, address: int, nbytes: int) -> None:
        """The driver is about to be asked. If that is torn, it counts as granted."""
        assert self.wants(address), "asked for what is registered, or was refused"
        self._asked[address] = nbytes

    def grant(self) -> None:
        """It has done what it was asked for."""
        self.made += 1

    def refuse(self, address: int, reason: str) -> None:
        """It has not."""
        del self._asked[address]
        self.refusal = reason

    def end(self, address: int) -> bool:
        """The block's memory ends: whether the driver is to unlock it. Any thread, once a block."""
        return self._asked.pop(address, None) is not None
