"""What connects an enqueuer to the trainers of a framework: one file or folder each.

    owner.py        the enqueuer that an adapter has, made for it or before
    passes.py       one pass of a trainer over it
    masked.py       the same, with batches of as many rows and a mask of those that count
    nests.py        what lies in a batch, leaf by leaf
    prefetch.py     the same, with batches taken ahead and prepared
    device/         the way of batches to a GPU
    frameworks.py   importing a framework, or saying what to install
    torch/          PyTorch and Accelerate

Importing seqloader imports none of them.
"""
