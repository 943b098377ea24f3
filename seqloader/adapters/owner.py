"""The enqueuer that an adapter has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from seqloader.enqueuer import OrderedEnqueuer

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["EnqueuerOwner"]

Batch = TypeVar("Batch")


class EnqueuerOwner(Generic[Batch]):
    """Has an enqueuer: one that was made for it and ends with it, or one that was made before.

    `close()`, the end of a `with`, of the object or of the program end what was made for it. An
    enqueuer that was made before is its maker's to stop.

    Args:
        source: An `OrderedEnqueuer`; or a Sequence, or whatever else an enqueuer takes.
        options: The arguments of `OrderedEnqueuer`, where one is to be made.

    Raises:
        TypeError: Options were given beside an enqueuer, which has its own.
    """

    def __init__(self, source: Any, **options: Any) -> None:
        self._owns = not isinstance(source, OrderedEnqueuer)
        if self._owns:
            self._enqueuer: OrderedEnqueuer[Batch] = OrderedEnqueuer(source, **options)
        elif options:
            names, kind = ", ".join(options), type(self).__name__
            raise TypeError(
                f"{kind}(enqueuer) has no use for {names}: an enqueuer that was made before has "
                f"its own. Give them to OrderedEnqueuer(...), or the Sequence itself to {kind}"
            )
        else:
            self._enqueuer = source

    @property
    def enqueuer(self) -> OrderedEnqueuer[Batch]:
        """Whose batches these are."""
        return self._enqueuer

    def close(self, timeout: float | None = None) -> None:
        """End the enqueuer, if it was made for this; `timeout` is that of its `stop()`."""
        if self._owns:
            self._enqueuer.stop(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif self._owns:
            self._enqueuer.__exit__(kind, error, traceback)
