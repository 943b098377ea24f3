"""What does ArraySequence cost over numpy.take?

Compared    seqloader.ArraySequence in worker processes; numpy.take alone, in as many processes;
            torch's DataLoader over a TensorDataset, with its default collate
Varied      rows of 256 bytes, 3 KB (a CIFAR picture) and 150 KB (224 x 224 x 3 uint8)
Measured    batches/s, samples/s, GB/s; CPU of the consumer and of the workers for a batch
Held still  shuffled, 8 batches in flight, arrays of 256 to 617 MB with an int64 label a row, what
            the consumer touches: the labels, and one byte of each row
Method      contestants in turn A B C A B C, fresh interpreter each, warm-up not counted; measured
            in mid-epoch, with the queue in full swing; every batch checked: no row comes twice
            in an epoch, or with another row's label; ratios are taken within a round
Not shown   the turn of an epoch (epochs.py), and what computing the order costs by itself
            (permutation.py)

numpy.take is given all that can be given to it: an order that was drawn before, and buffers that
were used before, as many as there are batches in flight. It delivers to nobody: no order computed,
no other process, no consumer. So where a batch is small, what is lost is the hand-over, and where
there is a core for each worker and none for the consumer, the consumer's share. The workers' CPU
for a batch tells the two apart.

All three gather from the same arrays in shared memory. torch's workers are forked, so they are sent
nothing either.

Run         python benchmarks/gather.py [--quick] [--save]
"""

from __future__ import annotations

import sys

from harness.script import described

SCRIPT = described(__file__, __doc__)

if __name__ == "__main__":
    sys.exit(SCRIPT.main())
