"""What does moving one batch from a worker to the consumer cost?

Compared    seqloader, multiprocessing.Pool.imap (its input gated to 8 outstanding), a plain loop
Varied      1.3 KB, 38.5 MB (np.full, and seqloader.empty) and 154 MB batches; seed
Measured    batches/s, GB/s, CPU of the consumer and of all processes, memory at the end
Held still  2 workers, 8 batches in flight, what __getitem__ does, what the consumer touches:
            every label, and one element of every page unless "untouched" is said
Method      engines in turn A B C A B C, fresh interpreter each, warm-up not counted, every batch
            checked; ratios are taken within a round; median and spread over the rounds
Not shown   decoding, page cache; epochs.py, startup.py and uneven.py have questions of their own

The consumer's CPU is all of its process: the harness's own check of each batch is part of it, and
is printed beside it. A consumer that is slower than its workers finds many reports in one read; one
that waits pays a wake-up for each batch. So 154 MB is compared with 1.3 KB as both come, and with
1.3 KB batches that come as slowly.

Run         python benchmarks/transport.py [--quick] [--save]
"""

from __future__ import annotations

import sys

from harness.script import described

SCRIPT = described(__file__, __doc__)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
