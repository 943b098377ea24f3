"""How fast is a shuffled order computed?

Compared    seqloader's permutation, which takes many positions in one call; Grain's, which is C++
            behind a call for each index (`index_shuffle`, four rounds, as its shuffle calls it);
            orders that are drawn whole: numpy's Generator.permutation, torch.randperm
Varied      length 10^4 ... 10^12, and how many neighbouring positions one call takes
Measured    million indices/s in one process; microseconds a call; microseconds from nothing but
            (length, key) to the order's first index
Held still  one core, one key, stretches of positions from all over the order, made beforehand
Method      contestants in turn A B C A B C, fresh interpreter each, one look at each order before
            it is timed: the first 100,000 indices must differ and be below the length
Not shown   what Grain's C++ takes without Python's call, since nobody can use it so; gathering the
            samples (gather.py)

A call costs some tens of microseconds before its first index, so a small batch reaches less than a
large one. What is wanted is wanted of calls for 16,384 positions. An order that is drawn whole
takes 8 bytes an index: 10^9 of them are 8 GB, and are not tried.

Run         python benchmarks/permutation.py [--quick] [--save]
"""

from __future__ import annotations

import sys

from harness.script import described

SCRIPT = described(__file__, __doc__)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
