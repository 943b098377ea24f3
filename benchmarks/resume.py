"""What do save and resume cost?

Compared    seqloader, torchdata's StatefulDataLoader, Grain's mp_prefetch
Varied      how long the Sequence is, whether it is shuffled, batches or samples (BatchedSequence),
            positions that are left out
Measured    microseconds of state_dict() in mid-epoch, and how large the state is; milliseconds from
            constructing the loader to its first batch, at position 10^8 of 10^9 and at 0
Held still  2 workers, 8 batches in flight, tiny batches, a seed
Method      contestants in turn A B C A B C, fresh interpreter each. Starts are measured in
            one process, resumed and fresh in turn A B B A; a state is saved after every batch, for
            a time. The first batch of each start is checked. Medians and spread
Not shown   that what follows is the same, which is a matter of the tests; writing a state to a
            disk; torchdata with shuffle, whose sampler draws the whole order before it begins: 10^9
            numbers would not fit in most memories

Nobody goes to position 10^8 first: a saved state is set to that place, ours by seek(), and that the
right batch comes shows that it means there what it says.

Run         python benchmarks/resume.py [--quick] [--save]
"""

from __future__ import annotations

import sys

from harness.script import described

SCRIPT = described(__file__, __doc__)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
