"""Batches on a device when the loop gets them: copied ahead, on a stream of their own.

Actors
    feed      sends batches and hands them over, in the consumer's thread; there is no other
    driver    the device's own calls (drivers.py); the tests have one of their own
    stream    of the driver: executes the copies one after the other, at its own time
    arenas    the workers' memory, whose blocks they use again (executors/process)

One batch
    send        its arrays lie in blocks. A block that is new has its pages locked by the driver,
                once, so that the device reads it by itself: this process copies nothing. The copy
                is begun, and an event behind it.
    (others are sent, the loop computes)
    receive     the loop's stream waits for the event. The loop's thread does not.
    let go of   the event has passed: nothing refers to the arrays any more, and the worker may
                write into the block again.

Rules
    R1  What a copy reads is kept from before it is begun until its event has passed: blocks by
        keeping their arrays, buffers of the ring by their slots (copies.py). An exception in
        between leaves a copy without an event: the whole stream is waited for instead.
    R2  Copies end in the order in which they were begun. At most `ahead + 1` are under way.
    R3  A block is locked once, for as long as it has its memory; arenas say when that ends
        (registrations.py; consumer/page_locks.py has the rules).
    R4  The device never reads pageable memory. What lies in no block (`workers=0`, `copy=True`), or
        in one that the driver refuses to lock, is copied into a ring of pinned buffers first.
    R5  Nothing of this is done in a forked child, which has no device.

    copies.py           copies under way, and what they read                     (pure)
    registrations.py    what was asked of the driver, and what it answered       (pure)
    drivers.py          CUDA, and devices without locked memory
    feed.py             all of them together
"""
