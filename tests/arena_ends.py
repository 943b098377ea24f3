"""Both ends of one arena in one process: what the tests of arenas, leases and codec talk to."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

from seqloader import arrays
from seqloader.executors.process.consumer.arena import Arenas, ArenaView
from seqloader.executors.process.consumer.decode import Decoder
from seqloader.executors.process.wire.blocks import geometry, make_sparse
from seqloader.executors.process.wire.layouts import DEFINES
from seqloader.executors.process.wire.records import COMPUTED, REPORT, Report
from seqloader.executors.process.worker.arena import Arena
from seqloader.executors.process.worker.encode import Encoder
from seqloader.memory.descriptors import Descriptors


class Ends:
    """A worker and a consumer that take turns; tickets and reports are method calls."""

    def __init__(
        self,
        *,
        size: int | None = None,
        keep_batches: int = 8,
        copy: bool = False,
        available: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.descriptors = Descriptors()
        self.fd = self.descriptors.memory("test-arena")
        if size is None:
            size = make_sparse(self.fd)
        else:
            os.ftruncate(self.fd, size)
        self.arenas = Arenas(keep_batches, keep_bytes=0)
        self.view = ArenaView(1, self.fd, size, self.arenas.freed)
        self.arenas.add(self.view)
        self.arena = Arena(self.fd, size, available=available)
        self.encoder = Encoder(self.arena)
        self.decoder = Decoder(self.arenas, copy)
        self.next_serial = 1

    def check(self) -> None:
        self.arenas.check()
        self.arena.check()
        self.descriptors.check()

    def close(self) -> None:
        arrays.install(None)
        self.check()
        self.descriptors.close()
        # pytest keeps what a fixture gave until after the leak guard has looked
        del self.arenas, self.decoder, self.view, self.arena, self.encoder

    def ticket(self) -> int:
        """The consumer frees what it can and writes a ticket; the worker takes it."""
        serial = self.next_serial
        self.arenas.settle(serial)
        self.next_serial += 1
        self.arena.taken = serial
        return serial

    def send(self, box: list[Any]) -> Report:
        """The worker reports the batch in the box; the consumer reads the report."""
        record = REPORT.pack(self.arena.taken, *self._encoded(box), COMPUTED)
        report = Report._make(REPORT.unpack(record))
        if report.layout & DEFINES:
            self.decoder.define(self.view, report)
        return report

    def _encoded(self, box: list[Any]) -> tuple[float, ...]:
        offset, size, nbytes, block, layout = self.encoder.encode(box)
        assert box == []
        return offset, size, nbytes, 0, block, layout, 0.0, 0.0, 0.0, 1

    def open(self, report: Report) -> Any:
        return self.decoder.decode(self.view, report)

    def discard(self, report: Report) -> None:
        self.decoder.discard(self.view, report)

    def carry(self, batch: Any) -> Any:
        """A batch, from ticket to consumer."""
        self.ticket()
        box = [batch]
        del batch
        return self.open(self.send(box))

    def carry_made(self, make: Callable[[], Any]) -> Any:
        """A batch that nothing but its box refers to, from ticket to consumer."""
        self.ticket()
        return self.open(self.send([make()]))

    def is_free(self, block: int) -> bool:
        """Whether the consumer has freed a block."""
        gc.collect()
        self.arenas.settle(self.next_serial)
        return self.view.words[block] != 0

    def backed_bytes(self) -> int:
        """What the system says the blocks take."""
        tables_end = geometry(self.view.mapping.size).data_offset
        backed = os.fstat(self.fd).st_blocks * 512
        where = 0
        while True:
            try:
                where = os.lseek(self.fd, where, os.SEEK_DATA)
            except OSError:
                return backed
            if where >= tables_end:
                return backed
            end = min(tables_end, os.lseek(self.fd, where, os.SEEK_HOLE))
            backed -= end - where
            where = end
