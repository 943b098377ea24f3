"""What does the turn from one epoch to the next cost?

Compared    seqloader, multiprocessing.Pool.imap on one pool that is kept, a plain loop
Varied      a Sequence that never changes; one whose on_epoch_end reorders 1,000 numbers
Measured    milliseconds an epoch, less what the plain loop takes; time to an epoch's first batch
Held still  20 tiny batches an epoch, 50 epochs, 2 workers, 8 batches in flight
Method      engines in turn A B C A B C, fresh interpreter each, two epochs of warm-up not counted,
            every batch checked; differences are taken within a round; median and spread
Not shown   the peers' pools that are made anew each epoch; large states (startup.py)

Pool.imap is run with the unchanging Sequence only: its forked workers would never see a change.

Run         python benchmarks/epochs.py [--quick] [--save]
"""

from __future__ import annotations

import sys

from harness.script import described

SCRIPT = described(__file__, __doc__)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
