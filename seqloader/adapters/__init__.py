"""What connects an enqueuer to the trainers of a framework: one file or folder each.

    owner.py        the enqueuer that an adapter has, made for it or before
    passes.py       one pass of a trainer over it
    prefetch.py     the same, with batches that are prepared, and some taken ahead
    masked.py       batches of as many rows, with a mask of those that count
    nests.py        what lies in a batch, leaf by leaf
    exits.py        the end of a program in which threads of a framework ask for batches
    device/         the way of batches to a GPU
    last_error.py   an error that is kept, without its traceback
    misfits.py      what a trainer would not notice
    frameworks.py   importing a framework, or saying what to install
    torch/          PyTorch and Accelerate

Importing seqloader imports none of them.
"""
