"""The process executor: batches computed by worker processes, returned through shared memory.

Actors
    consumer   one thread, whichever is inside a call; it alone writes tickets, reads reports and
               frees blocks
    worker     one process per slot, one thread, one ticket at a time

One ticket, time going down
    consumer                              worker (whoever is free)
    ticket       == ticket pipe ==>       note it in the table; batch = sequence[index]
                                          reserve a block, write the batch into it
    lend block   <== report pipe ===      COMPUTED serial, block
    (last view dies) one word ------>     the block may be written again

Records
    ticket     64 bytes: serial, epoch, position, index, attempt, state version and offset
    report     64 bytes: serial, block, layout, kind; whatever is longer lies in the block
    table      words of shared memory: the floor; per worker what it has taken, and since when,
               and whether it is to leave
    arena      a worker's memory file, mapped once on each side; blocks, one word each
    state      the Sequence as published: immutable ranges of one memory file, mapped privately
    gate       a pipe that becomes readable when there is a first state; workers start before

Rules
    R1   All workers read one ticket pipe: whoever is free takes the next ticket, and nobody
         dispatches. A read of one record is atomic, so is a write of up to PIPE_BUF bytes.
    R2   A report is one write of one record: whole or absent, never torn.
    R3   A block is reserved by its worker only and freed by the consumer only. A worker writes into
         a freed block only when it has taken a ticket that was written after the block was freed:
         the pipe orders the consumer's last read before the worker's next write.
    R4   No lock is shared between processes, so a killed worker cannot die holding one.
    R5   A ticket may be computed twice, never delivered twice: an answer to an unknown serial is
         given back unopened.
    R6   After a death, in this order: the death, what is left in the pipe, what the living hold,
         all reports; lost = written - in the pipe - held - answered.
    R7   Every ticket that was taken is answered, thrown-away ones too: "nothing is being
         computed" is "everything written is answered".
    R8   The consumer blocks in one poll only, which moves nothing; every other step may be torn by
         an asynchronous exception, and is then not mended but replaced: a new pool, the tickets
         issued again.
    R9   A published state is never changed. Tickets carry the version they are to be computed with.
         Shared arrays (memory/shared_arrays.py) have files of their own, and are of no version.

    R10  A worker that is to leave takes no ticket once it has seen that, and says LEFT as its last.
         A ticket that went down with its leaving is written again, and nobody is to blame for it.
         Nobody waits for its end.

When it breaks
    sequence raises   RAISED report, the exception in a block; the worker lives on
    worker dies       its ticket is Lost (the enqueuer tries again); a new worker takes the slot
    no new worker     fewer go on; the next start is tried after a pause (consumer/starts.py)
    worker is stuck   with timeout_s: asked for its stack, killed, as above
    memory runs out   MemoryError, RAISED like any other
    consumer dies     the life pipes hang up, the kernel kills the workers' groups and frees all
    consumer forks    the child closes its copies of the life pipes and owns nothing

Not here: order, epochs, tries (enqueuer). consumer/ and worker/ never import each other; they meet
in wire/. This package imports neither: a worker passes through it.
"""
